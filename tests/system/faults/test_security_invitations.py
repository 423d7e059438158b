"""Guests of a daemon: invited, renewed and revoked by command, whether it runs or not."""

from __future__ import annotations

import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from scattergather.link.switchboard import Switchboard
from scattergather.settings import paths
from scattergather.settings.furl import Furl
from tests.system.daemons import COMMAND, Daemon, free_port
from tests.system.linked import live, reactor
from tests.system.process_driver import eventually
from tests.unit.settings.test_invitations import a_pool

pytestmark = pytest.mark.system


def command(*words: str, code: int = 0) -> tuple[str, str]:
    """What a command prints, to stdout and to stderr."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@live
async def opens(furl: Furl) -> bool:
    board = Switchboard(reactor)
    answer = board.ask(furl)
    answer.addCallbacks(lambda _: "", lambda failure: str(failure.value))
    refused = await answer
    await board.stop()
    assert not refused or "its secret is not valid there" in refused
    return not refused


def connections(daemon: Daemon) -> int:
    """How many connections the daemon holds open."""
    held = psutil.Process(daemon.process.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in held)


def test_a_guest_is_let_in_while_the_pool_runs_and_shut_out_within_a_second(start, spawn, tmp_path):
    daemon = start("--port", str(free_port()))
    owners = daemon.furl()
    printed, said = command("invite", "anna")
    anna = Furl.parse(printed)
    assert anna.name not in said
    assert anna.tub == owners.tub
    eventually(lambda: opens(anna))
    owner, guest = spawn(owners.text), spawn(anna.text)
    assert owner.submit(abs, -1).result(20) == guest.submit(abs, -2).result(20) - 1
    eventually(lambda: connections(daemon) == 2)
    long = guest.submit(time.sleep, 600)
    eventually(long.running)
    workers = psutil.Process(daemon.process.pid).children(recursive=True)
    command("revoke", "anna")
    eventually(lambda: connections(daemon) == 1, 1)
    assert not opens(anna)
    assert owner.submit(abs, -3).result(20) == 3
    eventually(lambda: any(not worker.is_running() for worker in workers))
    assert not long.done() or long.exception() is not None
    assert command("invited")[0] == ""
    assert daemon.end() == 0
    for name in ("owner", "anna"):
        assert f"({name}, from 127.0.0.1) opened" in daemon.errors


def test_who_was_revoked_stays_out_and_who_was_invited_stays_in_after_a_restart(start, tmp_path):
    port = str(free_port())
    daemon = start("--port", port)
    owners = daemon.furl()
    anna, bob = (Furl.parse(command("invite", name)[0]) for name in ("anna", "bob"))
    command("revoke", "anna", "--port", port)
    daemon.process.kill()
    daemon.ended()
    file = tmp_path / "new" / "carl"
    assert command("invite", "carl", "--furl-file", str(file))[0] == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    carl = Furl.parse(file.read_text())
    command("revoke", "bob", "--directory", str(pool_of(port)))
    again = start("--port", port)
    assert again.furl() == owners
    assert [opens(furl) for furl in (anna, bob, carl, owners)] == [False, False, True, True]
    listed, _ = command("invited")
    assert listed.startswith("carl  since 20")
    assert carl.name not in listed


def test_a_renewed_furl_takes_the_place_of_the_old_one(start):
    daemon = start("--port", str(free_port()))
    owners = daemon.furl()
    anna = Furl.parse(command("invite", "anna")[0])
    eventually(lambda: opens(anna))
    new = Furl.parse(command("renew", "anna")[0])
    eventually(lambda: opens(new), 2)
    assert not opens(anna)
    printed, said = command("renew", "owner")
    assert printed == ""
    assert "the old FURL is dead" in said
    mine = Furl.parse((pool_of(str(owners.addresses[0][1])) / "furl").read_text())
    assert mine.name not in said
    eventually(lambda: opens(mine))
    assert not opens(owners)
    assert daemon.end() == 0
    again = start("--port", str(owners.addresses[0][1]))
    assert again.furl() == mine


def pool_of(port: str) -> Path:
    return paths.pools() / port


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["invite", "an na"], "'an na' cannot be the name of a guest"),
        (["invite", "owner"], "'owner' is who runs the pool"),
        (["invite", "anna"], "'anna' is invited already"),
        (["revoke", "bob"], "nobody called 'bob' is invited"),
        (["revoke", "owner"], "scattergather renew owner"),
        (["invited", "--port", "9"], "no pool of yours has run on this machine at port 9"),
        (["invited", "--directory", "/nowhere"], "there is no folder /nowhere"),
    ],
)
def test_a_request_that_cannot_be_met_says_what_to_do(words, sentence):
    a_pool(pool_of("4000")).invite("anna")
    assert sentence in command(*words, code=1)[1]


def test_a_pool_does_not_start_with_an_invitation_that_others_can_read(start):
    port = str(free_port())
    daemon = start("--port", port)
    daemon.furl()
    command("invite", "anna")
    assert daemon.end() == 0
    file = pool_of(port) / "invited" / "anna"
    file.chmod(0o644)
    again = start("--port", port)
    assert again.ended() == 1
    assert f"chmod 600 {file}" in again.errors
    assert "Traceback" not in again.errors
