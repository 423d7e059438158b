"""What passes between processes: frames, messages, and values as bytes. Pure but for shared memory.

On the pipe:
``frame``         a message and its body on a byte stream
``messages``      every message that may pass, one union a direction
``descriptors``   descriptors that travel with a frame
``blobs``         many blobs in one body, with a table of their ends

Values:
``payload``       one value, one blob: C pickle where it can, dill where it must
``picklers``      the two picklers and the unpickler; ``by_dill`` is the slow one
``arrays``        small numpy arrays at half the cost
``raised``        exceptions with their tracebacks
``culprit``       which part of a value cannot be pickled

Large values:
``slabs``         memory without a name, cut into extents, mapped privately
``outside``       what of a value goes there while it is packed
``stub``          a blob of which parts lie there

Code of the notebook:
``shipping``      functions and classes by digest, frozen once a job
``code``          one blob of it; ``codebook`` what a process knows by digest
``fingerprint``   whether a function is still what it was
``recipe``        how functions are taken apart, ``class_recipe`` classes, ``bundle`` groups of them
``rebuild``       how they are made again
``names``         which globals code reaches; ``origin`` where a thing lives
"""
