"""The bytes of tasks, results and code while somebody needs them.

``inputs``     the blobs of tasks that have no outcome yet
``shelf``      shipped code
``objects``    what is large: who needs it, who has it, when it is free
``shown``      the slabs of this host that the client has
``fetches``    what lies on one host and is wanted on another, by way of here
``crossings``  the same, past here
``spreading``  what lies here and is wanted on many hosts
``arrivals``   outcomes whose large parts are still on their way from another host
``landing``    when there is room for those parts
"""
