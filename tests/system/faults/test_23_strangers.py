"""Strangers at the door of a daemon that runs a job: they know its address and nothing more."""

from __future__ import annotations

import os
import socket
import ssl
import statistics
import time
from pathlib import Path

import psutil
import pytest

from scattergather.errors import CannotConnect
from scattergather.link.gate import gate
from scattergather.link.switchboard import Switchboard
from scattergather.link.tubs.tub import new_certificate
from scattergather.settings.furl import Furl
from tests.pace import Promise, kept
from tests.system.faults.ledger import LONG
from tests.system.faults.strangers import EVERYTHING, FLOODS, HELLO, said, strangers
from tests.system.linked import live, reactor

pytestmark = [pytest.mark.system, pytest.mark.alone]

SHARE = 0.8
"""Of the job's throughput that is kept."""

FEWEST_PAIRS, MOST_PAIRS = 5, 21
WINDOW = 1.0
"""Seconds of calm, then of attack; a pair of windows is as close as two windows can be."""

MORE_MEMORY = 10 << 20


PUSHED = """
import os
import time

def waits(number):
    time.sleep(0.002)
    return number

def computes(number):
    end = time.thread_time() + 0.002
    while time.thread_time() < end:
        pass
    return number

class Trap:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)
"""
"""Runs in the workers: they cannot import this module."""


@live
async def seconds_to_be_answered(furl: Furl) -> float:
    """What an honest client needs to dial, prove himself and have an answer; he may give up."""
    board = Switchboard(reactor, controller="honest")
    begin = reactor.seconds()
    try:
        await board.ask(furl)
        return float(reactor.seconds() - begin)
    except CannotConnect:
        return float("inf")
    finally:
        await board.stop()


def memory(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


class Stream:
    """The results of a job without end; every one is checked."""

    def __init__(self, job) -> None:
        self._results = iter(job)
        self._next = 0

    def rate(self, seconds: float) -> float:
        first, begin = self._next, time.monotonic()
        while (took := time.monotonic() - begin) < seconds:
            assert next(self._results) == self._next
            self._next += 1
        return (self._next - first) / took


KINDS = {"everything": EVERYTHING}
if LONG:
    KINDS.update((kind, (kind,)) for kind in EVERYTHING)


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("task", ["waits", "computes"] if LONG else ["computes"])
def test_a_job_goes_on_while_strangers_press(start, spawn, tmp_path, task, kinds):
    daemon = start("--workers", "2")  # as many as there are processors in the smallest machine
    furl, process = daemon.furl(), psutil.Process(daemon.process.pid)
    client = spawn(furl.text)
    client.push_code(PUSHED)
    job = client.addJob((((number,), {}) for number in range(10**8)), task)
    stream, shares, honest = Stream(job), [], []
    stream.rate(2 * WINDOW)
    before = memory(process)
    most = before
    with strangers(furl.addresses[0][1], tmp_path / "canary", kinds) as crowd:
        while len(shares) < MOST_PAIRS:
            stream.rate(WINDOW / 2)  # what has gathered since the last look, at the door too
            calm = stream.rate(WINDOW)
            crowd.go()
            shares.append(stream.rate(WINDOW) / calm)
            honest.append(seconds_to_be_answered(furl))
            most = max(most, memory(process))
            crowd.stop()
            well = statistics.median(shares) >= SHARE and statistics.median(honest) <= 1
            if well and len(shares) >= FEWEST_PAIRS:
                break
        assert kept(100 * len(shares), crowd.calls) or kinds == ("idle",)
    print(f"shares {shares}, honest {honest}, {most - before} bytes more, {crowd.calls} calls")
    assert statistics.median(shares) >= SHARE
    assert kept(statistics.median(honest), 1)
    assert most - before <= MORE_MEMORY
    assert not list(tmp_path.glob("canary*"))
    client.command("die")
    assert daemon.end() == 0


def heard(port: int, words: bytes) -> bytes:
    """What a stranger hears who says this, until he is hung up on."""
    answer, promise = b"", Promise(gate.SECONDS_TO_PROVE + 3)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as door:
        try:
            door.sendall(words)
            while data := door.recv(4096):
                answer += data
        except ConnectionError:
            pass
    assert not promise.broken()
    return answer


def a_tls_client(port: int, certificate: Path | None) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as door:
        context.wrap_socket(door)


def a_recorded_preface(furl: Furl) -> bytes:
    """What an honest client said to another nonce."""
    return gate.Key.of(furl.name).preface(b"n" * gate.NONCE_BYTES, gate.CONTROL)


def test_nothing_that_a_stranger_says_is_answered_or_loaded(start, tmp_path):
    daemon = start()
    furl, process = daemon.furl(), psutil.Process(daemon.process.pid)
    port = furl.addresses[0][1]
    canary = tmp_path / "canary"
    before = memory(process)
    words = [said(kind, str(canary)) for kind in FLOODS]
    words += [a_recorded_preface(furl), b"", b"sg1", HELLO[:1], b"\0" * (30 << 20)]
    for each in words:
        # The reset may overtake the greeting.
        answer = heard(port, each)
        assert not answer or answer[:8] == gate.GREETING, each[:50]
        assert len(answer) <= 24 or answer[24:] == gate.WRONG_KEY, each[:50]
    certificate = tmp_path / "certificate"
    certificate.write_bytes(new_certificate())
    for proof in (None, certificate):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            a_tls_client(port, proof)
    assert kept(seconds_to_be_answered(furl), 1)
    assert memory(process) - before <= MORE_MEMORY
    assert not list(tmp_path.glob("canary*"))
    assert daemon.end() == 0


class Trap:
    """Touches a file named after the process that unpickles it."""

    def __init__(self, file: Path) -> None:
        self.command = f"touch {file}.$PPID"

    def __reduce__(self):
        return os.system, (self.command,)


def test_only_a_worker_unpickles_a_task_and_only_the_client_its_result(start, spawn, tmp_path):
    daemon = start()
    client = spawn(daemon.furl().text)
    client.push_code(PUSHED)
    worker = client.submit(os.getpid).result(20)
    client.submit(str, Trap(tmp_path / "there")).result(20)
    assert [file.name for file in tmp_path.glob("there.*")] == [f"there.{worker}"]
    back = Trap(tmp_path / "back").command
    client.addJob([((back,), {})], "Trap").results()
    assert [file.name for file in tmp_path.glob("back.*")] == [f"back.{os.getpid()}"]
