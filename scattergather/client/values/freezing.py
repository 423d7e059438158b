"""Values and functions on their way out, through ``wire.code.shipping``."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.values.large import LargeValues
from scattergather.client.values.repeats import Repeats
from scattergather.errors import CannotPickle
from scattergather.model.ids import shipped
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.code.codebook import BOOK, resolve
from scattergather.wire.code.fingerprint import Memory, fingerprint
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.memory import stub
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import sendable
from scattergather.wire.values.payload import Packer

_PAIR = "the pair of args and kwargs"
REMEMBERED = 1 << 12
REMEMBERED_BYTES = 64 << 20
"""How many blobs of code, and how much of it, the hosts keep for us beside what jobs need now.

A lambda in a loop is another one each time: the oldest go, and are sent again if they come back.
"""

_WITHIN = nullcontext()
"""What a thread enters that holds already."""

_is_locked = methodcaller("locked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A function as a job names it.

    Attributes:
        name: what the wire calls it.
        title: what it is called in names and messages.
        needs: digests of the other blobs without which it cannot be loaded.
        code: its blob, if that is kept for the next time; one that holds data may be large.
    """

    name: str
    title: str
    needs: tuple[bytes, ...] = ()
    code: CodeBlob | None = None

    def board(self, shipment: Shipment) -> None:
        """What is kept of it travels with ``shipment``."""
        if self.code is not None:
            shipment.include(self.code)


class Shipper:
    """Freezes for one controller, and sends each blob of code once. Any thread.

    What is sent stays with the controller while an unfinished job names it; beyond that, until it
    is among the oldest and the controller is told to forget it (``messages.Forget``). A thread that
    sends code and then queues what names it does both within :meth:`holding`. Otherwise another
    thread could have the code forgotten in between, and the job would name what is not there.

    Args:
        outbox: to the controller.
        large: takes what is too large for messages.
        tell: shows the user a sentence.
    """

    def __init__(self, outbox: Outbox, large: LargeValues, tell: Callable[[str], object]) -> None:
        self._outbox = outbox
        self._large = large
        self._repeats = Repeats(tell)
        self._unchanged: Memory[Frozen] = Memory()
        # Freezing runs the user's reductions, which might submit something themselves.
        self._lock = threading.RLock()
        self._sent: OrderedDict[bytes, int] = OrderedDict()
        self._sent_bytes = 0
        self._holds: dict[int, threading.Lock] = {}
        """By thread that has ever held: locked while it does."""
        self._spare: deque[tuple[Shipment, Packer]] = deque(maxlen=4)

    def shipment(self) -> Shipment:
        """One consistent freeze: for one job, or one submitted call."""
        return Shipment(BOOK)

    def unchanged(self, function: Callable[..., Any]) -> Frozen | None:
        """What a function was frozen as, if it is still the same; this costs a microsecond."""
        return self._unchanged.get(function)

    def freeze(self, function: Callable[..., Any], shipment: Shipment) -> Frozen:
        """The function as of now, in ``shipment``.

        Raises:
            CannotPickle: it reaches something that cannot travel; the path is in the message.
        """
        with self._lock:
            frozen = self.unchanged(function)
            if frozen is not None:
                frozen.board(shipment)
                return frozen
            before = fingerprint(function)
            code = shipment.code[shipment.freeze(function)]
            # With a fingerprint an annotation can still bring a class of the notebook.
            kept = before is not None and not shipment.holds_classes(code.digest)
            frozen = Frozen(
                name=shipped(code.digest),
                title=title_of(function),
                needs=code.needs,
                code=code if kept else None,
            )
            if before is not None and kept:
                self._unchanged.put(function, before, frozen)
        return frozen

    def pack_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], shipment: Shipment | None = None
    ) -> tuple[bytes, tuple[bytes, ...], tuple[Placed, ...]]:
        """One call as a blob, the digests that it refers to, sent before, and its objects.

        ``shipment`` is the one that its function went into: with another one the arguments might
        be of other classes than those that the function knows. Without, a packer that met no code
        can pack the next call too; one that did would go on with the classes as they were then.

        Raises:
            CannotPickle: the message leads to the culprit.
            TooLarge: there is no room for a large part of it.
        """
        spare = None
        if shipment is None:
            try:
                spare = self._spare.pop()
            except IndexError:
                fresh = self.shipment()
                spare = fresh, self._single_packer(fresh)
            shipment, packer = spare
        else:
            packer = self._single_packer(shipment)
        try:
            packer.pack((args, kwargs))
        except CannotPickle as error:
            raise readable(error) from error.__cause__
        objects = packer.take_objects()
        _, blob, needs = packer.take()
        if shipment.code:
            self.send(shipment)
        elif spare is not None:
            self._spare.append(spare)
        return blob, needs, objects

    def call_packer(self, shipment: Shipment, *, shared: bool = False) -> Packer:
        """Packs pairs of args and kwargs; its errors are to be passed through :func:`readable`.

        ``shared``: what is packed cannot change in between, so that a large buffer which several
        calls have in common need be sent once.
        """
        return Packer(shipment, name=_PAIR, outside=Outside(self._large, shared=shared))

    def _single_packer(self, shipment: Shipment) -> Packer:
        """Packs args and kwargs of single calls, each of which gets copies of its own."""
        outside = Outside(self._large, put=self._repeats.packed)
        return Packer(shipment, name=_PAIR, outside=outside)

    def send(self, shipment: Shipment) -> None:
        """What the shipment holds goes down, before whatever is queued next."""
        with self._lock:
            for digest, code in list(shipment.code.items()):
                if digest in self._sent:
                    self._sent.move_to_end(digest)
                    continue
                self._outbox.send(
                    messages.Code(digest=digest, needs=code.needs, python=code.python), code.blob
                )
                size = len(code.blob)
                self._sent[digest] = size
                self._sent_bytes += size

    def holding(self) -> AbstractContextManager[object]:
        """For ``with``: what this thread sends in the block is remembered until its end.

        It is a lock, which C takes and releases, and code of Python would not do: the interpreter
        looks for signals where a function of Python begins and behind calls. An interrupt there, in
        an ``__enter__`` or ``__exit__`` of ours, would leave this thread holding for ever.
        """
        if len(self._sent) > REMEMBERED or self._sent_bytes > REMEMBERED_BYTES:
            self._forget()
        me = threading.get_ident()
        hold = self._holds.get(me) or self._holds.setdefault(me, threading.Lock())
        return _WITHIN if hold.locked() else hold

    def _forget(self) -> None:
        with self._lock:
            if any(map(_is_locked, tuple(self._holds.values()))):
                return  # the next one to come does it
            size = sum(self._sent.values())  # anew: an interrupt may have left the sum wrong
            oldest: list[bytes] = []
            try:
                while len(self._sent) > REMEMBERED * 7 // 8 or size > REMEMBERED_BYTES * 7 // 8:
                    digest, length = self._sent.popitem(last=False)
                    size -= length
                    oldest.append(digest)
            finally:
                self._sent_bytes = size
                if oldest:
                    self._outbox.send(messages.Forget(digests=tuple(oldest)))


def freeze_types(kinds: tuple[type[BaseException], ...], shipment: Shipment) -> bytes:
    """The digest of a tuple of exception types, ``b""`` without any."""
    if not kinds:
        return b""
    anything: Any = kinds
    return shipment.freeze(anything)


def moved_classes(
    codes: Iterable[CodeBlob], reduce_class: Callable[[type], Any]
) -> dict[stub.Place, stub.Place]:
    """Where the classes of blobs that were frozen before are in the shipment at work.

    They may have changed in place since, or come in another group. Unmoved, a value that was packed
    then would be of another class in the task than the one that the task's function names.
    """
    moved = {}
    for code in codes:
        for index, kind in BOOK.standing(code.digest):
            try:
                reduction = reduce_class(kind)
            except CannotPickle:
                continue  # nothing else in this shipment can be of it either
            if reduction is not NotImplemented and reduction[0] is resolve:
                moved[code.digest, index] = reduction[1]
    return {old: new for old, new in moved.items() if old != new}


def readable(error: CannotPickle, index: int | None = None) -> CannotPickle:
    """The same error, with ``args`` and ``kwargs`` for the parts of the pair, and its task."""
    where = "" if index is None else f"task {index}: "
    return CannotPickle(where + _unpaired(error.message), path=_unpaired(error.path))


def _unpaired(text: str) -> str:
    return text.replace(_PAIR + "[0]", "args").replace(_PAIR + "[1]", "kwargs").replace(_PAIR, "it")


def title_of(function: Any) -> str:
    """How a function is called in names and messages."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return sendable(str(name)) if name else type(function).__name__
