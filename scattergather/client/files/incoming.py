"""One file on its way from a host to here, of whichever kind: fetched, or sent by a task."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.client.files.lane import BLOCK, Lane
from scattergather.errors import CannotTransfer
from scattergather.store.beneath import Arriving
from scattergather.wire.frame import Bytes
from scattergather.wire.messages.files import CloseFile, FileRead, FileReply, ReadBlock


class Incoming:
    """A file that is read from a host block by block, and put in its place when it is complete."""

    def __init__(self, arriving: Arriving, transfer: bytes, mode: int, replace: bool) -> None:
        self.arriving = arriving
        self.transfer = transfer
        self._mode = mode
        self._replace = replace

    def read(self, lane: Lane, count: Callable[[int], None]) -> None:
        """What is missing of it is asked for. Raises as ``Lane.post``."""
        size = self.arriving.size
        for offset in range(self.arriving.offset, size, BLOCK):
            length = min(BLOCK, size - offset)

            def came(_: FileReply, data: Bytes, offset: int = offset, length: int = length) -> None:
                if len(data) != length:
                    raise CannotTransfer(f"{lane.host} sent other bytes than it was asked for")
                self.arriving.write(offset, data)
                count(length)

            asked = ReadBlock(transfer=self.transfer, offset=offset, count=length)
            lane.post(asked, then=came, size=length)

    def close(self, lane: Lane, then: Callable[[], None]) -> None:
        """Behind all of it the host is asked for its checksum; then the file is put in place."""

        def came(reply: FileReply, _: Bytes) -> None:
            if not isinstance(reply, FileRead):
                raise CannotTransfer(f"{lane.host} did not say what it has sent")
            self.arriving.place(reply.checksum, self._mode, replace=self._replace)
            then()

        lane.post(CloseFile(transfer=self.transfer), then=came)
