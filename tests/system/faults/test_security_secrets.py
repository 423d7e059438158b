"""No secret is where others can read it: command lines, environments, logs, reprs, notebooks."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from scattergather.link.gate.gate import Key
from scattergather.settings import paths
from scattergather.settings.furl import Furl
from tests.conftest import MARK, left_behind
from tests.system.daemons import COMMAND, free_port

pytestmark = pytest.mark.system

NOTEBOOK = """
from scattergather import spawnScatterGather
c = spawnScatterGather({file!r})
print(c, repr(c), c._repr_html_() if hasattr(c, "_repr_html_") else "")
job = c.addJob([((n,), {{}}) for n in range(-5, 0)], abs)
job
#
print(c.waitForResult(), c.command("status"))
c
#
import os
c.submit(lambda: dict(os.environ)).result()
#
spawnScatterGather("{text}/wrong name")
#
spawnScatterGather({revoked!r}).submit(abs, -1).result(8)
#
c.command("status")
#
c.command("die")
"""
"""Cells, parted by ``#``; some of them fail, and show it."""


def guest(name: str) -> Furl:
    done = subprocess.run([*COMMAND, "invite", name], capture_output=True, text=True, check=True)
    return Furl.parse(done.stdout)


def secrets_of(*furls: Furl, key: Path) -> set[bytes]:
    """What must be nowhere: the names, the keys of the gate, each line of the private key."""
    lines = key.read_bytes().splitlines()
    private = lines[lines.index(b"-----BEGIN PRIVATE KEY-----") + 1 : -1]
    assert private
    gates = [Key.of(furl.name).secret.hex().encode() for furl in furls]
    return {*(furl.name.encode() for furl in furls), *private, *gates}


def ours() -> dict[str, tuple[bytes, bytes]]:
    """Command line and environment of every process of this test, ourselves included."""
    found = {}
    for process in (*left_behind(os.environ[MARK]), psutil.Process()):
        folder = Path("/proc", str(process.pid))
        try:
            found[f"{process.pid}"] = (
                (folder / "cmdline").read_bytes(),
                (folder / "environ").read_bytes(),
            )
        except OSError:
            continue  # it has ended
    return found


def assert_in_none(secrets: set[bytes], places: dict[str, bytes]) -> None:
    for place, held in places.items():
        for secret in secrets:
            assert secret not in held, f"a secret is in {place}"


def test_no_secret_is_in_a_process_a_log_or_a_repr_while_jobs_run(start, spawn, tmp_path):
    logs = [tmp_path / name for name in ("daemon", "remote", "embedded")]
    daemon = start("--port", str(free_port()), "--log-file", str(logs[0]))
    owners = daemon.furl()
    anna = guest("anna")
    folder = paths.pools() / str(owners.addresses[0][1])
    secrets = secrets_of(owners, anna, key=folder / "key")
    remote = spawn(owners.text, logFile=str(logs[1]))
    embedded = spawn(workers=1, logFile=str(logs[2]))
    reprs = []
    for client in (remote, embedded):
        job = client.addJob([((number,), {}) for number in range(200)], abs)
        future = client.submit(os.getpid)
        assert job.results() == list(range(200))
        assert future.result(20)
        reprs += [client, job, future, client.command("status"), client.__dict__]
        reprs.append(client.submit(dict, os.environ).result(20))
    processes = ours()
    kinds = [b"scattergather\0pool", b"scattergather.controller", b"root zygote"]
    for kind in kinds:
        assert any(kind in line for line, _ in processes.values()), kind
    assert len(processes) > 6  # two workers and two session zygotes, at least
    assert_in_none(secrets, {f"the argv of {pid}": line for pid, (line, _) in processes.items()})
    assert_in_none(secrets, {f"environ of {pid}": env for pid, (_, env) in processes.items()})
    for client in (remote, embedded):
        client.command("die")
    assert daemon.end() == 0
    assert all(log.read_bytes() for log in logs[:1])
    assert_in_none(secrets, {str(log): log.read_bytes() for log in logs if log.exists()})
    assert_in_none(secrets, {"stderr": daemon.errors.encode(), "reprs": repr(reprs).encode()})
    assert_in_none(secrets, {"furls": f"{owners} {owners!r} {anna}".encode()})


def test_no_secret_is_in_an_executed_notebook(start, tmp_path):
    daemon = start("--port", str(free_port()))
    owners = daemon.furl()
    folder = paths.pools() / str(owners.addresses[0][1])
    revoked = tmp_path / "revoked"
    revoked.write_text(Furl(owners.tub, owners.hints, "r" * 32).text)
    revoked.chmod(0o600)
    secrets = secrets_of(owners, key=folder / "key") | {b"r" * 32}
    cells = NOTEBOOK.format(
        file=str(folder / "furl"), text=f"pb://{owners.tub}", revoked=str(revoked)
    )
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in cells.split("\n#\n")]
    manager = AsyncKernelManager()
    manager.kernel_spec.argv[0] = sys.executable
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=60,
        allow_errors=True,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.owns_km = True
    written = nbformat.writes(client.execute())
    assert "[5, 4, 3, 2, 1]" in written
    assert "its secret is not valid there" in written
    assert_in_none(secrets, {"the notebook": written.encode()})
    assert daemon.end() == 0


def test_workers_and_daemon_are_kept_apart_from_the_rest_of_the_machine(start, spawn):
    """S16: no core dumps, killed first when memory runs out, a session of its own, umask 077."""
    daemon = start()
    client = spawn(daemon.furl().text)
    worker = psutil.Process(client.submit(os.getpid).result(20))
    for process in (worker, psutil.Process(daemon.process.pid)):
        assert process.rlimit(resource.RLIMIT_CORE)[0] == 0
        status = Path("/proc", str(process.pid), "status").read_text()
        assert "Umask:\t0077" in status
    assert Path("/proc", str(worker.pid), "oom_score_adj").read_text().strip() == "800"
    assert os.getsid(worker.pid) == worker.pid
    client.command("die")
    assert daemon.end() == 0
