"""Records that stand by themselves are opened in one go, all others by Twisted; nothing is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL, crypto
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from scattergather.link.tubs.opener import APPLICATION, HEADER, Opener, put_before
from scattergather.link.tubs.tub import new_certificate


class Listener(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)


def context(pem: bytes) -> Any:
    made = SSL.Context(SSL.TLS_METHOD)
    made.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, pem))
    made.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, pem))
    return made


class Contexts:
    """What Twisted asks for one."""

    def __init__(self) -> None:
        self.made = context(new_certificate())

    def getContext(self) -> Any:
        return self.made


class Pair:
    """Two ends of TLS in memory; what arrives at the second goes by an opener."""

    contexts = Contexts()

    def __init__(self) -> None:
        self.one, self.two = self.end(client=True), self.end(client=False)
        put_before(self.two)
        assert isinstance(self.two.dataReceived, Opener)
        self.opened: list[bytes] = []
        self.shake()

    def end(self, *, client: bool) -> Any:
        factory = TLSMemoryBIOFactory(
            self.contexts, client, Factory.forProtocol(Listener), clock=Clock()
        )
        end = factory.buildProtocol(None)
        end.makeConnection(StringTransport())
        return end

    def sent(self, end: Any) -> bytes:
        end._aggregator.flush()
        data: bytes = end.transport.value()
        end.transport.clear()
        return data

    def shake(self) -> None:
        for _ in range(4):
            if data := self.sent(self.one):
                self.two.dataReceived(data)
            if data := self.sent(self.two):
                self.one.dataReceived(data)

    def records(self, words: list[bytes]) -> bytes:
        said = b""
        for word in words:
            self.one.write(word)
            said += self.sent(self.one)
        return said

    @property
    def heard(self) -> bytes:
        return b"".join(self.two.wrappedProtocol.heard)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def without(pair: Pair, name: str) -> None:
    """This way of Twisted's fails from now on."""
    pair.two.dataReceived._usual = None
    setattr(pair.two, name, None)


def test_a_record_by_itself_is_opened_without_twisted(pair: Pair) -> None:
    said = [pair.records([word]) for word in (b"some", b"more", bytes(16_000))]
    without(pair, "_flushReceiveBIO")
    for record in said:
        pair.two.dataReceived(record)
    assert pair.heard == b"somemore" + bytes(16_000)


@given(
    st.lists(st.binary(min_size=1, max_size=50) | st.just(bytes(20_000)), max_size=5),
    st.lists(st.floats(0, 1), max_size=8),
)
def test_however_records_are_cut_all_of_them_is_heard_at_once(
    words: list[bytes], places: list[float]
) -> None:
    pair = Pair()
    said = pair.records(words)
    cuts = sorted({int(place * len(said)) for place in places} - {0, len(said)})
    for begin, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
        if begin < end:
            pair.two.dataReceived(said[begin:end])
    assert pair.heard == b"".join(words)
    record = pair.records([b"last"])
    without(pair, "_flushReceiveBIO")
    pair.two.dataReceived(record)
    assert pair.heard == b"".join(words) + b"last", "and then the next one stands by itself"


def test_what_looks_like_a_record_inside_of_others_is_none(pair: Pair) -> None:
    said = pair.records([bytes(16_000)] * 5)
    record = len(said) // 5

    def looks_like_one(begin: int) -> int:
        """Where it would end, if it were one that ends in the third real one."""
        end = begin + HEADER + int.from_bytes(said[begin + 3 : begin + HEADER], "big")
        return end if said[begin] == APPLICATION and 2 * record < end < 3 * record else 0

    begin, end = next((at, end) for at in range(1, record) if (end := looks_like_one(at)))
    pair.two.dataReceived(said[:begin])
    assert pair.heard == b""
    pair.two.dataReceived(said[begin:end])
    assert len(pair.heard) == 2 * 16_000
    pair.two.dataReceived(said[end:])
    assert len(pair.heard) == 5 * 16_000


def test_the_end_of_tls_and_what_is_broken_are_twisteds(pair: Pair) -> None:
    pair.one.loseConnection()
    pair.two.dataReceived(pair.sent(pair.one))
    assert pair.two._lostTLSConnection
    other = Pair()
    record = bytearray(other.records([b"word"]))
    record[-1] ^= 1
    other.two.dataReceived(bytes(record))
    assert other.two._lostTLSConnection
    assert other.heard == b""


def test_one_that_is_aborted_hears_nothing_more(pair: Pair) -> None:
    record = pair.records([b"word"])
    pair.two._aborted = True
    pair.two.dataReceived(record)
    assert pair.heard == b""
