"""Decides which worker of a host does what: pure, driven by ``handle(event, now)``.

``pool``     the door
``events``   what can happen to a pool
``actions``  what it can ask for
``tenant``   one controller's part: its queue, its code, its workers
``worker``   one worker process as the pool sees it
``crew``     what all parts share: sessions, workers, the alarm; who is forked and retired
``objects``  what travels beside chunks: which ones wait for it, who keeps it

``chunks``   who gets which chunk, and what becomes of it
``losses``   workers that exceed a limit, stand still or die, and who takes their place
"""
