"""Outcomes whose large parts are still on their way from another host.

Block stream and messages are not ordered with each other. What a host says of a chunk must be heard
in order, so all of it waits behind an outcome that is not complete; other chunks go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from scattergather.controller.roster import Entry
from scattergather.model.outcome import Kind
from scattergather.store.store import Store
from scattergather.wire import blobs, messages
from scattergather.wire.messages import ObjectId

_OF_A_CHUNK = (messages.Outcomes, messages.Output, messages.GaveBack, messages.CancelDone)

Hear = Callable[[Entry, messages.FromPool, bytes], None]


@dataclass(slots=True)
class _Host:
    """What waits of one host, by chunk.

    ``early`` came before the outcome that names it was passed on, ``lost`` will never come, and
    why; ``unwanted`` is still to come, of outcomes that were lost with another part.
    """

    parked: dict[int, deque[tuple[messages.FromPool, bytes]]] = field(default_factory=dict)
    early: set[ObjectId] = field(default_factory=set)
    lost: dict[ObjectId, str] = field(default_factory=dict)
    unwanted: set[ObjectId] = field(default_factory=set)


class Arrivals:
    """Stands between the hosts and the front desk. Reactor thread only."""

    def __init__(self, store: Store, hear: Hear) -> None:
        self._store = store
        self._hear = hear
        self._hosts: dict[str, _Host] = {}

    def said(self, entry: Entry, message: messages.FromPool, body: bytes) -> None:
        """A host said something."""
        host = self._hosts.get(entry.spec.name)
        large = isinstance(message, messages.Outcomes) and message.objects
        if host is None and not large:
            self._hear(entry, message, body)
            return
        if host is None:
            host = self._hosts[entry.spec.name] = _Host()
        if isinstance(message, messages.Outcomes) and host.lost:
            message, body = self._judged(host, message, body)
        if isinstance(message, _OF_A_CHUNK):
            queue = host.parked.get(message.chunk)
            if queue is None and self._incomplete(message):
                queue = host.parked[message.chunk] = deque()
            if queue is not None:
                queue.append((message, body))
                return
        self._pass_on(host, entry, message, body)

    def arrived(self, entry: Entry, names: Iterable[ObjectId]) -> None:
        """These results are here, complete."""
        host = self._hosts.setdefault(entry.spec.name, _Host())
        host.early.update(names)
        self._drop_unwanted(host)
        for chunk in list(host.parked):
            queue = host.parked[chunk]
            while queue and not self._incomplete(queue[0][0]):
                self._pass_on(host, entry, *queue.popleft())
            if not queue:
                del host.parked[chunk]

    def lost(self, entry: Entry, names: Iterable[ObjectId], reason: str) -> None:
        """These results will not come: their tasks count as lost, also those not heard of yet."""
        host = self._hosts.setdefault(entry.spec.name, _Host())
        host.lost |= {name: reason for name in names if name not in host.unwanted}
        host.unwanted.difference_update(names)
        for queue in host.parked.values():
            for place, (message, body) in enumerate(queue):
                if isinstance(message, messages.Outcomes):
                    queue[place] = self._judged(host, message, body)
        self.arrived(entry, ())

    def _judged(
        self, host: _Host, message: messages.Outcomes, body: bytes
    ) -> tuple[messages.Outcomes, bytes]:
        """The same, or that it is lost because a part of it is."""
        parts = {extent.object for extent in message.objects}
        reasons = {name: host.lost.pop(name) for name in parts & host.lost.keys()}
        if not reasons:
            return message, body
        host.unwanted |= parts - reasons.keys()
        self._drop_unwanted(host)
        return _as_lost(message, min(reasons.values()))

    def _drop_unwanted(self, host: _Host) -> None:
        here = host.unwanted & host.early
        if here:
            host.unwanted -= here
            host.early -= here
            self._store.drop(here)

    def left(self, entry: Entry) -> None:
        """The host is gone, and what waited for the rest with it."""
        host = self._hosts.pop(entry.spec.name, None)
        if host is not None:
            self._store.drop(host.early)

    def _incomplete(self, message: messages.FromPool) -> bool:
        return isinstance(message, messages.Outcomes) and bool(
            message.objects and self._store.missing(message.objects)
        )

    def _pass_on(self, host: _Host, entry: Entry, message: messages.FromPool, body: bytes) -> None:
        if isinstance(message, messages.Outcomes):
            host.early.difference_update(extent.object for extent in message.objects)
        self._hear(entry, message, body)


def _as_lost(message: messages.Outcomes, reason: str) -> tuple[messages.Outcomes, bytes]:
    loss = messages.encode(messages.Loss(kind="TaskLost", reason=reason))
    count = len(message.kinds)
    lost = msgspec.structs.replace(
        message, kinds=bytes([Kind.LOST]) * count, objects=(), borrowed=()
    )
    return lost, blobs.pack([loss] * count)
