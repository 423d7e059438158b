"""The slabs of this host that the client was shown: it maps its results there."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.model.ids import SlabId
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent


class ShownSlabs:
    """Brings each slab once, before anything in it is named. Reactor thread only.

    Args:
        store: where everything large lies. It calls ``slab_gone``.
        bring: passes a slab to the client: its id, descriptor and size.
        send: passes a message to the client.
    """

    def __init__(
        self,
        store: Store,
        bring: Callable[[SlabId, int, int], None],
        send: Callable[[messages.ToClient, bytes], None],
    ) -> None:
        self._store = store
        self._bring = bring
        self._send = send
        self._shown: set[SlabId] = set()

    def show(self, extents: tuple[Extent, ...]) -> tuple[Extent, ...]:
        """The same objects, where they lie on this host, in slabs that the client has."""
        here = self._store.here(extents)
        for slab in dict.fromkeys(extent.slab for extent in here):
            found = self._store.descriptor(slab)
            if found is not None and slab not in self._shown:
                self._bring(slab, *found)
                self._shown.add(slab)
        return here

    def slab_gone(self, slab: SlabId) -> None:
        """A slab is closed here: the client closes it, too, if it has it."""
        if slab in self._shown:
            self._shown.discard(slab)
            self._send(messages.SlabGone(slab=slab), b"")
