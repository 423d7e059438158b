"""The packed tasks of a list, kept for ``retry`` and for the notes of errors."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping

from scattergather.wire import blobs
from scattergather.wire.codebook import Code


class Inputs:
    """Runs of packed tasks. Filled by one thread, then read by any.

    The bytes are those that were sent, so a task costs 8 bytes beside its own. ``code`` is what
    the function and the tasks refer to, by digest: a retry may find that the hosts forgot it.
    """

    __slots__ = ("_firsts", "_runs", "code", "size")

    def __init__(self, code: Mapping[bytes, Code] | None = None) -> None:
        self.code: Mapping[bytes, Code] = {} if code is None else code
        self._firsts: list[int] = []
        self._runs: list[tuple[array[int], bytes, tuple[bytes, ...]]] = []
        self.size = 0

    def add(self, first: int, ends: array[int], data: bytes, needs: tuple[bytes, ...]) -> None:
        """Keep the tasks from ``first`` on."""
        self._runs.append((ends, data, needs))
        self._firsts.append(first)
        self.size += len(data)

    def blob(self, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        """One task, and the digests that its run refers to.

        Raises:
            LookupError: it is not kept.
        """
        at = bisect_right(self._firsts, index) - 1
        if at < 0:
            raise LookupError(index)
        ends, data, needs = self._runs[at]
        place = index - self._firsts[at]
        if place >= len(ends):
            raise LookupError(index)
        return data[blobs.start_of(ends, place) : ends[place]], needs
