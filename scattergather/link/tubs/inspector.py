"""Measures every token that arrives before Foolscap's parser sees it.

Foolscap limits neither the name of a method nor that of an object it is asked for: one ``call``
with a name of 300 MB filled 300 MB of memory. And it converts long integers in quadratic time even
where it is about to drop them: half a megabyte a second kept a reactor busy. Whoever is past the
gate has proved a key, but one who relays an honest caller is past it, too, before TLS tells.

What Foolscap sends is tokens: a header of base-128 digits, a type byte, and a body for some types::

    digit ... digit  type  body ...          digit < 128 <= type

What we send of it is little: calls with one string and one reference, answers, and pieces. So the
bounds are far below what harms and far above what we use.
"""

from __future__ import annotations

from typing import Final

OPEN: Final = 0x88
CLOSE: Final = 0x89
STRING: Final = 0x82
FLOAT: Final = 0x84
LONGINT: Final = 0x85
LONGNEG: Final = 0x86
ERROR: Final = 0x8D

MOST_DIGITS = 10
"""Numbers up to 2**70: more than a count of ours or a length can be."""

MOST_DEPTH = 16
MOST_TOKENS = 1000
"""In one message."""

MOST_BYTES = 1 << 20
"""In one message."""


class Excess(Exception):
    """Something arrived that nothing of ours sends; says what."""


class Inspector:
    """Follows the tokens of one connection. Does no I/O, keeps no bytes.

    Args:
        longest: bytes that one token may have.
    """

    __slots__ = ("_bytes", "_depth", "_digits", "_longest", "_number", "_skip", "_tokens")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._digits = 0
        self._number = 0
        self._skip = 0
        self._depth = 0
        self._tokens = 0
        self._bytes = 0

    @property
    def between(self) -> bool:
        """All that was followed is whole: the next token is the first of a message."""
        return not (self._depth or self._digits or self._skip)

    def inspect(self, data: bytes) -> None:
        """Follow what has arrived.

        Raises:
            Excess: a bound is passed. The connection is of no more use.
        """
        at, end = 0, len(data)
        while True:
            skipped = min(self._skip, end - at)
            at += skipped
            self._skip -= skipped
            if at == end:
                return
            byte = data[at]
            at += 1
            if byte >= 128:
                self._token(byte)
            elif self._digits == MOST_DIGITS:
                raise Excess(f"a token begins with more than {MOST_DIGITS} digits")
            else:
                self._number |= byte << 7 * self._digits
                self._digits += 1

    def _token(self, kind: int) -> None:
        number, digits = self._number, self._digits
        self._number = self._digits = 0
        if kind == OPEN:
            self._depth += 1
            if self._depth > MOST_DEPTH:
                raise Excess(f"a message is nested more than {MOST_DEPTH} deep")
        elif kind == CLOSE:
            self._depth -= 1
        elif kind in (STRING, ERROR):
            if number > self._longest:
                raise Excess(f"a string of {number} bytes, {self._longest} are the most")
            self._skip = number
        elif kind == FLOAT:
            self._skip = 8
        elif kind in (LONGINT, LONGNEG):
            raise Excess("a long integer")
        self._tokens += 1
        self._bytes += digits + 1 + self._skip
        if self._depth <= 0:
            self._depth = self._tokens = self._bytes = 0
        elif self._tokens > MOST_TOKENS or self._bytes > MOST_BYTES:
            raise Excess(f"a message of more than {MOST_TOKENS} tokens or {MOST_BYTES} bytes")
