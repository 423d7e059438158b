from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet import defer
from twisted.internet.defer import succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from scattergather.link.gate import caller, gate

NAME = "q" * 32


@pytest.fixture
def keys() -> gate.Keys:
    keys = gate.Keys()
    keys.add(NAME, "owner")
    return keys


def test_a_preface_is_taken_byte_by_byte(keys):
    door = gate.Door(keys, lambda size: b"n" * size)
    preface = gate.Key.of(NAME).preface(b"n" * 16, gate.CONTROL)
    assert len(preface) == gate.PREFACE_BYTES == 44
    for left, byte in zip(range(44, 1, -1), preface, strict=False):
        assert door.missing == left
        assert door.hear(bytes([byte])) is None
    entry, plane = door.hear(preface[-1:])
    assert (entry.who, plane) == ("owner", gate.CONTROL)


@pytest.mark.parametrize("said", [b"G", b"sgX", b"\x16\x03", b"\0" * 64, b"sg1".ljust(45)])
def test_the_first_byte_that_does_not_fit_ends_it(keys, said):
    with pytest.raises(gate.Stranger) as caught:
        gate.Door(keys).hear(said)
    assert caught.type is gate.Stranger


def test_every_altered_bit_of_a_proof_is_noticed(keys):
    preface = gate.Key.of(NAME).preface(b"n" * 16, gate.CONTROL)
    for at in range(len(preface)):
        altered = bytearray(preface)
        altered[at] ^= 1
        with pytest.raises(gate.Stranger):
            gate.Door(keys, lambda size: b"n" * size).hear(bytes(altered))


def test_a_proof_is_good_for_one_nonce_and_one_plane(keys):
    key = gate.Key.of(NAME)
    with pytest.raises(gate.WrongKey):
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
        ([b"scatter1" + b"n" * 16, b"-"], caller.GateClosed),
        ([b"scatter1" + b"n" * 16, None], caller.PoolFull),
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


class Deaf:
    """An endpoint at whose far end the queue is full; calls are heard as the test says."""

    def __init__(self) -> None:
        self.calls: list[defer.Deferred[object]] = []
        self.called_off = 0

    def connect(self, _: object) -> defer.Deferred[object]:
        self.calls.append(defer.Deferred(self._called_off))
        return self.calls[-1]

    def _called_off(self, _: object) -> None:
        self.called_off += 1


@pytest.fixture
def deaf():
    clock, endpoint, outcome = Clock(), Deaf(), []
    calling = caller.GatedEndpoint(clock, endpoint, gate.Key.of(NAME)).connect(None)
    calling.addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
    return clock, endpoint, calling, outcome


@pytest.mark.parametrize("heard", range(caller.MOST_CALLS))
def test_a_call_that_is_not_heard_is_made_again_and_the_first_that_is_heard_counts(deaf, heard):
    clock, endpoint, _, outcome = deaf
    for _ in range(20):
        clock.advance(caller.AGAIN_SECONDS)
    assert len(endpoint.calls) == caller.MOST_CALLS
    endpoint.calls[heard].callback(SimpleNamespace(passed="the protocol"))
    assert outcome == ["the protocol"]
    assert endpoint.called_off == caller.MOST_CALLS - 1


def test_a_call_that_is_refused_is_not_made_again(deaf):
    clock, endpoint, _, outcome = deaf
    refused = ConnectionRefusedError()
    endpoint.calls[0].errback(refused)
    clock.advance(10)
    assert (outcome, len(endpoint.calls)) == ([refused], 1)


def test_who_gives_up_calls_off_all_calls(deaf):
    clock, endpoint, calling, outcome = deaf
    clock.advance(caller.AGAIN_SECONDS)
    calling.cancel()
    clock.advance(10)
    assert (len(endpoint.calls), endpoint.called_off) == (2, 2)
    assert isinstance(outcome[0], defer.CancelledError)
