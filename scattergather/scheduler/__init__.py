"""Decides which tasks run where, and when again: pure, driven by ``handle(event, now)``.

``events``     what can happen to the scheduler, past tense
``actions``    what it can ask for, imperative; per chunk, never per task
``job``        what is queued, running and done of one job
``host``       what a host can take and what it holds
``fairness``   whose turn it is: priority first, then in turns
``chunking``   how many tasks travel together
``scheduler``  the door
"""
