"""The process with the scheduler: between one client and all its hosts.

``__main__``  starts it: the zygote first, then Twisted
``service``   its life, and what ends it
``wiring``    all its parts, and who tells whom
``seams``     what they need of the process: a client, and ways to hosts
``roster``    the hosts: who is up, what each was told
``ways``      makes what leads to each of them
``embedded``  the pool in this process, as a host
``heap``      memory that is free goes back to the system
``watch``     notices that the client is gone

``desks``     who may ask what, and who hears what is said
``jobs``      from the client's tasks to the hosts, and back
``values``    the bytes of tasks, results and code while somebody needs them
"""
