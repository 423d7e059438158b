"""Frozen values that every floor speaks of: no behaviour beyond their own fields.

``ids``       how jobs, objects, slabs and functions are named
``outcome``   what can come of a task
``failure``   a failed task, as shown to the user
``placement``  where tasks may run
``snapshot``  what ``status`` shows
"""
