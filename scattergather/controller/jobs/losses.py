"""Why tasks are lost, in words: whoever decides says it in types, and here are the sentences."""

from __future__ import annotations

from typing import assert_never

import msgspec

from scattergather.model.outcome import Kind, LossKind
from scattergather.scheduler import actions
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Loss

STRAY = Loss(
    kind=LossKind.LOST,
    reason="it reached the controller without its job. That is a fault of scattergather itself: "
    "please report it",
)
"""Of tasks whose job is not known."""

_NO_LOSS = bytes([Kind.RETURNED, Kind.RAISED, Kind.CANCELLED])
"""Whatever else comes, also a kind that nobody knows, reaches the client as a loss."""


def loss_of(action: actions.DeliverLoss) -> Loss:
    """What the client is told of tasks that the scheduler gives up."""
    match action.cause:
        case actions.HostGone(host=host, reason=reason):
            kind = LossKind.HOST_LOST
        case actions.HostsDropped(hosts=hosts):
            kind, host = LossKind.HOST_LOST, ", ".join(hosts)
            reason = (
                f"c.hosts.drop took away {host}, and it may run nowhere else; add the host again, "
                "or the tasks with another on=..."
            )
        case actions.NoHostFits(python=python, hosts=hosts):
            kind, host = LossKind.VERSION_MISMATCH, ""
            pythons = ", ".join(f"{name} runs {theirs}" for name, theirs in hosts)
            reason = (
                f"the function is byte code of Python {python} and {pythons}: functions from the "
                "notebook need the same minor version; functions of installed modules and "
                "services run on any"
            )
        case _:
            assert_never(action.cause)
    return Loss(
        kind=kind, reason=reason, host=host, attempt=action.attempt, attempts=action.attempts
    )


def outcomes_lost(message: messages.Outcomes, reason: str) -> tuple[messages.Outcomes, bytes]:
    """The same message, but that each of its tasks is lost, and has no parts that came here."""
    count = len(message.kinds)
    kinds = bytes([Kind.LOST]) * count
    lost = msgspec.structs.replace(message, kinds=kinds, objects=(), borrowed=())
    return lost, blobs.pack([_lost(reason)] * count)


def everywhere_lost(
    message: messages.EverywhereDone, reason: str
) -> tuple[messages.EverywhereDone, bytes]:
    """The same message, but that what the worker made of the call is lost."""
    return msgspec.structs.replace(message, kind=Kind.LOST, objects=(), borrowed=()), _lost(reason)


def _lost(reason: str) -> bytes:
    return messages.encode(Loss(kind=LossKind.LOST, reason=reason))


def certified(kinds: bytes, body: bytes, host: str, action: actions.Deliver) -> tuple[bytes, bytes]:
    """The same outcomes, final, with what a pool could not know of its losses.

    That is the host's name, and which attempt of how many it was.
    """
    judged, kept = bytearray(kinds), blobs.each(body, len(kinds))
    for place, kind in enumerate(kinds):
        if kind == Kind.RETRYABLE:
            judged[place] = Kind.RAISED
        elif kind not in _NO_LOSS:
            judged[place] = Kind.LOST
            try:
                loss = messages.read_loss(kept[place])
            except msgspec.DecodeError as error:  # the scheduler has counted its task as done
                loss = Loss(kind=LossKind.LOST, reason=f"what its host says is no loss: {error}")
            loss = msgspec.structs.replace(
                loss, host=host, attempt=action.attempt, attempts=action.attempts
            )
            kept[place] = messages.encode(loss)
    return bytes(judged), blobs.pack(kept)
