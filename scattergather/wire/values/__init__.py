"""One value, one blob: C pickle where it can, dill where it must.

``payload``    the door: a value to a blob and back
``picklers``   the two picklers and the unpickler
``reducing``   what they have in common
``by_dill``    the slow one
``arrays``     small numpy arrays at half the cost
``chance``     random generators, copies of which draw the same numbers
``named``      what says that it is a name of the notebook
``derived``    of types that derive from a property or a module
``exceptions``  exceptions taken apart, and made again
``raised``     exceptions with their tracebacks
``losses``     a lost task as the error that the user sees
``culprit``    which part of a value cannot be pickled
``bundle``     what a task displayed
"""
