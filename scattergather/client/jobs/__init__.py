"""What ``addJob`` returns: from a list of tasks to a list of results.

``job``           ``Job``, what the user holds
``scatter``       the door through which tasks go out and become a job
``tasks``         the shape of a task
``adding``        a job begins: a list is packed and streamed down
``feeding``       an iterator is consumed on a thread, in a window
``inputs``        the packed tasks of a list, kept for ``retry``
``round``         one way of a job through the controller
``rounds``        all of them: the first, and one more for each ``retry``
``gathering``     the outcomes of one job, in order and as they came
``segment``       a run of outcomes, unpickled once
``reading``       an outcome's bytes become a result or an error
``iterating``     results one by one
``asynchronous``  the same for ``await`` and ``async for``
"""
