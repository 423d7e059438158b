"""The link between a controller and a daemon: real sockets, TLS and Foolscap on loopback."""

from __future__ import annotations

import random
import socket
import ssl
import time
from contextlib import asynccontextmanager, closing

import msgspec
import pytest
from twisted.internet import threads
from twisted.internet.error import ConnectionLost

from scattergather.link import remote, visit
from scattergather.link.gate import gate
from scattergather.link.links import Links
from scattergather.link.reception import MOST_OF_ONE
from scattergather.link.tubs.tub import make_tub, new_certificate
from scattergather.settings.furl import Furl
from scattergather.wire.messages import page as messages
from tests.pace import Promise
from tests.system.linked import LONG, Ends, live, pause, reactor, run, unacknowledged, until
from tests.system.process_driver import PATIENCE

pytestmark = pytest.mark.system


@asynccontextmanager
async def ends(folder):
    both = Ends(folder)
    try:
        yield both
    finally:
        await both.stop()


@pytest.mark.pythons
@live
async def test_frames_pass_both_ways_and_stop_ends_the_session(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined(workers=3)
        for chunk in range(300):
            host.send(run(chunk), b"%d" % chunk)
        await until(lambda: len(ear.outcomes) == 300)
        assert ear.outcomes == [(chunk, b"%d" % chunk) for chunk in range(300)]
        assert ear.others == [messages.WorkersChanged(workers=3)]
        (session,) = both.pool.sessions
        assert session.workers == 3
        assert session.controller.startswith("test")
        host.stop()
        await until(lambda: session.closed)
        assert session.closed == "the controller left"
        assert not both.server.reception.visits
        assert ear.heard == ["joined"]


@live
async def test_a_host_that_is_left_while_it_joins_leaves_no_session_and_no_connection(tmp_path):
    async with ends(tmp_path) as both:
        tub, begun = both.links.switchboard._tub, 0
        for milliseconds in range(30):
            host, _ = both.host()
            host.start()
            await pause(milliseconds / 1000)
            begun += not host.statistics()
            host.stop()
            soon = Promise(1)  # a session that nobody hears of is given up after six seconds
            while both.server.reception.visits or tub.brokers or tub.tubConnectors:
                assert not soon.broken()
                await pause(0.005)
        assert begun > 3
        _, ear = await both.joined()
        assert ear.heard == ["joined"]


@live
async def test_the_time_that_a_pool_takes_to_open_a_session_is_no_way_to_it(tmp_path, monkeypatch):
    async with ends(tmp_path) as both:
        begin = both.pool.open

        def slowly(*args, **kwargs):
            time.sleep(0.5)
            return begin(*args, **kwargs)

        monkeypatch.setattr(both.pool, "open", slowly)
        _, ear = await both.joined()
        assert ear.round_trips[0] < 0.4


@live
async def test_a_body_of_20_megabytes_arrives_whole(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        body = random.Random(1).randbytes(20 << 20)
        host.send(run(1), body)
        assert unacknowledged(host) > len(body)
        await until(lambda: ear.outcomes)
        assert ear.outcomes == [(1, body)]
        await until(lambda: unacknowledged(host) == 0, 1)


@live
async def test_a_link_cut_at_any_time_loses_and_repeats_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(visit, "HUNG_UP_GRACE", LONG)
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        chance = random.Random(7)
        bodies = [chance.randbytes(chance.choice([10, 1000, 600_000])) for _ in range(120)]
        cuts = 0
        for chunk, body in enumerate(bodies):
            host.send(run(chunk), body)
            if chunk % 4 == 0:
                await pause(chance.random() * 0.02)
            if chunk % 30 == 29:
                cuts += both.cut()
                await until(lambda: host.statistics().resumed >= cuts)  # noqa: B023
        await until(lambda: len(ear.outcomes) == len(bodies))
        assert ear.outcomes == list(enumerate(bodies))
        assert ear.heard == ["joined"]
        assert len(both.pool.sessions) == 1
        assert cuts >= 3
        assert host.statistics().resumed >= 3


@live
async def test_a_daemon_that_crashed_and_came_back_is_left_and_joined_anew(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        await both.crash()
        both.serve()
        await until(lambda: ear.heard.count("joined") == 2)
        assert [word for word in ear.heard if word != "refused"] == ["joined", "left", "joined"]
        host.send(run(1), b"x")
        await until(lambda: ear.outcomes)
        assert len(both.pool.sessions) == 2


@live
async def test_a_daemon_that_is_gone_is_left_at_once_and_found_when_it_is_back(tmp_path):
    async with ends(tmp_path) as both:
        _, ear = await both.joined()
        await both.crash()
        await until(lambda: "left" in ear.heard, 2)
        assert "nothing listens" in ear.reasons[0]
        await until(lambda: ear.heard == ["joined", "left", "refused"], 2)
        await pause(1.5)
        assert ear.heard == ["joined", "left", "refused"]
        both.serve()
        await until(lambda: ear.heard[-1] == "joined", 6)


@live
async def test_a_daemon_that_stops_says_goodbye(tmp_path):
    async with ends(tmp_path) as both:
        _, ear = await both.joined()
        await both.server.stop()
        await until(lambda: "left" in ear.heard, 1)
        assert ear.reasons[0] == "the pool stops"
        assert both.pool.sessions[0].closed == "the pool stops"
        both.serve()
        await until(lambda: ear.heard[-1] == "joined", 6)


@live
async def test_a_controller_that_vanishes_has_the_grace_and_no_more(tmp_path):
    async with ends(tmp_path) as both:
        host, _ = await both.joined()
        assert len(both.server.reception.visits) == 1
        both.links.hosts.clear()
        host._redial.stop()  # as dead as a process that is gone
        both.cut()
        await pause(0.3)
        (session,) = both.pool.sessions
        assert not session.closed
        await until(lambda: session.closed, 2)
        assert session.closed == "no connection for 1.5 s (the controller hung up)"
        assert not both.server.reception.visits


@live
async def test_a_message_that_cannot_be_handled_ends_the_session_and_a_new_one_begins(tmp_path):
    async with ends(tmp_path) as both:
        host, ear = await both.joined()
        take = ear.received

        def fail_once(message, body):
            ear.received = take
            raise LookupError("a fault of ours")

        ear.received = fail_once
        host.send(run(1), b"lost")
        await until(lambda: ear.heard == ["joined", "left", "joined"])
        assert ear.reasons == ["the controller failed on a message of it; its log says how"]
        assert not ear.outcomes
        await until(lambda: both.pool.sessions[0].closed)
        host.send(run(2), b"again")
        await until(lambda: ear.outcomes == [(2, b"again")])
        host.stop()


@live
async def test_several_controllers_have_sessions_of_their_own(tmp_path):
    async with ends(tmp_path) as both:
        first, ear_1 = await both.joined()
        other = Links(reactor, controller="other")
        second, ear_2 = await both.joined(links=other)
        first.send(run(1), b"1")
        second.send(run(2), b"2")
        await until(lambda: ear_1.outcomes and ear_2.outcomes)
        assert (ear_1.outcomes, ear_2.outcomes) == ([(1, b"1")], [(2, b"2")])
        await other.stop()
        await until(lambda: both.pool.sessions[1].closed)
        assert not both.pool.sessions[0].closed


@live
async def test_a_revoked_furl_ends_what_it_had_open_and_opens_nothing_more(tmp_path):
    async with ends(tmp_path) as both:
        owner, ear = await both.joined()
        guest_links = Links(reactor, controller="guest")
        both.server.let_in("guest", "g" * 32)
        furl = altered(both.server.furl, name="g" * 32)
        _, guest_ear = await both.joined(furl, links=guest_links)
        assert [session.controller for session in both.pool.sessions] == [
            "test #1 (owner, from 127.0.0.1)",
            "guest #2 (guest, from 127.0.0.1)",
        ]
        both.server.shut_out("guest")
        await until(lambda: guest_ear.heard == ["joined", "left", "refused"], 3)
        assert "its secret is not valid there" in guest_ear.reasons[-1]
        owner.send(run(1), b"still here")
        await until(lambda: ear.outcomes)
        assert ear.heard == ["joined"]
        await guest_links.stop()


def altered(furl: Furl, **parts) -> str:
    values = {"tub": furl.tub, "hints": furl.hints, "name": furl.name, **parts}
    return Furl(**values).text


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("nobody", "nothing listens at 127.0.0.1:{port} (connection refused). Start the pool"),
        ("name", "refuses this FURL: its secret is not valid there"),
        ("tub", "is not the pool of this FURL: its identity changed (expected abcdef…)"),
        ("dns", "no machine is called 'no-such-host.invalid'"),
        ("other server", "something answers at 127.0.0.1:{port}, but it is no pool"),
    ],
)
def test_a_host_that_cannot_be_joined_is_refused_once_with_the_cure(tmp_path, fault, sentence):
    @live
    async def scenario():
        async with ends(tmp_path) as both:
            furl, port = both.server.furl, both.port
            with closing(socket.socket()) as plug:
                plug.bind(("127.0.0.1", 0))
                if fault in ("nobody", "other server"):
                    port = plug.getsockname()[1]
                    furl = Furl(furl.tub, (f"tcp:127.0.0.1:{port}",), furl.name)
                text = {
                    "name": altered(furl, name="z" * 32),
                    "tub": altered(furl, tub="abcdefghijklmnopqrstuvwxyz234567"),
                    "dns": altered(furl, hints=("tcp:no-such-host.invalid:1",)),
                }.get(fault, furl.text)
                if fault == "other server":
                    plug.listen()
                    reactor.callInThread(greet_as_something_else, plug)
                host, ear = both.host(text)
                host.start()
                await until(lambda: ear.heard, 6)
                if fault != "other server":
                    await pause(0.6)
                assert ear.heard == ["refused"]
                assert sentence.format(port=port) in ear.reasons[0]
                assert furl.name not in ear.reasons[0]
                assert not both.pool.sessions
                host.stop()

    scenario()


def greet_as_something_else(plug: socket.socket) -> None:
    client, _ = plug.accept()
    with client:
        client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@live
async def test_a_controller_of_another_protocol_is_refused_with_both_versions(tmp_path):
    async with ends(tmp_path) as both:
        greeting = {"protocol": 99, "version": "9.9", "new in 9.9": True}
        answer = both.server.reception.hello("owner", msgspec.msgpack.encode(greeting), None)
        assert isinstance(answer, remote.Refusal)
        assert "9.9 (protocol 99)" in answer.reason
        assert f"protocol {messages.PROTOCOL})" in answer.reason
        assert not both.pool.sessions


@live
async def test_ask_opens_no_session(tmp_path):
    async with ends(tmp_path) as both:
        facts, seconds = await both.links.switchboard.ask(both.server.furl)
        assert (facts.host, facts.workers) == ("echo", 2)
        assert 0 < seconds < 5
        assert not both.pool.sessions


# ---- strangers ----------------------------------------------------------------------------------


def call(port: int) -> socket.socket:
    """A connection to the gate."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def knock(port: int, said: bytes) -> bytes:
    """What a stranger hears who says this, until he is hung up on."""
    heard = b""
    with call(port) as door:
        try:
            door.sendall(said)
            while data := door.recv(4096):
                heard += data
        except ConnectionError:
            pass
    return heard


@pytest.mark.parametrize(
    "said",
    [
        b"\0" * 100_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"sg1F",
        b"sg1F" + b"k" * 40 + b"GET /id/x HTTP/1.1\r\n\r\n",
    ],
    ids=["zeros", "http", "tls", "too little", "no proof"],
)
@live
async def test_a_stranger_hears_the_greeting_and_no_more(tmp_path, said):
    async with ends(tmp_path) as both:
        at_once, in_time = Promise(gate.SECONDS_TO_PROVE / 2), Promise(gate.SECONDS_TO_PROVE + 1)
        heard = await threads.deferToThread(knock, both.port, said)
        # The reset may overtake the greeting.
        assert not heard or heard[:8] == gate.GREETING
        assert len(heard) <= 24 or (said[:5], heard[24:]) == (b"sg1Fk", gate.WRONG_KEY)
        assert not (in_time if said == b"sg1F" else at_once).broken()
        assert not both.server._tub.brokers
        facts, _ = await both.links.switchboard.ask(both.server.furl)
        assert facts.host == "echo"


@live
async def test_another_plane_is_refused_clearly_and_only_to_those_who_know_the_furl(tmp_path):
    async with ends(tmp_path) as both:

        def talk() -> bytes:
            key = gate.Key.of(both.server.furl.name)
            with call(both.port) as door:
                nonce = door.recv(24)[8:]
                door.sendall(key.preface(nonce, b"Z"))
                return door.recv(10) + door.recv(10)

        assert await threads.deferToThread(talk) == gate.NO_SUCH_PLANE


@live
async def test_a_replayed_preface_opens_nothing(tmp_path):
    async with ends(tmp_path) as both:

        def talk() -> bytes:
            key = gate.Key.of(both.server.furl.name)
            preface = key.preface(b"n" * 16, gate.CONTROL)
            with call(both.port) as door:
                door.recv(24)
                door.sendall(preface)
                try:
                    return door.recv(10)
                except ConnectionError:
                    return b""

        assert await threads.deferToThread(talk) == gate.WRONG_KEY


@live
async def test_a_crowd_of_idle_sockets_keeps_nobody_out(tmp_path):
    async with ends(tmp_path) as both:
        crowd = [call(both.port) for _ in range(400)]
        await pause(0.3)
        assert both.server.statistics().unproved <= gate.MOST_UNPROVED_FROM_ONE
        promise = Promise(gate.SECONDS_TO_PROVE / 2)
        await both.joined()
        assert not promise.broken(), "before the crowd goes"
        for each in crowd:
            each.close()


@live
async def test_a_self_signed_foolscap_peer_without_proof_never_reaches_foolscap(tmp_path):
    async with ends(tmp_path) as both:
        stranger = make_tub(new_certificate())
        stranger.startService()
        with pytest.raises(ConnectionLost):
            await both.links.switchboard.in_time(stranger.getReference(both.server.furl.text))
        assert not both.server._tub.brokers
        await stranger.stopService()


@live
async def test_a_tls_client_gets_no_handshake(tmp_path):
    async with ends(tmp_path) as both:

        def talk() -> None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with call(both.port) as door:
                context.wrap_socket(door)

        with pytest.raises((ssl.SSLError, ConnectionError)):
            await threads.deferToThread(talk)


@live
async def test_one_user_takes_half_of_the_sessions_and_no_more(tmp_path):
    async with ends(tmp_path) as both:
        await both.joined()
        (session,) = both.server.reception.visits
        mine = both.server.reception.visits[session]
        both.server.reception.visits |= {
            b"%16d" % number: mine for number in range(MOST_OF_ONE - 1)
        }
        greeting = remote.Greeting(
            protocol=messages.PROTOCOL, version="0", python="3", session=b"n" * 16
        )
        answer = both.server.reception.hello("owner", remote.encode(greeting), None)
        assert isinstance(answer, remote.Refusal)
        assert f"{MOST_OF_ONE} controllers of one FURL" in answer.reason
        both.server.reception.visits = {session: mine}


@live
async def test_a_session_of_another_user_cannot_be_resumed_or_ended(tmp_path):
    async with ends(tmp_path) as both:
        await both.joined()
        (session,) = both.server.reception.visits
        greeting = remote.Greeting(
            protocol=messages.PROTOCOL, version="0", python="3", session=session, received=0
        )
        answer = both.server.reception.hello("somebody", remote.encode(greeting), None)
        assert isinstance(answer, remote.Refusal)
        assert answer.unknown
        assert not both.pool.sessions[0].closed
