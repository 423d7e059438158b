"""The process with the scheduler: between one client and all its hosts.

``__main__``    starts it: the zygote first, then Twisted
``service``     builds and wires everything
``driver``      feeds the scheduler and carries out what it asks for
``front_desk``  what a client may ask
``roster``      the hosts: who is up, what each was told
``embedded``    the pool in this process, as a host
``inputs``      the blobs of tasks that have no outcome yet
``objects``     what is large: who needs it, who has it, when it is free
``arrivals``    outcomes whose large parts are still on their way from another host
``landing``     when there is room for those parts
``shelf``       shipped code, kept while anybody may need it
``heap``        memory that is free goes back to the system
``nested``      calls that tasks submit
``watch``       notices that the client is gone
"""
