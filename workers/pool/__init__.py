"""Decides which worker of a host does what: pure, driven by ``handle(event, now)``.

``events``    what can happen to a pool
``actions``   what it can ask for
``worker``    one worker process as the pool sees it
``restarts``  when something that dies at its start may be started again
``verdict``   what is said of a task whose worker died under it
``session``   one controller's part: its queue, its code, its workers
``pool``      the door
"""
