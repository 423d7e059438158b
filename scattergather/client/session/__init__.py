"""One controller as this process knows it.

``session``       receivers, calls, what is known of hosts
``interrupting``  what the user is told of a wait: interrupted, or in vain
"""
