"""Workers that exceed a limit, stand still or die, and who takes their place.

``watching``  what follows from a look at a worker: limits, stopped, stuck
``deaths``    what becomes of a dead worker's tasks, and who takes its place
``verdict``   what is said of a task whose worker died under it
``restarts``  when something that dies at its start may be started again
"""
