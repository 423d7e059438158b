"""What a client asks a host about files, by way of its controller, and what the host answers.

Requests about one host are served and answered in the order in which they were sent. A *transfer*
is named by 16 random bytes that only who began it knows: with them it goes on after its session was
lost.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from scattergather.wire.messages.client import Declined, Done
from scattergather.wire.messages.shared import Count, KindByte, Message

MOST_BLOCK = 1 << 18
"""Bytes of a file in one message."""

MOST_ENTRIES = 1 << 10
"""Files and folders in one answer."""

Transfer = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
FilePath = Annotated[bytes, msgspec.Meta(max_length=4096)]
Mode = Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
BlockSize = Annotated[int, msgspec.Meta(ge=0, le=MOST_BLOCK)]
Checksum = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


# ---- what is asked ------------------------------------------------------------------------------


class MakeFolder(Message, frozen=True, kw_only=True):
    """There is to be a folder at ``path``; answered by ``Done``."""

    path: FilePath


class BeginFile(Message, frozen=True, kw_only=True):
    """A file of ``size`` bytes is to arrive for ``path``, or goes on to; answered by ``Begun``."""

    transfer: Transfer
    path: FilePath
    size: Count


class WriteBlock(Message, frozen=True, kw_only=True):
    """The bytes at ``offset`` of ``transfer`` are the body; answered by ``Done``."""

    transfer: Transfer
    offset: Count


class PlaceFile(Message, frozen=True, kw_only=True):
    """All of ``transfer`` has been sent: ``checksum`` is the SHA-256 of it.

    The file is put in place with the owner's part of ``mode``; answered by ``Done``.
    """

    transfer: Transfer
    checksum: Checksum
    mode: Mode


class LookAt(Message, frozen=True, kw_only=True):
    """What lies at ``path``, and below it if it is a folder; answered by ``Seen``.

    Of the files and folders below it the first ``skip`` are left out: they were told before. Where
    the ``transfer`` is known, it goes on there.
    """

    transfer: Transfer
    path: FilePath
    skip: Count = 0


class OpenFile(Message, frozen=True, kw_only=True):
    """The file at ``path`` is to be read, or goes on to be; answered by ``Opened``."""

    transfer: Transfer
    path: FilePath


class ReadBlock(Message, frozen=True, kw_only=True):
    """The next ``count`` bytes from ``offset`` of ``transfer``; answered by ``Done`` with them."""

    transfer: Transfer
    offset: Count
    count: BlockSize


class CloseFile(Message, frozen=True, kw_only=True):
    """All of ``transfer`` has been read; answered by ``FileRead``."""

    transfer: Transfer


class StopFile(Message, frozen=True, kw_only=True):
    """Nothing more comes of ``transfer``, and what came of it is dropped; answered by ``Done``."""

    transfer: Transfer


FileRequest = (
    MakeFolder
    | BeginFile
    | WriteBlock
    | PlaceFile
    | LookAt
    | OpenFile
    | ReadBlock
    | CloseFile
    | StopFile
)


# ---- what is answered ---------------------------------------------------------------------------


class Begun(Message, frozen=True, kw_only=True):
    """The host has the first ``offset`` bytes already."""

    offset: Count


class FileEntry(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One file, or with ``folder`` one folder; ``path`` leads there from the folder asked for."""

    path: FilePath
    folder: bool
    size: Count
    mode: Mode


class Seen(Message, frozen=True, kw_only=True):
    """What was asked for is ``found``, a folder with these ``entries``; ``more`` are to come."""

    found: FileEntry
    entries: Annotated[tuple[FileEntry, ...], msgspec.Meta(max_length=MOST_ENTRIES)] = ()
    more: bool = False


class Opened(Message, frozen=True, kw_only=True):
    """A file of ``size`` bytes; with ``resumed`` it is the one that was opened before."""

    size: Count
    mode: Mode
    resumed: bool = False


class FileRead(Message, frozen=True, kw_only=True):
    """The file was read whole and not changed meanwhile; ``checksum`` is the SHA-256 of it."""

    checksum: Checksum


class HostAway(Message, frozen=True, kw_only=True):
    """The host cannot be asked, or was lost before it answered; ``why`` says so."""

    why: str


FileReply = Done | Begun | Seen | Opened | FileRead | Declined | HostAway


# ---- the way ------------------------------------------------------------------------------------


class AskHost(Message, frozen=True, kw_only=True):
    """A client asks the host of this name; the body is that of the request."""

    call: Count
    host: str
    request: FileRequest


class HostAnswer(Message, frozen=True, kw_only=True):
    """What a host has answered to the call that the client has numbered; the body belongs to it."""

    call: Count
    reply: FileReply


class AskFiles(Message, frozen=True, kw_only=True):
    """A controller asks for its client."""

    call: Count
    request: FileRequest


class FilesAnswer(Message, frozen=True, kw_only=True):
    """What a pool answers to that call."""

    call: Count
    reply: FileReply


class SendFile(Message, frozen=True, kw_only=True):
    """A task sends a file to the client; its descriptor comes with this frame from the worker.

    ``worker`` is filled in by the pool, which serves the file as the ``transfer`` that the worker
    has named. ``ticket`` is a number of the worker's, as of nested calls, and what comes of it is a
    ``NestedOutcome``. ``name`` is what the file is to be called.
    """

    ticket: Count
    transfer: Transfer
    name: FilePath
    size: Count
    mode: Mode
    worker: Count = 0


class FileSent(Message, frozen=True, kw_only=True):
    """A task on ``host`` sends a file, as ``SendFile`` says; the client takes it from there."""

    host: str
    worker: Count
    ticket: Count
    transfer: Transfer
    name: FilePath
    size: Count
    mode: Mode


class FileTaken(Message, frozen=True, kw_only=True):
    """What came of a ``FileSent``, for the task that waits; the body is its outcome, one blob."""

    host: str
    worker: Count
    ticket: Count
    kind: KindByte
