"""What is kept on this machine between sessions, and what a user's ``urls`` mean.

``paths``        where settings and state live
``private``      files and folders that nobody else can read, from their first byte on
``furl``         FURLs: parsed, checked, and never shown whole
``hosts``        the named hosts of this user, and the pools of this machine
``urls``         ``urls`` of ``spawnScatterGather``, resolved to hosts
``memory``       how much of it large values may take
``scratch``      which folder files without a name go to
``identity``     the key and the secret name of a pool, the same after every restart
``invitations``  who may use a pool: its owner and the guests, each with a secret of his own
"""
