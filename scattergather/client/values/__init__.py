"""Values and functions as bytes, and what is too large for messages.

``freezing``  values and functions on their way out
``plain``     numbers and text, which are packed faster
``large``     what is too large for messages, sent and received
``inherited``  what copies of this process, made by fork, may read of results
``repeats``   what call after call packs anew, of which the user is told
``equal_draws``  one random generator in several tasks, of which the user is told
``edited``    modules edited after workers may have imported them, of which he is told
``ref``       ``put``, and the ``Ref`` that it returns
"""
