"""``scattergather pool`` as a process of its own."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scattergather.cli.occupant import occupant
from scattergather.machine.addresses import addresses
from scattergather.settings import paths
from scattergather.settings.furl import Furl
from scattergather.settings.urls import resolve
from tests.pace import Promise
from tests.system.daemons import COMMAND, Daemon, daemons, free_port
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    with daemons() as begin:
        yield begin


def test_the_furl_is_private_and_the_same_after_a_restart(start, tmp_path):
    port = str(free_port())
    copy = tmp_path / "new" / "furl"
    daemon = start("--port", port, "--furl-file", str(copy))
    furl = daemon.furl()
    assert furl.addresses == (("127.0.0.1", int(port)),)
    kept = paths.pools() / port / "furl"
    for file in (kept, kept.with_name("key"), copy):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert kept.read_text() == copy.read_text() == furl.text + "\n"
    assert resolve([("pb://localhost:", int(port), "/all_series", 1)])[0].furl == furl.text
    assert daemon.end() == 0
    assert furl.name not in daemon.errors
    again = start("--port", port)
    assert again.furl() == furl
    assert again.end(signal.SIGINT) == 0


def test_it_ends_within_two_seconds_with_exit_code_0(start):
    daemon = start()
    daemon.furl()
    promise = Promise(2)
    assert daemon.end() == 0
    assert not promise.broken()


def test_quiet_prints_nothing_and_the_log_file_gets_the_log(start, tmp_path):
    log = tmp_path / "log"
    daemon = start("--quiet", "--log-file", str(log))
    eventually(lambda: log.exists() and "the FURL is in" in log.read_text())
    assert daemon.end() == 0
    assert "pb://" not in log.read_text()
    assert "the pool stops" in log.read_text()
    assert "the pool stops" not in daemon.errors
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_it_ends_with_its_input_where_it_is_told_to():
    command = [*COMMAND, "pool", "--workers", "1", "--end-with-stdin"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as daemon:
        try:
            daemon.stdin.write(b"a word that nobody reads\n")
            daemon.stdin.flush()
            Furl.parse(daemon.stdout.readline().decode())
            daemon.stdin.close()
            assert daemon.wait(20) == 0
        finally:
            daemon.kill()


def test_a_port_in_use_is_named_with_who_has_it(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        daemon = start("--port", str(port))
        assert daemon.ended() == 1
        assert f"port {port} of 127.0.0.1 is taken by process {os.getpid()}" in daemon.errors
        assert "Traceback" not in daemon.errors
    assert occupant(port) == ""


def test_the_same_pool_twice_is_refused_and_two_of_any_port_are_two(start):
    first = start("--port", "0")
    second = start("--port", "0")
    one, two = first.furl(), second.furl()
    assert one.tub != two.tub
    third = start("--directory", str(paths.pools() / "0"))
    assert third.ended() == 1
    assert "already runs with the folder" in third.errors


def test_a_key_that_others_can_read_is_refused(start):
    daemon = start("--port", "0")
    daemon.furl()
    assert daemon.end() == 0
    (paths.pools() / "0" / "key").chmod(0o644)
    again = start("--port", "0")
    assert again.ended() == 1
    assert "open to others (mode 0644)" in again.errors


def test_a_service_that_is_not_there_ends_it_with_its_name(start):
    daemon = start("--service", "nonsense")
    assert daemon.ended() == 1
    assert "'nonsense'" in daemon.errors
    assert daemon.process.stdout.closed


def test_an_address_of_another_machine_is_refused_and_a_wide_one_warned_about(start):
    daemon = start("--interface", "192.0.2.1")
    assert daemon.ended() == 1
    assert "cannot listen on 192.0.2.1, port 0: Cannot assign requested address." in daemon.errors
    assert "The addresses of this machine are 127.0.0.1" in daemon.errors
    wide = start("--interface", "0.0.0.0", "--advertise", "alpha.example:99")
    assert wide.furl().addresses == (("alpha.example", 99),)
    assert wide.end() == 0
    assert "for other machines, too" in wide.errors


def ping(name: str) -> str:
    asked = subprocess.run([*COMMAND, "hosts", "ping", name], capture_output=True, text=True)
    return asked.stdout


def test_the_command_that_is_named_for_a_pool_that_is_down_brings_it_back(start, tmp_path):
    """It may have had any port and any interface, and a folder of its own."""
    (*_, interface) = [each for each in addresses() if ":" not in each]
    own = str(tmp_path / "its own")
    daemon = start("--interface", interface, "--directory", own, "--memory", "1G")
    add = [*COMMAND, "hosts", "add", "beta"]
    text = daemon.furl().text
    subprocess.run(add, input=text, text=True, check=True, capture_output=True)
    assert daemon.end() == 0
    said = ping("beta")
    _, _, command = said.strip().partition("with the options that it had: ")
    name, pool, *words = shlex.split(command)
    assert (name, pool) == ("scattergather", "pool")
    assert "1G" in words
    again = start(*words)
    assert again.furl().text == text
    assert ping("beta").startswith("beta  1 worker,")


def test_ping_tells_who_answers_and_why_another_does_not(start, tmp_path):
    daemon = start("--port", "0")
    furl = daemon.furl()
    add = [*COMMAND, "hosts", "add"]
    subprocess.run([*add, "alpha"], input=furl.text, text=True, check=True, capture_output=True)
    told = subprocess.run([*COMMAND, "hosts", "ping"], capture_output=True, text=True)
    assert told.returncode == 0
    assert told.stdout.startswith("alpha  1 worker, python 3.")
    assert told.stdout.rstrip().split(", services")[0].endswith(" ms")
    gone = Furl(furl.tub, (f"tcp:127.0.0.1:{free_port()}",), furl.name)
    subprocess.run([*add, "beta"], input=gone.text, text=True, check=True, capture_output=True)
    told = subprocess.run([*COMMAND, "hosts", "ping"], capture_output=True, text=True)
    assert told.returncode == 1
    alpha, beta = told.stdout.splitlines()
    assert alpha.startswith("alpha  1 worker,")
    assert beta.startswith(f"beta   no: nothing listens at {gone.address}")
    assert furl.name not in told.stdout + told.stderr
    assert Path("/proc", str(daemon.process.pid)).exists()
