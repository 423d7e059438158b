"""What may be asked of a controller, and by whom.

``front_desk``  what a client may ask
"""
