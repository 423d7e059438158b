"""Frozen values that every floor speaks of: no behaviour beyond their own fields.

``outcome``   what can come of a task
``limits``    what a job may ask for
``failure``   a failed task, as shown to the user
``snapshot``  what ``status`` shows
"""
