"""What the link needs from a pool, and what it gives to a controller.

The embedded pool and a pool daemon meet a controller through the same two protocols: in memory in
one case, over a Foolscap link in the other. Messages and bodies pass unchanged.
All of it runs on the reactor thread.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from scattergather.wire.messages import FromPool, ToPool


class PoolFacts(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a pool says of itself when a controller joins it."""

    host: str
    workers: int
    python: str
    version: str
    protocol: int
    services: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    pid: int = 0


class Session(Protocol):
    """One controller's part of a pool."""

    def receive(self, message: ToPool, body: bytes) -> None:
        """Take a message from the controller."""

    def close(self, reason: str) -> None:
        """End the session: its workers die, nothing more is sent to the peer."""


class Peer(Protocol):
    """Where a session sends to."""

    def send(self, message: FromPool, body: bytes = b"") -> None:
        """Pass a message up to the controller."""


class Pool(Protocol):
    """A pool that controllers may join."""

    def facts(self) -> PoolFacts:
        """What a controller is told before it joins."""

    def open(self, peer: Peer, *, controller: str, workers: int) -> Session:
        """Begin a session for a controller that wants at most ``workers`` (0: all) of the pool.

        ``controller`` names it in logs. Messages reach ``peer`` from then on.
        """


class HostListener(Protocol):
    """What a controller wants to hear of a host. ``joined`` ... ``left`` may repeat."""

    def joined(self, facts: PoolFacts) -> None:
        """The host answered and a session is open."""

    def received(self, message: FromPool, body: bytes) -> None:
        """A message of the session."""

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

    def stop(self) -> None:
        """Leave for good. The listener hears nothing more."""
