"""Everything that crosses between hosts; nothing else imports foolscap.

``seams``   what the link needs from a pool, and what it gives to a controller (protocols)
``remote``  all remote calls on one page
``gate``    the keyed preface before TLS and Foolscap
``tub``     a Tub with Foolscap's unsafe defaults turned off
``stream``  frames in order over a link that may break (pure)
``host``    a controller's view of one remote host
``server``  a daemon's view of its controllers
"""
