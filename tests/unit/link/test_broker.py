from __future__ import annotations

import pytest

from scattergather.link.tubs import broker as b


class Transport:
    """As much of Twisted's transport as is looked at."""

    offset, _tempDataLen = 0, 0

    def __init__(self) -> None:
        self.dataBuffer = b""
        self.aborted = False

    def loseConnection(self, why: object = None) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True


@pytest.fixture
def broker() -> b.LinkBroker:
    broker = b.LinkBroker(None, {})
    broker.transport = Transport()
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
