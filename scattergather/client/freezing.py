"""Values and functions on their way out: the one place of the client that knows ``wire.shipping``."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from scattergather.client.outbox import Outbox
from scattergather.errors import CannotPickle
from scattergather.wire import messages
from scattergather.wire.codebook import BOOK
from scattergather.wire.fingerprint import Freezer
from scattergather.wire.payload import Packer
from scattergather.wire.shipping import Shipment

REMEMBERED = 1 << 14
"""Digests known to have been sent; a forgotten one is sent again, which does no harm."""


class Frozen:
    """A function as a job names it."""

    __slots__ = ("digest", "name", "needs", "title")

    def __init__(self, name: str, title: str, needs: tuple[bytes, ...] = ()) -> None:
        self.name = name
        self.title = title
        self.needs = needs


class Shipper:
    """Freezes for one controller, and sends each blob of code once. Any thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._freezer = Freezer()
        self._lock = threading.Lock()
        self._sent: OrderedDict[bytes, None] = OrderedDict()

    def shipment(self) -> Shipment:
        """One consistent freeze: for one job, or one submitted call."""
        return Shipment(BOOK)

    def freeze(self, function: Callable[..., Any], shipment: Shipment) -> Frozen:
        """The function as of now; one that has not changed since the last time costs little.

        Raises:
            CannotPickle: it reaches something that cannot travel; the path is in the message.
        """
        with self._lock:
            digest = self._freezer.freeze(function, shipment)
        return Frozen(messages.shipped(digest), title_of(function), shipment.code[digest].needs)

    def send(self, shipment: Shipment) -> None:
        """What the shipment holds goes down, before whatever is queued next."""
        for digest, code in list(shipment.code.items()):
            if digest in self._sent:
                continue
            self._outbox.send(
                messages.Code(digest=digest, needs=code.needs, python=code.python), code.blob
            )
            self._sent[digest] = None
            if len(self._sent) > REMEMBERED:
                try:
                    self._sent.popitem(last=False)
                except KeyError:
                    pass


def pack_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], shipment: Shipment
) -> tuple[bytes, tuple[bytes, ...]]:
    """One call as a blob, and the digests that it refers to.

    Raises:
        CannotPickle: the message leads to the culprit.
    """
    packer = Packer(shipment, name="the call")
    packer.pack((args, kwargs))
    _, blob, needs = packer.take()
    return blob, needs


def freeze_types(kinds: tuple[type[BaseException], ...], shipment: Shipment) -> bytes:
    """The digest of a tuple of exception types, ``b""`` without any."""
    if not kinds:
        return b""
    anything: Any = kinds
    return shipment.freeze(anything)


def at_task(error: CannotPickle, index: int) -> CannotPickle:
    """The same error, which names the task."""
    named = CannotPickle(f"task {index}: {error.message}", path=getattr(error, "path", ""))
    named.__cause__ = error.__cause__
    return named


def title_of(function: Any) -> str:
    """How a function is called in names and messages."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return str(name) if name else type(function).__name__
