"""The forked side: zygotes and workers. Standard library, dill and msgspec only.

``zygote``        what the daemon executes; forks session zygotes, which fork workers
``channel``       datagrams with descriptors between the daemon and a zygote
``children``      the processes of one zygote: forked, signalled, reaped, none left behind
``worker``        a worker from its birth to its end: wires the rest, reads messages
``descriptors``   ours, out of the way of what tasks do to descriptors
``line``          the worker's socket: frames both ways, shared by threads

``task``          the life of a task
``values``        arguments and results that are too large for messages
``surroundings``  what a task finds around it, and what it leaves
"""
