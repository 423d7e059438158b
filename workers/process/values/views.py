"""The private mappings of a worker, by where they lie: a task may return what it was given."""

from __future__ import annotations

import weakref

from scattergather.wire.memory.owned import address_of
from scattergather.wire.memory.views import PrivateView, private, unchanged
from scattergather.wire.messages.shared import Extent


class Views:
    """Which mapping the bytes of a value still are. Any thread of a task."""

    def __init__(self) -> None:
        self._by_address: weakref.WeakValueDictionary[int, PrivateView] = (
            weakref.WeakValueDictionary()
        )

    def map(self, fd: int, extent: Extent, *keeps: object) -> PrivateView:
        """A private mapping of an extent, of which :meth:`unchanged` will know."""
        view = private(fd, extent, *keeps)
        self.mean(view)
        return view

    def mean(self, view: PrivateView) -> None:
        """The bytes of this mapping may be returned by name, until :meth:`forget`."""
        self._by_address[view.address] = view

    def unchanged(self, data: memoryview) -> Extent | None:
        """The object that these bytes are, if they are one that nobody has written to."""
        if not self._by_address:
            return None
        view = self._by_address.get(address_of(data))
        if view is None or data.nbytes != view.extent.length or not unchanged(view):
            return None
        return view.extent

    def living(self) -> list[PrivateView]:
        """Those that there are."""
        return list(self._by_address.values())

    def forget(self) -> None:
        """None of those that there are is meant any more."""
        self._by_address.clear()
