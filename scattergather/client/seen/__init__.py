"""What the user sees without asking.

``display``   where the user looks, and what can be shown there: the seam
``here``      the one place that chooses where
``cells``     which cells of a kernel run, and what waits for the next
``cell``      a cell of a notebook
``live``      what was displayed goes on moving
``album``     several things that were displayed, as one
``terminal``  a terminal, or a file
``printout``  what stands there after a text that moved the cursor
``echo``      what tasks print
``progress``  the bar of a wait
``showing``   the reprs
"""
