"""A run of outcomes, as it came: the bytes are kept, and read once, by whoever wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any

from scattergather.client.jobs.reading import Describe, read_outcomes
from scattergather.client.values.large import Distant, Part
from scattergather.wire import blobs

VOID = 254
"""In the kinds of a segment: this outcome is no longer the task's; ``retry`` took it."""


class Segment:
    """Outcomes of tasks ``first`` ...; whoever reads holds the gathering's reading lock."""

    __slots__ = (
        "attempt", "body", "first", "host", "kinds", "large", "number", "refer", "values", "worker"
    )  # fmt: skip

    def __init__(
        self,
        first: int,
        kinds: bytes,
        body: bytes | None,
        host: str,
        worker: int,
        attempt: int,
        large: tuple[Part, ...] = (),
    ) -> None:
        self.number = -1
        self.first = first
        self.kinds = kinds
        self.body = body
        self.values: list[Any] | None = None
        self.host = host
        self.worker = worker
        self.attempt = attempt
        self.large = large
        self.refer: Callable[[Sequence[bytes]], list[Any]] | None = None
        """Makes of the blobs of results what stands for them; None: results are loaded."""

    @property
    def size(self) -> int:
        """Bytes that wait to be read."""
        here = (each.extent.length for each in self.large if not isinstance(each, Distant))
        return len(self.body or b"") + sum(here)

    def cut(self, start: int, stop: int, first: int) -> Segment:
        """The outcomes of its tasks ``start`` to ``stop``, as those of tasks ``first`` ...

        Before it was read.
        """
        body = None if self.body is None else blobs.part(self.body, len(self.kinds), start, stop)
        kinds = self.kinds[start:stop]
        cut = Segment(first, kinds, body, self.host, self.worker, self.attempt, self.large)
        cut.refer = self.refer
        return cut

    def __len__(self) -> int:
        return len(self.kinds)

    def read(self, describe: Describe, label: str) -> list[Any]:
        """The results, errors in the failed places; they are the same objects every time."""
        if self.values is None:
            if self.body is None:  # cancelled: there never was one
                self.values = [
                    CancelledError(f"task {index} of {label} was cancelled")
                    for index in range(self.first, self.first + len(self.kinds))
                ]
            else:
                values, kinds = read_outcomes(
                    self.kinds, self.body, self.first, describe, label, self.large, self.refer
                )
                # In this order: an interrupt in between only means reading again.
                self.kinds = kinds
                self.values = values
                self.body = None
                self.large = ()
                self.refer = None
        return self.values

    def without(self, index: int) -> None:
        """The outcome of this task no longer counts."""
        kinds = bytearray(self.kinds)
        kinds[index - self.first] = VOID
        self.kinds = bytes(kinds)
