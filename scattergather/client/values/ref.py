"""References: values that lie where tasks can take them, and what stands for them here.

What is *put* is pickled once and lies on this machine; each host that has a task for it gets one
copy. What a job *keeps* lies where its task has made it, as one object (``wire.memory.whole``), and
is brought when somebody wants to read it. What is small, under 64 KiB, is inside of its Ref: it has
come home, and cannot be lost.

A value stays as it was then. A task that takes the Ref gets a value of its own, made over private
mappings of what lies on its host.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from scattergather.client.homebound import Named
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import moved_classes
from scattergather.client.values.large import Distant, Held, Loan, Part
from scattergather.errors import BadRequest, Closed
from scattergather.model.ids import ObjectId
from scattergather.model.numeric import is_whole
from scattergather.model.quoting import quoted
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.recipe import RECIPES, MustNotTravel
from scattergather.wire.memory import stub
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Missed
from scattergather.wire.values.losses import error_of
from scattergather.wire.values.payload import Packer, Unpacker, dumps

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Put:
    """A value that was put: the object that holds its blob, first, and those of its buffers."""

    objects: tuple[Placed, ...]
    code: tuple[CodeBlob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stays:
    """A value that lies where it was made.

    It is ``plain`` if it is the very bytes that lie there, and a ``file`` if it is read as one.
    """

    part: Distant
    plain: bool
    file: bool = False
    code: tuple[CodeBlob, ...]


class Ref(Named, Generic[T]):
    """A value that was put, or that a job has kept; ``client.put`` and ``keep=True`` make them.

    A task that takes this as an argument, at any depth, gets the value. It is freed by
    :meth:`free`, at the end of a ``with`` block, or when nobody has it any more; tasks that were
    added before keep what they need.
    """

    def __init__(
        self, session: Session, value: _Put | _Stays | bytes, size: int, host: str = ""
    ) -> None:
        self._session = session
        self._value: _Put | _Stays | bytes | None = value
        self._size = size
        self._host = host

    @property
    def size(self) -> int:
        """Bytes that the value takes, packed: on each host that has it, or here."""
        return self._size

    @property
    def host(self) -> str:
        """The host where a task has made the value; empty for what was put."""
        return self._host

    def get(self) -> T:
        """The value, as it was when it was put or made; a fresh one each time.

        What lies elsewhere is brought. A file is a binary file for reading. Threads that ask at the
        same time do not wait for each other.

        Raises:
            BadRequest: it was freed.
            RefLost: it lay on a host that is lost, and cannot be made again.
            Closed, ControllerLost: its cluster has ended, and what was there is gone.
        """
        value: Any
        match found := self._readable("read"):
            case bytes():
                value = _load_inside(found)
            case _Put(objects=objects):
                value = self._load_put(objects)
            case _Stays(part=part, plain=plain, file=file):
                here = self._bring(part)
                if file and isinstance(here, Held):
                    return here.open()  # type: ignore[return-value]
                view = memoryview(here.view()).cast("B")
                value = bytes(view) if plain else stub.load(view, _nothing)
        return value  # type: ignore[no-any-return]

    def part(self, offset: int, length: int) -> Ref[bytes]:
        """A range of a file, or of a value that is ``bytes``: bytes that lie where that lies.

        Only the range crosses when it is wanted, and it stays there when the whole is freed.

        Raises:
            BadRequest: the value is no file and no bytes that a job has kept, or has no such range.
        """
        found = self._readable("cut")
        for name, number in (("offset", offset), ("length", length)):
            if not is_whole(number) or number < 0:
                raise BadRequest(f"{name} must be a whole number from 0 up, not {quoted(number)}")
        inside = _load_inside(found) if isinstance(found, bytes) else None
        cut = isinstance(found, _Stays) and (found.plain or found.file)
        if type(inside) is not bytes and not cut:
            raise BadRequest(
                f"only files and bytes that a job has kept have parts, {self!r} is something else"
            )
        size = self._size if inside is None else len(inside)
        offset, length = int(offset), int(length)
        if offset + length > size:
            raise BadRequest(f"{length:,} bytes at {offset:,} of {size:,}: there are not so many")
        if inside is not None or not isinstance(found, _Stays) or not length:
            blob = dumps((inside or b"")[offset : offset + length])
            return Ref(self._session, blob, len(blob), self._host)
        part = self._session.large.part(found.part, offset, length)
        return Ref(self._session, _Stays(part=part, plain=True, code=()), length, self._host)

    def free(self) -> None:
        """Tasks that are added from now on cannot take it; its memory is free when nobody does."""
        self._value = None

    def _readable(self, what: str) -> _Put | _Stays | bytes:
        found = self._value
        if found is None or (why := self._unfit(self._session.large)):
            raise BadRequest(f"this {self!r} cannot be {what}: {why if found else _FREED}")
        if self._session.life.ended and not isinstance(found, bytes):
            raise Closed("its cluster has ended, and what was put or kept there is gone")
        return found

    def _load_put(self, objects: Sequence[Placed]) -> Any:
        placed = {each.extent.object: each for each in objects}

        def view(name: ObjectId) -> Any:
            loan = placed[name]
            assert isinstance(loan, Loan)
            return loan.view()

        return stub.load(memoryview(view(objects[0].extent.object)).cast("B"), view)

    def _bring(self, kept: Distant) -> Part:
        """A copy here of what stayed elsewhere, or the one that somebody still has."""
        here = None if kept.home is None else kept.home()
        if here is not None:
            return here
        session = self._session
        with Wait(session, lambda: f"bringing {self!r}", "It stays where it is."):
            # A name of its own: whoever reads what came need not hold what it is a copy of.
            wanted = session.large.part(kept, 0, kept.extent.length, file=kept.extent.file)
            question = session.questions.ask(
                lambda call: messages.Bring(call=call, object=wanted.extent.object)
            )
        answer = question.answer
        if answer is not None and isinstance(answer.value, Missed):
            raise error_of(answer.value.loss, f"{self!r}")
        here = question.parts[0]
        kept.home = weakref.ref(here)
        return here

    def _unfit(self, place: object) -> str:
        """Why a task of the client with this ``place`` cannot take it; empty if it can."""
        if self._value is None:
            return _FREED
        if place is not self._session.large and not isinstance(self._value, bytes):
            return "it belongs to another client; put the value with the one that adds the task"
        return ""

    def __enter__(self) -> Ref[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.free()

    def __repr__(self) -> str:
        where = f" on {self._host}" if self._host else ""
        match self._value:
            case None:
                return f"<Ref: freed, {self._size:,} bytes before>"
            case bytes():
                return f"<Ref: {self._size:,} bytes, made{where}>" if where else "<Ref>"
            case _Put(objects=objects):
                name = objects[0].extent.object
            case _Stays(part=part):
                name = part.extent.object
        return f"<Ref {name.hex()[:4]}-{int.from_bytes(name[8:])}: {self._size:,} bytes{where}>"

    def __reduce__(self) -> Any:
        raise BadRequest(
            f"{self!r} is good only with the client that made it: give it to a task as an "
            "argument, or pickle what its get() returns"
        )


_FREED = "it was freed; put the value again, or have it made again"


def put(session: Session, value: T) -> Ref[T]:
    """The value lies where tasks can take it, with the code that it needs."""
    session.life.check()
    shipment = session.shipper.shipment()
    outside = Outside(session.large, shared=True)
    packer = Packer(shipment, name="value", outside=outside)
    packer.pack(value)
    objects = packer.take_objects()
    _, blob, needs = packer.take()
    shipped = session.large.put(blob)
    if shipped is None:
        raise Closed("its cluster has ended")
    objects = (shipped, *objects)
    for placed in objects:
        if isinstance(placed, Loan):
            placed.rests = True
    codes = tuple(shipment.code[digest] for digest in needs)
    size = sum(placed.extent.length for placed in objects)
    return Ref(session, _Put(objects=objects, code=codes), size)


def kept_results(
    session: Session,
    message: messages.TaskOutcomes,
    parts: Sequence[Part],
    blobs: Sequence[bytes],
) -> list[Ref[Any]]:
    """What stands for the results that are in these blobs, of a job that keeps its results."""
    if not parts:
        host = message.host
        return [Ref(session, blob, len(blob), host) for blob in blobs]
    return [_kept_result(session, message, parts, blob) for blob in blobs]


def _kept_result(
    session: Session, message: messages.TaskOutcomes, parts: Sequence[Part], blob: bytes
) -> Ref[Any]:
    (name,) = stub.parts(blob)
    part = next(each for each in parts if each.extent.object == name)
    assert isinstance(part, Distant)
    plain, file = blob[-1] == stub.PLAIN, blob[-1] == stub.FILE
    code = tuple(BOOK.codes(message.needs))
    stays = _Stays(part=part, plain=plain, file=file, code=code)
    return Ref(session, stays, part.extent.length, message.host)


def _load_inside(blob: bytes) -> Any:
    return stub.load(blob, _nothing) if stub.is_stub(blob) else Unpacker(blob).load(0)


def _nothing(name: ObjectId) -> Any:
    raise LookupError(f"{name.hex()} is no part of it")


def _reduce(writing: Any, ref: Ref[Any]) -> Any:
    outside: Outside | None = getattr(writing, "outside", None)
    if outside is None:
        raise MustNotTravel(
            "only an argument may be a Ref, not what a function brings along; pass it as one", ref
        )
    if why := ref._unfit(outside.place):
        raise MustNotTravel(why, ref)
    match ref._value:
        case _Put(objects=objects, code=code):
            outside.refer(objects, code)
            name = objects[0].extent.object
        case _Stays(part=part, plain=plain, file=file, code=code):
            outside.refer((part,), code, far=True)
            name = part.extent.object
            if file:
                return stub.opened, (name,)
            if plain:
                return stub.plain, (name,)
        case _:
            return stub.itself, (ref.get(),)
    moved = moved_classes(code, writing.reducer_override)
    return stub.resolve, (name, moved) if moved else (name,)


RECIPES[Ref] = _reduce
