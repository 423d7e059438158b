"""The peers of one session, and what its controller says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import msgspec

from scattergather.link.peers.neighbour import Neighbour
from scattergather.link.peers.streams import PeerStreams
from scattergather.link.seams import ObjectStore
from scattergather.model.ids import ObjectId
from scattergather.wire.messages import page as messages

MOST_PEERS = 1 << 10


class Company:
    """Who a pool talks to for one session. Reactor thread only.

    Args:
        objects: those of the session.
        streams: makes the connections of this daemon.
        tell: says something to the controller.
        arrived: hears what a peer has brought.
    """

    def __init__(
        self,
        objects: ObjectStore,
        streams: PeerStreams,
        tell: Callable[[messages.OfPeersFromPool], None],
        arrived: Callable[[ObjectId], None],
    ) -> None:
        self._objects = objects
        self._streams = streams
        self._tell = tell
        self._arrived = arrived
        self._peers: dict[str, Neighbour] = {}

    def receive(self, message: messages.OfPeersToPool) -> None:
        """What the controller says.

        Raises:
            msgspec.ValidationError: it makes no sense.
        """
        peer = self._peer(message.peer)
        match message:
            case messages.Hand():
                peer.hand(message.objects)
            case messages.Await():
                peer.expect(message.objects)
            case messages.MintKey():
                peer.mint(message.certificate)
            case messages.MeetPeer():
                peer.meet(message)
            case messages.PartPeers():
                peer.part()
            case _:
                assert_never(message)

    def _peer(self, name: str) -> Neighbour:
        peer = self._peers.get(name)
        if peer is None:
            if len(self._peers) >= MOST_PEERS:
                raise msgspec.ValidationError(f"more than {MOST_PEERS:,} peers")
            peer = Neighbour(name, self._objects, self._streams, self._tell, self._arrived)
            self._peers[name] = peer
        return peer

    def close(self) -> None:
        """The session is over: its keys are worthless, its streams end."""
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()
