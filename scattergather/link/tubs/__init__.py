"""Foolscap, with its unsafe defaults turned off.

``tub``        a Tub that offers and accepts only what we use
``broker``     Foolscap's connection, with pieces and a pulse of its own
``inspector``  measures what arrives before Foolscap's parser sees it (pure)
``notation``   how Foolscap writes a piece, and pieces read without its parser (pure)
``opener``     opens what arrives over TLS
``press``      writes that leave at once
"""
