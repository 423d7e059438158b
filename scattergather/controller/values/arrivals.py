"""Outcomes whose large parts are still on their way from another host.

Block stream and messages are not ordered with each other. What a host says of a chunk, or of a call
everywhere, must be heard in order, so all of it waits behind an outcome that is not complete; other
chunks go on. A result that can never be here, being larger than all the room for results, ends its
task and no other of the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from scattergather import errors
from scattergather.controller.jobs import losses
from scattergather.controller.roster import Entry
from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind, LossKind
from scattergather.store.store import Store
from scattergather.wire import blobs
from scattergather.wire.memory import stub
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec
from scattergather.wire.messages.shared import Loss, Message

_Outcome = messages.Outcomes | messages.EverywhereDone
_OfAChunk = messages.Outcomes | messages.Output | messages.GaveBack | messages.CancelDone

_Line = tuple[type[Message], int]
"""A chunk or a call everywhere: what is said of one is heard in order."""

Hear = Callable[[Entry, messages.FromPool, bytes, bool], None]
"""The last says that tasks are lost by our word: nothing died, and their worker goes on."""

_Said = tuple[messages.FromPool, bytes, bool]


@dataclass(slots=True)
class _Host:
    """What waits of one host, by chunk or call.

    ``early`` came before the outcome that names it was passed on, ``lost`` will never come, and
    why; ``unwanted`` is still to come, of outcomes that were lost with another part. ``named`` are
    the parts of what is parked.
    """

    parked: dict[_Line, deque[_Said]] = field(default_factory=dict)
    early: set[ObjectId] = field(default_factory=set)
    lost: dict[ObjectId, str] = field(default_factory=dict)
    unwanted: set[ObjectId] = field(default_factory=set)
    named: set[ObjectId] = field(default_factory=set)


class Arrivals:
    """Stands between the hosts and the front desk. Reactor thread only.

    Args:
        store: where everything large lies.
        fetched: takes those of what came, or never will, that are no results; returns the others.
        hear: takes what a host says, complete.
    """

    def __init__(
        self,
        store: Store,
        fetched: Callable[[Entry, Iterable[ObjectId], str], Iterable[ObjectId]],
        hear: Hear,
    ) -> None:
        self._store = store
        self._fetched = fetched
        self._hear = hear
        self._hosts: dict[str, _Host] = {}

    def said(self, entry: Entry, message: messages.FromPool, body: bytes) -> None:
        """A host said something.

        Raises:
            ValueError: it names a part that is not its own, or that it named before. What is so
                passed on twice would be dropped twice, and the second time it is another's.
        """
        host = self._hosts.get(entry.spec.name)
        large = isinstance(message, _Outcome) and message.objects
        if host is None and not large:
            self._hear(entry, message, body, False)
            return
        if host is None:
            host = self._hosts[entry.spec.name] = _Host()
        ours = False
        if isinstance(message, _Outcome):
            if isinstance(entry.spec, RemoteSpec):  # else they never come: they are here
                self._check_own(host, message)
            theirs = message
            message, body = self._fitting(host, message, body)
            message, body = self._judged(host, message, body)
            ours = message is not theirs
        line = _line_of(message)
        if line is not None:
            queue = host.parked.get(line)
            if queue is None and self._incomplete(message):
                queue = host.parked[line] = deque()
            if queue is not None:
                if isinstance(message, _Outcome):
                    host.named.update(extent.object for extent in message.objects)
                queue.append((message, body, ours))
                return
        self._pass_on(host, entry, message, body, ours)

    def arrived(self, entry: Entry, names: Iterable[ObjectId]) -> None:
        """These are here, complete."""
        host = self._hosts.setdefault(entry.spec.name, _Host())
        host.early.update(self._fetched(entry, names, ""))
        self._drop_unwanted(host)
        for line in list(host.parked):
            queue = host.parked[line]
            while queue and not self._incomplete(queue[0][0]):
                self._pass_on(host, entry, *queue.popleft())
            if not queue:
                del host.parked[line]

    def lost(self, entry: Entry, names: Iterable[ObjectId], reason: str) -> None:
        """These will not come: the tasks of results count as lost, also those not heard of yet."""
        host = self._hosts.setdefault(entry.spec.name, _Host())
        names = tuple(self._fetched(entry, names, reason))
        host.lost |= {name: reason for name in names if name not in host.unwanted}
        host.unwanted.difference_update(names)
        for queue in host.parked.values():
            for place, (message, body, ours) in enumerate(queue):
                if isinstance(message, _Outcome):
                    judged, body = self._judged(host, message, body)
                    queue[place] = judged, body, ours or judged is not message
        self.arrived(entry, ())

    def _check_own(self, host: _Host, message: _Outcome) -> None:
        names = [extent.object for extent in message.objects]
        if names and (
            len(set(names)) < len(names)
            or not host.named.isdisjoint(names)
            or {*names} - self._store.missing(message.objects) - host.early
        ):
            raise ValueError("it names a large part that is not its own, or names it twice")

    def _fitting(self, host: _Host, message: _Outcome, body: bytes) -> tuple[_Outcome, bytes]:
        """The same, but ``TooLarge`` for tasks of which a part can never be here."""
        bound = self._store.bound
        large = {it.object: it.length for it in message.objects if self._store.refusal(it.length)}
        if bound is None or not large:
            return message, body
        if isinstance(message, messages.EverywhereDone):
            ended, kinds, results = Kind.LOST, bytearray([message.kind]), [body]
        else:
            ended, kinds = Kind.EXCEEDED, bytearray(message.kinds)
            results = []
        try:
            results = results or blobs.each(body, len(kinds))
            named = [
                stub.parts(blob) if kind == Kind.RETURNED else []
                for kind, blob in zip(kinds, results, strict=True)
            ]
        except ValueError:  # nobody can say whose the large part is: all wait until it is lost
            return message, body
        needed: set[ObjectId] = set()
        unwanted: set[ObjectId] = set()
        for place, parts in enumerate(named):
            size = next((large[name] for name in parts if name in large), None)
            if size is None:
                needed.update(parts)
                continue
            unwanted.update(parts)
            kinds[place], results[place] = ended, _too_large(message, size, bound)
        unwanted = (unwanted - needed) & {extent.object for extent in message.objects}
        host.unwanted |= {name for name in unwanted if host.lost.pop(name, None) is None}
        self._drop_unwanted(host)
        objects = tuple(each for each in message.objects if each.object not in unwanted)
        if isinstance(message, messages.EverywhereDone):
            return msgspec.structs.replace(message, kind=kinds[0], objects=objects), results[0]
        made = msgspec.structs.replace(message, kinds=bytes(kinds), objects=objects)
        return made, blobs.pack(results)

    def _judged(self, host: _Host, message: _Outcome, body: bytes) -> tuple[_Outcome, bytes]:
        """The same, or that it is lost because a part of it is."""
        parts = {extent.object for extent in message.objects}
        reasons = {name: host.lost.pop(name) for name in parts & host.lost.keys()}
        if not reasons:
            return message, body
        host.unwanted |= parts - reasons.keys()
        self._drop_unwanted(host)
        reason = min(reasons.values())
        if isinstance(message, messages.EverywhereDone):
            return losses.everywhere_lost(message, reason)
        return losses.outcomes_lost(message, reason)

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
        return isinstance(message, _Outcome) and bool(
            message.objects and self._store.missing(message.objects)
        )

    def _pass_on(
        self, host: _Host, entry: Entry, message: messages.FromPool, body: bytes, ours: bool
    ) -> None:
        if isinstance(message, _Outcome):
            host.early.difference_update(extent.object for extent in message.objects)
            host.named.difference_update(extent.object for extent in message.objects)
        self._hear(entry, message, body, ours)


def _line_of(message: messages.FromPool) -> _Line | None:
    if isinstance(message, _OfAChunk):
        return messages.Run, message.chunk
    if isinstance(message, messages.EverywhereDone):
        return messages.Everywhere, message.call
    return None


def _too_large(message: _Outcome, size: int, bound: int) -> bytes:
    reason = str(errors.TooLarge.of("the result", size, bound))
    return messages.encode(
        Loss(
            kind=LossKind.TOO_LARGE,
            reason=reason,
            worker=message.worker,
            size=size,
            limit=float(bound),
        )
    )
