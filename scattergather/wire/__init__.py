"""What passes between processes: frames, messages, and values as bytes. Pure but for shared memory.

``frame``        a message and its body on a byte stream
``descriptors``  descriptors that travel with a frame
``blobs``        many blobs in one body, with a table of their ends
``pushed``       words about source that the user has pushed
``needs``        in which order code goes that needs other code
``validation``   what pydantic makes of functions and classes of the notebook

``messages``     every message that may pass, one union a direction
``values``       one value, one blob
``code``         functions and classes of the notebook, by digest
``memory``       large values: memory without a name that several processes see
"""
