"""The keyed preface that stands before TLS and Foolscap, on one port for both planes.

Foolscap proves who the *server* is; any stranger with a certificate of his own becomes a live
broker, and its parser can be flooded before any capability is shown. So nothing of TLS or Foolscap
hears a caller who has not proved that he knows a FURL::

    server -> caller    "scatter1"  nonce                                      8 + 16 bytes
    caller -> server    "sg1" plane key id  HMAC-SHA256(key, nonce + plane)    3 + 1 + 8 + 32
    server -> caller    verdict                                                1

Key and key id are derived from the secret name of the FURL (extract and expand, as in RFC 5869).
Whoever listens to the preface learns neither, and TLS below pins the server's certificate, so one
who relays it gains a connection but no capability. A caller who says anything else, or nothing for
five seconds, is dropped without a word: only a whole preface has a verdict. Of a crowd at the door
the one who has waited longest is dropped first: an honest caller is through in a round trip. All
who have proved nothing cost a twentieth of a processor together, so that a flood leaves the daemon
time for those who are in. No key holds more than half of the connections, so no user keeps the
others out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GREETING = b"scatter1"
NONCE_BYTES = 16
OPENING = b"sg1"
KEY_ID_BYTES = 8
PROOF_BYTES = 32
PREFACE_BYTES = len(OPENING) + 1 + KEY_ID_BYTES + PROOF_BYTES

CONTROL = b"F"
"""The plane of Foolscap."""

DATA = b"D"
"""The plane of blocks."""

PEER = b"P"
"""The plane of blocks between two pools."""

WELCOME = b"+"
WRONG_KEY = b"-"
"""Said to a whole preface only; who is cut without it was crowded out, and may try again."""

NO_SUCH_PLANE = b"P"
FULL = b"B"

SECONDS_TO_PROVE = 5.0

MOST_UNPROVED = 512
MOST_UNPROVED_FROM_ONE = 256
"""From one address. In a flood of a thousand a second an honest caller has half a second to answer,
a quarter if he shares the address with it."""

MOST_CONNECTIONS = 200
"""That have proved a key: two a session, one for each plane, and some that are being replaced."""

MOST_OF_ONE_KEY = MOST_CONNECTIONS // 2
"""No user can take all of them."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a FURL's secret name stands for at the gate."""

    id: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str) -> Key:
        """The key of the FURL with this secret name."""
        root = hmac.digest(b"scattergather gate 1", name.encode(), hashlib.sha256)
        key_id = hmac.digest(root, b"id\x01", hashlib.sha256)[:KEY_ID_BYTES]
        return cls(key_id, hmac.digest(root, b"proof\x01", hashlib.sha256))

    def proof(self, nonce: bytes, plane: bytes) -> bytes:
        """What only a holder of this key can answer to ``nonce``."""
        return hmac.digest(self.secret, nonce + plane, hashlib.sha256)

    def preface(self, nonce: bytes, plane: bytes) -> bytes:
        """The caller's whole answer."""
        return OPENING + plane + self.id + self.proof(nonce, plane)


@dataclass(frozen=True, slots=True)
class Keyholder:
    """Who a key was given to, and the planes that it opens."""

    key: Key
    who: str
    planes: bytes


class Keys:
    """The keys that open a gate, and the live connections that each has opened."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Keyholder] = {}
        self._live: dict[bytes, set[Any]] = {}

    def add(self, name: str, who: str, planes: bytes = CONTROL + DATA) -> Key:
        """Whoever knows this secret name may come in, to these planes: by default those of a FURL.

        A key of a peer is for that plane, until it is ``spent``.
        """
        key = Key.of(name)
        self._entries[key.id] = Keyholder(key, who, planes)
        return key

    def spend(self, key_id: bytes) -> None:
        """The key opens nothing any more; what it had opened stays."""
        self._entries.pop(key_id, None)

    def revoke(self, key_id: bytes) -> int:
        """The key opens nothing any more, and what it had opened is closed; how many that were."""
        self._entries.pop(key_id, None)
        live = self._live.pop(key_id, set())
        for transport in live:
            transport.abortConnection()
        return len(live)

    def prove(self, preface: bytes, nonce: bytes) -> Keyholder | None:
        """Whose key the preface proves, if it does."""
        at = len(OPENING)
        plane, key_id = preface[at : at + 1], preface[at + 1 : at + 1 + KEY_ID_BYTES]
        entry = self._entries.get(key_id)
        # A stranger's key id costs as much time as a known one.
        key = entry.key if entry else Key(key_id, nonce)
        proved = hmac.compare_digest(key.proof(nonce, plane), preface[-PROOF_BYTES:])
        return entry if proved else None

    def opened(self, key_id: bytes, transport: Any) -> None:
        """This key has opened a connection."""
        self._live.setdefault(key_id, set()).add(transport)

    def closed(self, key_id: bytes, transport: Any) -> None:
        """A connection that this key had opened is gone."""
        self._live.get(key_id, set()).discard(transport)

    def live(self, key_id: bytes) -> int:
        """How many connections the key holds open."""
        return len(self._live.get(key_id, ()))


class Door:
    """One caller before the gate: bytes in, a verdict out. Does no I/O.

    ``hear`` returns None while more is needed, the entry and the plane when a preface is proved,
    and raises ``Stranger`` at the first byte that does not fit, or at one too many, ``WrongKey`` at
    a preface that proves nothing.
    """

    def __init__(self, keys: Keys, random: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = keys
        self._nonce = random(NONCE_BYTES)
        self._heard = b""

    def greeting(self) -> bytes:
        """What the server says first."""
        return GREETING + self._nonce

    @property
    def missing(self) -> int:
        """Bytes that the preface lacks yet; what comes behind it is not the gate's."""
        return PREFACE_BYTES - len(self._heard)

    def hear(self, data: bytes) -> tuple[Keyholder, bytes] | None:
        """Take what the caller said, at most ``missing`` bytes."""
        self._heard += data
        opening = self._heard[: len(OPENING)]
        if opening != OPENING[: len(opening)] or self.missing < 0:
            raise Stranger
        if self.missing:
            return None
        entry = self._keys.prove(self._heard, self._nonce)
        if entry is None:
            raise WrongKey
        return entry, self._heard[len(OPENING) : len(OPENING) + 1]


class Stranger(Exception):
    """A caller said what is no preface."""


class WrongKey(Stranger):
    """A caller sent a preface that proves no key of this gate."""
