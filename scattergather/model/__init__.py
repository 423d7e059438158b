"""Frozen values that every floor speaks of: no behaviour beyond their own fields.

``ids``       how jobs, objects, slabs and functions are named
``numeric``   numbers as users have them
``outcome``   what can come of a task
``failure``   a failed task, as shown to the user
``placement``  where tasks may run
``nearest``   what a name that does not exist may have meant
``quoting``   a value of the user's as a message quotes it
``snapshot``  what ``status`` shows
"""
