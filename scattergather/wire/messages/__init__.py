"""Every message that may pass between two processes, by who speaks with whom.

``page``    one union a direction, and how each is read and written; imported as ``messages``
``client``  client and controller
``pool``    controller, pool and worker
``peers``   controller and pools, about the streams between these
``files``   client and host about files, by way of the controller
``zygote``  pool daemon and zygote
``shared``  what several of them use
"""
