"""Files and folders that go from here to hosts."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable

from scattergather.client.files.lane import BLOCK, Away, Lane
from scattergather.client.files.transfer import Transfer
from scattergather.errors import CannotTransfer
from scattergather.store.beneath import Beneath, Found
from scattergather.wire.messages.files import (
    BeginFile,
    Begun,
    MakeFolder,
    PlaceFile,
    StopFile,
    WriteBlock,
)


class Source:
    """A file or folder of this machine: what is to be sent, as it was when this was made.

    Raises:
        Barred: it is neither, or holds something that is neither.
    """

    def __init__(self, path: str) -> None:
        # Whoever names a link means what it leads to; below it none is followed.
        real = os.fsencode(os.path.realpath(path))
        above = Beneath(os.path.dirname(real), make=False)
        found = above.look(os.path.basename(real)) if os.path.basename(real) else None
        self.folder = found is None or found.folder
        if found is None or found.folder:
            self.beneath = Beneath(real, make=False)
            self.files = list(self.beneath.entries(b""))
        else:
            self.beneath = above
            self.files = [found]
        self.size = sum(each.size for each in self.files if not each.folder)

    def target(self, found: Found, to: bytes) -> bytes:
        """Where one of its files is to lie, if all of it is to lie at ``to``."""
        return b"/".join((to, found.path)) if self.folder else to


class Sending:
    """A source on its way to one host, which goes on where it was if the host comes back."""

    def __init__(self, source: Source, to: bytes, lane: Lane, transfer: Transfer) -> None:
        self._source = source
        self._to = to
        self._lane = lane
        self._transfer = transfer
        self._secret = secrets.token_bytes(16)
        self._current = b""
        """The transfer that is not known to be complete."""
        self._placed = 0
        """How many of the files lie there, from the first on."""

    def step(self) -> None:
        """All of it lies there. Raises as ``Lane.post``; then this may be called again."""
        lane, source = self._lane, self._source
        begun = self._placed
        self._current = b""
        try:
            if source.folder and not begun:
                lane.post(MakeFolder(path=self._to))
            for place in range(begun, len(source.files)):
                found = source.files[place]
                target = source.target(found, self._to)
                if found.folder:
                    lane.post(MakeFolder(path=target), then=self._then(place))
                else:
                    self._send(place, found, target, again=place == begun)
            lane.drain()
        except Away:  # the host keeps what has come for a while, and it goes on there
            raise
        except BaseException:
            if self._current:
                lane.say(StopFile(transfer=self._current))
            raise

    def _name(self, place: int) -> bytes:
        return hashlib.sha256(self._secret + place.to_bytes(8, "big")).digest()[:16]

    def _then(self, place: int) -> Callable[..., None]:
        def then(*_: object) -> None:
            self._placed = place + 1

        return then

    def _send(self, place: int, found: Found, target: bytes, *, again: bool) -> None:
        lane, transfer, name = self._lane, self._transfer, self._name(place)
        self._current = name
        file = self._source.beneath.open(found.path)
        try:
            if file.size != found.size:
                raise CannotTransfer(file.changed())
            begin = BeginFile(transfer=name, path=target, size=file.size)
            there = 0
            if again:
                reply = lane.ask(begin)
                there = reply.offset if isinstance(reply, Begun) else 0
            else:
                lane.post(begin)
            for offset in range(0, file.size, BLOCK):
                count = min(BLOCK, file.size - offset)
                data = file.read(offset, count)
                if offset + count <= there:
                    continue
                at = max(offset, there)
                lane.post(
                    WriteBlock(transfer=name, offset=at),
                    memoryview(data)[at - offset :],
                    lambda *_, count=count: transfer.count(count),
                    size=count,
                )
            checksum = file.digest()
            mode = file.mode
        finally:
            file.close()
        lane.post(PlaceFile(transfer=name, checksum=checksum, mode=mode), then=self._then(place))
