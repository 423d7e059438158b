"""The pool in this process, as a host: the same pool as a daemon's, joined in memory."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.link.seams import HostListener, PoolSession, Traffic
from scattergather.model.ids import ObjectId
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.service import PoolService


class _Upward:
    """The session's peer: passes reports to the listener; the first ready worker is the join.

    ``again`` opens another session when the pool has ended this one.
    """

    def __init__(
        self, pool: PoolService, listener: HostListener, again: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._listener = listener
        self._again = again
        self.joined = False

    def send(self, message: messages.FromPool, body: bytes = b"", *, patient: bool = False) -> None:
        if not self.joined and isinstance(message, messages.WorkersChanged):
            if message.why:
                self._listener.refused(message.why)
                return
            self.joined = True
            self._listener.joined(self._pool.facts())
        if self.joined:
            self._listener.received(message, body)

    def dismiss(self, reason: str) -> None:
        joined, self.joined = self.joined, False
        if joined:
            self._listener.left(reason)
            self._again()
        else:
            self._listener.refused(reason)


class EmbeddedHost:
    """Implements ``link.seams.Host`` over a pool of our own; joined once a worker is ready."""

    def __init__(
        self, pool: PoolService, listener: HostListener, place: messages.TaskPlace
    ) -> None:
        self._pool = pool
        self._upward = _Upward(pool, listener, self._open)
        self._place = place
        self._session: PoolSession | None = None
        self._stopped = False

    def start(self) -> None:
        """Fork the workers."""
        self._pool.start()
        self._open()

    def _open(self) -> None:
        if self._stopped:
            return
        self._session = self._pool.open(
            self._upward, controller="the embedded controller", workers=0, place=self._place
        )

    def settle(self, place: messages.TaskPlace) -> None:
        """Workers that are forked from now on see another place."""
        self._place = place
        if self._session is not None:
            self._pool.settle(self._session, place)

    def send(self, message: messages.ToPool, body: bytes = b"") -> None:
        """Pass a message to the pool."""
        if self._session is not None:
            self._session.receive(message, body)

    def ship(self, objects: tuple[ObjectId, ...]) -> None:
        """Memory is shared: what lies here lies there."""
        if self._session is not None:
            here = tuple(name for name in objects if self._pool.store.length(name) is not None)
            self._session.arrived(here)
            gone = tuple(name for name in objects if name not in here)
            self._session.lost(gone, "it is not there any more")

    def withdraw(self, objects: tuple[ObjectId, ...]) -> None:
        """Nothing is on its way to a pool in this process: it has all objects already."""

    def traffic(self) -> Traffic:
        """Nothing passes: memory is shared."""
        return Traffic()

    def resize(self, workers: int) -> None:
        """The pool, which is all ours, has so many workers."""
        if self._session is not None:
            self._pool.resize(self._session, workers)

    def stop(self) -> None:
        """Close the session; the service is stopped by whoever owns it."""
        self._stopped = True
        if self._session is not None:
            self._session.close("the controller leaves")
            self._session = None
