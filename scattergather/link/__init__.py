"""Everything that crosses between hosts; nothing else imports foolscap.

``seams``        what the link needs from a pool, and what it gives to a controller (protocols)
``links``        the links of one controller
``host``         one remote host as a controller drives it
``switchboard``  how a controller reaches pools, and what it says first
``redial``       one attempt after the other, until one succeeds
``pauses``       how long to wait between them (pure)
``pulse``        when to say something, and when the other end counts as gone (pure)
``server``       a daemon's side: one Tub, one gate
``reception``    which sessions of a daemon are open, and what a hello is answered with
``visit``        one controller's session, as the daemon holds it
``remote``       all remote calls on one page
``sentences``    what went wrong with a host, in words
``logs``         where a process logs to, without FURLs

``stream``       frames in order over a link that may break
``blocks``       large objects from host to host, beside the frames
``peers``        the same between two pools, past the controller
``gate``         who may come in: a keyed preface before TLS and Foolscap
``tubs``         Foolscap, with its unsafe defaults turned off
"""
