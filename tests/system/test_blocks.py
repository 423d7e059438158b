"""The block stream between a controller and a daemon: real sockets and TLS on loopback."""

from __future__ import annotations

import os
import random
import socket
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from twisted.internet import endpoints, protocol, threads
from twisted.internet.ssl import PrivateCertificate

from scattergather.link import pulse, visit
from scattergather.link.blocks import carriage
from scattergather.link.blocks.block import BLOCK_BYTES, OFFER, pack
from scattergather.link.blocks.carriage import OPENING_BYTES
from scattergather.link.blocks.dialler import IDLE_SECONDS
from scattergather.link.gate import gate
from scattergather.link.tubs.tub import new_certificate
from scattergather.settings.furl import Furl
from tests.pace import Promise
from tests.stock import Stock
from tests.system.block_daemon import mirror, result_of
from tests.system.linked import LONG, Ear, Ends, live, pause, reactor, run, until
from tests.system.process_driver import PATIENCE
from tests.system.relay import Relay

pytestmark = pytest.mark.system


class Both(Ends):
    """A controller and a daemon that mirrors what it gets, and the objects of each."""

    def __init__(self, folder: Path) -> None:
        self.theirs, self.ours = Stock(), Stock()
        super().__init__(folder, self.theirs, self.ours)
        mirror(self, self.theirs)

    @property
    def landed(self) -> list[carriage.Carriage]:
        """The daemon's ends of the block streams that are open."""
        found = [each._inner for each in self.server._keeper._connected]
        return [each for each in found if isinstance(each, carriage.Carriage)]

    def cut_blocks(self) -> int:
        """Break the block streams, and nothing else."""
        landed = self.landed
        for each in landed:
            each.transport.abortConnection()
        return len(landed)

    def put(self, count: int, length: int, seed: int = 1) -> dict[bytes, bytes]:
        """New objects of the controller."""
        chance = random.Random(seed)
        objects = {chance.randbytes(16): chance.randbytes(length) for _ in range(count)}
        for name, data in objects.items():
            self.ours.put(name, data)
        return objects


@asynccontextmanager
async def ends(folder):
    both = Both(folder)
    try:
        yield both
    finally:
        await both.stop()
        both.theirs.close()
        both.ours.close()


def unsent(tcp) -> int:
    """Bytes that wait in this process for the socket."""
    return tcp._tempDataLen + len(tcp.dataBuffer) - tcp.offset


async def came_back(both: Both, ear: Ear, objects: dict[bytes, bytes]) -> None:
    await until(lambda: len(ear.results) >= len(objects), 30)
    assert sorted(ear.results) == sorted(map(result_of, objects))
    for name, data in objects.items():
        assert both.ours.get(result_of(name)) == data
    await until(lambda: not both.theirs.names)


@pytest.mark.pythons
@live
async def test_objects_go_there_and_results_come_home_over_one_connection_of_their_own(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        assert not both.landed
        objects = both.put(200, 100_000)
        host.ship(tuple(objects))
        await came_back(both, ear, objects)
        assert len(both.landed) == 1
        assert not ear.missing
        assert ear.heard == ["joined"]


@live
async def test_an_object_that_is_cut_in_the_middle_again_and_again_arrives_once_and_whole(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        objects = both.put(1, 100_000_000)
        (name,) = objects
        cuts = 0
        host.ship((name,))
        while cuts < 2:
            seen = host.traffic().sent
            await until(lambda: host.traffic().sent > seen + 1_000_000)  # noqa: B023
            if name in both.theirs.arriving:
                cuts += both.cut_blocks()
        await came_back(both, ear, objects)
        # Hardly more passes than it is long: what is under way, at each cut.
        assert host.traffic().sent < 100_000_000 + cuts * 20_000_000
        await came_back(both, ear, objects)
        assert both.theirs.log.count(("reserve", name)) == 1
        assert both.theirs.log.count(("stored", name)) == 1
        assert ear.heard == ["joined"]


@live
async def test_whatever_breaks_at_any_time_every_object_arrives_once(tmp_path, monkeypatch):
    monkeypatch.setattr(visit, "HUNG_UP_GRACE", LONG)
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        chance = random.Random(3)
        objects = {}
        for seed in range(30):
            more = both.put(4, chance.choice([70_000, 300_000, 1_500_000]), seed)
            objects |= more
            host.ship(tuple(more))
            await pause(chance.random() * 0.02)
            if seed % 5 == 4:
                both.cut_blocks()
            if seed % 15 == 14:
                both.cut()
        await came_back(both, ear, objects)
        assert ear.heard == ["joined"]


@live
async def test_a_result_is_fetched_though_the_stream_was_gone_before_it_was_offered(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        first = both.put(1, 70_000)
        host.ship(tuple(first))
        await came_back(both, ear, first)
        (broken,) = both.landed
        both.cut_blocks()
        # It is dialled again, to say once more what has arrived. Its two ends begin one by one.
        courier = host._state.dialler.courier
        await until(lambda: both.landed and both.landed != [broken] and courier.connected)
        courier.hang_up()
        await until(lambda: not both.landed)
        name = b"another argument"
        both.theirs.put(name, b"result" * 20_000)
        both.pool.sessions[0].arrived((name,))
        await until(lambda: len(ear.results) == 2)
        assert both.ours.get(result_of(name)) == b"result" * 20_000


@live
async def test_a_small_store_is_filled_bit_by_bit_and_nothing_waits_elsewhere(tmp_path):
    """Blocks that the socket has not taken: one at most, also while the other end has no room."""
    async with ends(tmp_path) as both:
        both.theirs.capacity = 3_000_000
        host, _ = await both.joined()
        session = both.pool.sessions[0]
        kept: list[bytes] = []
        session.arrived = lambda names: kept.extend(names)
        waiting = [0]
        read = both.ours.read

        def watched(name, offset, count):
            waiting.append(unsent(host._state.dialler.courier._road.transport))
            return read(name, offset, count)

        both.ours.read = watched
        objects = both.put(20, 1_000_000)
        host.ship(tuple(objects))
        done = 0
        while done < len(objects):
            await until(lambda: len(kept) > done)  # noqa: B023
            assert both.theirs.held <= both.theirs.capacity
            for name in kept[done:]:
                assert both.theirs.get(name) == objects[name]
                both.theirs.forget(name)
                done += 1
            both.server.room()
        assert both.theirs.most <= both.theirs.capacity
        assert len(waiting) > 4 * len(objects)
        assert max(waiting) <= 2 * BLOCK_BYTES


@live
async def test_what_never_fits_is_told_to_those_who_wait_for_it(tmp_path):
    async with ends(tmp_path) as both:
        both.theirs.longest = 100_000
        both.ours.longest = 50_000
        host, ear = await both.joined()
        host.ship(tuple(large := both.put(1, 200_000, 1)))
        host.ship(tuple(small := both.put(1, 70_000, 2)))
        (session,) = both.pool.sessions
        await until(lambda: session.missing and ear.missing)
        assert session.missing == [(*large, "200000 bytes are too many")]
        assert ear.missing == [(result_of(*small), "70000 bytes are too many")]
        await until(lambda: not both.theirs.names)


@live
async def test_the_end_of_a_session_ends_its_stream_and_discards_what_was_under_way(tmp_path):
    async with ends(tmp_path) as both:
        host, _ = await both.joined()
        both.theirs.capacity = 150_000_000
        host.ship(tuple(both.put(1, 100_000_000)))
        await until(lambda: both.theirs.arriving)
        host.stop()
        await until(lambda: not both.landed and not both.theirs.arriving)
        assert not both.theirs.names


@live
async def test_a_revoked_user_loses_his_stream_within_a_second(tmp_path):
    async with ends(tmp_path) as both:
        both.server.let_in("guest", "g" * 32)
        furl = both.server.furl
        host, ear = await both.joined(Furl(furl.tub, furl.hints, "g" * 32).text)
        objects = both.put(1, 70_000)
        host.ship(tuple(objects))
        await came_back(both, ear, objects)
        courier = host._state.dialler.courier
        host.ship(tuple(both.put(1, 100_000_000, 2)))
        await until(lambda: both.theirs.arriving)
        both.server.shut_out("guest")
        await until(lambda: not both.landed and not courier.connected, 1)
        assert not both.theirs.arriving


@live
async def test_an_idle_stream_is_closed_after_a_minute_and_dialled_again_when_needed(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        first, second = both.put(1, 70_000, 1), both.put(1, 70_000, 2)
        host.ship(tuple(first))
        await came_back(both, ear, first)
        idle = host._state.dialler._idle
        assert 0 < idle.getTime() - reactor.seconds() <= IDLE_SECONDS
        idle.reset(0)
        await until(lambda: not both.landed)
        await pause(0.3)
        assert not both.landed
        host.ship(tuple(second))
        await came_back(both, ear, {**first, **second})
        assert len(both.landed) == 1


# ---- a box in the middle ------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    """Five times as fast as in life."""
    monkeypatch.setattr(pulse, "SPEAK_SECONDS", 0.4)
    monkeypatch.setattr(pulse, "SILENCE_SECONDS", 1.2)


@pytest.fixture
def box():
    relay = Relay()
    yield relay
    relay.close()


@live
async def test_what_a_box_swallows_in_either_direction_comes_over_a_new_connection(
    tmp_path, impatient, box
):
    async with ends(tmp_path) as both:
        host, ear = await both.joined(box.before(both.server.furl.text))
        swallowed = set()

        def swallows(number, place, count):
            # The first one is the messages', on the way back; the second the stream's, there.
            if (number, place) not in ((0, 1), (1, 0)) or count < 500_000:
                return False
            swallowed.add(number)
            return True

        box.swallows = swallows
        objects = both.put(10, 1_000_000)
        host.ship(tuple(objects))
        host.send(run(1), bytes(1_000_000))
        await came_back(both, ear, objects)
        await until(lambda: (1, bytes(1_000_000)) in ear.outcomes, 30)
        assert swallowed == {0, 1}
        assert ear.heard == ["joined"]


@live
async def test_a_stream_that_dies_at_rest_is_found_dead_before_it_is_needed(
    tmp_path, impatient, box
):
    async with ends(tmp_path) as both:
        host, ear = await both.joined(box.before(both.server.furl.text))
        objects = both.put(1, 1_000)
        host.ship(tuple(objects))
        await came_back(both, ear, objects)
        box.swallows = lambda number, _place, _count: number == 1
        (dead,) = both.landed
        await until(lambda: dead not in both.landed)
        objects = both.put(1, 1_000, seed=2)
        host.ship(tuple(objects))
        ear.results.clear()
        await came_back(both, ear, objects)


@live
async def test_a_slow_way_carries_objects_and_messages_without_a_break(tmp_path, impatient):
    box = Relay(speed=150_000)  # as 30 kB/s with the patience of life
    async with ends(tmp_path) as both:
        host, ear = await both.joined(box.before(both.server.furl.text))
        objects = both.put(1, 200_000)
        host.ship(tuple(objects))
        host.send(run(1), bytes(300_000))
        await came_back(both, ear, objects)
        await until(lambda: (1, bytes(300_000)) in ear.outcomes, 30)
        assert box.connections <= 4, "it is cut again and again"
        assert ear.heard == ["joined"]
    box.close()


# ---- those who do not belong --------------------------------------------------------------------


TLS_ALERT = b"\x15"


def through_the_gate(furl: Furl) -> socket.socket:
    """A connection that has passed the gate, on the plane of blocks."""
    door = socket.create_connection(furl.addresses[0], timeout=PATIENCE)
    nonce = door.recv(24, socket.MSG_WAITALL)[8:]
    door.sendall(gate.Key.of(furl.name).preface(nonce, gate.DATA))
    assert door.recv(1) == gate.WELCOME
    return door


def encrypted(door: socket.socket) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(door)


def heard_of(door: socket.socket, said: bytes) -> bytes:
    """What is answered, until the end of the connection."""
    heard = b""
    with door:
        try:
            if said:
                door.sendall(said)
            while data := door.recv(1000):
                heard += data
        except (ConnectionError, ssl.SSLError):
            pass
    return heard


@pytest.mark.parametrize("said", ["other ticket", "other session", "short", "silent", "no tls"])
@live
async def test_who_has_no_ticket_is_dropped_and_nothing_is_allocated(tmp_path, said):
    async with ends(tmp_path) as both:
        await both.joined()
        (guest,) = both.server.reception.visits.values()
        session, ticket = guest.id, guest.ticket
        offer = pack(OFFER, 1, 1000, b"o" * 16)
        words = {
            "other ticket": session + bytes(32) + offer,
            "other session": bytes(16) + ticket + offer,
            "short": session + ticket[:-1],
            "silent": b"",
            "no tls": session + ticket + offer,
        }[said]
        waits = carriage.SECONDS_TO_OPEN if said in ("short", "silent") else 0.0
        promise = Promise(waits + 1.5)
        door = await threads.deferToThread(through_the_gate, both.server.furl)
        if said != "no tls":
            door = await threads.deferToThread(encrypted, door)
        heard = await threads.deferToThread(heard_of, door, words)
        assert heard[:1] in (b"", TLS_ALERT)
        assert not promise.broken()
        await until(lambda: not both.landed)
        assert guest._courier is None
        assert not both.theirs.log


class Impostor(protocol.Protocol):
    """Between a controller and a daemon: relays the gate, then plays the daemon itself."""

    def __init__(self, port: int, heard: list[bytes], played: list[Impostor]) -> None:
        self.port, self.heard, self.played, self.behind = port, heard, played, None

    def connectionMade(self):
        impostor = self

        class Behind(protocol.Protocol):
            def connectionMade(self):
                impostor.behind = self.transport

            def dataReceived(self, data):
                impostor.transport.write(data)
                if data == gate.WELCOME:
                    own = PrivateCertificate.loadPEM(new_certificate())
                    impostor.transport.startTLS(own.options())
                    impostor.behind = None
                    impostor.played.append(impostor)

        endpoint = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        endpoints.connectProtocol(endpoint, Behind())

    def dataReceived(self, data):
        if self.behind is not None:
            self.behind.write(data)
        else:
            self.heard.append(data)


@live
async def test_who_relays_the_gate_sees_no_ticket_and_opens_nothing(tmp_path):
    async with ends(tmp_path) as both:
        host, _ = await both.joined()
        heard: list[bytes] = []
        met: list[Impostor] = []
        factory = protocol.Factory.forProtocol(lambda: Impostor(both.port, heard, met))
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        furl = both.server.furl
        told: list[str] = []
        host._state.dialler._trouble = told.append
        host._state.dialler._furl = Furl(
            furl.tub, (f"tcp:127.0.0.1:{port.getHost().port}",), furl.name
        )
        host.ship(tuple(both.put(1, 70_000)))
        await until(lambda: bool(told), 8)
        assert "what answers there is not the pool that the FURL names" in told[0]
        assert len(met) >= 3
        assert not heard
        assert not host._state.dialler.courier.connected
        assert not both.theirs.log
        await port.stopListening()


@live
async def test_a_ticket_dies_with_its_session(tmp_path):
    async with ends(tmp_path) as both:
        host, _ = await both.joined()
        (guest,) = both.server.reception.visits.values()
        opening = guest.id + guest.ticket
        assert len(opening) == OPENING_BYTES
        host.stop()
        await until(lambda: not both.server.reception.visits)
        door = await threads.deferToThread(through_the_gate, both.server.furl)
        door = await threads.deferToThread(encrypted, door)
        assert await threads.deferToThread(heard_of, door, opening) == b""


@live
async def test_a_second_stream_of_a_session_takes_the_place_of_the_first(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        objects = both.put(1, 70_000)
        host.ship(tuple(objects))
        await came_back(both, ear, objects)
        (guest,) = both.server.reception.visits.values()
        first = both.landed
        door = await threads.deferToThread(through_the_gate, both.server.furl)
        door = await threads.deferToThread(encrypted, door)
        door.sendall(guest.id + guest.ticket)
        assert await threads.deferToThread(door.recv, 1) == carriage.WELCOME
        await until(lambda: first[0] not in both.landed)
        assert len(both.landed) == 1
        door.close()


@live
async def test_who_never_reads_the_answers_is_cut(tmp_path):
    async with ends(tmp_path) as both:
        await both.joined()
        (guest,) = both.server.reception.visits.values()
        both.theirs.put(b"h" * 16, b"here")
        both.pool.sessions[0].arrived = lambda names: None

        def flood() -> None:
            with encrypted(through_the_gate(both.server.furl)) as door:
                door.settimeout(60)
                door.sendall(guest.id + guest.ticket)
                for first in range(1, 1_000_000, 1000):
                    numbers = range(first, first + 1000)
                    door.sendall(b"".join(pack(OFFER, each, 4, b"h" * 16) for each in numbers))

        most, flooding = 0, threads.deferToThread(flood)
        while not flooding.called:
            most = max([most, *(unsent(each.transport) for each in both.landed)])
            await pause(0.01)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await flooding
        assert 0 < most < 4 * carriage.MOST_UNSENT
        await until(lambda: not both.landed)
        assert len(both.server.reception.visits) == 1


# ---- two processes ------------------------------------------------------------------------------


@live
async def test_between_two_processes(tmp_path):
    command = [sys.executable, "-m", "tests.system.block_daemon", str(tmp_path / "daemon")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as daemon:
        try:
            furl = await threads.deferToThread(daemon.stdout.readline)
            async with ends(tmp_path) as both:
                # First: on a busy machine it takes seconds, in which this thread hears nobody.
                objects = both.put(100, 1_000_000, 4) | both.put(1, 60_000_000, 5)
                host, ear = await both.joined(furl)
                host.ship(tuple(objects))
                await until(lambda: len(ear.results) == len(objects), 30)
                for name, data in objects.items():
                    assert both.ours.get(result_of(name)) == data
                assert os.getpid() != daemon.pid
                host.send(run(1), b"still there")
                await until(lambda: (1, b"still there") in ear.outcomes)
        finally:
            daemon.stdin.close()
            daemon.wait(PATIENCE)
