"""What controller and daemon share of Twisted.

``seam``        what our code asks of a reactor (protocols)
``monotonic``   Twisted's reactor, with a clock that does not jump
``frame_pipe``  frames and descriptors over a local socket
``heartbeat``   a loop that is watched: it says that it turns, or is ended
``hearing``     readers that may be heard together, a moment later
``turns``       what happens because something happened is done in turn
"""
