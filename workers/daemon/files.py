"""Files that clients send to this host and fetch from it, below its data folder.

Whoever has begun a transfer may go on with it for ``KEPT_SECONDS`` after its session was lost in
silence, from a session that comes after it: the transfer's name is known to nobody else. One that
hung up was killed, most likely, and nothing of it may be left. What is not complete by then has
never had a name in the file system. A block is written and read in the turn in which it is
asked for, and no more than one of each request is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import assert_never

from scattergather.model.snapshot import in_time
from scattergather.reactor.seam import Clock, Timer, call_off
from scattergather.store.beneath import Arriving, Barred, Beneath, Departing, Found
from scattergather.wire.messages.client import Declined, Done
from scattergather.wire.messages.files import (
    MOST_ENTRIES,
    BeginFile,
    Begun,
    CloseFile,
    FileEntry,
    FileRead,
    FileReply,
    FileRequest,
    LookAt,
    MakeFolder,
    Opened,
    OpenFile,
    PlaceFile,
    ReadBlock,
    Seen,
    StopFile,
    WriteBlock,
)

KEPT_SECONDS = 600.0
"""How long a transfer is kept whose session was lost."""

MOST_TRANSFERS = 64
"""Of one session, and of all sessions that were lost: each is a descriptor or two."""

MOST_LENT = 4096
"""Files of tasks of one session that wait for its client to take them: each task waits as well."""


@dataclass(slots=True)
class _Listing:
    """A folder that is being told; the first ``told`` of its entries were."""

    path: bytes
    found: Found
    entries: Iterator[Found]
    told: int = 0

    def close(self) -> None:
        """Nothing of it is open between two answers."""
        self.entries = iter(())


_Transfer = Arriving | Departing | _Listing


@dataclass(slots=True)
class _UnderWay:
    """A transfer, and the session that it belongs to; None: it was lost.

    One that was ``lent`` is a file that a task sends.
    """

    transfer: _Transfer
    session: int | None
    lent: bool = False
    timer: Timer | None = field(default=None)


class HostFiles:
    """What the sessions of a pool may do with files. Reactor thread only.

    Args:
        clock: tells when a transfer that nobody goes on with is dropped.
        folder: where the files are; None serves none.
        anywhere: paths from the root of the file system may be named, too.
    """

    def __init__(self, clock: Clock, folder: Path | None = None, *, anywhere: bool = False) -> None:
        self._clock = clock
        self.folder = b"" if folder is None else os.fsencode(folder)
        self._beneath = None if folder is None else Beneath(self.folder, anywhere=anywhere)
        self._transfers: dict[bytes, _UnderWay] = {}

    def serve(self, session: int, request: FileRequest, body: bytes) -> tuple[FileReply, bytes]:
        """The answer to a request, and its body."""
        try:
            return self._serve(session, request, body)
        except Barred as error:
            if not isinstance(request, MakeFolder | LookAt):
                self._drop(request.transfer, session)
            return Declined(why=str(error)), b""
        except OSError as error:  # as when no descriptor is left
            return Declined(why=f"the host cannot do that now: {error}"), b""

    def _serve(self, session: int, request: FileRequest, body: bytes) -> tuple[FileReply, bytes]:
        reply: FileReply = Done()
        match request:
            case MakeFolder():
                self._root().make_folder(request.path)
            case BeginFile():
                reply = Begun(offset=self._begin(session, request).offset)
            case WriteBlock():
                self._arriving(session, request.transfer).write(request.offset, body)
            case PlaceFile():
                arriving = self._arriving(session, request.transfer)
                del self._transfers[request.transfer]
                arriving.place(request.checksum, request.mode)
            case LookAt():
                reply = self._look(session, request)
            case OpenFile():
                reply = self._open(session, request)
            case ReadBlock():
                departing = self._departing(session, request.transfer)
                return reply, departing.read(request.offset, request.count)
            case CloseFile():
                departing = self._departing(session, request.transfer)
                reply = FileRead(checksum=departing.digest())
                self._drop(request.transfer, session)
            case StopFile():
                self._drop(request.transfer, session)
            case _:
                assert_never(request)
        return reply, b""

    def lend(self, session: int, transfer: bytes, fd: int, name: bytes) -> None:
        """A worker has opened a file that this session may read; ``fd`` is ours.

        Raises:
            ValueError: it is no such file, or the name is taken.
        """
        try:
            departing = Departing(fd, name)
        except Barred as error:
            os.close(fd)
            raise ValueError(str(error)) from None
        try:
            if transfer in self._transfers:
                raise Barred("a transfer of that name is there already")
            self._enter(session, transfer, departing, lent=True)
        except Barred as error:
            departing.close()
            raise ValueError(str(error)) from None

    def left(self, session: int, *, keep: bool) -> None:
        """A session is over: what it had begun is dropped, or kept for a while."""
        for name, known in list(self._transfers.items()):
            if known.session == session and (known.lent or not keep):
                self._drop(name, session)
            elif known.session == session:
                known.session = None
                known.timer = self._clock.callLater(KEPT_SECONDS, self._drop, name, None)
        lost = [name for name, known in self._transfers.items() if known.session is None]
        for name in lost[:-MOST_TRANSFERS]:
            self._drop(name, None)

    def close(self) -> None:
        """The pool ends: what is not complete is gone."""
        for name, known in list(self._transfers.items()):
            self._drop(name, known.session)

    # ---- requests -------------------------------------------------------------------------------

    def _root(self) -> Beneath:
        if self._beneath is None:
            raise Barred("this host takes and gives no files")
        return self._beneath

    def _begin(self, session: int, request: BeginFile) -> Arriving:
        found = self._resume(session, request.transfer)
        if isinstance(found, Arriving) and (found.path, found.size) == (request.path, request.size):
            return found
        self._drop(request.transfer, session)
        made = self._root().begin(request.path, request.size)
        self._enter(session, request.transfer, made)
        return made

    def _look(self, session: int, request: LookAt) -> Seen:
        listing = self._resume(session, request.transfer)
        if not isinstance(listing, _Listing) or listing.path != request.path:
            found = self._root().look(request.path)
            if not found.folder:
                return Seen(found=_entry(found))
            listing = _Listing(request.path, found, iter(()), -1)
            self._enter(session, request.transfer, listing)
        if listing.told != request.skip:
            entries = self._root().entries(request.path)
            listing.entries = islice(entries, request.skip, None)
            listing.told = request.skip
        try:
            told = tuple(map(_entry, islice(listing.entries, MOST_ENTRIES)))
        except Barred:
            self._drop(request.transfer, session)
            raise
        listing.told += len(told)
        more = len(told) == MOST_ENTRIES
        if not more:
            self._drop(request.transfer, session)
        return Seen(found=_entry(listing.found), entries=told, more=more)

    def _open(self, session: int, request: OpenFile) -> Opened:
        found = self._resume(session, request.transfer)
        resumed = isinstance(found, Departing) and found.path == request.path
        if resumed and isinstance(found, Departing):
            return Opened(size=found.size, mode=found.mode, resumed=True)
        self._drop(request.transfer, session)
        made = self._root().open(request.path)
        self._enter(session, request.transfer, made)
        return Opened(size=made.size, mode=made.mode)

    # ---- transfers ------------------------------------------------------------------------------

    def _resume(self, session: int, name: bytes) -> _Transfer | None:
        """The transfer of this name, which is this session's from now on.

        It may be another's still: a host that was stopped hears of the session in which it goes on
        before it knows that the one before is lost.
        """
        known = self._transfers.get(name)
        if known is None:
            return None
        known.session = session
        call_off(known.timer)
        known.timer = None
        return known.transfer

    def _find(self, session: int, name: bytes) -> _Transfer | None:
        known = self._transfers.get(name)
        return known.transfer if known is not None and known.session == session else None

    def _arriving(self, session: int, name: bytes) -> Arriving:
        found = self._find(session, name)
        if not isinstance(found, Arriving):
            raise Barred(f"no such file is arriving; it is kept for {in_time(KEPT_SECONDS)} only")
        return found

    def _departing(self, session: int, name: bytes) -> Departing:
        found = self._find(session, name)
        if not isinstance(found, Departing):
            raise Barred(f"no such file is open; it is kept for {in_time(KEPT_SECONDS)} only")
        return found

    def _enter(self, session: int, name: bytes, transfer: _Transfer, *, lent: bool = False) -> None:
        most = MOST_LENT if lent else MOST_TRANSFERS
        known = self._transfers.values()
        if sum(each.session == session and each.lent == lent for each in known) >= most:
            transfer.close()
            raise Barred(f"{most:,} files are under way already")
        self._transfers[name] = _UnderWay(transfer, session, lent)

    def _drop(self, name: bytes, session: int | None) -> None:
        known = self._transfers.get(name)
        if known is not None and known.session == session:
            call_off(known.timer)
            del self._transfers[name]
            known.transfer.close()


def _entry(found: Found) -> FileEntry:
    return FileEntry(path=found.path, folder=found.folder, size=found.size, mode=found.mode)
