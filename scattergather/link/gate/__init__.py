"""Who may come in: a keyed preface before TLS and Foolscap.

``gate``        the preface, both sides of it (pure)
``porch``       where callers stand until they have proved a key
``budget``      how much processor time they may cost (pure)
``doorkeeper``  the gate on the listening side, for those who have proved one
``caller``      the gate on the calling side
``doors``       keeps open to whom the pool's folder says, while it runs
"""
