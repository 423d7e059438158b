"""A peer that is there and says nothing any more: noticed by us after six seconds, by the kernel
after fifteen, whatever it owes."""

from __future__ import annotations

import socket
import time

import pytest

from scattergather.link.gate.doorkeeper import USER_TIMEOUT
from scattergather.link.pulse import SILENCE_SECONDS
from tests.system.linked import Ends, live, reactor, unacknowledged, until

pytestmark = pytest.mark.system


def brokers(both: Ends) -> dict[str, object]:
    """Foolscap's connection as each of the two ends has it."""
    return {
        "daemon": next(iter(both.server._tub.brokers.values())),
        "controller": next(iter(both.links.switchboard._tub.brokers.values())),
    }


@live
async def test_both_ends_of_a_link_ask_the_kernel_to_watch_it_too(tmp_path):
    both = Ends(tmp_path)
    await both.joined()
    for end, broker in brokers(both).items():
        sock = broker.transport.socket
        for option, wanted in [
            (socket.TCP_USER_TIMEOUT, USER_TIMEOUT),
            (socket.TCP_NODELAY, 1),
        ]:
            assert sock.getsockopt(socket.IPPROTO_TCP, option) == wanted, end
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER) == 0, end
        assert (broker.keepaliveTimeout, broker.disconnectTimeout) == (None, None), end
    assert USER_TIMEOUT == 15_000
    await both.stop()


@pytest.mark.parametrize(("end", "jump"), [("daemon", 3600.0), ("controller", -3600.0)])
@live
async def test_a_peer_that_says_nothing_is_cut_off_after_six_seconds(
    tmp_path, monkeypatch, end, jump
):
    both = Ends(tmp_path)
    host, _ = await both.joined()
    (guest,) = both.server.reception.visits.values()
    # Or who is deaf would miss an answer, and hang up.
    await until(lambda: not unacknowledged(host) and not unacknowledged(guest))
    ours = brokers(both)
    deaf = ours.pop("controller" if end == "daemon" else "daemon")
    (broker,) = ours.values()
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + jump)
    # It hears no ping, so it answers none, says nothing by itself, and cuts nobody.
    deaf.transport.stopReading()
    deaf._look.cancel()
    await until(lambda: broker.disconnected, SILENCE_SECONDS + 1)
    assert broker._pulse.silent(reactor.seconds()) >= SILENCE_SECONDS
    if deaf.transport.connected:
        deaf.transport.startReading()
    await until(lambda: deaf.disconnected)
    await both.stop()
