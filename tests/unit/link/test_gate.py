from __future__ import annotations

import pytest
from twisted.internet.defer import succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from scattergather.link import caller, gate
from scattergather.link.doorkeeper import Doorkeeper

NAME = "q" * 32


@pytest.fixture
def keys() -> gate.Keys:
    keys = gate.Keys()
    keys.add(NAME, "owner")
    return keys


def test_a_preface_is_taken_byte_by_byte_and_what_follows_is_not_lost(keys):
    door = gate.Door(keys, lambda size: b"n" * size)
    preface = gate.Key.of(NAME).preface(b"n" * 16, gate.CONTROL)
    assert len(preface) == gate.PREFACE_BYTES == 44
    for byte in preface[:-1]:
        assert door.hear(bytes([byte])) is None
    entry, plane, rest = door.hear(preface[-1:] + b"GET /id")
    assert (entry.who, plane, rest) == ("owner", gate.CONTROL, b"GET /id")


@pytest.mark.parametrize("said", [b"G", b"sgX", b"\x16\x03", b"\0" * 64])
def test_the_first_byte_that_does_not_fit_ends_it(keys, said):
    with pytest.raises(gate.Stranger):
        gate.Door(keys).hear(said)


def test_every_altered_bit_of_a_proof_is_noticed(keys):
    preface = gate.Key.of(NAME).preface(b"n" * 16, gate.CONTROL)
    for at in range(len(preface)):
        altered = bytearray(preface)
        altered[at] ^= 1
        with pytest.raises(gate.Stranger):
            gate.Door(keys, lambda size: b"n" * size).hear(bytes(altered))


def test_a_proof_is_good_for_one_nonce_and_one_plane(keys):
    key = gate.Key.of(NAME)
    with pytest.raises(gate.Stranger):
        gate.Door(keys, lambda size: b"m" * size).hear(key.preface(b"n" * 16, gate.CONTROL))
    as_data = key.preface(b"n" * 16, gate.CONTROL).replace(b"sg1F", b"sg1D")
    with pytest.raises(gate.Stranger):
        gate.Door(keys, lambda size: b"n" * size).hear(as_data)


def test_the_key_of_a_name_tells_nothing_of_it_and_shows_no_secret():
    key, other = gate.Key.of(NAME), gate.Key.of("r" * 32)
    assert len(key.id) == gate.KEY_ID_BYTES
    assert key.id != other.id
    assert key.secret != other.secret
    assert repr(key.secret) not in repr(key)


class Wire(StringTransport):
    """A transport in memory that notes how it was ended."""

    aborting = False

    def abortConnection(self) -> None:
        self.aborting = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getHandle(self) -> Wire:
        return self

    def setsockopt(self, *_: int) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


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


class Address:
    port = 4000

    def __init__(self, host: str) -> None:
        self.host = host


class Gate:
    """A doorkeeper without a socket."""

    def __init__(self, keys: gate.Keys) -> None:
        self.clock, self.inner = Clock(), Building()
        self.keeper = Doorkeeper(self.clock, keys)
        self.keeper.listen(self.inner)

    def call(self, host: str = "10.0.0.1"):
        protocol = self.keeper.buildProtocol(Address(host))
        wire = Wire()
        protocol.makeConnection(wire)
        return protocol, wire

    def prove(self, protocol, wire, *, name: str = NAME, more: bytes = b"") -> None:
        nonce = wire.value()[8:24]
        protocol.dataReceived(gate.Key.of(name).preface(nonce, gate.CONTROL) + more)


def test_one_who_proves_is_handed_over_with_what_he_said_in_the_same_breath(keys):
    door = Gate(keys)
    protocol, wire = door.call()
    door.prove(protocol, wire, more=b"GET ")
    protocol.dataReceived(b"/id")
    (inner,) = door.inner.built
    assert inner.got == b"GET /id"
    assert wire.value()[24:] == gate.WELCOME
    assert keys.live(gate.Key.of(NAME).id) == 1
    door.clock.advance(60)
    assert not wire.aborting
    protocol.connectionLost()
    assert inner.ended == 1
    assert keys.live(gate.Key.of(NAME).id) == door.keeper.connections == 0


def test_one_who_says_nothing_is_dropped_after_five_seconds(keys):
    door = Gate(keys)
    _, wire = door.call()
    door.clock.advance(4.9)
    assert not wire.aborting
    door.clock.advance(0.1)
    assert wire.aborting
    assert not door.inner.built
    assert door.keeper.refused == 1


def test_revoking_closes_the_door_and_what_came_through_it(keys):
    door = Gate(keys)
    protocol, wire = door.call()
    door.prove(protocol, wire)
    assert keys.revoke(gate.Key.of(NAME).id) == 1
    assert wire.aborting
    late, wire = door.call()
    door.prove(late, wire)
    assert wire.aborting


def test_the_oldest_of_a_crowd_from_one_address_makes_room(keys):
    door = Gate(keys)
    crowd = [door.call()[1] for _ in range(gate.MOST_UNPROVED_FROM_ONE + 2)]
    other = door.call("10.0.0.2")[1]
    assert [wire.aborting for wire in crowd[:3]] == [True, True, False]
    assert not other.aborting
    assert door.keeper.unproved == gate.MOST_UNPROVED_FROM_ONE + 1


def test_the_oldest_of_a_crowd_from_everywhere_makes_room(keys):
    door = Gate(keys)
    crowd = [door.call(f"10.0.1.{number}")[1] for number in range(gate.MOST_UNPROVED + 1)]
    assert [wire.aborting for wire in crowd[:2]] == [True, False]
    assert door.keeper.unproved == gate.MOST_UNPROVED


def test_each_of_those_who_wait_has_his_own_five_seconds(keys):
    door = Gate(keys)
    first = door.call()[1]
    door.clock.advance(3)
    second = door.call()[1]
    door.clock.advance(2)
    assert (first.aborting, second.aborting) == (True, False)
    door.clock.advance(3)
    assert second.aborting
    assert not door.clock.getDelayedCalls()


def test_one_key_holds_half_of_the_connections_and_no_more(keys):
    keys.add("r" * 32, "guest")
    door = Gate(keys)
    for _ in range(gate.MOST_OF_ONE_KEY):
        door.prove(*door.call())
    late, wire = door.call()
    door.prove(late, wire)
    assert wire.value()[24:] == gate.FULL
    assert wire.disconnecting
    guest, wire = door.call()
    door.prove(guest, wire, name="r" * 32)
    assert wire.value()[24:] == gate.WELCOME


def test_a_hundred_connections_are_the_most_and_those_who_are_in_stay(keys):
    door = Gate(keys)
    wires = []
    for number in range(gate.MOST_CONNECTIONS + 1):
        keys.add(f"{number:032}", f"guest {number}")
        protocol, wire = door.call()
        door.prove(protocol, wire, name=f"{number:032}")
        wires.append(wire)
    assert {wire.value()[24:] for wire in wires[:-1]} == {gate.WELCOME}
    assert wires[-1].value()[24:] == gate.FULL
    assert door.keeper.connections == gate.MOST_CONNECTIONS
    assert not any(wire.aborting or wire.disconnecting for wire in wires[:-1])


class Port:
    """A listening socket that notes whether it is read."""

    connected, disconnecting, reading = True, False, True
    numberAccepts = 100

    def stopReading(self) -> None:
        self.reading = False

    def startReading(self) -> None:
        self.reading = True


class Reactor(Clock):
    def listenTCP(self, *_: object, **__: object) -> Port:
        self.port = Port()
        self.port.getHost = lambda: Address("127.0.0.1")
        return self.port


def test_a_group_of_callers_is_heard_and_then_the_door_takes_a_breath(keys):
    reactor = Reactor()
    keeper = Doorkeeper(reactor, keys)
    keeper.open("127.0.0.1", 0)
    assert reactor.port.numberAccepts == gate.AT_ONCE
    keeper.buildProtocol(Address("10.0.0.1"))
    assert not reactor.port.reading
    reactor.port.numberAccepts += 20  # as Twisted does after a full group
    reactor.advance(gate.BREATH)
    assert reactor.port.reading
    assert reactor.port.numberAccepts == gate.AT_ONCE
    keeper.buildProtocol(Address("10.0.0.1"))
    reactor.port.disconnecting = True
    reactor.advance(gate.BREATH)
    assert not reactor.port.reading


# ---- the caller's side --------------------------------------------------------------------------


class Endpoint:
    """Connects to a wire in memory."""

    def connect(self, factory):
        self.protocol, self.wire = factory.buildProtocol(None), Wire()
        self.protocol.makeConnection(self.wire)
        return succeed(self.protocol)


@pytest.fixture
def knock():
    clock, endpoint, inner = Clock(), Endpoint(), Building()
    gated = caller.GatedEndpoint(clock, endpoint, gate.Key.of(NAME))
    outcome: list[object] = []
    gated.connect(inner).addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
    return clock, endpoint, inner, outcome


def test_the_caller_passes_the_gate_before_foolscap_is_built(knock, keys):
    _, endpoint, inner, outcome = knock
    door = gate.Door(keys)
    endpoint.protocol.dataReceived(door.greeting())
    assert not inner.built
    assert door.hear(endpoint.wire.value()) is not None
    endpoint.protocol.dataReceived(gate.WELCOME + b"HTTP/1.1 101")
    assert outcome == inner.built
    assert inner.built[0].got == b"HTTP/1.1 101"
    endpoint.protocol.connectionLost()
    assert inner.built[0].ended == 1


@pytest.mark.parametrize(
    ("heard", "error"),
    [
        ([b"SSH-2.0"], caller.NotAPool),
        ([None], caller.NotAPool),
        ([b"scatter1" + b"n" * 16, None], caller.GateClosed),
        ([b"scatter1" + b"n" * 16, b"P"], caller.PoolFull),
        ([b"scatter1" + b"n" * 16, b"B"], caller.PoolFull),
        ([b"scatter1" + b"n" * 16, b"?"], caller.NotAPool),
        ([b"scat"], caller.Silent),
        ([], caller.Silent),
    ],
)
def test_the_caller_can_tell_why_it_was_not_let_in(knock, heard, error):
    clock, endpoint, inner, outcome = knock
    for said in heard:
        if said is None:
            endpoint.protocol.connectionLost()
        else:
            endpoint.protocol.dataReceived(said)
    clock.advance(caller.SECONDS_TO_ANSWER)
    assert isinstance(outcome[0], error)
    assert endpoint.wire.aborting
    assert not inner.built
    assert not clock.getDelayedCalls()
