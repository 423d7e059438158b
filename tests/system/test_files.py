"""Files and folders between a client, its daemons and their tasks."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scattergather import (
    BadRequest,
    CannotTransfer,
    JobFailed,
    ScatterGather,
    UnknownName,
    inside,
    spawnScatterGather,
)
from tests.pace import Promise
from tests.system.daemons import SEES_TESTS, Daemon, free_port
from tests.system.relay import Relay

pytestmark = pytest.mark.system

DATA = random.Random(7).randbytes(3_000_001)
MEGABYTE = random.Random(8).randbytes(1 << 20)
BIG = 4_000_000


class Pool:
    """A daemon that can be killed and started again, and its folder of files."""

    def __init__(self, folder: Path) -> None:
        self.data, self.scratch = folder / "data", folder / "scratch"
        self.scratch.mkdir()
        self._options = ["--directory", str(folder), "--port", str(free_port())]
        self._options += ["--scratch", str(self.scratch), "--memory", "48M", "--workers", "2"]
        self.start()

    def start(self) -> None:
        self._daemon = Daemon(*self._options, shim=SEES_TESTS)
        self.furl = self._daemon.furl().text

    def kill(self) -> None:
        self._daemon.end(signal.SIGKILL)

    def end(self) -> None:
        if self._daemon.process.returncode is None:
            self._daemon.end()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(tmp_path_factory.mktemp("pool"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    """A way that takes seconds for a large file."""
    made = Relay(speed=6_000_000)
    yield made
    made.close()


@pytest.fixture(scope="module")
def c(
    pool: Pool, relay: Relay, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ScatterGather]:
    received = tmp_path_factory.mktemp("home") / "received"
    client = spawnScatterGather([pool.furl, "local:1"], received=received)
    client.waitForResult()
    client.received = received
    yield client
    client.command("die")


@pytest.fixture
def far(c: ScatterGather) -> str:
    return next(name for name in c.hosts if name != "local")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(DATA)
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for number in range(100):
        (tmp_path / "folder" / "inner" / str(number)).write_bytes(b"x" * number)
    return tmp_path


def until(condition) -> None:
    promise = Promise(20)
    while not condition():
        assert not promise.broken()
        time.sleep(0.01)


def size_of(name: str) -> tuple[str, int]:
    time.sleep(0.05)
    return str(inside.data), (inside.data / name).stat().st_size


def sends_home(text: str, to: str) -> str:
    path = inside.data / f"{os.getpid()}.txt"
    path.write_text(text)
    return inside.send_file(path, to)


def sends_what_is_no_file() -> str:
    os.mkfifo(inside.data / "pipe")
    try:
        return inside.send_file(inside.data / "pipe")
    finally:
        os.unlink(inside.data / "pipe")


def test_what_is_sent_lies_where_the_tasks_of_each_host_find_it(
    c: ScatterGather, pool: Pool, here: Path
) -> None:
    assert c.send_file("file", to="in/") == "in/file"
    assert (pool.data / "in" / "file").read_bytes() == DATA
    c.addJob([(("in/file",), {})] * 12, size_of)
    folders = dict(c.waitForResult())
    assert len(folders) == 2
    assert str(pool.data) in folders
    assert set(folders.values()) == {len(DATA)}
    assert set(c.run_everywhere(lambda: len(os.listdir(inside.data / "in"))).values()) == {1}


def test_what_lies_on_a_host_is_fetched(c: ScatterGather, far: str, here: Path) -> None:
    for host in c.hosts:
        assert c.send_file(here / "folder", to="all", on=host) == "all"
        assert c.send_file("file", to="all/file", on=[host]) == "all/file"
        target = here / f"from {host}"
        assert c.fetch_file("all", on=host, to=target) == target
        assert (target / "file").read_bytes() == DATA
        assert len(os.listdir(target / "inner")) == 100
        assert (target / "inner" / "99").read_bytes() == b"x" * 99


def test_what_a_task_sends_lies_in_the_folder_for_that(c: ScatterGather, far: str) -> None:
    for _ in range(2):  # a task that runs again
        c.addJob([(("text", "a/made.txt"), {})] * 3, sends_home)
        assert c.waitForResult() == [str(c.received / "a" / "made.txt")] * 3
    assert (c.received / "a" / "made.txt").read_text() == "text"
    c.addJob([(("other", "a/made.txt"), {}), (("text", "../made.txt"), {})], sends_home)
    with pytest.raises(JobFailed) as failed:
        c.waitForResult()
    reasons = [str(failure.error) for failure in failed.value.failures]
    assert "'a/made.txt' already, which is not replaced" in reasons[0]
    assert "leads out by '..'" in reasons[1]
    c.addJob([((), {})], sends_what_is_no_file)
    with pytest.raises(JobFailed, match="is no file"):
        c.waitForResult()


def creates(size: int):
    file = inside.create_file()
    for _ in range(size // len(MEGABYTE)):
        file.write(MEGABYTE)
    file.write(MEGABYTE[: size % len(MEGABYTE)])
    return file


def reads(file) -> tuple[int, bytes, bytes]:
    size = sum(map(len, iter(lambda: file.read(1 << 20), b"")))
    file.seek(-9, os.SEEK_END)
    return size, file.read(5), file.read()


def keeps_it(file) -> bytes:
    sys.kept = file
    return file.read()


def reads_what_was_kept() -> str:
    try:
        return str(sys.kept.seek(0))
    except ValueError as error:
        return str(error)


def read_by(size: int) -> tuple[int, bytes, bytes]:
    end = (MEGABYTE + MEGABYTE[: size % len(MEGABYTE)])[-9:]
    return size, end[:5], end[5:]


def openings(folder: Path) -> list[str]:
    """Files without a name below it that any process has."""
    found = []
    for each in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if (link := os.readlink(each)).startswith(str(folder)):
                found.append(f"{each}: {link}")
    return found


def test_what_tasks_create_stays_on_their_host_and_outlives_them(
    c: ScatterGather, far: str, pool: Pool
) -> None:
    sizes = [9, 300_000, 80_000_000]  # the last is more than there is memory for
    refs = c.addJob([((size,), {}) for size in sizes], creates, keep=True, on=far).results()
    assert [(ref.host, ref.size) for ref in refs] == [(far, size) for size in sizes]
    for worker in c.run_everywhere(os.getpid, on=far).values():
        os.kill(worker, signal.SIGKILL)
    for host in (far, "local"):
        job = c.addJob([((ref,), {}) for ref in refs], reads, on=host)
        assert job.results() == [read_by(size) for size in sizes]
    with refs[1].get() as file:
        assert file.read() == MEGABYTE[:300_000]
    part = refs[2].part(70_000_001, 100)
    assert part.get() == MEGABYTE[70_000_001 % len(MEGABYTE) :][:100]
    assert c.addJob([((part,), {})], bytes).results() == [part.get()]
    assert c.addJob([((refs[0],), {})], keeps_it, on="local").results() == [MEGABYTE[:9]]
    job = c.addJob([((), {})], reads_what_was_kept, on="local")
    assert "closed" in job.results()[0]
    assert os.listdir(pool.scratch) == []
    del refs, part, job
    until(lambda: not openings(pool.scratch))


def test_a_file_goes_home_with_no_job_that_keeps_nothing(c: ScatterGather) -> None:
    with pytest.raises(JobFailed, match="from a job with keep=True"):
        c.addJob([((9,), {})], creates).results()


def test_what_cannot_be_done_is_said_at_once(c: ScatterGather, far: str, here: Path) -> None:
    os.mkfifo("pipe")
    os.symlink("/etc", "folder/link")
    for asked, kind, why in (
        (lambda: c.send_file("none"), CannotTransfer, "no file or folder '.*none' here"),
        (lambda: c.send_file("pipe", on=far), CannotTransfer, "'pipe' is a pipe, not a file"),
        (lambda: c.send_file("folder", on=far), CannotTransfer, "'link' is a link"),
        (lambda: c.send_file("file", "../x", on=far), CannotTransfer, "leads out by '..'"),
        (lambda: c.send_file("file", "/tmp/x", on=far), CannotTransfer, "from the root"),
        (lambda: c.send_file("file", on="gamma"), UnknownName, "gamma.*local"),
        (lambda: c.send_file(3), BadRequest, "path must be a path, not 3"),
        (lambda: c.fetch_file("none", on=far), CannotTransfer, "no file or folder 'none'"),
        (lambda: c.fetch_file("../x", on=far), CannotTransfer, "leads out by '..'"),
        (lambda: c.fetch_file("/etc/passwd", on=far), CannotTransfer, "from the root"),
        (lambda: c.fetch_file("file"), BadRequest, "on must name the host"),
        (lambda: c.fetch_file(".", on=far), BadRequest, "to=... does"),
        (lambda: inside.data, Exception, "in a running task only"),
    ):
        with pytest.raises(kind, match=why):
            asked()
    assert "passwd" not in os.listdir(here)


def test_a_large_file_outlives_interrupts_and_the_death_of_its_host(
    pool: Pool, relay: Relay, here: Path
) -> None:
    (here / "big").write_bytes(random.Random(1).randbytes(BIG))
    before = set(os.listdir(pool.data)) if pool.data.exists() else set()
    c = spawnScatterGather([relay.before(pool.furl)])
    c.waitForResult()

    def when_it_has_begun(act) -> threading.Thread:
        begun = relay.passed()

        def wait() -> None:
            until(lambda: relay.passed() > begun + BIG // 4)
            act()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    main = threading.main_thread().ident
    assert main is not None
    thread = when_it_has_begun(lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match=r"stopped sending big to .*nothing is left half"):
        c.send_file("big")
    thread.join()
    assert set(os.listdir(pool.data)) == before

    def again() -> None:
        pool.kill()
        assert set(os.listdir(pool.data)) == before
        pool.start()

    thread = when_it_has_begun(again)
    assert c.send_file("big") == "big"
    thread.join()
    assert (pool.data / "big").read_bytes() == (here / "big").read_bytes()
    c.command("die")
    pool.end()
