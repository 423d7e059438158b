"""Functions that ship with every host.

``all_series``  a histogram of random numbers: the job of the first of our ancestors
"""
