"""How fast, beside whom: the same cases for scattergather and for what people use instead.

What is measured and why
    Absolute figures age with the machine and swing with its load, so what is judged are *ratios
    to peers in the same run*. A run is some rounds; in a round every system gets a fresh process
    of its own, in turn, and goes through all cases; nothing else of ours runs meanwhile, so an
    idle peer's heartbeats do not disturb its neighbour. Ratios are taken within a round, where
    the machine was the same, and the median over the rounds is shown. The order of the systems
    rotates from round to round.

    A system too slow for the full number of tasks is given fewer, as many as it does in about
    three seconds, and its rate is what is compared; fixed costs no longer count by then.

The modules
    ``functions``: what the tasks do.
    ``system``: the seam, one system as the cases see it.
    ``systems``: an adapter for each system; ``systems.roster`` lists them.
    ``stream``: two ends of a bare TLS stream.
    ``memory``: what processes hold, from the kernel's books.
    ``scale``: how much of everything.
    ``cases``: what is measured.
    ``large``: the cases of large values.
    ``hosts``: what many hosts cost the controller.
    ``between``: the cases of what passes between hosts.
    ``stage``: one system in one process, through the cases.
    ``rounds``: all systems, in turn, round after round.
    ``targets``: what the figures have to reach.
    ``report``: the tables.
    ``chaos``: not how fast, but what becomes of the work when things break.
    ``__main__``: ``python -m benchmarks``.
"""
