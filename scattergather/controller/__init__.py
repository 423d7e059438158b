"""The process with the scheduler: between one client and all its hosts.

``__main__``  starts it: the zygote first, then Twisted
``service``   builds and wires everything
``driver``    feeds the scheduler and carries out what it asks for
``roster``    the hosts: who is up, what each was told
``embedded``  the pool in this process, as a host
``nested``    calls that tasks submit
``heap``      memory that is free goes back to the system
``watch``     notices that the client is gone

``desks``     what may be asked of a controller, and by whom
``values``    the bytes of tasks, results and code while somebody needs them
"""
