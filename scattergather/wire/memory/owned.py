"""Descriptors and mappings that are given back however their user was interrupted.

A number is lost when an interrupt comes between the system call and the assignment, and a finaliser
written in Python can be interrupted before its first line. So what is opened or dropped on a main
thread belongs from its first instant to an object that the interpreter itself takes down.
"""

from __future__ import annotations

import ctypes
import io
import mmap
import os
from collections.abc import Callable
from typing import Any, Self

_libc: Any = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_longlong]

_FIXED = 0x10
"""``MAP_FIXED``, the same on Linux and macOS."""


class _PyBuffer(ctypes.Structure):
    """``Py_buffer`` of CPython's stable interface."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [ctypes.c_void_p]
_release_buffer.restype = None


def address_of(data: Any) -> int:
    """Where the bytes of a buffer lie in this process, writable or not."""
    view = _PyBuffer()
    at = ctypes.byref(view)
    try:
        _get_buffer(data, at, 0)
        address: int = view.buf
        return address
    finally:
        _release_buffer(at)  # nothing, where it was not filled


class Descriptor(io.FileIO):
    """Owns a descriptor, which is closed when nobody has this any more."""

    # What cannot be set is not asked for, and a file that is dropped open goes without a warning:
    # that is how these are meant to go.
    _finalizing = property()


def own(make: Callable[..., int], *arguments: object) -> Descriptor:
    """What ``make(*arguments)`` opens.

    Args:
        make: a function of C. Then no instruction of Python lies between the call and the owner.
        arguments: of it.

    Raises:
        OSError: it could not be opened.
    """
    return next(map(Descriptor, map(make, *((each,) for each in arguments)), ("r+",)))


class Mapping(mmap.mmap):
    """A range of a file in memory, writable, until nobody has this any more.

    Unlike its base it holds no descriptor.

    Args:
        fd: of the file; may be closed afterwards.
        offset: in it, at a page.
        length: bytes.
        kind: ``mmap.MAP_SHARED`` or ``mmap.MAP_PRIVATE``.

    Raises:
        OSError: it cannot be mapped.
    """

    __slots__ = ("address",)

    address: int
    """Where its bytes lie in this process."""

    def __new__(cls, fd: int, offset: int, length: int, kind: int) -> Self:
        """Memory without a file, whose owner is the base, and then the file in its place."""
        access = mmap.PROT_READ | mmap.PROT_WRITE
        try:
            self = super().__new__(cls, -1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, access)
        except OSError as error:
            raise _unmappable(length, error.errno or 0) from None
        self.address = address_of(self)
        if _mmap(self.address, length, access, kind | _FIXED, fd, offset) != self.address:
            raise _unmappable(length, ctypes.get_errno())
        return self


def blank(address: int, length: int) -> None:
    """These pages are zeros, and this process's alone, whatever was mapped there.

    Raises:
        OSError: they could not be made so.
    """
    access = mmap.PROT_READ | mmap.PROT_WRITE
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED
    if _mmap(address, length, access, kind, -1, 0) != address:
        raise _unmappable(length, ctypes.get_errno())


def _unmappable(length: int, number: int) -> OSError:
    return OSError(number, f"{length} bytes cannot be mapped: {os.strerror(number)}")
