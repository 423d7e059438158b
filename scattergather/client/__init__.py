"""What lives in the user's process: no reactor, no Twisted, a reader and a writer thread.

``spawn``       starts a controller and returns the client: all parts meet here
``ending``      what becomes of what is outstanding when the program ends
``client``      ``ScatterGather``, what the user holds
``hosts``       ``c.hosts``: hosts are looked at, added, resized and dropped
``executor``    ``submit`` and ``map``, for the client and for views with options
``everywhere``  one call on every worker
``unread``      what ``waitForResult`` returns next
``options``     what may be asked of a job, checked
``naming``      which function a job runs
``calling``     a call that does not fit is answered with what would
``homebound``   what the user holds: it stays here, and answers a wrong name
``place``       what tasks see of this process: directory, module path, environment

``pipe``        bytes to and from the controller, and how threads wait for them
``session``     one controller as this process knows it
``jobs``        what ``addJob`` returns: from a list of tasks to a list of results
``futures``     what ``submit`` returns
``files``       files and folders that go to hosts, or come from there
``values``      values and functions as bytes, and what is too large for messages
``seen``        what the user sees without asking: output, bars, reprs
"""
