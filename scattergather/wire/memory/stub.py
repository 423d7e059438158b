"""A value of which parts lie outside of its blob, in objects.

Its blob ends with a trailer::

    pickle | object id ... | number of ids, uint32 | flag

A pickle ends with ``.``, a trailer never does, so one byte tells which it is. With the flag
``INSIDE`` the pickle stands in front and the ids are those of its out-of-band buffers (pickle
protocol 5), in order. With ``OUTSIDE`` the pickle is an object too, the first of the ids.

A value that stays where it was made is one object, whatever is in it (``wire.memory.whole``). Its
stub has nothing but the id, with the flag ``WHOLE`` where the object is the blob of the value, and
``PLAIN`` where it is the very bytes that are the value; with ``FILE`` it is a file. In the blob of
such an object, or of a value that is too small to be one, the buffers are inside as well, and the
flag ``PACKED`` says so::

    pickle | buffer ... | offset and length of each, uint64 | number of buffers, uint32 | flag

What was put or kept (``client.values.ref``) is an object that holds such a blob; a value that takes
it calls :func:`resolve` when it is loaded, or :func:`plain` where it is bytes, or :func:`opened`
where it is a file. Classes of the
notebook may have got other references since it was put: the value that takes it says which, so that
all it holds is of the same classes.
"""

from __future__ import annotations

import pickle
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scattergather.errors import CannotImport
from scattergather.model.ids import ObjectId
from scattergather.wire.code.origin import missing

STOP = ord(".")
INSIDE, OUTSIDE, WHOLE, PLAIN, PACKED, FILE = range(6)
ID_BYTES = 16
_END = struct.Struct("<IB")
_RANGE = struct.Struct("<QQ")

View = Callable[[ObjectId], Any]
"""The bytes of an object, as a buffer that the value may keep."""


Place = tuple[bytes, int]
"""The reference of a class: a digest and an index (``wire.code.codebook``)."""

_here = threading.local()
"""``view`` is that of the load at work in this thread; ``moved`` are the classes that have other
references by now, the innermost value last."""


def trailer(buffers: Sequence[ObjectId], pickled: ObjectId | None = None) -> bytes:
    """What follows a pickle with these buffers; ``pickled`` is the object of the pickle itself."""
    ids = buffers if pickled is None else [pickled, *buffers]
    return b"".join(ids) + _END.pack(len(ids), INSIDE if pickled is None else OUTSIDE)


def lone(name: ObjectId, flag: int) -> bytes:
    """The blob of a value that is one object: ``WHOLE``, ``PLAIN`` or ``FILE``."""
    return name + _END.pack(1, flag)


def packed_end(ranges: Sequence[tuple[int, int]]) -> bytes:
    """What follows a pickle and its buffers, which have these offsets and lengths."""
    return b"".join(map(_RANGE.pack, *zip(*ranges, strict=True))) + _END.pack(len(ranges), PACKED)


def is_stub(blob: bytes | memoryview) -> bool:
    """True when parts of the value lie outside."""
    return not blob or blob[-1] != STOP


def load(blob: bytes | memoryview, view: View, opening: View | None = None) -> Any:
    """The value of a blob, stub or not; what it resolves is looked at through ``view``, too.

    ``opening`` makes the file that an object is.

    Raises:
        LookupError: by ``view``, for an object that is not here.
        ValueError: the trailer makes no sense.
    """
    outer = (
        getattr(_here, "view", None),
        getattr(_here, "moved", ()),
        getattr(_here, "opening", None),
    )
    _here.view, _here.moved, _here.opening = view, (), opening
    try:
        return _load(blob, view)
    finally:
        _here.view, _here.moved, _here.opening = outer


def resolve(name: ObjectId, moved: Mapping[Place, Place] | None = None) -> Any:
    """The value that was put as this object; a fresh one, whose buffers are its own.

    ``moved`` are the present references of classes that have others in it.

    Raises:
        LookupError: nothing is being loaded here, or the object is not here.
    """
    view: View | None = getattr(_here, "view", None)
    if view is None:
        raise LookupError("a Ref can be resolved only where it was sent to")
    return load_moved(memoryview(view(name)).cast("B"), moved or {})


def plain(name: ObjectId) -> bytes:
    """The bytes that this object is.

    Raises:
        LookupError: nothing is being loaded here, or the object is not here.
    """
    view: View | None = getattr(_here, "view", None)
    if view is None:
        raise LookupError("a Ref can be resolved only where it was sent to")
    return bytes(view(name))


def opened(name: ObjectId) -> Any:
    """The file that this object is, for reading.

    Raises:
        LookupError: nothing is being loaded here, or the object is not here.
    """
    opening: View | None = getattr(_here, "opening", None)
    if opening is None:
        raise LookupError("a file can be opened only where its Ref was sent to")
    return opening(name)


def itself(value: Any) -> Any:
    """``value``: pickled in the place of something that stands for it."""
    return value


def moving(blob: bytes, moved: Mapping[Place, Place]) -> bytes:
    """A blob with the same value and parts, but for the classes that have other references now."""
    if not moved:
        return blob
    pickled = pickle.dumps(_Moving(blob, moved), 5)
    return pickled + trailer(parts(blob)) if is_stub(blob) else pickled


class _Moving:
    """Pickled in the place of the value of ``blob``."""

    def __init__(self, blob: bytes, moved: Mapping[Place, Place]) -> None:
        self._blob = blob
        self._moved = moved

    def __reduce__(self) -> tuple[Any, ...]:
        return load_moved, (self._blob, self._moved)


def load_moved(blob: bytes | memoryview, moved: Mapping[Place, Place]) -> Any:
    """A value that was put, loaded with its classes where the value that takes it has them."""
    outer = getattr(_here, "moved", ())
    _here.moved = (*outer, moved)
    try:
        return _load(blob, getattr(_here, "view", None))
    finally:
        _here.moved = outer


def present(digest: bytes, index: int) -> Place:
    """The reference that stands for this one in the load at work in this thread."""
    place = digest, index
    for moved in reversed(getattr(_here, "moved", ())):
        place = moved.get(place, place)
    return place


def parts(blob: bytes | memoryview) -> list[ObjectId]:
    """The objects in which parts of a value lie.

    Raises:
        ValueError: the trailer makes no sense.
    """
    return _cut(blob)[1] if is_stub(blob) and not is_packed(blob) else []


def is_packed(blob: bytes | memoryview) -> bool:
    """True when all of the value is in the blob, also its large buffers."""
    return bool(blob) and blob[-1] == PACKED


def _load(blob: bytes | memoryview, view: View | None) -> Any:
    if not is_stub(blob):
        return pickle.loads(blob)
    try:
        if is_packed(blob):
            return _load_packed(memoryview(blob))
        if view is None:
            raise LookupError("parts of a value are not here")
        at, ids, flag = _cut(blob)
        if flag == INSIDE:
            return pickle.loads(memoryview(blob)[:at], buffers=map(view, ids))
        if flag == OUTSIDE:
            return pickle.loads(view(ids[0]), buffers=map(view, ids[1:]))
        if flag == PLAIN:
            return bytes(view(ids[0]))
        if flag == FILE:
            return opened(ids[0])
        return _load(memoryview(view(ids[0])).cast("B"), view)
    except CannotImport:
        raise
    except ImportError as error:
        # The unpickler of small values looks up names itself, and says so there.
        raise missing(error.name or "a module", "a large value", error) from error


def _cut(blob: bytes | memoryview) -> tuple[int, list[ObjectId], int]:
    """Where a stub's trailer begins, its ids and its flag."""
    end = len(blob) - _END.size
    count, flag = _END.unpack_from(blob, end) if end >= 0 else (0, INSIDE)
    at = end - ID_BYTES * count
    # The pickle stands in front of the ids, whole, or it is one of them.
    if flag == INSIDE:
        fits = at > 0 and blob[at - 1] == STOP
    else:
        fits = at == 0 and (count == 1 or (count > 1 and flag == OUTSIDE))
    if flag not in (INSIDE, OUTSIDE, WHOLE, PLAIN, FILE) or not fits:
        raise ValueError(f"a stub of {len(blob)} bytes cannot have {count} objects")
    return at, [bytes(blob[n : n + ID_BYTES]) for n in range(at, end, ID_BYTES)], flag


def _load_packed(blob: memoryview) -> Any:
    """The value of a blob that has its buffers inside: they are parts of what the blob lies in.

    Where that cannot be written to, as it is a message, they get memory of their own.
    """
    end = len(blob) - _END.size
    count = _END.unpack_from(blob, end)[0] if end >= 0 else 0
    at = end - _RANGE.size * count
    if count < 1 or at <= 0:
        raise ValueError(f"a blob of {len(blob)} bytes cannot have {count} buffers inside")
    ranges = list(_RANGE.iter_unpack(blob[at:end]))
    if any(offset + length > at for offset, length in ranges):
        raise ValueError("a buffer of a value does not lie within it")
    whole = memoryview(bytearray(blob)) if blob.readonly else blob
    return pickle.loads(blob, buffers=[whole[n : n + length] for n, length in ranges])
