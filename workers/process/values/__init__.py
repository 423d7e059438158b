"""Arguments and results of a worker that are too large for messages.

``large``      joins what follows
``arguments``  what tasks take, and who still has it
``returns``    what tasks return, and where it lies
``answers``    results of nested calls that this worker was lent
``files``      files that tasks create and return
``inherited``  what processes that a task forked may read
``parking``    mappings of arguments, which stay for the next task
``views``      which mapping a value still is
"""
