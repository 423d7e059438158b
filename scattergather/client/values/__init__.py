"""Values and functions as bytes, and what is too large for messages.

``freezing``  values and functions on their way out
``large``     what is too large for messages, sent and received
``ref``       ``put``, and the ``Ref`` that it returns
"""
