"""What a controller's parts need of the process that they are in: a client, and ways to hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from scattergather.link.seams import Host, HostListener, ObjectStore
from scattergather.model.ids import SlabId
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostSpec


class ClientEnd(Protocol):
    """The client, as the parts of its controller see it."""

    def send(self, message: messages.ToClient, body: bytes) -> None:
        """Pass a message to the client."""

    def send_soon(self, message: messages.ToClient, body: bytes) -> None:
        """Pass a message to the client that may wait a moment for others."""

    def send_gathered(self) -> None:
        """Pass on what waits for others."""

    def bring(self, slab: SlabId, fd: int, size: int) -> None:
        """Pass a slab of ``size`` bytes to the client, with a copy of its descriptor."""

    def descriptor(self) -> int:
        """Take the descriptor that came with the message at hand."""


class HostBuilder(Protocol):
    """Makes what leads to a host.

    Attributes:
        can_wait: whether what hosts of other processes say may be heard a moment later.
        heard: called when all of them were heard that had said something. Both are set before the
            first host is made.
    """

    can_wait: Callable[[], bool]
    heard: Callable[[], None]

    def build(self, spec: HostSpec, listener: HostListener, objects: ObjectStore) -> Host:
        """A host, not started; ``objects`` are those that go there, or come from there."""

    def discard(self, host: Host) -> None:
        """A host that was made here is not used any more, and was stopped."""

    def settle(self, place: messages.TaskPlace) -> None:
        """Workers on this machine that are forked from now on see another place."""

    def room(self) -> None:
        """There may be room again for objects that hosts have offered."""
