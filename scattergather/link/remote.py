"""Every remote call, on one page.

A controller asks a pool for a session, and each side may end it::

    controller                                     pool daemon
      hello(Greeting, back)  ------------------>   RIPool
              <---------------------------------   Welcome | Refusal
      goodbye(session, reason)  --------------->   RIPool
              <---------------------------------   goodbye(session, reason) on ``back``
      piece ... piece  <----------------------->   piece ... piece

All that happens in a session is messages inside the pieces of its stream. A piece is no call of
Foolscap's but a sequence of tokens of our own on the same wire: a call costs 0.25 ms on each side,
a piece a third of that.

Greeting and answers are msgpack maps of plain values. Their first two fields are for ever: whatever
else changes, two sides can tell each other's versions. Foolscap's own types carry nothing of ours:
an odd string or a deep list handed to its slicers would end the connection.
"""

from __future__ import annotations

import msgspec
from foolscap.api import RemoteInterface
from foolscap.constraint import ByteStringConstraint as Bytes

from scattergather.link.seams import PoolFacts
from scattergather.wire.messages.shared import Amount, HashSeed, Workers

SESSION_BYTES = 16
MAX_GREETING = 1 << 14
MAX_REASON = 1 << 12
NEW = -1


class RIController(RemoteInterface):
    """What a pool may call on a controller."""

    __remote_name__ = "RIController.scattergather"

    def goodbye(session=Bytes(SESSION_BYTES), reason=Bytes(MAX_REASON)):  # type: ignore[no-untyped-def]  # noqa: B008
        """The pool has ended this session."""


class RIPool(RemoteInterface):
    """What a controller may call on a pool."""

    __remote_name__ = "RIPool.scattergather"

    def hello(greeting=Bytes(MAX_GREETING), back=RIController):  # type: ignore[no-untyped-def]  # noqa: B008
        """Begin or resume a session, or look only."""
        return Bytes(MAX_GREETING)

    def goodbye(session=Bytes(SESSION_BYTES), reason=Bytes(MAX_REASON)):  # type: ignore[no-untyped-def]  # noqa: B008
        """The controller has ended this session."""


class PeerVersions(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a greeting or an answer that every version of ours can read."""

    protocol: int
    version: str


class Greeting(PeerVersions, frozen=True, kw_only=True):
    """What a controller says first.

    ``session`` is 16 random bytes, or empty to look only. ``received`` is ``NEW``, or the number of
    the last piece received in the session that is to be resumed. ``hash_seed`` is the client's,
    where it is known: its workers agree with it on ``hash(text)``.
    """

    python: str
    controller: str = ""
    workers: Workers = 0
    session: bytes = b""
    received: int = NEW
    hash_seed: HashSeed | None = None


class Welcome(PeerVersions, frozen=True, kw_only=True, tag=True):
    """The session is open; ``received`` is the last piece that came from the controller.

    It was ``held`` for so many seconds: so long it took to open the session.

    ``ticket`` is a secret: whoever has it may open the stream of large objects of this session.
    """

    facts: PoolFacts
    received: int = 0
    ticket: bytes = b""
    held: Amount = 0.0

    def __repr__(self) -> str:
        """Without the ticket."""
        return f"Welcome({self.facts!r}, received={self.received})"


class Refusal(PeerVersions, frozen=True, kw_only=True, tag=True):
    """It is not: ``reason`` says why. ``unknown``: there is no such session to resume."""

    reason: str
    unknown: bool = False


_ENCODER = msgspec.msgpack.Encoder()
_VERSIONS = msgspec.msgpack.Decoder(PeerVersions)
_GREETING = msgspec.msgpack.Decoder(Greeting)
_ANSWER = msgspec.msgpack.Decoder(Welcome | Refusal)

encode = _ENCODER.encode
read_versions, read_greeting, read_answer = _VERSIONS.decode, _GREETING.decode, _ANSWER.decode
"""Who speaks, what he greets with, and what he is answered; each raises ``MsgspecError``."""
