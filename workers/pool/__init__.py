"""Decides which worker of a host does what: pure, driven by ``handle(event, now)``.

``pool``        the door
``events``      what can happen to a pool
``actions``     what it can ask for
``turn``        one event taken in: the moment, who is there, what is asked for
``statistics``  what a pool tells of itself to whoever watches it
``crew``        who is on this host: tenants, workers, the alarm
``tenant``      one controller's part: its queue, its code, its objects, its workers
``worker``      one worker process as the pool sees it
``staffing``    who is forked, who is idle, who ends
``objects``     what travels beside chunks: which ones wait for it, who keeps it

``chunks``      who gets which chunk, and what becomes of it
``losses``      workers that exceed a limit, stand still or die, and who takes their place
"""
