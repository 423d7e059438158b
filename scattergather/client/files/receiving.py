"""Files that tasks send: each is put below one folder of the user's, where nothing is replaced."""

from __future__ import annotations

import os
import pickle
import threading
from collections import deque
from contextlib import suppress
from functools import partial

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
    """Takes what tasks send, one file of a host after the other.

    Each host has a thread while it is needed: one that is slow, or stopped, holds no other up.

    Args:
        calls: of the session.
        folder: where the files go. It is made with the first one.
    """

    def __init__(self, calls: FileCalls, folder: str) -> None:
        self._calls = calls
        self._folder = folder
        self._waiting: dict[str, deque[messages.FileSent]] = {}
        """By hosts: those for which a thread works."""
        self._turn = threading.Lock()

    def sent(self, message: messages.FileSent) -> None:
        """A task sends a file, and waits. Reader thread."""
        with self._turn:
            waiting = self._waiting.get(message.host)
            if waiting is not None:
                waiting.append(message)
                return
            self._waiting[message.host] = deque([message])
        start_thread(partial(self._work, message.host), "scattergather-files")

    def _work(self, host: str) -> None:
        while True:
            with self._turn:
                waiting = self._waiting[host]
                if not waiting or self._calls.life.ended:
                    del self._waiting[host]
                    return
                message = waiting.popleft()
            # Away: the task is lost as well. Any other: the session is over.
            with suppress(Away, Stopped, ScatterGatherError):
                self._take(message)

    def _take(self, message: messages.FileSent) -> None:
        lane = Lane(self._calls, message.host, lambda: self._calls.life.ended, Bell())
        try:
            path = self._receive(message, lane)
        except (Away, Stopped):
            raise
        except Exception as error:  # whatever it is, the task waits for an answer
            lane.forget()
            lane.say(StopFile(transfer=message.transfer))
            told_why = isinstance(error, Barred | CannotTransfer)
            why = str(error) if told_why else f"it could not be taken: {error!r}"
            kind, body = Kind.RAISED, pack_exception(CannotTransfer(why))
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
