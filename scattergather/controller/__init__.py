"""The process with the scheduler: between one client and all its hosts.

``__main__``    starts it: the zygote first, then Twisted
``service``     builds and wires everything
``driver``      feeds the scheduler and carries out what it asks for
``front_desk``  what a client may ask
``roster``      the hosts: who is up, what each was told
``embedded``    the pool in this process, as a host
``inputs``      the blobs of tasks that have no outcome yet
``nested``      calls that tasks submit
``watch``       notices that the client is gone
"""
