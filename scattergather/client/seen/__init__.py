"""What the user sees without asking.

``display``   where the user looks, and what can be shown there: the seam
``here``      the one place that chooses where
``cell``      a cell of a notebook
``terminal``  a terminal, or a file
``echo``      what tasks print
``showing``   the reprs
"""
