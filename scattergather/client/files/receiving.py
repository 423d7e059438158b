"""Files that tasks send: each is put below one folder of the user's, where nothing is replaced."""

from __future__ import annotations

import os
import pickle
import threading
from collections import deque

from scattergather.client.files.calls import FileCalls
from scattergather.client.files.incoming import Incoming
from scattergather.client.files.lane import BLOCK, Away, Lane, Stopped
from scattergather.client.pipe.waiting import Bell, start_thread
from scattergather.errors import CannotTransfer, ScatterGatherError
from scattergather.model.outcome import Kind
from scattergather.model.quoting import quoted
from scattergather.store.beneath import Barred, Beneath, Existing
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.files import StopFile
from scattergather.wire.values.raised import pack_exception


class Receiving:
    """Takes what tasks send, one file after the other, on a thread that lives while it is needed.

    Args:
        calls: of the session.
        folder: where the files go. It is made with the first one.
    """

    def __init__(self, calls: FileCalls, folder: str) -> None:
        self._calls = calls
        self._folder = folder
        self._bell = Bell()
        self._waiting: deque[messages.FileSent] = deque()
        self._working = False
        self._turn = threading.Lock()

    def sent(self, message: messages.FileSent) -> None:
        """A task sends a file, and waits. Reader thread."""
        with self._turn:
            self._waiting.append(message)
            begin, self._working = not self._working, True
        if begin:
            start_thread(self._work, "scattergather-files")

    def _work(self) -> None:
        while True:
            with self._turn:
                if not self._waiting:
                    self._working = False
                    return
                message = self._waiting.popleft()
            try:
                self._take(message)
            except (Away, Stopped):  # the task is lost as well
                pass
            except ScatterGatherError:  # the session is over
                if self._calls.life.ended:
                    return

    def _take(self, message: messages.FileSent) -> None:
        lane = Lane(self._calls, message.host, lambda: self._calls.life.ended, self._bell)
        try:
            path = self._receive(message, lane)
        except (Barred, CannotTransfer) as error:
            lane.forget()
            lane.say(StopFile(transfer=message.transfer))
            kind, body = Kind.RAISED, pack_exception(CannotTransfer(str(error)))
        else:
            kind, body = Kind.RETURNED, pickle.dumps(path)
        told = messages.FileTaken(
            host=message.host, worker=message.worker, ticket=message.ticket, kind=kind
        )
        self._calls.tell(told, body)

    def _receive(self, message: messages.FileSent, lane: Lane) -> str:
        """Where the file lies now."""
        beneath = Beneath(os.fsencode(self._folder))
        _check_new(beneath, message)
        arriving = beneath.begin(message.name, message.size)
        incoming = Incoming(arriving, message.transfer, message.mode, False)
        try:
            incoming.read(lane, lambda _: None)
            lane.drain()
            checksum = arriving.digest()
            try:
                incoming.close(lane, lambda: None)
                lane.drain()
            except Existing:
                if _checksum(beneath, message.name) != checksum:
                    raise
        finally:
            arriving.close()
        return os.path.join(self._folder, os.fsdecode(message.name))


def _check_new(beneath: Beneath, message: messages.FileSent) -> None:
    """Nothing of another size lies there: it would be refused when all of it has come."""
    try:
        found = beneath.look(message.name)
    except Barred:
        return
    if found.folder or found.size != message.size:
        shown = quoted(os.fsdecode(message.name))
        raise Existing(f"there is another {shown} already, which is not replaced")


def _checksum(beneath: Beneath, name: bytes) -> bytes:
    """The checksum of a file that is there."""
    file = beneath.open(name)
    try:
        for offset in range(0, file.size, BLOCK):
            file.read(offset, BLOCK)
        return file.digest()
    finally:
        file.close()
