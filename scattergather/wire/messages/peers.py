"""What a controller and its pools say of the streams between pools.

Two pools never trust each other's word: the controller tells the one what it may give to the other,
and the other what to take from it::

    taker -> controller    Want                 a chunk takes what lies elsewhere
    controller -> owner    Hand                 and controller -> taker    Await
    either -> controller   AskKey               there is no stream between us
    controller -> called   MintKey              called -> controller       KeyMinted
    controller -> caller   MeetPeer             dial it, with this key
    taker -> controller    Fetched | NotFetched     as it came out
    controller -> both     PartPeers            nothing passes between you for now
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from scattergather.wire.messages.shared import Extents, Message, ObjectIds, Sentence

PeerName = Annotated[str, msgspec.Meta(max_length=300)]
"""What the controller calls a pool; it means the same at the other pools of its session."""

Certificate = Annotated[bytes, msgspec.Meta(max_length=1 << 14)]
"""That of a pool's tub, as DER."""

Secret = Annotated[str, msgspec.Meta(min_length=32, max_length=32)]

Address = tuple[
    Annotated[str, msgspec.Meta(max_length=300)], Annotated[int, msgspec.Meta(ge=1, le=65535)]
]


class Hand(Message, frozen=True, kw_only=True):
    """That peer may have these objects, which lie here."""

    peer: PeerName
    objects: ObjectIds


class Await(Message, frozen=True, kw_only=True):
    """That peer brings these objects."""

    peer: PeerName
    objects: Extents


class AskKey(Message, frozen=True, kw_only=True):
    """Something is to pass between this pool and that peer, and there is no stream."""

    peer: PeerName


class MintKey(Message, frozen=True, kw_only=True):
    """The peer with this certificate is going to call: make a key that opens its stream, once."""

    peer: PeerName
    certificate: Certificate


class KeyMinted(Message, frozen=True, kw_only=True):
    """The key for that peer."""

    peer: PeerName
    key: Secret


class MeetPeer(Message, frozen=True, kw_only=True):
    """Call that peer at one of these addresses, with this key; its certificate is this one."""

    peer: PeerName
    addresses: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1, max_length=16)]
    certificate: Certificate
    key: Secret


class Fetched(Message, frozen=True, kw_only=True):
    """These objects have come from that peer."""

    peer: PeerName
    objects: ObjectIds


class NotFetched(Message, frozen=True, kw_only=True):
    """These objects do not come from that peer; with ``unreachable``, nothing does."""

    peer: PeerName
    objects: ObjectIds = ()
    why: Sentence = ""
    unreachable: bool = False


class PartPeers(Message, frozen=True, kw_only=True):
    """Nothing is to pass between this pool and that peer any more, until something is again."""

    peer: PeerName
