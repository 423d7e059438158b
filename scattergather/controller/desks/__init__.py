"""Who may ask what of a controller, and who hears what is said to it.

``client_desk``  what the client may ask, one branch a message
``hosts_desk``   what hosts say, and when all of them have answered
``changes``      hosts that are added, resized and dropped
``file_desk``    what the client asks of the hosts' files
``surveys``      numbered calls that several hosts answer
``board``        what is going on, as the client is shown it
"""
