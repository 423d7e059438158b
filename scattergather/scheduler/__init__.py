"""Decides which tasks run where, and when again: pure, driven by ``handle(event)``.

``events``     what can happen to the scheduler, past tense
``actions``    what it can ask for, imperative; per chunk, never per task
``job``        what is queued, running and done of one job
``host``       what a host can take and what it holds
``fleet``      all hosts: who may run a job, has the least to do, or too much
``leases``     which chunk is where
``fairness``   whose turn it is: priority first, then in turns
``chunking``   how many tasks travel together
``feeding``    hands out what is queued
``scheduler``  the door
``statistics``  what may be known of the scheduler from outside
"""
