"""Large objects between two pools of one session, past its controller.

``handed``     what of a session's objects one peer may have, and bring (pure)
``neighbour``  one end of the stream of two pools, whatever becomes of its connections
``company``    the peers of one session, and what its controller says of them
``streams``    what all peer streams of a daemon share: its gate, their number, their credit
"""
