"""``put``: data that is sent once to each host, however many tasks take it.

The value is pickled once, when it is put, and stays as it was then. A task that takes the Ref gets
a value of its own, made over private mappings of what lies on its host.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

from scattergather.client.homebound import Named
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import moved_classes
from scattergather.client.values.large import Loan
from scattergather.errors import BadRequest, Closed
from scattergather.model.ids import ObjectId
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.code.recipe import RECIPES, MustNotTravel
from scattergather.wire.memory import stub
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.values.payload import Packer

T = TypeVar("T")


class Ref(Named, Generic[T]):
    """A value that was put; a task that takes this as an argument, at any depth, gets the value.

    It is freed by :meth:`free`, at the end of a ``with`` block, or when nobody has it any more;
    tasks that were added before keep what they need.
    """

    def __init__(
        self,
        session: Session,
        name: ObjectId,
        objects: tuple[Placed, ...],
        code: Iterable[CodeBlob],
    ) -> None:
        self._session = session
        self._name = name
        self._objects = objects
        self._code = tuple(code)
        self._size = sum(placed.extent.length for placed in objects)
        for placed in objects:
            if isinstance(placed, Loan):
                placed.rests = True

    @property
    def size(self) -> int:
        """Bytes that the value takes on each host that has it."""
        return self._size

    def get(self) -> T:
        """The value, as it was when it was put; a fresh one each time.

        Raises:
            BadRequest: it was freed.
            Closed: its cluster has ended, and what was put there is gone.
        """
        if why := self._unfit(self._session.large):
            raise BadRequest(f"this {self!r} cannot be read: {why}")
        if self._session.life.ended:
            raise Closed("its cluster has ended, and what was put there is gone")
        placed = {each.extent.object: each for each in self._objects}

        def view(name: ObjectId) -> Any:
            loan = placed[name]
            assert isinstance(loan, Loan)
            return loan.view()

        value: T = stub.load(memoryview(view(self._name)).cast("B"), view)
        return value

    def free(self) -> None:
        """Tasks that are added from now on cannot take it; its memory is free when nobody does."""
        self._objects = ()

    def _unfit(self, place: object) -> str:
        """Why a task of the client with this ``place`` cannot take it; empty if it can."""
        if not self._objects:
            return "it was freed; put the value again"
        if place is not self._session.large:
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
        state = f"{self._size:,} bytes" if self._objects else "freed"
        return f"<Ref {self._name.hex()[-8:]}: {state}>"

    def __reduce__(self) -> Any:
        raise BadRequest(
            f"{self!r} is good only with the client that made it: give it to a task as an "
            "argument, or pickle what its get() returns"
        )


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
    codes = [shipment.code[digest] for digest in needs]
    return Ref(session, shipped.extent.object, (shipped, *objects), codes)


def _reduce(writing: Any, ref: Ref[Any]) -> Any:
    outside: Outside | None = getattr(writing, "outside", None)
    if outside is None:
        raise MustNotTravel(
            "only an argument may be a Ref, not what a function brings along; pass it as one", ref
        )
    if why := ref._unfit(outside.place):
        raise MustNotTravel(why, ref)
    outside.refer(ref._objects, ref._code)
    moved = moved_classes(ref._code, writing.reducer_override)
    return stub.resolve, (ref._name, moved) if moved else (ref._name,)


RECIPES[Ref] = _reduce
