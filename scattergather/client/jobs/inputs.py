"""The packed tasks of a list, kept for ``retry`` and for the notes of errors."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from scattergather.client.values.large import Loan
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.memory.outside import Placed


class KeptInputs:
    """Runs of packed tasks. Filled by one thread, then read by any.

    The bytes are those that were sent, so a task costs 8 bytes beside its own. ``code`` is what
    the function and the tasks refer to, by digest: a retry may find that the hosts forgot it.
    """

    __slots__ = ("_firsts", "_lent", "_runs", "code", "size")

    def __init__(self, code: Mapping[bytes, CodeBlob] | None = None) -> None:
        self.code: Mapping[bytes, CodeBlob] = {} if code is None else code
        self._firsts: list[int] = []
        self._runs: list[tuple[array[int], bytes, tuple[bytes, ...]]] = []
        self._lent: dict[int, _RunObjects] = {}
        self.size = 0

    def add(
        self,
        first: int,
        ends: array[int],
        data: bytes,
        needs: tuple[bytes, ...],
        objects: tuple[Placed, ...] = (),
    ) -> None:
        """Keep the tasks from ``first`` on, and the objects that they take."""
        if objects:
            self._lent[len(self._runs)] = _RunObjects(objects, len(ends), len(ends))
        self._runs.append((ends, data, needs))
        self._firsts.append(first)
        self.size += len(data)

    def settle(self, first: int, kinds: bytes) -> None:
        """These tasks have outcomes: what returned will not be retried."""
        if not self._lent:
            return
        for index, kind in enumerate(kinds, first):
            number = bisect_right(self._firsts, index) - 1
            lent = self._lent.get(number)
            if lent is None:
                continue
            lent.pending -= 1
            lent.unreturned -= kind == Kind.RETURNED
            if not lent.unreturned:
                del self._lent[number]
            elif not lent.pending:
                for loan in lent.objects:
                    if isinstance(loan, Loan):
                        loan.rests = True

    def unsettle(self, index: int) -> None:
        """The outcome of this task no longer counts: it is to be retried."""
        lent = self._lent.get(bisect_right(self._firsts, index) - 1)
        if lent is not None:
            lent.pending += 1

    def task(self, index: int) -> tuple[bytes, tuple[bytes, ...], tuple[Placed, ...]]:
        """One task, and the digests and objects that its run refers to.

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
        lent = self._lent.get(at)
        blob = data[blobs.start_of(ends, place) : ends[place]]
        return blob, needs, lent.objects if lent is not None else ()


@dataclass(slots=True)
class _RunObjects:
    """The objects of a run: how many of its tasks have no outcome, and how many did not return."""

    objects: tuple[Placed, ...]
    pending: int
    unreturned: int
