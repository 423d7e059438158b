"""Every message that may pass, one union a direction.

::

    client  --ToController-->  controller  --ToPool-->   pool  --ToWorker-->   worker
            <--ToClient------              <--FromPool-        <--FromWorker-
    pool daemon  --ToZygote-->  zygote  (with file descriptors)

A message is the head of a frame; its body, where it has one, is said in its docstring. *Blobs*
means: ``count`` uint64 end offsets, then the blobs themselves, back to back (``wire.blobs``).
Heads are msgpack arrays, checked against these types when they are read, so that a stranger's or a
broken peer's message is refused as a whole. Whatever a message does not name, it cannot do.

``PROTOCOL`` changes with every incompatible change here; a hello names it before anything else.
"""

from __future__ import annotations

import msgspec

from scattergather.wire.messages.client import (
    AddHost,
    AddJob,
    AddTasks,
    Answer,
    Bring,
    CancelJob,
    CancelTasks,
    Command,
    DropHost,
    EndTasks,
    EverywhereOutcome,
    ForgetJob,
    Freed,
    GoReady,
    MakeRoom,
    Notice,
    Refused,
    ResizeHost,
    RunEverywhere,
    Spawn,
    SpawnVersions,
    Status,
    TaskOutcomes,
    TaskOutput,
    TasksCancelled,
    TasksPlaced,
)
from scattergather.wire.messages.files import (
    AskFiles,
    AskHost,
    FilesAnswer,
    FileSent,
    FileTaken,
    HostAnswer,
    SendFile,
)
from scattergather.wire.messages.peers import (
    AskKey,
    Await,
    Fetched,
    Hand,
    KeyMinted,
    MeetPeer,
    MintKey,
    NotFetched,
    PartPeers,
)
from scattergather.wire.messages.pool import (
    Allowance,
    Born,
    Cancel,
    CancelDone,
    Drop,
    Dropped,
    Everywhere,
    EverywhereDone,
    GaveBack,
    Kept,
    Leave,
    LetGo,
    NestedOutcome,
    NestedSubmit,
    Outcomes,
    Output,
    Recycle,
    Refresh,
    RefreshDone,
    Resize,
    Resumed,
    Run,
    TakeBack,
    Vitals,
    Waiting,
    Want,
    WorkersChanged,
)
from scattergather.wire.messages.shared import (
    Code,
    Excerpt,
    Forget,
    Loss,
    Release,
    Resident,
    Slab,
    SlabGone,
    TaskPlace,
)
from scattergather.wire.messages.zygote import (
    Exited,
    Fork,
    Forked,
    Kill,
    OpenSession,
    Settle,
    ZygoteReady,
)

PROTOCOL = 4

OfPeersToPool = Hand | Await | MintKey | MeetPeer | PartPeers
"""What the link sees to, not the pool."""

OfPeersFromPool = AskKey | KeyMinted | Fetched | NotFetched

ToController = (
    Spawn
    | Slab
    | SlabGone
    | Release
    | Code
    | Forget
    | Resident
    | AddJob
    | AddTasks
    | EndTasks
    | CancelJob
    | CancelTasks
    | ForgetJob
    | Command
    | RunEverywhere
    | Excerpt
    | Bring
    | MakeRoom
    | AddHost
    | DropHost
    | ResizeHost
    | AskHost
    | FileTaken
)


ToClient = (
    GoReady
    | Slab
    | SlabGone
    | Freed
    | Status
    | TasksPlaced
    | TaskOutcomes
    | TasksCancelled
    | TaskOutput
    | EverywhereOutcome
    | Answer
    | Notice
    | Refused
    | HostAnswer
    | FileSent
)


ToPool = (
    Code
    | Forget
    | Resident
    | Run
    | TakeBack
    | Cancel
    | Refresh
    | Everywhere
    | NestedOutcome
    | Drop
    | Want
    | Excerpt
    | Resize
    | Leave
    | AskFiles
    | OfPeersToPool
)
ToWorker = (
    Code
    | Forget
    | Resident
    | Run
    | Everywhere
    | NestedOutcome
    | Slab
    | SlabGone
    | Allowance
    | Recycle
)


FromWorker = (
    Born
    | Outcomes
    | Output
    | GaveBack
    | EverywhereDone
    | NestedSubmit
    | Code
    | Waiting
    | Resumed
    | Slab
    | SlabGone
    | Kept
    | LetGo
    | Release
    | SendFile
)
FromPool = (
    Outcomes
    | Output
    | GaveBack
    | CancelDone
    | WorkersChanged
    | RefreshDone
    | EverywhereDone
    | NestedSubmit
    | Code
    | Want
    | Dropped
    | Release
    | Vitals
    | FilesAnswer
    | SendFile
    | OfPeersFromPool
)


ToZygote = OpenSession | Settle | Fork | Kill


FromZygote = ZygoteReady | Forked | Exited


_ENCODER = msgspec.msgpack.Encoder()

encode = _ENCODER.encode
"""The head of a frame for a message (or the bytes of a ``Loss``, or of a ``TaskPlace``)."""

read_versions = msgspec.msgpack.Decoder(SpawnVersions).decode
read_to_controller = msgspec.msgpack.Decoder(ToController).decode
read_to_client = msgspec.msgpack.Decoder(ToClient).decode
read_to_pool = msgspec.msgpack.Decoder(ToPool).decode
read_from_pool = msgspec.msgpack.Decoder(FromPool).decode
read_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
read_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
read_to_zygote = msgspec.msgpack.Decoder(ToZygote).decode
read_from_zygote = msgspec.msgpack.Decoder(FromZygote).decode
read_place = msgspec.msgpack.Decoder(TaskPlace).decode
read_loss = msgspec.msgpack.Decoder(Loss).decode
