"""What runs on a compute host: the package ``scattergather.workers``.

``pool``      decides which chunk goes to which worker (pure)
``daemon``    carries that out with Twisted; one per host, or embedded in the controller
``process``   the forked side: zygotes and the worker's loop (no Twisted)
``services``  functions that ship with every host
"""
