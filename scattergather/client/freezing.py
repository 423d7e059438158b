"""Values and functions on their way out, through ``wire.shipping``."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from scattergather.client.outbox import Outbox
from scattergather.client.plain import is_plain, pack_plain
from scattergather.errors import CannotPickle
from scattergather.wire import messages
from scattergather.wire.codebook import BOOK
from scattergather.wire.fingerprint import Freezer
from scattergather.wire.payload import Packer
from scattergather.wire.shipping import Shipment

_PAIR = "the pair of args and kwargs"
REMEMBERED = 1 << 14
"""Digests known to have been sent; a forgotten one is sent again, which does no harm."""


class Frozen:
    """A function as a job names it."""

    __slots__ = ("digest", "name", "needs", "title")

    def __init__(
        self, name: str, title: str, needs: tuple[bytes, ...] = (), digest: bytes = b""
    ) -> None:
        self.name = name
        self.title = title
        self.needs = needs
        self.digest = digest


class Shipper:
    """Freezes for one controller, and sends each blob of code once. Any thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._freezer = Freezer()
        # Freezing runs the user's reductions, which might submit something themselves.
        self._lock = threading.RLock()
        self._sent: OrderedDict[bytes, None] = OrderedDict()
        self._last: Frozen | None = None
        self._spare: deque[tuple[Shipment, Packer]] = deque(maxlen=4)

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
        last = self._last
        if last is not None and last.digest == digest:
            return last
        frozen = Frozen(
            messages.shipped(digest), title_of(function), shipment.code[digest].needs, digest
        )
        self._last = frozen
        return frozen

    def pack_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """One call as a blob, and the digests that it refers to, which were sent before.

        A packer that met no code can pack the next call too; one that did would go on with the
        classes as they were then.

        Raises:
            CannotPickle: the message leads to the culprit.
        """
        if is_plain(args, kwargs):
            return pack_plain((args, kwargs)), ()
        try:
            shipment, packer = self._spare.pop()
        except IndexError:
            shipment = self.shipment()
            packer = call_packer(shipment)
        try:
            packer.pack((args, kwargs))
        except CannotPickle as error:
            raise readable(error) from error.__cause__
        _, blob, needs = packer.take()
        if shipment.code:
            self.send(shipment)
        else:
            self._spare.append((shipment, packer))
        return blob, needs

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


def freeze_types(kinds: tuple[type[BaseException], ...], shipment: Shipment) -> bytes:
    """The digest of a tuple of exception types, ``b""`` without any."""
    if not kinds:
        return b""
    anything: Any = kinds
    return shipment.freeze(anything)


def call_packer(shipment: Shipment) -> Packer:
    """Packs pairs of args and kwargs; its errors are to be passed through :func:`readable`."""
    return Packer(shipment, name=_PAIR)


def readable(error: CannotPickle, index: int | None = None) -> CannotPickle:
    """The same error, with ``args`` and ``kwargs`` for the parts of the pair, and its task."""
    where = "" if index is None else f"task {index}: "
    return CannotPickle(where + _unpaired(error.message), path=_unpaired(error.path))


def _unpaired(text: str) -> str:
    return text.replace(_PAIR + "[0]", "args").replace(_PAIR + "[1]", "kwargs").replace(_PAIR, "it")


def title_of(function: Any) -> str:
    """How a function is called in names and messages."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return str(name) if name else type(function).__name__
