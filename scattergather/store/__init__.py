"""Large objects of a process that passes them on: a controller, or a pool daemon.

``store``    where each object lies on this host, and the slabs that it lies in
``beneath``  files below one folder, and nothing outside of it
"""
