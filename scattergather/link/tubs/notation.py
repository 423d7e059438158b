"""How Foolscap writes a piece, and pieces read from it without its parser.

::

    number OPEN  5 STRING "piece"  size STRING bytes...  number CLOSE

Foolscap's parser takes any tokens in any order, and some 30 us for these; whoever knows what comes
reads it in 2. What is not written exactly so, or not there to its end, is none of this module's.
Does no I/O, keeps no bytes.
"""

from __future__ import annotations

import re

from foolscap.tokens import CLOSE, OPEN, STRING

_OPENING = b"\x05" + STRING + b"piece"
_BEGIN = re.compile(
    rb"([\x00-\x7f]{1,10})%b%b([\x00-\x7f]{1,4})%b"
    % (re.escape(OPEN), re.escape(_OPENING), re.escape(STRING))
)


def base128(number: int) -> bytes:
    """The digits of a number, the least first."""
    digits = bytearray()
    while number >= 128:
        digits.append(number & 127)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def written(number: int, head: bytes, data: bytes) -> bytes:
    """A piece as the ``number``-th object of a connection; its bytes are ``head`` and ``data``."""
    digits, size = base128(number), base128(len(head) + len(data))
    return b"".join((digits, OPEN, _OPENING, size, STRING, head, data, digits, CLOSE))


def piece_in(chunk: bytes, begin: int, longest: int) -> tuple[bytes, int] | None:
    """The bytes of the piece that begins there, ``longest`` at most, and where it ends.

    None if there is something else, or not all of it.
    """
    found = _BEGIN.match(chunk, begin)
    if found is None:
        return None
    digits, size = found.groups()
    start, length = found.end(), 0
    for digit in reversed(size):
        length = length << 7 | digit
    end = start + length
    if length > longest or not chunk.startswith(digits + CLOSE, end):
        return None
    return chunk[start:end], end + len(digits) + 1
