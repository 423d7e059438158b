"""The porch and the doorkeeper, with sockets of this machine and a clock of the test's."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator

import pytest
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from scattergather.link.gate import gate, porch
from scattergather.link.gate.doorkeeper import Doorkeeper
from tests.pace import Promise
from tests.system.process_driver import eventually

NAME = "q" * 32
TCP_INFO = 11


class Wire(StringTransport):
    """Stands for Twisted's transport: it has the socket, and does as much with it as is needed."""

    def __init__(self, sock: socket.socket) -> None:
        StringTransport.__init__(self)
        self.sock = sock

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def abortConnection(self) -> None:
        self.sock.close()

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getHandle(self) -> socket.socket:
        return self.sock

    def __hash__(self) -> int:
        return id(self)


class Reactor(Clock):
    """Time, readers and transports, all by hand."""

    def __init__(self) -> None:
        Clock.__init__(self)
        self.readers: list[porch.Porch] = []
        self.guests: list[Protocol] = []

    def addReader(self, reader: porch.Porch) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: porch.Porch) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Factory) -> None:
        sock = socket.fromfd(descriptor, family, socket.SOCK_STREAM)
        assert not os.get_blocking(descriptor)
        guest = factory.buildProtocol(None)
        guest.makeConnection(Wire(sock))
        self.guests.append(guest)

    def turn(self) -> None:
        """What a real reactor does: those who are to be read, if they have something."""
        for reader in list(self.readers):
            if select.select([reader], [], [], 0)[0]:
                reader.doRead()


class Inner(Protocol):
    """Stands for Foolscap: notes what reaches it."""

    def __init__(self) -> None:
        self.got, self.ended = b"", 0

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: object = None) -> None:
        self.ended += 1


class Building(Factory):
    def __init__(self) -> None:
        self.built: list[Inner] = []

    def buildProtocol(self, addr: object) -> Inner:
        self.built.append(Inner())
        return self.built[-1]


class Caller:
    """One who calls, from an address of this machine's own network."""

    def __init__(self, house: House, host: str) -> None:
        self.house = house
        self.sock = socket.create_connection(
            ("127.0.0.1", house.port), timeout=60, source_address=(host, 0)
        )
        house.until_heard(self)
        self.nonce = self.sock.recv(24)[8:]

    def prove(self, name: str = NAME, more: bytes = b"", plane: bytes = gate.CONTROL) -> bytes:
        """The verdict."""
        self.say(gate.Key.of(name).preface(self.nonce, plane) + more)
        return self.hears()

    def say(self, words: bytes) -> None:
        self.sock.sendall(words)
        self.house.until_heard(self)

    def hears(self) -> bytes:
        try:
            return self.sock.recv(100)
        except ConnectionError:
            return b""

    @property
    def cut(self) -> bool:
        """It was ended, by a reset; the kernel may be some time in bringing that."""
        self.sock.setblocking(False)
        try:
            assert self.sock.recv(100), "ended in good order"
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        raise AssertionError("not ended, but told something")


class House:
    def __init__(self) -> None:
        self.keys, self.reactor, self.inner = gate.Keys(), Reactor(), Building()
        self.keys.add(NAME, "owner")
        self.spent = 0.0
        self.keeper = Doorkeeper(self.reactor, self.keys)
        self.porch = self.keeper.porch
        self.porch._spent = lambda: self.spent
        self.foolscap = self.keeper.listen(self.inner).result
        self.port = self.keeper.open("127.0.0.1", 0)
        self.callers: list[Caller] = []

    def call(self, host: str = "127.0.0.1") -> Caller:
        self.callers.append(Caller(self, host))
        return self.callers[-1]

    def until_heard(self, caller: Caller) -> None:
        """Turn until the caller hears something, or is cut."""
        promise = Promise(20)
        while not select.select([caller.sock], [], [], 0.001)[0]:
            self.reactor.turn()
            assert not promise.broken()

    def until_called(self, count: int) -> None:
        """So many wait to be accepted."""
        listening = self.porch._listening
        eventually(
            lambda: (
                struct.unpack_from("I", listening.getsockopt(socket.SOL_TCP, TCP_INFO, 28), 24)
                == (count,)
            )
        )


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.porch.close()
    for caller in made.callers:
        caller.sock.close()
    for guest in made.reactor.guests:
        guest.transport.sock.close()


def test_one_who_proves_is_handed_over_and_what_he_said_behind_it_is_left_to_twisted(house):
    caller = house.call()
    assert caller.prove(more=b"GET /id") == gate.WELCOME
    (guest,) = house.reactor.guests
    (inner,) = house.inner.built
    assert inner.transport is guest.transport
    assert guest.transport.sock.recv(100) == b"GET /id"
    guest.dataReceived(b"GET /id")
    assert inner.got == b"GET /id"
    assert house.keys.live(gate.Key.of(NAME).id) == house.keeper.statistics().connections == 1
    house.reactor.advance(60)
    assert not caller.cut
    guest.connectionLost()
    assert inner.ended == 1
    assert house.keys.live(gate.Key.of(NAME).id) == house.keeper.statistics().connections == 0


def test_one_who_says_nothing_is_cut_after_five_seconds(house):
    caller = house.call()
    house.reactor.advance(4.9)
    assert not caller.cut
    house.reactor.advance(0.1)
    eventually(lambda: caller.cut)
    assert not house.inner.built
    assert house.porch.statistics().refused == 1


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\0" * 100_000])
def test_one_who_says_something_else_is_cut_without_a_word(house, words):
    caller = house.call()
    caller.say(words)
    eventually(lambda: caller.cut)
    assert (house.porch.statistics().unproved, house.porch.statistics().refused) == (0, 1)


def test_one_with_a_wrong_key_is_told_so(house):
    assert house.call().prove(name="r" * 32) == gate.WRONG_KEY
    assert not house.inner.built
    assert house.porch.statistics().refused == 1


def test_one_who_hangs_up_is_forgotten(house):
    caller = house.call()
    caller.sock.close()
    while house.porch.statistics().unproved:
        house.reactor.turn()
    assert not house.porch._crowds


def test_revoking_closes_the_door_and_what_came_through_it(house):
    assert house.call().prove() == gate.WELCOME
    assert house.keys.revoke(gate.Key.of(NAME).id) == 1
    assert house.reactor.guests[0].transport.sock.fileno() == -1
    assert house.call().prove() == gate.WRONG_KEY


def test_the_plane_of_blocks_is_not_there_yet(house):
    assert house.call().prove(plane=gate.DATA) == gate.NO_SUCH_PLANE


def test_the_oldest_of_a_crowd_from_one_address_makes_room(house, monkeypatch):
    monkeypatch.setattr(gate, "MOST_UNPROVED_FROM_ONE", 4)
    crowd = [house.call() for _ in range(6)]
    other = house.call("127.0.0.2")
    eventually(lambda: crowd[0].cut)
    eventually(lambda: crowd[1].cut)
    assert not crowd[2].cut
    assert not other.cut
    assert house.porch.statistics().unproved == 5


def test_the_oldest_of_a_crowd_from_everywhere_makes_room(house, monkeypatch):
    monkeypatch.setattr(gate, "MOST_UNPROVED", 4)
    crowd = [house.call(f"127.0.1.{number}") for number in range(1, 6)]
    eventually(lambda: crowd[0].cut)
    assert not crowd[1].cut
    assert house.porch.statistics().unproved == 4


def test_who_has_answered_is_heard_before_another_takes_his_place(house, monkeypatch):
    monkeypatch.setattr(gate, "MOST_UNPROVED_FROM_ONE", 1)
    slow = house.call()
    preface = gate.Key.of(NAME).preface(slow.nonce, gate.CONTROL)
    house.reactor.readers.clear()
    with socket.create_connection(("127.0.0.1", house.port), timeout=60):
        slow.sock.sendall(preface)
        eventually(lambda: len(house.porch._poll.poll(0)) == 2)  # both are there
        house.reactor.addReader(house.porch)
        house.until_heard(slow)
    assert slow.hears() == gate.WELCOME


def test_each_of_those_who_wait_has_his_own_five_seconds(house):
    first = house.call()
    house.reactor.advance(3)
    second = house.call()
    house.reactor.advance(2)
    eventually(lambda: first.cut)
    assert not second.cut
    house.reactor.advance(3)
    eventually(lambda: second.cut)
    assert not house.reactor.getDelayedCalls()


def test_one_key_holds_half_of_the_connections_and_no_more(house, monkeypatch):
    monkeypatch.setattr(gate, "MOST_OF_ONE_KEY", 2)
    house.keys.add("r" * 32, "guest")
    verdicts = [house.call().prove() for _ in range(3)]
    assert verdicts == [gate.WELCOME, gate.WELCOME, gate.FULL]
    assert house.call().prove(name="r" * 32) == gate.WELCOME


def test_those_who_are_in_stay_when_the_house_is_full(house, monkeypatch):
    monkeypatch.setattr(gate, "MOST_CONNECTIONS", 2)
    for number in range(3):
        house.keys.add(f"{number:032}", f"guest {number}")
    callers = [house.call() for _ in range(3)]
    verdicts = [caller.prove(name=f"{number:032}") for number, caller in enumerate(callers)]
    assert verdicts == [gate.WELCOME, gate.WELCOME, gate.FULL]
    assert house.keeper.statistics().connections == 2
    assert not any(caller.cut for caller in callers[:2])


def test_a_turn_takes_a_group_and_what_a_flood_costs_is_rested_for(house):
    crowd = [socket.create_connection(("127.0.0.1", house.port)) for _ in range(porch.AT_ONCE + 5)]
    house.until_called(len(crowd))
    house.reactor.turn()
    assert house.porch.statistics().unproved == porch.AT_ONCE
    assert house.reactor.readers, "little was spent"
    monotone = iter([0.0, 2 * porch.MOST_SAVED])
    house.porch._spent = lambda: next(monotone)
    house.reactor.turn()
    assert house.porch.statistics().unproved == porch.AT_ONCE + 5
    assert not house.reactor.readers, "the reactor hears nothing of the porch now"
    house.reactor.advance(0.9 * porch.MOST_SAVED / porch.SHARE)
    assert not house.reactor.readers
    house.reactor.advance(0.3 * porch.MOST_SAVED / porch.SHARE)
    assert house.reactor.readers == [house.porch]
    for each in crowd:
        each.close()


def test_without_a_descriptor_left_the_oldest_makes_room(house, monkeypatch):
    caller = house.call()

    class Exhausted:
        def accept(self):
            raise OSError(24, "Too many open files")

    house.porch._accept(Exhausted())
    eventually(lambda: caller.cut)
    house.porch._accept(Exhausted())


def test_what_fails_on_one_caller_is_logged_and_the_next_is_heard(house, monkeypatch):
    failed = []
    monkeypatch.setattr(type(house.porch._log), "failure", lambda _, text: failed.append(text))
    monkeypatch.setattr(house.porch, "_proved", lambda *_: 1 / 0)
    caller = house.call()
    caller.sock.sendall(gate.Key.of(NAME).preface(caller.nonce, gate.CONTROL))
    while not failed:
        house.reactor.turn()
    assert house.call().nonce


def test_a_port_that_is_taken_is_named(house):
    with pytest.raises(CannotListenError) as caught:
        Doorkeeper(Reactor(), gate.Keys()).open("127.0.0.1", house.port)
    assert caught.value.port == house.port


def test_foolscap_can_close_it_and_everybody_who_waits_is_cut(house):
    caller = house.call()
    house.foolscap.stopListening()
    eventually(lambda: caller.cut)
    assert house.reactor.readers == house.reactor.getDelayedCalls() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", house.port))
    house.porch.connectionLost(None)
