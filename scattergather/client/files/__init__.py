"""Files between this process and the hosts, below a folder on either side.

``asking``     ``send_file`` and ``fetch_file``, checked
``calls``      what is asked of hosts about files, and what they answer
``lane``       requests to one host, several under way
``transfer``   one that the user waits for: a thread, a bar, an interrupt
``sending``    files and folders that go to hosts
``fetching``   files and folders that come from a host
``incoming``   one file that comes
``receiving``  files that tasks send
"""
