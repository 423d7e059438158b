"""The packed tasks of a list, kept for ``retry`` and for the notes of errors."""

from __future__ import annotations

from array import array
from bisect import bisect_right


class Inputs:
    """Runs of packed tasks. Filled by one thread, then read by any.

    The bytes are those that were sent, so a task costs 8 bytes beside its own.
    """

    __slots__ = ("_firsts", "_runs", "size")

    def __init__(self) -> None:
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
        return data[ends[place - 1] if place else 0 : ends[place]], needs
