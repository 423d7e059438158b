"""Large objects from host to host, in a connection beside that of the frames.

``block``       the frames of a block stream (pure)
``shipments``   what leaves by a block stream (pure)
``deliveries``  what arrives by it (pure)
``exchange``    one end of it with both (pure)
``courier``     one session's end of a block stream, whatever becomes of its connections
``carriage``    a connection for it: behind the gate, in a tunnel, with a ticket
``tunnel``      TLS from memory to memory
``dialler``     gives a controller's courier a connection while it needs one
"""
