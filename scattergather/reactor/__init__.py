"""What controller and daemon share of Twisted.

``frame_pipe``  frames and descriptors over a local socket
``turns``       what happens because something happened is done in turn
"""
