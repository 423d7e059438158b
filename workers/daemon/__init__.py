"""Carries out what the pool decides, with Twisted: one per host, or embedded in a controller.

``launch``        starts the root zygote (no Twisted: it may run before the reactor is imported)
``process``       one worker process: its pipe, its journal, its output
``overheard``     what a task prints while it runs
``zygotes``       one zygote: datagrams with descriptors to and from it, in the reactor
``files``         files of clients on this host: sent, fetched, sent by tasks
``large``         what sessions hold of large objects, and which slabs workers see
``memory_kills``  whether the kernel killed a process for want of memory
``machine``       where processes come from: the seam under which the simulation puts its own
``this_machine``  the real machine
``nursery``       zygotes, and the workers that come from them: born, signalled, buried
``watch``         the looks at workers and zygotes: memory, stopped, time
``service``       the pool of this host: wires all of it
``listen``        a pool behind a link: what ``scattergather pool`` runs
"""
