"""From the client's tasks to the hosts, and back to whoever waits for what came of them.

``driver``    feeds the scheduler and carries out what it asks for
``record``    a job as it is kept here
``outgoing``  outcomes, on their way to whoever waits
``nested``    calls that tasks submit
``lineage``   which task has made what is kept
``remaking``  what is lost with a host is made again
``losses``    why tasks are lost, in words
"""
