"""Private mappings of extents, and whether anybody has written to them."""

from __future__ import annotations

import ctypes
import fcntl
import io
import mmap
import os

from scattergather.wire.memory.owned import Mapping, address_of, own
from scattergather.wire.memory.slabs import whole_pages
from scattergather.wire.messages.shared import Extent

_FILE_PAGES = bytes(top for top in range(256) if not top & 0xC0 or top & 0x20)
"""Highest bytes of ``pagemap`` entries of pages that are absent, or not present and swapped as the
process's own: bits 7 and 6 say present and swapped, bit 5 that the page is the file's."""

_SCAN = 0xC0606610
"""``PAGEMAP_SCAN``, since Linux 6.7."""

_SCAN_BYTES = 96
"""Of its argument."""

_FILE, _PRESENT, _SWAPPED = 4, 8, 16
"""What it says of a page."""

_libc = ctypes.CDLL(None, use_errno=True)
_mprotect = _libc.mprotect
_mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_madvise = _libc.madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_DO_FORK = getattr(mmap, "MADV_DOFORK", 0)


class PrivateView(Mapping):
    """A private mapping of an extent, as a writable buffer; made by :func:`private`."""

    __slots__ = ("extent", "keeps")

    extent: Extent

    keeps: object
    """Whatever shall live as long."""


def private(fd: int, extent: Extent, *keeps: object) -> PrivateView:
    """A writable buffer over an extent, which goes when nobody has it any more.

    Args:
        fd: of the slab; may be closed afterwards.
        extent: at a page of it.
        keeps: objects that live as long as the mapping.

    Raises:
        OSError: it cannot be mapped.
    """
    view = PrivateView(fd, extent.offset, extent.length, mmap.MAP_PRIVATE)
    view.extent, view.keeps = extent, keeps
    return view


def unchanged(view: PrivateView) -> bool:
    """True when nothing was written into a private mapping, which so reads as what it maps.

    The kernel says of each page whether it is still the file's. Where it says nothing: False.
    """
    try:
        # For each look: one that was opened before a fork tells of the other process.
        pagemap = own(os.open, "/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        return _scanned(pagemap, view)
    except OSError:
        return False


def _scanned(pagemap: io.FileIO, view: PrivateView) -> bool:
    """For 100 MB 0.3 to 0.75 ms; to read what is said of every page takes half as long again."""
    end = view.address + whole_pages(view.extent.length)
    words = (ctypes.c_uint64 * (_SCAN_BYTES // 8 + 3))(_SCAN_BYTES, 0, view.address, end)
    # Where the first page goes, and how many are asked for: those that are not the file's, of those
    # that are there. All else is 0.
    words[5:8] = [ctypes.addressof(words) + _SCAN_BYTES, 1, 1]
    words[8:11] = [_FILE, _FILE, _PRESENT | _SWAPPED]
    try:
        return not fcntl.ioctl(pagemap, _SCAN, words)
    except OSError:  # an older kernel
        return _read(pagemap, view)


def _read(pagemap: io.FileIO, view: PrivateView) -> bool:
    pages = -(-view.extent.length // mmap.PAGESIZE)
    said = os.pread(pagemap.fileno(), 8 * pages, 8 * (view.address // mmap.PAGESIZE))
    return len(said) == 8 * pages and not said[7::8].translate(None, _FILE_PAGES)


def renewed(view: PrivateView) -> bool:
    """True when a private mapping that a task had is as good as one that is made now.

    What the task has said of its memory (``mprotect``, ``madvise``) does not hold any more. The
    caller alone has the view.
    """
    if view.closed or len(view) != view.extent.length or address_of(view) != view.address:
        return False  # by mmap.close or mmap.resize, which whoever digs for the view can call
    size = whole_pages(view.extent.length)
    # Of no effect, and next to no time, where all is as it should be.
    if _mprotect(view.address, size, mmap.PROT_READ | mmap.PROT_WRITE):
        return False
    if _DO_FORK and _madvise(view.address, size, _DO_FORK):
        return False
    return unchanged(view)
