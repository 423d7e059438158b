"""A host that is 50 ms away, there and back, keeps its workers busy all the same."""

from __future__ import annotations

import time

import pytest

from tests.pace import Promise
from tests.system.daemons import SEES_TESTS
from tests.system.relay import Relay

pytestmark = pytest.mark.system

ROUND_TRIP = 0.05


def nap(number: int) -> int:
    time.sleep(0.0005)
    return number


def test_the_way_to_a_host_is_measured_and_as_many_chunks_are_kept_there_as_it_takes(
    spawn, start, tmp_path
) -> None:
    relay = Relay(ROUND_TRIP / 2)
    furl = start("--directory", str(tmp_path), "--workers", "8", shim=SEES_TESTS).furl().text
    c = spawn(relay.before(furl))
    c.waitForResult()
    job = c.addJob([((number,), {}) for number in range(100_000)], nap)
    promise, ahead, round_trip = Promise(60), 0, 0.0
    while ahead <= 32 and not promise.broken():
        (host,) = c.command("status").hosts
        ahead, round_trip = max(ahead, host.queued), host.round_trip
    job.cancel()
    assert ROUND_TRIP <= round_trip < 2 * ROUND_TRIP
    assert ahead > 32, "64 are wanted, and 16 were there when nobody had measured"
    c.command("die")
    relay.close()
