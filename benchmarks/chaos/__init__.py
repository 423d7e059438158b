"""What becomes of the work when things break, beside whom: the same scripts for all.

Each scenario runs in a process session of its own with a fresh system of two workers, has a hard
limit of time, and is killed with all that it started. Tasks sleep and do not compute, so that two
cores are enough. A ledger says what was run, the script what was delivered.

A cell of the table is one run: what kind of outcome it is (ok, lost, hung, left) can be relied
on, seconds are not for quoting.

The modules
    ``tasks``: what the tasks do, and the ledger.
    ``peers``: how each system takes a call, and how it is started badly.
    ``scenarios``: what goes wrong, and how the outcome is put into words.
    ``stage``: one scenario with one system in a process of its own.
    ``runs``: starts stages, and ends them.
    ``__main__``: ``python -m benchmarks.chaos``.
"""
