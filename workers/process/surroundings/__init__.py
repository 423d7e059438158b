"""What a task finds around it, and what it leaves.

``place``     directory, module path and environment that a session's workers see, and why not more
``capture``   what a task prints, in a file that outlives the worker
``displays``  what a task displays, as a notebook's cell would show it
``libraries``  those that are other ones here, joined when a task imports them
``spawned``   processes that a task starts by multiprocessing find the notebook's functions
``mending``   undoes what a task bent in its process
``pools``     pools and executors that stay between tasks, and what serves them
``reseed``    forked siblings must not draw the same numbers
``registry``  functions by name or digest: services, shipped code, pushed names
``resident``  versions of ``__main__``, made of pushed source
``standing``  functions and classes of the notebook in ``__main__``, while a chunk is at work
"""
