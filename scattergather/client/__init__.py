"""What lives in the user's process: no reactor, no Twisted, a reader and a writer thread.

Wiring
``spawn``        starts a controller and returns the client: all parts meet here
``client``       ``ScatterGather``, what the user holds
``session``      one controller as this process knows it: receivers, calls, what is known of hosts

The pipe
``process``      the controller's process: its environment, its log, its end
``outbox``       what waits to be written, and frames that still grow
``pipe``         the writer thread and the reader thread
``waiting``      how any thread waits, so that an interrupt leaves no harm
``interrupting`` what the user is told of a wait: interrupted, or in vain

Jobs
``options``      what may be asked of a job, checked
``naming``       which function a job runs
``freezing``     values and functions as bytes, through ``wire``
``tasks``        the shape of a task
``large``        what is too large for messages, sent and received
``ref``          ``put``, and the ``Ref`` that it returns
``plain``        tasks and results of numbers and text, which are packed faster
``adding``       a job begins: a list is packed and streamed down
``feeding``      an iterator is consumed on a thread, in a window
``inputs``       the packed tasks of a list, kept for ``retry``
``round``        one way of a job through the controller; ``retry`` begins another
``gathering``    the outcomes of one job, in order and as they came
``segment``      a run of outcomes, unpickled once
``reading``      an outcome's bytes become a result or an error
``job``          ``Job``, what ``addJob`` returns
``iterating``    results one by one
``asynchronous`` the same for ``await`` and ``async for``
``everywhere``   one call on every worker

Futures
``futures``      ``submit``: futures and the open jobs behind them
``executor``     ``submit``, ``map`` and ``shutdown`` with options

What is seen
``echo``         what tasks print
``cell``         the notebook cell that output belongs to
``progress``     bars
``showing``      the reprs
"""
