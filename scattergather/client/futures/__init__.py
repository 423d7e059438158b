"""What ``submit`` returns.

``future``   the future of one call
``bar``      what is seen of a wait for futures
``stream``   the open job behind the futures of one function
``streams``  which stream a call goes to, and which ones are ended
"""
