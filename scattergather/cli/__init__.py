"""The command line, ``scattergather``.

``main``      the commands, and how their errors are shown
``pool``      runs this machine's pool in the foreground
``guests``    who may use this machine's pool: invite, invited, renew, revoke
``hosts``     the stored hosts: add, list, remove, ping
``version``   what is installed
``occupant``  who holds a port
``demo``      a pool and the seed's job on it

Twisted and Foolscap are imported when a command needs them: together they take half a second.
"""
