from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattergather.link.stream.piece import Piece, pack
from scattergather.link.tubs import broker as b
from scattergather.link.tubs.notation import base128, piece_in, written

SESSION = b"s" * 16


class Transport:
    """As much of Twisted's transport as is looked at."""

    offset, _tempDataLen = 0, 0

    def __init__(self) -> None:
        self.dataBuffer = b""
        self.aborted = False
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self, why: object = None) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True


@pytest.fixture
def broker() -> b.LinkBroker:
    broker = b.LinkBroker(None, {})
    broker.transport = Transport()
    broker.initUnslicer()  # as Foolscap does when the negotiation is over
    return broker


@pytest.mark.parametrize(
    ("sent", "waiting", "cut"),
    [(0, 0, False), (b.MOST_UNSENT, 0, False), (b.MOST_UNSENT, 1, True), (0, 1 << 25, True)],
)
def test_a_peer_who_does_not_read_what_he_is_sent_is_cut(broker, sent, waiting, cut):
    broker.transport.dataBuffer = bytes(sent)
    broker.transport._tempDataLen = waiting
    broker.dataReceived(b"")
    assert broker.transport.aborted == cut
    assert broker.disconnected == cut


def test_what_is_too_much_never_reaches_foolscap(broker):
    broker.dataReceived(b"\x05\x88\x05\x82bogus\x01\x85x")
    assert broker.transport.aborted
    assert not broker.buffer


# ---- pieces that do not pass Foolscap's parser --------------------------------------------------


class Ear(b.LinkBroker):
    """Keeps the pieces that came; with ``by_foolscap`` its parser reads them all."""

    logReceiveErrors = False

    def __init__(self, *, by_foolscap: bool) -> None:
        b.LinkBroker.__init__(self, None, {})
        self.transport = Transport()
        self.initUnslicer()
        self.rootUnslicer.broker = self
        self.by_foolscap = by_foolscap
        self.pieces: list[Piece] = []
        self.lines[SESSION] = self.pieces.append

    def _between_objects(self) -> bool:
        return not self.by_foolscap and b.LinkBroker._between_objects(self)

    def hear(self, said: bytes, cuts: list[int]) -> Ear:
        for begin, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
            if self.transport is not None:
                self.dataReceived(said[begin:end])
        return self

    def state(self) -> dict[str, Any]:
        return {
            "pieces": self.pieces,
            "counted": self.objectCounter,
            "broken": self.connectionAbandoned or self.disconnected,
            "open": (self.inOpen, self.discardCount, self.skipBytes, len(self.receiveStack)),
        }


def said(number: int, data: bytes = b"data") -> bytes:
    return written(number, *pack(SESSION, Piece(number, 0, data)))


WORDS = st.one_of(
    st.builds(said, st.integers(0, 1 << 40), st.binary(max_size=300)),
    st.sampled_from(
        [
            *{
                "a ping": b"\x05\x8e",
                "a pong": b"\x05\x8f",
                "a call that nobody knows": b"\x01\x88\x05\x82piecx\x01\x89",
                "a piece of two strings": b"\x01\x88\x05\x82piece\x01\x82a\x01\x82b\x01\x89",
                "a piece of nothing": b"\x01\x88\x05\x82piece\x01\x89",
                "a piece that is too short": b"\x01\x88\x05\x82piece\x01\x82a\x01\x89",
                "a piece closed by another number": said(3)[:-2] + b"\x04\x89",
                "the same number in more digits": said(3)[:-2] + b"\x03\x00\x89",
                "a piece that is not closed": said(3)[:-1],
                "a piece in a list": b"\x01\x88\x04\x82list" + said(3) + b"\x01\x89",
                "an abort": b"\x01\x8a",
                "a close": b"\x01\x89",
                "digits": b"\x01\x02",
            }.values()
        ]
    ),
    st.binary(max_size=20),
)


@given(st.lists(WORDS, max_size=8), st.lists(st.floats(0, 1), max_size=8))
def test_whatever_comes_is_heard_as_foolscap_would_hear_it(words, places):
    all_of_it = b"".join(words)
    cuts = sorted(int(place * len(all_of_it)) for place in places)
    ours = Ear(by_foolscap=False).hear(all_of_it, cuts).state()
    theirs = Ear(by_foolscap=True).hear(all_of_it, cuts).state()
    if theirs["broken"]:  # what was whole before the fault may have been heard
        assert ours["broken"]
        assert ours["pieces"][: len(theirs["pieces"])] == theirs["pieces"]
    else:
        assert ours == theirs


def test_pieces_that_are_whole_never_reach_foolscap(monkeypatch):
    monkeypatch.setattr(b.broker.Broker, "handleData", None)
    ear = Ear(by_foolscap=False).hear(said(1) + said(2, b"") + said(300, bytes(10_000)), [])
    assert [piece.number for piece in ear.pieces] == [1, 2, 300]
    assert ear.objectCounter == 3


def test_one_who_is_cut_for_a_piece_is_heard_no_more():
    ear = Ear(by_foolscap=False)
    ear.lines[SESSION] = lambda piece: (ear.pieces.append(piece), ear.cut("enough"))
    ear.hear(said(1) + said(2), [])
    assert [piece.number for piece in ear.pieces] == [1]


def test_a_piece_is_not_longer_than_it_may_be():
    chunk = said(1, bytes(100))
    head, data = pack(SESSION, Piece(1, 0, bytes(100)))
    assert piece_in(chunk, 0, 136) == (head + data, len(chunk))
    assert piece_in(chunk, 0, 135) is None
    assert piece_in(chunk, 1, 136) is None
    huge = b"\x01\x88\x05\x82piece" + base128(1 << 40) + b"\x82"
    assert piece_in(huge, 0, 1 << 50) is None
