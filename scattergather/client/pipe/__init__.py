"""Bytes to and from the controller: its process, a writer thread, a reader thread, and waits.

``process``  the controller's process: its environment, its log, its end
``outbox``   what waits to be written, and frames that still grow
``pipe``     the writer thread and the reader thread
``waiting``  how any thread waits, so that an interrupt leaves no harm
"""
