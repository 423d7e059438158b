"""What the link needs from a pool, and what it gives to a controller.

The embedded pool and a pool daemon meet a controller through the same two protocols: in memory in
one case, over a Foolscap link in the other. Messages and bodies pass unchanged.
All of it runs on the reactor thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec

from scattergather.model.ids import ObjectId
from scattergather.wire.messages.page import FromPool, ToPool, Vitals
from scattergather.wire.messages.shared import Slots


class PoolFacts(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a pool says of itself when a controller joins it.

    Of its ``services`` those are ``chosen`` that whoever started the pool named. It may use so many
    ``cpus``, and ``vitals`` say how its machine is. Peers know it by its ``certificate``.
    """

    host: str
    workers: Slots
    python: str
    version: str
    protocol: int
    services: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    pid: int = 0
    chosen: tuple[str, ...] = ()
    platform: Annotated[str, msgspec.Meta(max_length=200)] = ""
    cpus: Slots = 0
    vitals: Vitals = Vitals()
    certificate: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes that passed to a host and from it: of messages, and of large values beside them."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        """Both together."""
        return Traffic(sent=self.sent + other.sent, received=self.received + other.received)


class ObjectStore(Protocol):
    """The large objects of a process, as the block stream reads and fills them.

    One that arrives is ``reserve``, some ``write`` in sequence, ``stored``; ``discard`` may come
    at any time after the first, and then it begins anew or never.
    """

    def length(self, name: ObjectId) -> int | None:
        """How many bytes it has; None when it is not (any longer) here."""

    def read(self, name: ObjectId, offset: int, count: int) -> bytes:
        """Bytes of one that is here. Raises LookupError when it is gone."""

    def reserve(self, name: ObjectId, length: int) -> bool:
        """Make room for one that is about to arrive; False: there is none now.

        After a False it is asked again when ``room`` of ``Links`` or ``LinkServer`` is called, and
        those that were offered after it wait behind it. Raises ValueError, with a sentence, if
        there never will be: then it is given up, and ``lost`` says so.
        """

    def write(self, name: ObjectId, offset: int, data: bytes | memoryview) -> None:
        """Bytes of one for which there is room; ``data`` is good during this call only.

        Raises OSError if they cannot be stored: it is given up.
        """

    def stored(self, name: ObjectId) -> None:
        """All its bytes have been written and checked: from now on it is here."""

    def discard(self, name: ObjectId) -> None:
        """What arrived of it, if anything, is worth nothing: its room is free again."""


class PoolSession(Protocol):
    """One controller's part of a pool."""

    @property
    def objects(self) -> ObjectStore:
        """What its tasks take that came from the controller, and the results that are to go there.

        Nothing of another session is found there.
        """

    @property
    def most(self) -> int:
        """About how many bytes its messages may take in the pool, or one value."""

    def receive(self, message: ToPool, body: bytes) -> None:
        """Take a message from the controller."""

    def refusal(self, size: int) -> str:
        """Why a message of so many bytes, of which the first have come, must not; empty if it may.

        Nobody has to take in what would be too much as soon as it is there.
        """

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        """These objects are here now, complete: chunks that wait for them may run."""

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        """These objects will not arrive: chunks that wait for them never can run."""

    def shipped(self, objects: tuple[ObjectId, ...]) -> None:
        """These results have reached the controller, or it cannot take them: nobody reads them."""

    def clog(self, clogged: bool) -> None:
        """Much waits to be sent to the controller: begin nothing more; or: it has kept up."""

    def close(self, reason: str, *, may_return: bool = False) -> None:
        """End the session: its workers die, nothing more is sent to the peer.

        The controller ``may_return``, in another session, where it was lost in silence.
        """


class Peer(Protocol):
    """Where a session sends to."""

    def send(self, message: FromPool, body: bytes = b"", *, patient: bool = False) -> None:
        """Pass a message up to the controller; ``patient`` ones may wait a moment for others."""

    def dismiss(self, reason: str) -> None:
        """The pool ends this session, and says why; nothing more is sent."""


class HostPool(Protocol):
    """A pool that controllers may join."""

    def facts(self) -> PoolFacts:
        """What a controller is told before it joins."""

    def open(
        self, peer: Peer, *, controller: str, workers: int, hash_seed: int | None = None
    ) -> PoolSession:
        """Begin a session for a controller that wants at most ``workers`` (0: all) of the pool.

        ``controller`` names it in logs. Its workers make ``hash(text)`` of ``hash_seed``, or all of
        the pool of the same. Messages reach ``peer`` from then on.
        """


class HostListener(Protocol):
    """What a controller wants to hear of a host. ``joined`` ... ``left`` may repeat."""

    def joined(self, facts: PoolFacts) -> None:
        """The host answered and a session is open."""

    def received(self, message: FromPool, body: bytes) -> None:
        """A message of the session."""

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        """These objects of results are here now, complete."""

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        """These objects of results will not arrive while this session lasts."""

    def shipped(self, objects: tuple[ObjectId, ...]) -> None:
        """These objects, which were shipped there, are there; or it has no room for them, ever."""

    def measured(self, round_trip: float) -> None:
        """A word to the pool and back takes so many seconds now, without what queues on its way.

        Said after ``joined`` and whenever it has changed notably; never where the pool is in the
        same process.
        """

    def troubled(self, sentence: str) -> None:
        """The session goes on, but the user should know something."""

    def left(self, reason: str) -> None:
        """The session is lost: nothing more will come of it, whatever was sent."""

    def refused(self, reason: str) -> None:
        """The host cannot be reached or does not fit; ``reason`` is a sentence with the cure.

        Called once a change of reason; the link goes on trying unless it is stopped.
        """


class Host(Protocol):
    """A pool as the controller drives it: embedded, or at the far end of a link."""

    def start(self) -> None:
        """Begin to join; the listener hears the rest."""

    def send(self, message: ToPool, body: bytes = b"") -> None:
        """Pass a message to the pool; only between ``joined`` and ``left``."""

    def ship(self, objects: tuple[ObjectId, ...]) -> None:
        """Bring these objects there, in this order; where memory is shared they are there already.

        The pool itself waits with a chunk until what it takes has arrived.
        """

    def withdraw(self, objects: tuple[ObjectId, ...]) -> None:
        """Those of them that are not there yet are not wanted any more."""

    def traffic(self) -> Traffic:
        """What has passed so far over a link to it, in all sessions."""

    def resize(self, workers: int) -> None:
        """The pool works for us with at most so many workers, now and in sessions to come."""

    def stop(self) -> None:
        """Leave for good. The listener hears nothing more."""


class NoObjectStore:
    """The ``ObjectStore`` of one who has no large objects and takes none."""

    def length(self, name: ObjectId) -> int | None:
        """No object is here."""
        return None

    def read(self, name: ObjectId, offset: int, count: int) -> bytes:
        """There is nothing to read."""
        raise LookupError(name.hex())

    def reserve(self, name: ObjectId, length: int) -> bool:
        """There never is room."""
        raise ValueError("no large objects are taken here")

    def write(self, name: ObjectId, offset: int, data: bytes | memoryview) -> None:
        """There was no room for it, so nobody writes."""

    def stored(self, name: ObjectId) -> None:
        """Nothing was written, so nothing is complete."""

    def discard(self, name: ObjectId) -> None:
        """Nothing has arrived that could be thrown away."""
