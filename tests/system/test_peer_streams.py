"""Streams between two daemons, and who may not have one: real sockets and TLS on loopback."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import endpoints, protocol

from scattergather.link.gate import caller, gate
from scattergather.link.links import Links
from scattergather.link.peers import neighbour, streams
from scattergather.link.peers.neighbour import Neighbour
from scattergather.link.peers.streams import PeerStreams
from scattergather.link.tubs.tub import new_certificate
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from tests.stock import Stock
from tests.system.linked import Ear, Ends, live, pause, reactor, until

pytestmark = pytest.mark.system

MB = 1_000_000


class Daemon:
    """A daemon with objects, and what its controller hears of it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.stock = Stock()
        folder = folder / name
        folder.mkdir()
        self.ends = Ends(folder, self.stock)
        self.host: Any = None
        self.ear = Ear()
        self.told: list[Any] = []

    async def join(self, links: Links | None = None) -> None:
        self.host, self.ear = await self.ends.joined(links=links)

    @property
    def neighbours(self) -> list[Neighbour]:
        """Its ends of peer streams, of all sessions."""
        companies = [each._company for each in self.ends.server.reception.visits.values()]
        return [each for company in companies if company for each in company._peers.values()]

    @property
    def talking(self) -> list[Neighbour]:
        return [each for each in self.neighbours if each.courier.connected]

    @property
    def certificate(self) -> bytes:
        return PeerStreams(reactor, self.ends.identity.key_file, gate.Keys()).certificate

    def put(self, length: int, seed: int = 1) -> tuple[bytes, bytes]:
        chance = random.Random(seed)
        name, data = chance.randbytes(16), chance.randbytes(length)
        self.stock.put(name, data)
        return name, data

    def said(self, kind: type[Any]) -> list[Any]:
        """What it has said to its controller so far."""
        return [each for each in (*self.told, *self.ear.others) if isinstance(each, kind)]

    def cut_peers(self) -> int:
        """Break its peer streams, and nothing else."""
        talking = self.talking
        for each in talking:
            each.courier._road.transport.abortConnection()
        return len(talking)


class Pair:
    """Two daemons, and the controller of both; the first dials."""

    def __init__(self, folder: Path) -> None:
        self.alpha, self.beta = Daemon(folder, "alpha"), Daemon(folder, "beta")
        self.key = ""

    def pass_on(self) -> None:
        """What the controller does: it has keys made and carries them."""
        for each in (self.alpha, self.beta):
            heard, each.ear.others[:] = [*each.ear.others], []
            each.told += heard
            for message in heard:
                if isinstance(message, messages.AskKey):
                    self.mint()
                elif isinstance(message, messages.KeyMinted):
                    self.key = message.key
                    self.meet(message.key)

    def mint(self) -> None:
        self.beta.host.send(messages.MintKey(peer="alpha", certificate=self.alpha.certificate))

    def meet(self, key: str, certificate: bytes = b"") -> None:
        self.alpha.host.send(
            messages.MeetPeer(
                peer="beta",
                addresses=(("127.0.0.1", self.beta.ends.port),),
                certificate=certificate or self.beta.certificate,
                key=key,
            )
        )

    def hand(self, owner: Daemon, name: bytes, length: int, said: int | None = None) -> None:
        taker = self.beta if owner is self.alpha else self.alpha
        self.expect(taker, owner, name, length if said is None else said)
        owner.host.send(messages.Hand(peer=taker.name, objects=(name,)))

    def expect(self, taker: Daemon, owner: Daemon, name: bytes, length: int) -> None:
        extents = (Extent(object=name, length=length),)
        taker.host.send(messages.Await(peer=owner.name, objects=extents))

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        def met() -> Any:
            self.pass_on()
            return condition()

        await until(met, seconds)

    async def talk(self) -> None:
        """Something small passes: there is a stream."""
        name, data = self.alpha.put(70_000, seed=99)
        self.hand(self.alpha, name, len(data))
        await self.until(lambda: name in self.beta.stock.names)


@asynccontextmanager
async def daemons(folder: Path) -> AsyncIterator[Pair]:
    pair = Pair(folder)
    each = (pair.alpha, pair.beta)
    try:
        for daemon in each:
            await daemon.join()
        yield pair
    finally:
        for daemon in each:
            await daemon.ends.stop()
            daemon.stock.close()


@live
async def test_objects_go_both_ways_over_one_stream(tmp_path):
    async with daemons(tmp_path) as pair:
        there = [pair.alpha.put(MB, seed) for seed in range(20)]
        back = [pair.beta.put(MB, seed) for seed in range(20, 40)]
        for name, data in there:
            pair.hand(pair.alpha, name, len(data))
        for name, data in back:
            pair.hand(pair.beta, name, len(data))
        everything = {name for name, _ in (*there, *back)}
        await pair.until(lambda: pair.alpha.stock.names == pair.beta.stock.names == everything)
        assert all(pair.beta.stock.get(name) == data for name, data in there)
        assert all(pair.alpha.stock.get(name) == data for name, data in back)
        (session,) = pair.beta.ends.pool.sessions
        assert sorted(session.inputs) == sorted(name for name, _ in there)
        await pair.until(lambda: len(pair.beta.said(messages.Fetched)) == 20)
        assert (len(pair.alpha.talking), len(pair.beta.talking)) == (1, 1)
        assert not pair.beta.said(messages.NotFetched)
        await pair.until(lambda: all(each.idle for each in pair.alpha.neighbours))


@live
async def test_a_stream_that_is_cut_goes_on_where_it_was(tmp_path):
    async with daemons(tmp_path) as pair:
        name, data = pair.alpha.put(60 * MB)
        pair.hand(pair.alpha, name, len(data))
        await pair.until(lambda: pair.alpha.talking)
        cuts = 0
        while cuts < 2:
            (end,) = pair.alpha.neighbours
            seen = end.courier.traffic.sent
            await pair.until(lambda: end.courier.traffic.sent > seen + MB)  # noqa: B023
            cuts += pair.alpha.cut_peers()
        await pair.until(lambda: name in pair.beta.stock.names, 30)
        assert pair.beta.stock.get(name) == data
        (end,) = pair.alpha.neighbours
        assert end.courier.traffic.sent < len(data) + cuts * 10 * MB
        assert pair.beta.stock.log.count(("reserve", name)) == 1


@live
async def test_what_is_gone_at_the_owner_is_said_to_be_and_nothing_else_waits_for_it(tmp_path):
    async with daemons(tmp_path) as pair:
        gone, (name, data) = b"g" * 16, pair.alpha.put(MB)
        pair.hand(pair.alpha, gone, 1000)
        pair.hand(pair.alpha, name, len(data))
        await pair.until(lambda: name in pair.beta.stock.names)
        (missed,) = pair.beta.said(messages.NotFetched)
        assert (missed.objects, missed.unreachable) == ((gone,), False)


# ---- who may not have one -----------------------------------------------------------------------


async def knocks(daemon: Daemon, key: gate.Key, plane: bytes) -> str:
    """What comes of a call at a daemon's gate: how it was refused, or "in"."""
    inner = endpoints.HostnameEndpoint(reactor, "127.0.0.1", daemon.ends.port)
    talker: Any = protocol.Factory.forProtocol(protocol.Protocol)
    talker.noisy = False
    try:
        made = await caller.GatedEndpoint(reactor, inner, key, plane).connect(talker)
    except caller.PoolFull as error:
        return "no plane" if "no plane of that kind" in str(error) else str(error)
    except caller.GateClosed:
        return "GateClosed"
    made.transport.abortConnection()
    return "in"


@live
async def test_a_key_of_a_peer_opens_the_plane_of_peers_only_and_once(tmp_path):
    async with daemons(tmp_path) as pair:
        owners = gate.Key.of(pair.beta.ends.server.furl.name)
        assert await knocks(pair.beta, owners, gate.PEER) == "no plane"
        pair.mint()
        await until(lambda: pair.beta.said(messages.KeyMinted))
        (minted,) = pair.beta.said(messages.KeyMinted)
        key = gate.Key.of(minted.key)
        assert await knocks(pair.beta, key, gate.DATA) == "no plane"
        assert await knocks(pair.beta, key, gate.CONTROL) == "no plane"
        assert await knocks(pair.beta, gate.Key.of("x" * 32), gate.PEER) == "GateClosed"
        assert await knocks(pair.beta, key, gate.PEER) == "in"
        assert await knocks(pair.beta, key, gate.PEER) == "GateClosed"


@live
async def test_a_key_is_worthless_after_a_while_and_when_its_session_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "KEY_SECONDS", 0.5)
    async with daemons(tmp_path) as pair:
        pair.mint()
        await until(lambda: pair.beta.said(messages.KeyMinted))
        key = gate.Key.of(pair.beta.said(messages.KeyMinted)[0].key)
        await until(lambda: not pair.beta.ends.server._keys._entries.get(key.id), 5)
        assert await knocks(pair.beta, key, gate.PEER) == "GateClosed"
        monkeypatch.setattr(streams, "KEY_SECONDS", 60)
        pair.mint()
        await until(lambda: len(pair.beta.said(messages.KeyMinted)) == 2)
        key = gate.Key.of(pair.beta.said(messages.KeyMinted)[1].key)
        pair.beta.host.stop()
        await until(lambda: not pair.beta.ends.server.reception.visits)
        assert await knocks(pair.beta, key, gate.PEER) == "GateClosed"


@live
async def test_who_has_the_key_and_another_certificate_gets_nothing(tmp_path):
    async with daemons(tmp_path) as pair:
        name, data = pair.beta.put(MB)
        pair.beta.host.send(messages.Hand(peer="alpha", objects=(name,)))
        stranger = tmp_path / "stranger"
        stranger.write_bytes(new_certificate())
        theirs = PeerStreams(reactor, stranger, gate.Keys())
        stock = Stock()
        await until(lambda: pair.beta.said(messages.AskKey))
        pair.mint()
        await until(lambda: pair.beta.said(messages.KeyMinted))
        (minted,) = pair.beta.said(messages.KeyMinted)
        told: list[Any] = []
        thief = Neighbour("beta", stock, theirs, told.append, lambda _: None)
        thief.expect([Extent(object=name, length=len(data))])
        thief.meet(
            messages.MeetPeer(
                peer="beta",
                addresses=(("127.0.0.1", pair.beta.ends.port),),
                certificate=pair.beta.certificate,
                key=minted.key,
            )
        )
        await until(lambda: any(isinstance(each, messages.NotFetched) for each in told))
        thief.close()
        assert not stock.held
        assert not pair.beta.talking


@live
async def test_who_calls_talks_to_nobody_but_whom_it_was_told_of(tmp_path):
    async with daemons(tmp_path) as pair:
        name, data = pair.alpha.put(MB)
        pair.mint()
        await until(lambda: pair.beta.said(messages.KeyMinted))
        other = tmp_path / "other"
        other.write_bytes(new_certificate())
        anothers = PeerStreams(reactor, other, gate.Keys()).certificate
        pair.alpha.host.send(messages.Hand(peer="beta", objects=(name,)))
        pair.expect(pair.beta, pair.alpha, name, len(data))
        pair.meet(pair.beta.said(messages.KeyMinted)[0].key, certificate=anothers)
        await until(lambda: pair.alpha.said(messages.NotFetched))
        assert pair.alpha.said(messages.NotFetched)[0].unreachable
        assert not pair.beta.stock.held


@live
async def test_what_nobody_expects_is_not_taken_nor_what_has_another_length(tmp_path):
    async with daemons(tmp_path) as pair:
        unasked, (name, data) = pair.alpha.put(MB, 1)[0], pair.alpha.put(MB, 2)
        await pair.talk()
        pair.alpha.host.send(messages.Hand(peer="beta", objects=(unasked,)))
        await pause(0.3)
        assert unasked not in pair.beta.stock.names | pair.beta.stock.arriving
        pair.alpha.host.send(messages.PartPeers(peer="beta"))
        pair.hand(pair.alpha, name, len(data), said=len(data) - 1)
        await pair.until(lambda: pair.beta.said(messages.NotFetched))
        (missed,) = pair.beta.said(messages.NotFetched)
        assert "should have 999,999 bytes" in missed.why
        assert not pair.beta.stock.arriving
        assert name not in pair.beta.stock.names


@live
async def test_a_peer_is_not_told_what_else_there_is(tmp_path):
    async with daemons(tmp_path) as pair:
        secret, _ = pair.beta.put(MB)
        pair.alpha.stock.put(secret, b"x" * MB)  # it guesses that there is such a one
        await pair.talk()
        pair.alpha.host.send(messages.Hand(peer="beta", objects=(secret,)))
        await pause(0.3)
        assert pair.alpha.neighbours[0].courier.leaving == 1, "an answer would say that it is there"


@live
async def test_who_is_shut_out_loses_his_peers_within_a_second(tmp_path):
    async with daemons(tmp_path) as pair:
        await pair.talk()
        name, data = pair.alpha.put(200 * MB)
        pair.hand(pair.alpha, name, len(data))
        await pair.until(lambda: name in pair.beta.stock.arriving)
        pair.beta.ends.server.shut_out("owner")
        await until(lambda: not pair.beta.neighbours and not pair.alpha.talking, 1)
        assert not pair.beta.stock.arriving
        assert name not in pair.beta.stock.names


# ---- how long -----------------------------------------------------------------------------------


@live
async def test_an_idle_stream_ends_and_another_is_made_when_one_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbour, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(neighbour, "STALLED_SECONDS", 0.3)
    async with daemons(tmp_path) as pair:
        await pair.talk()
        await until(lambda: not pair.alpha.talking and not pair.beta.talking)
        name, data = pair.beta.put(MB)
        pair.hand(pair.beta, name, len(data))
        await pair.until(lambda: name in pair.alpha.stock.names)
        assert not pair.alpha.said(messages.NotFetched)


@live
async def test_a_stream_on_which_hardly_anything_comes_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbour, "STALLED_SECONDS", 0.5)
    async with daemons(tmp_path) as pair:
        await pair.talk()
        name = b"n" * 16
        pair.expect(pair.beta, pair.alpha, name, MB)  # and the other was not told
        await until(lambda: pair.beta.said(messages.NotFetched))
        (missed,) = pair.beta.said(messages.NotFetched)
        assert (missed.objects, missed.unreachable) == ((name,), True)
        assert "hardly anything has come" in missed.why
        await until(lambda: not pair.beta.talking)


@live
async def test_a_peer_that_does_not_come_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbour, "ASK_SECONDS", 0.5)
    async with daemons(tmp_path) as pair:
        pair.expect(pair.beta, pair.alpha, b"n" * 16, MB)
        await until(lambda: pair.beta.said(messages.NotFetched))
        (missed,) = pair.beta.said(messages.NotFetched)
        assert (missed.objects, missed.unreachable) == ((b"n" * 16,), True)


@live
async def test_of_more_streams_than_a_daemon_has_an_idle_one_makes_room_and_no_other(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(streams, "MOST_STREAMS", 1)
    async with daemons(tmp_path) as pair:
        await pair.talk()
        first = pair.beta.talking
        others = Links(reactor, controller="other")
        for each in (pair.alpha, pair.beta):
            each.told.clear()
            await each.join(others)
        name, data = pair.alpha.put(70_000, 5)
        pair.hand(pair.alpha, name, len(data))
        await pair.until(lambda: name in pair.beta.stock.names)
        assert pair.beta.talking != first
        assert len(pair.beta.talking) == 1
        await others.stop()
