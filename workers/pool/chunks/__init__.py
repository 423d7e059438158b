"""Who gets which chunk, and what becomes of it.

``feeding``     who gets which chunk, and the code for it
``leases``      what becomes of a chunk, up to its end in a worker that lives
``cancelling``  a cancel, and what follows if it is not heeded
``roll_calls``  what every worker has to answer: a refresh, a call everywhere
"""
