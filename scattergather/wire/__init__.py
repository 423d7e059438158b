"""How values become bytes and bytes become frames: no sockets in here.

``frame``     a message and its body on a byte stream
``messages``  every message that may pass, one union a direction
``payload``   one value, one blob: C pickle where it can, dill where it must
``shipping``  functions and classes by digest
``culprit``   which part of a value cannot be pickled
"""
