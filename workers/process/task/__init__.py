"""The life of a task, from its chunk to its outcome.

``chunk``       a chunk: prepared, run by the loop, its outcomes sent
``loop``        the hot loop over tasks, and where interrupts may fall
``call``        a function with a job's circumstances: name, label, limits, types to retry
``copies``      processes that a task forks leave our loop
``journal``     outcomes and the task now running, in memory that outlives the worker
``outcomes``    results and exceptions as outcomes
``interrupts``  signals that may end a task: the user's cancel, the time limit
``nested``      what a running task may call, joined to the line
"""
