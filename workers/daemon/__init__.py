"""Carries out what the pool decides, with Twisted: one per host, or embedded in a controller.

``launch``    starts the root zygote (no Twisted: it may run before the reactor is imported)
``pipe``      frames over a local socket, in the reactor
``zygotes``   datagrams with descriptors to and from a zygote, in the reactor
``process``   one worker process: its pipe, its journal, its output
``service``   the pool of this host: wires all of it
``listen``    a pool behind a link: what ``scattergather pool`` runs
"""
