"""The forked side: zygotes and workers. Standard library, dill and msgspec only.

``zygote``      what the daemon executes; forks session zygotes, which fork workers
``channel``     datagrams with descriptors between the daemon and a zygote
``children``    the processes of one zygote: forked, signalled, reaped, none left behind
``place``       directory, module path and environment that a session's workers see
``kernel``      the few system calls that Python does not name
``proc``        what ``/proc`` says of processes
``journal``     outcomes and the task now running, in memory that outlives the worker
``capture``     what a task prints, in a file that outlives the worker
``worker``      a worker from its birth to its end: wires the rest, reads messages
``line``        the worker's socket: frames both ways, shared by threads
``chunk``       the hot loop over the tasks of a chunk
``call``        a function with a job's circumstances: name, label, limits, types to retry
``large``       arguments and results that are too large for messages
``outcomes``    results and exceptions as outcomes
``interrupts``  signals that may end a task: the user's cancel, the time limit
``mending``     undoes what a task bent in its process
``registry``    functions by name or digest: services, shipped code, pushed names
``resident``    versions of ``__main__``, made of pushed source
``nested``      what a running task may call, joined to the line
``reseed``      forked siblings must not draw the same numbers
"""
