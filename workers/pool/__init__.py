"""Decides which worker of a host does what: pure, driven by ``handle(event, now)``.

``events``      what can happen to a pool
``actions``     what it can ask for
``worker``      one worker process as the pool sees it
``restarts``    when something that dies at its start may be started again
``session``     one controller's part: its queue, its code, its workers
``crew``        what all parts share: sessions, workers, the alarm; who is forked and retired
``feeding``     who gets which chunk, and the code for it
``cancelling``  a cancel, and what follows if it is not heeded
``objects``     what travels beside chunks: which ones wait for it, who keeps it
``leases``      what becomes of a chunk, up to its end in a worker that lives
``watching``    what follows from a look at a worker: limits, stopped, stuck
``rounds``      what every worker has to answer: a refresh, a call everywhere
``verdict``     what is said of a task whose worker died under it
``deaths``      what becomes of a dead worker's tasks, and who takes its place
``pool``        the door
"""
