"""Files and folders that come from a host to here.

What the host says of them is taken for what a stranger says: nothing lies outside of the folder
that the user has named, whatever it calls its files, and no more is taken than it said there is.
"""

from __future__ import annotations

import hashlib
import os
import secrets

from scattergather.client.files.incoming import Incoming
from scattergather.client.files.lane import Away, Lane
from scattergather.client.files.transfer import Transfer
from scattergather.errors import CannotTransfer
from scattergather.model.quoting import quoted
from scattergather.store.beneath import Beneath
from scattergather.wire.messages.files import (
    FileEntry,
    FileReply,
    LookAt,
    Opened,
    OpenFile,
    Seen,
    StopFile,
)

MOST_FILES = 1 << 20
"""Of one folder: a host that tells more of them is not believed."""


class Fetching:
    """What lies at a path on a host, on its way to here; it goes on if the host comes back.

    Args:
        path: below the host's folder.
        target: where it is to lie; its parts were checked by nobody.
    """

    def __init__(self, path: bytes, target: str, lane: Lane, transfer: Transfer) -> None:
        self._path = path
        self._lane = lane
        self._transfer = transfer
        self._secret = secrets.token_bytes(16)
        self._root = os.fsencode(os.path.realpath(target))
        self._seen: Seen | None = None
        self._entries: list[FileEntry] = []
        self._told = False
        self._placed = 0
        self._open: dict[int, Incoming] = {}
        """The files under way, by their places."""

    def step(self) -> None:
        """All of it is here. Raises as ``Lane.post``; then this may be called again."""
        try:
            self._look()
            begun = self._placed
            for place in range(begun, len(self._entries)):
                entry = self._entries[place]
                if entry.folder:
                    self._beneath.make_folder(entry.path)
                    self._lane.drain()
                    self._placed = place + 1
                else:
                    self._fetch(place, entry, again=place == begun)
            self._lane.drain()
        except Away:
            for place in [place for place in self._open if place != self._placed]:
                self._open.pop(place).arriving.close()
            raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """What is not complete is dropped, here and there."""
        for incoming in self._open.values():
            incoming.arriving.close()
            self._lane.say(StopFile(transfer=incoming.transfer))
        self._open.clear()

    # ---- what there is --------------------------------------------------------------------------

    def _look(self) -> None:
        """What lies there is known."""
        while not self._told:
            asked = LookAt(transfer=self._name(-1), path=self._path, skip=len(self._entries))
            reply = self._lane.ask(asked)
            if not isinstance(reply, Seen) or len(self._entries) > MOST_FILES:
                raise CannotTransfer(f"{self._lane.host} tells more files than there can be")
            self._seen = reply
            self._entries += reply.entries
            self._told = not (reply.more and reply.entries)
        assert self._seen is not None
        found = self._seen.found
        if found.folder:
            self._beneath = Beneath(self._root)
            self._beneath.make_folder(b"")
        else:
            self._beneath = Beneath(os.path.dirname(self._root))
            name = os.path.basename(self._root)
            self._entries = [FileEntry(path=name, folder=False, size=found.size, mode=found.mode)]
        self._transfer.total = sum(each.size for each in self._entries if not each.folder)

    def _source(self, entry: FileEntry) -> bytes:
        assert self._seen is not None
        if not self._seen.found.folder:
            return self._path
        return b"/".join((self._path, entry.path)) if self._path else entry.path

    def _name(self, place: int) -> bytes:
        told = self._secret + place.to_bytes(8, "big", signed=True)
        return hashlib.sha256(told).digest()[:16]

    # ---- one file -------------------------------------------------------------------------------

    def _fetch(self, place: int, entry: FileEntry, *, again: bool) -> None:
        asked = OpenFile(transfer=self._name(place), path=self._source(entry))
        incoming = self._open.get(place)
        if incoming is not None and again:
            reply = self._lane.ask(asked)
            self._check(entry, reply)
            if not (isinstance(reply, Opened) and reply.resumed):  # it knows nothing of it any more
                incoming.arriving.close()
                incoming = self._begin(place, entry)
        else:
            incoming = self._begin(place, entry)
            self._lane.post(asked, then=lambda reply, _: self._check(entry, reply))
        incoming.read(self._lane, self._transfer.count)

        def placed() -> None:
            self._open.pop(place, None)
            self._placed = place + 1

        incoming.close(self._lane, placed)

    def _begin(self, place: int, entry: FileEntry) -> Incoming:
        arriving = self._beneath.begin(entry.path, entry.size)
        self._open[place] = made = Incoming(arriving, self._name(place), entry.mode, True)
        return made

    def _check(self, entry: FileEntry, reply: FileReply) -> None:
        if not isinstance(reply, Opened) or reply.size != entry.size:
            shown = quoted(os.fsdecode(entry.path))
            raise CannotTransfer(f"{self._lane.host}: {shown} was changed while it was fetched")
