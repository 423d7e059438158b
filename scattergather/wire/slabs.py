"""Memory without a name that several processes of one host see.

A *slab* is a memfd; its descriptor goes to whoever reads it over a Unix socket. It has no name, so
nothing is left when everybody who holds it is gone, however they went. Where there is no memfd
(macOS) an unlinked temporary file does the same.

An :class:`Arena` is a process's own slabs, cut into extents. Its owner writes, once and before
anybody is told of the extent; others map it privately (:func:`private`), each task anew, so what
a task writes there is its own. An extent may be used again only when nobody maps it: pages that
were not written to would change under the mapping.

Writing into pages that were used before is faster than into fresh ones, so free extents stay warm,
up to a bound; beyond it their pages go back to the system.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import tempfile
import threading
import weakref
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from scattergather.wire.messages import Extent, ObjectId, SlabId

LARGE = 1 << 16
"""Bytes from which on a buffer or a blob travels beside its message."""

SLAB_BYTES = 64 << 20
"""An object of more than half of that gets a slab of its own."""

WARM_BYTES = 256 << 20
"""Free bytes at most that an arena keeps for the next objects."""

PAGE = mmap.ALLOCATIONGRANULARITY
WRITE_BYTES = 64 << 20
PART_BYTES = 4 << 20
"""What one processor copies at least: less is not worth a thread."""

COPIERS = min(4, os.cpu_count() or 1)
"""Processors that copy one object at most: a few take all that memory gives."""

KIND = "SCATTERGATHER_SLABS"
"""In the environment: ``file`` for temporary files where memfds could be had."""

_FILE_PAGES = bytes(top for top in range(256) if not top & 0xC0 or top & 0x20)
"""Highest bytes of ``pagemap`` entries of pages that are absent, or not present and swapped as the
process's own: bits 7 and 6 say present and swapped, bit 5 that the page is the file's."""

_SEALS = ("F_ADD_SEALS", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")
_KEEP_SIZE, _PUNCH_HOLE = 1, 2

_libc: Any = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_longlong]
_munmap = _libc.munmap
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_memmove = ctypes.PyDLL(None).memmove
"""Keeps the interpreter: to get it back from another thread may take longer than a short copy."""

_memmove.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_memmove.restype = ctypes.c_void_p
_madvise = _libc.madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_DONTFORK = 10
_FAILED = (None, ctypes.c_void_p(-1).value)


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
_fallocate = getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]


def whole_pages(size: int) -> int:
    """Bytes that an object of ``size`` takes."""
    return -(-max(size, 1) // PAGE) * PAGE


def in_memory() -> bool:
    """True where slabs are memfds, and not files."""
    return hasattr(os, "memfd_create") and os.environ.get(KIND) != "file"


def create(size: int) -> int:
    """The descriptor of a new slab, which nobody can shrink under a mapping.

    Raises:
        OSError: no descriptors, or no room, are left.
    """
    if in_memory():
        fd = os.memfd_create("scattergather-slab", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            add, *seals = (getattr(fcntl, name) for name in _SEALS)
            fcntl.fcntl(fd, add, sum(seals))
        except OSError:
            os.close(fd)
            raise
        return fd
    with tempfile.TemporaryFile(prefix="scattergather-slab-") as file:
        file.truncate(size)
        return os.dup(file.fileno())


def punch(fd: int, offset: int, length: int) -> None:
    """Give the pages of a range back to the system; it reads as zeros."""
    if _fallocate is not None:
        _fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length)


def write(fd: int, offset: int, data: bytes | memoryview) -> None:
    """Copy ``data`` into a slab, whose pages need not be there; other threads run meanwhile.

    Raises:
        OSError: no memory is left.
    """
    view = memoryview(data).cast("B")
    while view:
        done = os.pwrite(fd, view[:WRITE_BYTES], offset)
        view, offset = view[done:], offset + done


def copy(target: int, data: memoryview) -> None:
    """Copy ``data`` to an address whose pages are there; by several processors if it is large.

    A third of the time of :func:`write`, in which the kernel lets one thread a file do the work.
    """
    source, size = address_of(data), data.nbytes
    parts = min(COPIERS, size // PART_BYTES)
    if parts < 2:
        _memmove(target, source, size)
        return
    step = size // parts
    helpers: list[threading.Thread] = []
    try:
        for at in range(step, step * parts, step):
            count = size - at if at == step * (parts - 1) else step
            arguments = (target + at, source + at, count)
            helpers.append(threading.Thread(target=ctypes.memmove, args=arguments, daemon=True))
            helpers[-1].start()
        ctypes.memmove(target, source, step)
    finally:
        _join(helpers)


def _join(helpers: list[threading.Thread]) -> None:
    """Whatever interrupts this, nobody writes any more when it returns."""
    interrupt: BaseException | None = None
    for helper in helpers:
        while helper.is_alive():
            try:
                helper.join()
            except BaseException as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt


def read(fd: int, extent: Extent) -> bytearray:
    """A copy of an extent, in memory of this process."""
    taken = bytearray(extent.length)
    view, offset = memoryview(taken), extent.offset
    while view:
        done = os.preadv(fd, [view[:WRITE_BYTES]], offset)
        view, offset = view[done:], offset + done
    return taken


def private(fd: int, extent: Extent, *keeps: object) -> Any:
    """A writable buffer over an extent: a private mapping, which goes when nobody has it any more.

    Args:
        fd: of the slab; may be closed afterwards.
        extent: at a page of it.
        keeps: objects that live as long as the mapping.

    Raises:
        OSError: it cannot be mapped.
    """
    length = extent.length
    flags, access = mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE
    address = _mmap(None, length, access, flags, fd, extent.offset)
    if address in _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, f"{length} bytes cannot be mapped: {os.strerror(number)}")
    # Not an mmap object: each of those holds a descriptor of its own.
    buffer = (ctypes.c_ubyte * length).from_address(address)
    weakref.finalize(buffer, _unmap, address, length, keeps).atexit = False
    return buffer


def address_of(data: memoryview) -> int:
    """Where the bytes of a buffer lie in this process, writable or not."""
    view = _PyBuffer()
    _get_buffer(data, ctypes.byref(view), 0)
    address: int = view.buf
    _release_buffer(ctypes.byref(view))
    return address


def unchanged(buffer: Any, length: int) -> bool:
    """True when nothing was written into a private mapping, which so reads as what it maps.

    The kernel says of each page whether it is still the file's. Where it says nothing: False.
    """
    address = ctypes.addressof(buffer)
    pages = -(-length // mmap.PAGESIZE)
    try:
        fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        said = os.pread(fd, 8 * pages, 8 * (address // mmap.PAGESIZE))
    except OSError:
        return False
    finally:
        os.close(fd)
    return len(said) == 8 * pages and not said[7::8].translate(None, _FILE_PAGES)


def _unmap(address: int, length: int, _keeps: object) -> None:
    _munmap(address, length)


class _Ranges:
    """Free ranges of a slab, by offset, neighbours joined."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._sizes: list[int] = []
        self.total = 0

    def take(self, size: int) -> int | None:
        """The lowest place for ``size`` bytes, which are free no more."""
        for place, free in enumerate(self._sizes):
            if free >= size:
                start = self._starts[place]
                if free == size:
                    del self._starts[place], self._sizes[place]
                else:
                    self._starts[place] += size
                    self._sizes[place] -= size
                self.total -= size
                return start
        return None

    def give(self, start: int, size: int) -> None:
        """A range is free."""
        self.total += size
        starts, sizes = self._starts, self._sizes
        at = bisect_left(starts, start)
        if at < len(starts) and start + size == starts[at]:
            size += sizes[at]
            del starts[at], sizes[at]
        if at and starts[at - 1] + sizes[at - 1] == start:
            sizes[at - 1] += size
        else:
            starts.insert(at, start)
            sizes.insert(at, size)

    def clear(self) -> list[tuple[int, int]]:
        """All ranges, which are free no more."""
        ranges = list(zip(self._starts, self._sizes, strict=True))
        self._starts.clear()
        self._sizes.clear()
        self.total = 0
        return ranges


class _Slab:
    """One slab of an arena: its free ranges with pages, and those without."""

    def __init__(self, size: int) -> None:
        self.fd = -1
        self._address = 0
        self.id: SlabId = os.urandom(16)
        self.size = size
        self.fd = create(size)
        self.warm = _Ranges()
        self.cold = _Ranges()
        self.cold.give(0, size)

    def __del__(self) -> None:
        # Not before whoever writes into it has done so: the number might be another file's by then.
        if self._address:
            _munmap(self._address, self.size)
        if self.fd >= 0:
            os.close(self.fd)

    @property
    def empty(self) -> bool:
        return self.warm.total + self.cold.total == self.size

    @property
    def address(self) -> int:
        """Where it is mapped for writing; 0 if it should not be.

        A store to a page for which a disk has no room would end this process.
        """
        if not self._address and in_memory():
            access = mmap.PROT_READ | mmap.PROT_WRITE
            address = _mmap(None, self.size, access, mmap.MAP_SHARED, self.fd, 0)
            if address not in _FAILED:
                _madvise(address, self.size, _DONTFORK)
                self._address = address
        return self._address

    def chill(self) -> None:
        """The pages of the free ranges go back to the system."""
        for start, size in self.warm.clear():
            punch(self.fd, start, size)
            self.cold.give(start, size)


class Arena:
    """Objects that this process has written for others. Any thread.

    Args:
        bound: bytes that may be held; None is without bound.
        gone: hears of every slab that was closed; called without the lock.
    """

    def __init__(self, bound: int | None, gone: Callable[[SlabId], None]) -> None:
        self.bound = bound
        self.used = 0
        """Bytes of live objects, in whole pages."""
        self._gone = gone
        self._slabs: dict[SlabId, _Slab] = {}
        self._extents: dict[ObjectId, tuple[_Slab, int, int, bool]] = {}
        self._prefix = os.urandom(8)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def warm(self) -> int:
        """Bytes that are free and keep their pages."""
        return sum(slab.warm.total for slab in list(self._slabs.values()))

    @property
    def _warm_bound(self) -> int:
        return WARM_BYTES if self.bound is None else min(WARM_BYTES, self.bound // 2)

    def put(self, data: bytes | memoryview) -> Extent | None:
        """A copy of ``data`` as an object; None when there is no room now.

        Raises:
            OSError: the system has no memory, or no descriptors, left.
        """
        extent = self.reserve(memoryview(data).nbytes)
        if extent is not None:
            try:
                self.write(extent, 0, data)
            except BaseException:  # an interrupt, too
                self.free(extent.object)
                raise
        return extent

    def reserve(self, length: int, name: ObjectId | None = None) -> Extent | None:
        """Room for an object of ``length`` bytes, at least one; None when there is none now.

        Raises:
            OSError: see :meth:`put`.
        """
        size = whole_pages(length)
        gone: list[SlabId] = []
        try:
            with self._lock:
                if self.bound is not None and self.used + size > self.bound:
                    return None
                if self.bound is not None and self.used + self.warm + size > self.bound:
                    gone = self._trim()
                slab, offset, warm = self._find(size)
                self.used += size
                if name is None:
                    self._count += 1
                    name = self._prefix + self._count.to_bytes(8, "big")
                self._extents[name] = (slab, offset, size, warm)
        finally:
            for each in gone:
                self._gone(each)
        return Extent(object=name, length=length, slab=slab.id, offset=offset)

    def _find(self, size: int) -> tuple[_Slab, int, bool]:
        """A place, and whether its pages are there."""
        # The smallest first, so that what is made for one large object is there for the next.
        slabs = sorted(self._slabs.values(), key=lambda slab: slab.size)
        for slab in slabs:
            if (offset := slab.warm.take(size)) is not None:
                return slab, offset, True
        for slab in slabs:
            if (offset := slab.cold.take(size)) is not None:
                return slab, offset, False
        for slab in slabs:
            if slab.warm.total + slab.cold.total >= size:
                slab.chill()
                if (offset := slab.cold.take(size)) is not None:
                    return slab, offset, False
        slab = _Slab(size if size > SLAB_BYTES // 2 else SLAB_BYTES)
        self._slabs[slab.id] = slab
        offset = slab.cold.take(size)
        assert offset is not None
        return slab, offset, False

    def write(self, extent: Extent, at: int, data: bytes | memoryview) -> None:
        """Fill a part of an object that nobody was told of yet.

        Raises:
            OSError: see :meth:`put`.
            LookupError: it was freed.
        """
        slab, _, _, warm = self._extents[extent.object]
        with self._lock:  # or two threads map it, and one of the mappings stays for ever
            address = slab.address if warm else 0
        if address:
            copy(address + extent.offset + at, memoryview(data).cast("B"))
        else:
            write(slab.fd, extent.offset + at, data)

    def free(self, name: ObjectId) -> None:
        """Nobody reads this object any more. One that is not ours is ignored."""
        gone = None
        with self._lock:
            found = self._extents.pop(name, None)
            if found is None:
                return
            slab, offset, size, _ = found
            self.used -= size
            slab.warm.give(offset, size)
            if self.warm > self._warm_bound:
                if slab.empty:
                    gone = self._close(slab)
                else:
                    slab.chill()
        if gone is not None:
            self._gone(gone)

    def trim(self) -> None:
        """Give back what is free: nothing has happened for a while."""
        with self._lock:
            gone = self._trim()
        for each in gone:
            self._gone(each)

    def _trim(self) -> list[SlabId]:
        gone = []
        for slab in list(self._slabs.values()):
            if slab.empty:
                gone.append(self._close(slab))
            else:
                slab.chill()
        return gone

    def _close(self, slab: _Slab) -> SlabId:
        del self._slabs[slab.id]
        return slab.id

    def descriptor(self, slab: SlabId) -> tuple[int, int] | None:
        """Descriptor and size of a slab of ours."""
        found = self._slabs.get(slab)
        return None if found is None else (found.fd, found.size)

    def close(self) -> None:
        """Close all descriptors; nobody is told."""
        with self._lock:
            self._slabs.clear()
            self._extents.clear()
            self.used = 0
