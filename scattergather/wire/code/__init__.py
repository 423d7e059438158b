"""Functions and classes of the notebook, by digest.

``shipping``      frozen once a job
``code``          one blob of shipped code
``codebook``      what a process knows by digest
``fingerprint``   whether a function is still what it was
``recipe``        how functions are taken apart
``class_recipe``  how classes are
``enums``         how enumerations are, and how they are made again
``generics``      how type variables and type aliases are, and how they are made again
``bundle``        groups of them
``rebuild``       how they are made again
``world``         what is loaded together, and the globals that it has in common
``names``         which globals code reaches
``origin``        where a thing lives
"""
