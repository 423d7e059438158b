"""Callers who passed the gate, and then say what nothing of ours says.

They know a key, or relay one who does. Past the gate stand TLS, Foolscap and our own messages.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import psutil
import pytest
from foolscap.api import RemoteException
from twisted.internet.threads import deferToThread

from scattergather.link import remote
from scattergather.link.gate import gate
from scattergather.link.host import RemoteHost
from scattergather.link.links import Links
from scattergather.link.stream import piece
from scattergather.link.switchboard import Switchboard
from scattergather.link.tubs.tub import CONNECT_SECONDS
from scattergather.settings.furl import Furl
from scattergather.wire.frame import frame
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec
from scattergather.wire.messages.shared import MOST, Blobs, Extent
from tests.pace import kept
from tests.system.faults.strangers import CANARY, HELLO
from tests.system.linked import Ear, live, reactor, until

pytestmark = pytest.mark.system

MORE_MEMORY = 10 << 20
MEGABYTE = b"m" * (1 << 20)


@pytest.fixture
def pool(start):
    """A daemon's FURL and process; it is well at the end."""
    daemon = start()
    furl, process = daemon.furl(), psutil.Process(daemon.process.pid)
    yield furl, process
    assert live(has_a_worker)(furl)
    assert daemon.end() == 0


async def has_a_worker(furl: Furl) -> bool:
    """A caller who has nothing to do with the others is answered."""
    board = Switchboard(reactor, controller="doctor")
    facts, _ = await board.ask(furl)
    await board.stop()
    return facts.workers == 1


@contextlib.asynccontextmanager
async def connected(furl: Furl) -> AsyncIterator[Any]:
    """Foolscap's connection to the pool, to be misused."""
    board = Switchboard(reactor, controller="rude")
    pool = await board.call(furl)
    try:
        yield pool.tracker.broker
    finally:
        await board.stop()


def inside(furl: Furl) -> socket.socket:
    """A plain socket that has passed the gate."""
    host, port = furl.addresses[0]
    door = socket.create_connection((host, port), timeout=60)
    nonce = door.recv(24, socket.MSG_WAITALL)[8:]
    door.sendall(gate.Key.of(furl.name).preface(nonce, gate.CONTROL))
    assert door.recv(1) == gate.WELCOME
    return door


def seconds_until_hung_up(door: socket.socket, words: bytes, every: float | None) -> float:
    """How long the pool stands one who says this; ``every`` so many seconds a byte of it."""
    begin = time.monotonic()
    with door, contextlib.suppress(ConnectionError):
        if every is None:
            door.sendall(words)
            while door.recv(4096):
                pass
        else:
            door.settimeout(every)
            for byte in words:
                door.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if not door.recv(4096):
                        break
    return time.monotonic() - begin


def test_the_negotiation_has_ten_seconds_and_four_kilobytes(pool):
    furl, process = pool
    upgrade = f"GET /id/{furl.tub} HTTP/1.1\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n"
    slow = upgrade.encode() + HELLO  # TLS begins, and never ends

    @live
    async def scenario():
        before = process.memory_info().rss
        waiting = [
            deferToThread(seconds_until_hung_up, inside(furl), words, every)
            for words, every in [(b"", None), (slow[:-30], None), (slow, 0.5), (slow[:30], 0.5)]
        ]
        took = await deferToThread(seconds_until_hung_up, inside(furl), b"\0" * 10_000, None)
        assert took < CONNECT_SECONDS / 2, "not for its time, but for its length"
        for each in waiting:
            assert kept(await each, CONNECT_SECONDS + 1.5)
        assert process.memory_info().rss - before < MORE_MEMORY

    scenario()


OPEN_CALL = b"\x05\x88\x04\x82call\x01\x81\x00\x81"
"""A call of object 0, which every broker has: who asks it needs no capability."""

IGNORED = b"\x05\x88\x05\x82bogus"
"""Foolscap knows no such message, and reads on until it ends."""

NAME_OF_300_MB = b"\x00\x00\x06\x16\x01\x82"[1:]

RUDE = {
    "a method name of 300 MB": (OPEN_CALL + NAME_OF_300_MB, MEGABYTE * 300),
    "a method name of 100 kB": (OPEN_CALL + b"\x20\x0d\x06\x82", b"m" * 100_000),
    "long integers": (IGNORED, (b"\x00\x00\x01\x85" + b"\xff" * 16384) * 600),
    "a list that is nested deep": (b"", b"\x01\x88\x04\x82list" * 9000),
    "a message without an end": (IGNORED, b"\x01\x81" * 3_000_000),
}


@pytest.mark.parametrize("words", RUDE.values(), ids=list(RUDE))
def test_what_foolscap_would_choke_on_cuts_the_connection(pool, words):
    furl, process = pool

    @live
    async def scenario():
        async with connected(furl) as broker:
            ended: list[object] = []
            broker.notifyOnDisconnect(ended.append, True)
            before = process.memory_info().rss
            cpu = sum(process.cpu_times()[:2])
            begin, body = words
            broker.transport.write(begin)
            for at in range(0, len(body), len(MEGABYTE)):
                if ended:
                    break
                broker.transport.write(body[at : at + len(MEGABYTE)])
            await until(lambda: ended, 10)
            assert process.memory_info().rss - before < MORE_MEMORY
            assert kept(sum(process.cpu_times()[:2]) - cpu, 2)

    scenario()


def poisoned(hint: Any, poison: bytes) -> Any:
    """A value of this type, with ``poison`` wherever bytes or text can be."""
    if get_origin(hint) is Annotated:
        kind, meta = get_args(hint)[:2]
        return poisoned(kind, poison[: meta.max_length])
    if get_origin(hint) is tuple:
        return (poisoned(get_args(hint)[0], poison),)
    if hint is bytes:
        return poison
    if hint is str:
        return poison.decode()
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return poisoned_message(hint, poison)
    return 1


def poisoned_message(kind: type[Any], poison: bytes) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    fields = [field.name for field in msgspec.structs.fields(kind)]
    return kind(**{name: poisoned(hints[name], poison) for name in fields})


async def joined(links: Links, furl: Furl) -> RemoteHost:
    ear = Ear()
    host = links.host(RemoteSpec(name="rude", furl=furl.text), ear)
    host.start()
    await until(lambda: "joined" in ear.heard)
    return host


def test_a_pickle_in_any_field_is_never_loaded_by_the_daemon(pool, tmp_path):
    furl, process = pool
    poison = CANARY % str(tmp_path / "canary").encode()
    kinds = get_args(messages.ToPool)
    assert len(kinds) > 5

    @live
    async def scenario():
        links = Links(reactor, controller=poison.decode())
        board = links.switchboard
        reference = await board.call(furl)
        for greeting in (
            poison,
            remote.encode(poisoned_message(remote.Greeting, poison)),
            msgspec.msgpack.encode({"protocol": poison, "version": poison}),
        ):
            with contextlib.suppress(Exception):  # refused in one way or another
                await board.in_time(reference.callRemote("hello", greeting, board.back))
        with contextlib.suppress(Exception):
            await board.in_time(reference.callRemote("goodbye", poison[:16], poison))
        for kind in kinds:
            host = await joined(links, furl)
            host.send(poisoned_message(kind, poison), poison)
            assert await has_a_worker(furl)
            host.stop()
        for number, said in ((1, b"".join(frame(poison, poison))), (1, poison), (9, poison)):
            host = await joined(links, furl)
            host._line._state.carrier.carry(host._line.session, piece.Piece(number, 0, said))
            assert await has_a_worker(furl)
            host.stop()
        await links.stop()

    scenario()
    loaders = {file.suffix for file in tmp_path.glob("canary.*")}
    assert f".{process.pid}" not in loaders
    assert not loaders


def test_a_chunk_without_its_tasks_ends_the_session_before_anything_is_made_of_their_number(pool):
    furl, process = pool
    too_large = (Extent(object=b"o" * 16, length=MOST),)

    @live
    async def scenario():
        links = Links(reactor, controller="rude")
        for count in (get_args(Blobs)[1].le, MOST):
            before, ear = process.memory_info().rss, Ear()
            host = links.host(RemoteSpec(name="rude", furl=furl.text), ear)
            host.start()
            await until(lambda ear=ear: "joined" in ear.heard)
            run = messages.Run(
                chunk=1, job=b"j" * 16, function="f", first=0, count=count, objects=too_large
            )
            host.send(run)
            await until(lambda ear=ear: ear.reasons, 10)
            assert "did not understand a message" in ear.reasons[0]
            assert process.memory_info().rss - before < MORE_MEMORY
            host.stop()
        await links.stop()

    scenario()


def test_one_who_only_relays_a_preface_is_past_the_gate_and_can_call_nothing(pool):
    furl, _ = pool

    @live
    async def scenario():
        async with connected(furl) as broker:
            asking = broker.remote_broker.callRemote("getReferenceByName", b"w" * 32)
            with pytest.raises(RemoteException):
                await asking

    scenario()
