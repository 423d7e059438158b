"""What the system of this machine tells and does, where Python has no name for it.

``proc``         what ``/proc`` says of processes
``kernel``       the few system calls that Python does not name
``environment``  directory and variables: which look like secrets, and which a program can be given
``addresses``    at which this machine can be reached
``vitals``       how this machine is: load, free memory, free disk
``watchman``     ends a process whose loop stands still (a program of its own)
``lossy``        a stream that nobody waits for: what its reader does not take is dropped
``loading``      whether this process loads code, and so may not start a cluster
"""
