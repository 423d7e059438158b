"""What the user sees without asking.

``echo``      what tasks print
``cell``      the notebook cell that output belongs to
``progress``  bars
``showing``   the reprs
"""
