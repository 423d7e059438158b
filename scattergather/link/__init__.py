"""Everything that crosses between hosts; nothing else imports foolscap.

``seams``       what the link needs from a pool, and what it gives to a controller (protocols)
``host``        a controller's view of remote hosts
``server``      a daemon's view of its controllers
``doors``       keeps open to whom the pool's folder says, while it runs
``remote``      all remote calls on one page
``stream``      frames in order over a link that may break (pure); ``outbox`` and ``inbox`` are its
                halves, ``piece`` is what crosses
``line``        drives one end of a stream: time, connection, pieces
``gate``        the keyed preface before TLS and Foolscap (pure)
``porch``       where callers stand until they have proved a key
``budget``      how much processor time they may cost (pure)
``doorkeeper``  the gate on the listening side, for those who have
``caller``      the gate on the calling side
``block``       the frames of a block stream, which carries large objects (pure)
``shipments``   what leaves by a block stream, ``deliveries`` what arrives; ``exchange`` is one end
                of it with both (pure)
``courier``     one session's end of a block stream, whatever becomes of its connections
``carriage``    a connection for it: behind the gate, in a ``tunnel`` of TLS, with a ticket
``dialler``     gives a controller's courier a connection while it needs one
``tub``         a Tub with Foolscap's unsafe defaults turned off
``inspector``   measures what arrives before Foolscap's parser sees it (pure)
``broker``      Foolscap's connection, with pieces and with timers that keep their word
``sentences``   what went wrong with a host, in words
``logs``        where a process logs to, without FURLs
"""
