"""Frames in order over a link that may break.

``stream``      both directions together, with its theory (pure)
``outbox``      what is kept until it is acknowledged (pure)
``inbox``       what arrives, once and in order (pure)
``piece``       what crosses (pure)
``round_trip``  how far away the other end is (pure)
``line``        drives one end of a stream: time, connection, pieces
"""
