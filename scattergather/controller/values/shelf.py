"""Shipped code that any host may need, for as long as it may.

A digest goes once it is *free* (the client said, with ``messages.Forget``, that it will send it
anew before it names it again), no job uses it, and no other code needs it. What tasks ship for
their nested calls is sent with each call, so it is free from the start; but the youngest of that
is spared, because the call that names it may still be on its way.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import accumulate, islice

from scattergather.model.ids import Digest
from scattergather.wire.messages.shared import Code
from scattergather.wire.needs import needs_first

SPARED = 256
"""How many of the digests that tasks have sent are kept in any case."""

SPARED_BYTES = 1 << 26
"""How many bytes of their code, but for the last one: hosts must not take all memory with it."""

A_NAME = 1 << 6
"""Bytes that each digest in it is taken to hold."""


class Shelf:
    """Code by digest. Reactor thread only."""

    def __init__(self) -> None:
        self._code: dict[Digest, tuple[Code, bytes]] = {}
        self._free: set[Digest] = set()
        self._passing: dict[Digest, int] = {}
        self._passing_bytes = 0

    def keep(self, code: Code, blob: bytes) -> None:
        """Keep what the client has sent."""
        self._code[code.digest] = code, blob
        self._free.discard(code.digest)
        self._passing_bytes -= self._passing.pop(code.digest, 0)

    def keep_passing(self, code: Code, blob: bytes) -> bool:
        """Keep what a task has sent; True when it is time to :meth:`clear`."""
        digest = code.digest
        if digest not in self._code or digest in self._passing:
            self._code[digest] = code, blob
            size = len(blob) + A_NAME * len(code.needs)
            self._passing_bytes += size - self._passing.pop(digest, 0)
            self._passing[digest] = size
        return len(self._passing) > 2 * SPARED or self._passing_bytes > 2 * SPARED_BYTES

    def free(self, digests: Iterable[Digest]) -> None:
        """The client will send these anew before it names them again."""
        self._free.update(digest for digest in digests if digest in self._code)

    def get(self, digest: Digest) -> tuple[Code, bytes] | None:
        """The code and its blob."""
        return self._code.get(digest)

    def python_of(self, digests: Iterable[Digest]) -> str:
        """The Python version that code is bound to: the first that any of it names, or ``""``."""
        pythons = (self._code[each][0].python for each in self.in_order(digests))
        return next(filter(None, pythons), "")

    def in_order(self, digests: Iterable[Digest], known: Container[Digest] = ()) -> list[Digest]:
        """What is kept of these digests and their needs, but for the ``known``; needs first."""
        return needs_first(digests, self._needs_of, known)

    def _needs_of(self, digest: Digest) -> tuple[Digest, ...] | None:
        kept = self._code.get(digest)
        return None if kept is None else kept[0].needs

    def clear(self, used: Iterable[Digest]) -> list[Digest]:
        """Drop what is free and not needed, by what is ``used`` or stays; returns what went."""
        doomed = self._free.union(self._not_spared())
        needed = [*used, *(digest for digest in self._code if digest not in doomed)]
        while needed:
            digest = needed.pop()
            kept = self._code.get(digest)
            if kept is not None:
                doomed.discard(digest)
                needed += [each for each in kept[0].needs if each in doomed]
        for digest in doomed:
            del self._code[digest]
            self._free.discard(digest)
            self._passing_bytes -= self._passing.pop(digest, 0)
        return list(doomed)

    def _not_spared(self) -> list[Digest]:
        """What tasks have sent, but for the youngest of it."""
        sizes = accumulate(reversed(self._passing.values()))
        spared = max(1, sum(1 for size in islice(sizes, SPARED) if size <= SPARED_BYTES))
        return list(self._passing)[:-spared]
