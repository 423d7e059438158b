"""Private mappings of extents, and whether anybody has written to them."""

from __future__ import annotations

import mmap
import os

from scattergather.wire.memory.owned import Mapping
from scattergather.wire.messages.shared import Extent

_FILE_PAGES = bytes(top for top in range(256) if not top & 0xC0 or top & 0x20)
"""Highest bytes of ``pagemap`` entries of pages that are absent, or not present and swapped as the
process's own: bits 7 and 6 say present and swapped, bit 5 that the page is the file's."""


class PrivateView(Mapping):
    """A private mapping of an extent, as a writable buffer. See :func:`private`."""

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
    pages = -(-view.extent.length // mmap.PAGESIZE)
    try:
        fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        said = os.pread(fd, 8 * pages, 8 * (view.address // mmap.PAGESIZE))
    except OSError:
        return False
    finally:
        os.close(fd)
    return len(said) == 8 * pages and not said[7::8].translate(None, _FILE_PAGES)
