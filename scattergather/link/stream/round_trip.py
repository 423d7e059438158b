"""How long a word to the other end and back takes: the way alone, not what queues on it.

Each acknowledgement gives one measurement: how long ago the piece left that it acknowledges, less
the time for which the other end held it (an acknowledgement waits for a piece to ride on). QUIC
measures so (RFC 9002, section 5). A measurement may be too long, because something stood before the
piece in a socket, in the network, or because a reactor was busy. It is never too short. So the
truth is near the least of the last seconds, as BBR takes it (Cardwell et al., 2016): of a mean, a
full queue would make a long way, for which the controller would queue more.

A way that became longer is believed when all shorter measurements are ``WINDOW_SECONDS`` old, at
the latest after twice that. While nothing is acknowledged nothing is learnt and nothing forgotten.
"""

from __future__ import annotations

from math import inf

WINDOW_SECONDS = 5.0

LONGEST = 1.0
"""Seconds; whoever takes longer to answer is not far away but busy, or says what is not so."""

NOTABLE = 1.25
"""A round trip that is longer or shorter by this factor is worth telling."""

NEAR = 0.0005
"""Seconds: below, every way is as good as none."""


class RoundTrip:
    """The least measurement of the last five to ten seconds.

    Args:
        now: monotonic time.
    """

    __slots__ = ("_before", "_since", "_told", "_window")

    def __init__(self, now: float) -> None:
        self._window = self._before = inf
        self._since = now
        self._told = 0.0

    @property
    def seconds(self) -> float | None:
        """The round trip; None before the first measurement."""
        least = min(self._window, self._before)
        return None if least == inf else least

    def measured(self, sample: float, now: float) -> float | None:
        """Take in one measurement; returns the round trip if it has changed notably.

        A negative one is dropped: the other end says that it held a piece before it left here.
        """
        age = now - self._since
        if sample >= self._window and age < WINDOW_SECONDS:
            return None  # nearly always
        if sample < 0.0:
            return None
        sample = min(sample, LONGEST)
        if age < WINDOW_SECONDS:
            self._window = sample
        else:
            self._before = self._window if age < 2 * WINDOW_SECONDS else inf
            self._window, self._since = sample, now
        least = min(self._window, self._before)
        told = max(least, NEAR)
        if self._told / NOTABLE < told < self._told * NOTABLE:
            return None
        self._told = told
        return least

    def begin(self, now: float) -> None:
        """A new connection may take another way: forget what was measured of the last one."""
        self._window = self._before = inf
        self._since = now
