"""A value of which parts lie outside of its blob, in objects.

Its blob ends with a trailer::

    pickle | object id ... | number of ids, uint32 | flag

A pickle ends with ``.``, a trailer never does, so one byte tells which it is. With the flag
``INSIDE`` the pickle stands in front and the ids are those of its out-of-band buffers (pickle
protocol 5), in order. With ``OUTSIDE`` the pickle is an object too, the first of the ids.

What was put (``client.ref``) is an object that holds such a blob; a value that takes it calls
:func:`resolve` when it is loaded.
"""

from __future__ import annotations

import pickle
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

from scattergather.wire.messages import ObjectId

STOP = ord(".")
INSIDE, OUTSIDE = 0, 1
ID_BYTES = 16
_END = struct.Struct("<IB")

View = Callable[[ObjectId], Any]
"""The bytes of an object, as a buffer that the value may keep."""


_here = threading.local()
"""``view`` is that of the load at work in this thread."""


def trailer(buffers: Sequence[ObjectId], pickled: ObjectId | None = None) -> bytes:
    """What follows a pickle with these buffers; ``pickled`` is the object of the pickle itself."""
    ids = buffers if pickled is None else [pickled, *buffers]
    return b"".join(ids) + _END.pack(len(ids), INSIDE if pickled is None else OUTSIDE)


def is_stub(blob: bytes | memoryview) -> bool:
    """True when parts of the value lie outside."""
    return not blob or blob[-1] != STOP


def load(blob: bytes | memoryview, view: View) -> Any:
    """The value of a blob, stub or not; what it resolves is looked at through ``view``, too.

    Raises:
        LookupError: by ``view``, for an object that is not here.
        ValueError: the trailer makes no sense.
    """
    outer = getattr(_here, "view", None)
    _here.view = view
    try:
        return _load(blob, view)
    finally:
        _here.view = outer


def resolve(name: ObjectId) -> Any:
    """The value that was put as this object; a fresh one, whose buffers are its own.

    Raises:
        LookupError: nothing is being loaded here, or the object is not here.
    """
    view: View | None = getattr(_here, "view", None)
    if view is None:
        raise LookupError("a Ref can be resolved only where it was sent to")
    return _load(memoryview(view(name)).cast("B"), view)


def _load(blob: bytes | memoryview, view: View) -> Any:
    if not is_stub(blob):
        return pickle.loads(blob)
    end = len(blob) - _END.size
    count, flag = _END.unpack_from(blob, end) if end >= 0 else (0, INSIDE)
    at = end - ID_BYTES * count
    # The pickle stands in front of the ids, whole, or it is one of them.
    fits = count and at == 0 if flag == OUTSIDE else at > 0 and blob[at - 1] == STOP
    if flag not in (INSIDE, OUTSIDE) or not fits:
        raise ValueError(f"a stub of {len(blob)} bytes cannot have {count} objects")
    ids = [bytes(blob[at + ID_BYTES * n : at + ID_BYTES * (n + 1)]) for n in range(count)]
    if flag == INSIDE:
        return pickle.loads(memoryview(blob)[:at], buffers=map(view, ids))
    return pickle.loads(view(ids[0]), buffers=map(view, ids[1:]))
