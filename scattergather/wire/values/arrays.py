"""Small numpy arrays, at half of what numpy's own reduction costs.

A task that returns two histograms spends more time on pickling them than on anything else of ours.
numpy is never imported here: who has an array has imported it.
"""

from __future__ import annotations

import sys
from typing import Any

from scattergather.wire.code.rebuild import import_module

ARRAY = ("numpy", "ndarray")
"""Module and name of the class that :func:`reduce_array` is for."""

_KINDS = frozenset("biufc")
_SMALL = 1 << 14
"""Bytes up to which a copy costs less than numpy's way, which does without one."""


def reduce_array(_writing: object, array: Any) -> Any:
    """A small array of plain numbers as its bytes; any other in numpy's own way."""
    kind = array.dtype
    if (
        0 < array.nbytes <= _SMALL
        and kind.kind in _KINDS
        and kind.metadata is None
        and array.flags.carray  # in C's order, aligned, writeable
    ):
        return make_array, (kind.str, array.shape, array.tobytes())
    return NotImplemented


def make_array(kind: str, shape: tuple[int, ...], data: bytes) -> Any:
    """The array again, with memory of its own that may be written to.

    Raises:
        CannotImport: numpy is not here.
    """
    numpy: Any = sys.modules.get("numpy") or import_module("numpy")
    # A bytearray: an array over bytes could not be written to.
    return numpy.ndarray(shape, kind, bytearray(data))
