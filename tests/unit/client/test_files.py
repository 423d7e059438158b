"""Files between client and host, with the host's real half behind the client's real half."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from scattergather.client.files import receiving
from scattergather.client.files import transfer as transfers
from scattergather.client.files.calls import FileCalls
from scattergather.client.files.fetching import Fetching
from scattergather.client.files.lane import BLOCK, Lane
from scattergather.client.files.receiving import Receiving
from scattergather.client.files.sending import Sending, Source
from scattergather.errors import CannotTransfer
from scattergather.model.outcome import Kind
from scattergather.store.beneath import Barred
from scattergather.wire.messages import files as wire
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined
from scattergather.wire.values.payload import loads
from scattergather.wire.values.raised import unpack_exception
from scattergather.workers.daemon import files as daemon_files
from scattergather.workers.daemon.files import KEPT_SECONDS, HostFiles
from tests.pace import Promise

DATA = random.Random(1).randbytes(5 * BLOCK + 77)


class _Life:
    ended = False

    def check_alive(self) -> None:
        assert not self.ended


class Host:
    """A host's files, which answers at once; implements what ``FileCalls`` needs of an outbox.

    ``away`` says of each request, by its number, if the session is lost before it is served, and
    ``forged`` what is answered instead of the host's own answer.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = Clock()
        self.folder = folder
        self._options = options
        self.session = 1
        self.asked: list[wire.FileRequest] = []
        self.taken: list[tuple[messages.FileTaken, bytes]] = []
        self.away: Callable[[int], bool] = lambda _: False
        self.restarts = False
        self.forged: Callable[[wire.FileRequest], tuple[Any, bytes] | None] = lambda _: None
        self.lags = False
        self._waiting: deque[tuple[Any, bytes]] = deque()
        self.calls = FileCalls(self, _Life())  # type: ignore[arg-type]
        self.restart()

    def restart(self) -> None:
        self.files = HostFiles(self.clock, self.folder, **self._options)  # type: ignore[arg-type]

    def send(self, message: Any, *body: Any) -> None:
        if isinstance(message, messages.FileTaken):
            self.taken.append((message, b"".join(body)))
            return
        # Through bytes, as it would go.
        message = messages.read_to_controller(messages.encode(message))
        self._waiting.append((message, b"".join(map(bytes, body))))
        self.asked.append(message.request)
        if not self.lags:
            self.serve()

    def wait(self) -> None:
        """A lane waits for an answer: everything that is under way was asked before."""
        while self._waiting:
            self.serve()

    def serve(self) -> None:
        message, body = self._waiting.popleft()
        number = len(self.asked) - len(self._waiting) - 1
        reply: Any
        if self.away(number):
            self.files.left(self.session, keep=True)
            self.session += 1
            if self.restarts:
                self.files.close()
                self.restart()
            reply, data = wire.HostAway(why="it was lost"), b""
            for other, _ in self._waiting:
                self.calls.answered(messages.HostAnswer(call=other.call, reply=reply), b"")
            self._waiting.clear()
        else:
            reply, data = self.forged(message.request) or self.files.serve(
                self.session, message.request, body
            )
        told = messages.read_to_client(
            messages.encode(messages.HostAnswer(call=message.call, reply=reply))
        )
        self.calls.answered(told, data)

    def lane(self) -> Lane:
        return Lane(self.calls, "alpha", lambda: False, _Waiting(self))  # type: ignore[arg-type]


class _Waiting:
    """A bell: whoever waits lets the host answer."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def wait(self, ready: Callable[[], object], timeout: float | None = None) -> bool:
        if not ready():
            self._host.wait()
        return bool(ready())

    def ring(self) -> None:
        pass


class Progress:
    """What a transfer is told; it goes on at once when the host was away."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def count(self, size: int) -> None:
        self.done += size


@pytest.fixture(params=["at once", "when they are waited for"])
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    """It answers requests one by one, or many together."""
    made = Host(tmp_path / "host")
    made.lags = request.param != "at once"
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    (made / "folder" / "inner").mkdir(parents=True)
    (made / "file").write_bytes(DATA)
    for name in ("folder/one", "folder/inner/two", "folder/inner/empty"):
        (made / name).write_bytes(b"" if "empty" in name else name.encode())
    return made


def patiently(step: Callable[[], None]) -> None:
    while True:
        try:
            return step()
        except transfers.Away:
            pass


def send(host: Host, path: Path, to: bytes) -> Progress:
    progress = Progress()
    sending = Sending(Source(str(path)), to, host.lane(), progress)  # type: ignore[arg-type]
    patiently(sending.step)
    return progress


def fetch(host: Host, path: bytes, target: Path) -> Progress:
    progress = Progress()
    lane = host.lane()
    fetching = Fetching(path, str(target), lane, progress)  # type: ignore[arg-type]
    try:
        patiently(fetching.step)
    finally:
        fetching.stop()
    return progress


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def until(condition: Callable[[], bool]) -> None:
    promise = Promise(10)
    while not condition():
        assert not promise.broken()
        time.sleep(0.001)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_goes_and_comes_back_as_it_was(host: Host, home: Path) -> None:
    before = open_descriptors()
    assert send(host, home / "file", b"there/copy").done == len(DATA)
    assert (host.folder / "there" / "copy").read_bytes() == DATA
    progress = fetch(host, b"there/copy", home / "back")
    assert progress.done == progress.total == len(DATA)
    assert (home / "back").read_bytes() == DATA
    assert open_descriptors() == before


def test_a_folder_goes_and_comes_back_as_it_was(host: Host, home: Path) -> None:
    before = open_descriptors()
    send(host, home / "folder", b"x/y")
    assert tree(host.folder / "x" / "y") == tree(home / "folder")
    fetch(host, b"x", home / "back")
    assert tree(home / "back" / "y") == tree(home / "folder")
    assert open_descriptors() == before


def test_a_folder_of_many_files_is_told_in_parts(
    host: Host, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_files, "MOST_ENTRIES", 2)
    send(host, home / "folder", b"x")
    host.away = lambda number: isinstance(host.asked[number], wire.LookAt) and number % 3 == 0
    host.restarts = True
    fetch(host, b"x", home / "back")
    assert tree(home / "back") == tree(home / "folder")


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_host_that_is_lost_at_any_moment_gets_all_of_it_when_it_comes_back(
    host: Host, home: Path, what: str, restarts: bool
) -> None:
    before = open_descriptors()
    host.restarts = restarts
    send(host, home / what, b"whole")
    for moment in range(len(host.asked)):
        host.asked.clear()
        host.away = lambda number, moment=moment: number == moment
        send(host, home / what, b"again")
        assert tree(host.folder / "again") == tree(host.folder / "whole")
        if what == "file":
            assert (host.folder / "again").read_bytes() == DATA
    host.files.close()
    assert open_descriptors() == before
    assert not [name for name in os.listdir(host.folder) if name.startswith(".")]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_host_that_is_lost_at_any_moment_gives_all_of_it_when_it_comes_back(
    host: Host, home: Path, what: str, restarts: bool
) -> None:
    send(host, home / what, b"whole")
    before = open_descriptors()
    host.restarts = restarts
    host.asked.clear()
    fetch(host, b"whole", home / "back")
    for moment in range(len(host.asked)):
        host.asked.clear()
        host.away = lambda number, moment=moment: number == moment
        target = home / f"back{moment}"
        fetch(host, b"whole", target)
        assert tree(target) == tree(home / "folder" if what == "folder" else target)
        assert what == "folder" or target.read_bytes() == DATA
    host.files.close()
    assert open_descriptors() == before


def test_what_was_sent_before_the_host_was_lost_is_not_sent_again(host: Host, home: Path) -> None:
    host.away = lambda number: number == 5
    send(host, home / "file", b"file")
    sent = [asked.offset for asked in host.asked if isinstance(asked, wire.WriteBlock)]
    assert sorted({*sent}) == [number * BLOCK for number in range(6)]
    assert [offset for offset in sent if sent.count(offset) > 1 and offset < 4 * BLOCK] == []


def test_what_was_fetched_before_the_host_was_lost_is_not_fetched_again(
    host: Host, home: Path
) -> None:
    send(host, home / "file", b"file")
    host.asked.clear()
    host.away = lambda number: number == 5
    fetch(host, b"file", home / "back")
    asked = [each.offset for each in host.asked if isinstance(each, wire.ReadBlock)]
    assert len(asked) < 2 * 6
    assert asked.count(0) == 1


def test_a_host_forgets_what_nobody_goes_on_with(host: Host, home: Path) -> None:
    before = open_descriptors()
    begun = wire.BeginFile(transfer=b"t" * 16, path=b"x", size=3)
    host.files.serve(1, begun, b"")
    host.files.serve(1, wire.WriteBlock(transfer=b"t" * 16, offset=0), b"ab")
    host.files.left(1, keep=True)
    assert host.files.serve(2, begun, b"")[0] == wire.Begun(offset=2)
    host.files.left(2, keep=True)
    host.clock.advance(KEPT_SECONDS + 1)
    assert open_descriptors() == before
    assert host.files.serve(3, begun, b"")[0] == wire.Begun(offset=0)
    host.files.close()
    assert open_descriptors() == before


def test_a_host_forgets_at_once_what_belonged_to_who_is_dead(host: Host) -> None:
    before = open_descriptors()
    host.files.serve(1, wire.BeginFile(transfer=b"t" * 16, path=b"x", size=3), b"")
    host.files.left(1, keep=False)
    assert open_descriptors() == before


def test_a_transfer_is_nobody_elses_but_his_who_goes_on_with_it(host: Host) -> None:
    begun = wire.BeginFile(transfer=b"t" * 16, path=b"x", size=3)
    block = wire.WriteBlock(transfer=b"t" * 16, offset=0)
    host.files.serve(1, begun, b"")
    for asked in (block, wire.StopFile(transfer=b"t" * 16)):
        host.files.serve(2, asked, b"a")
    assert host.files.serve(1, begun, b"")[0] == wire.Begun(offset=0)
    # He came back before it was noticed that he was lost.
    host.files.serve(1, block, b"a")
    assert host.files.serve(2, begun, b"")[0] == wire.Begun(offset=1)
    for late in (block, wire.StopFile(transfer=b"t" * 16)):
        host.files.serve(1, late, b"a")
    host.files.left(1, keep=False)
    assert host.files.serve(2, begun, b"")[0] == wire.Begun(offset=1)


def test_a_session_has_so_many_transfers_and_no_more(host: Host) -> None:
    before = open_descriptors()
    for number in range(200):
        name = number.to_bytes(16, "big")
        host.files.serve(1, wire.BeginFile(transfer=name, path=b"x", size=3), b"")
    assert open_descriptors() <= before + 2 * daemon_files.MOST_TRANSFERS
    reply, _ = host.files.serve(1, wire.BeginFile(transfer=b"t" * 16, path=b"x", size=3), b"")
    assert isinstance(reply, Declined)
    for session in range(2, 9):
        host.files.left(session - 1, keep=True)
        for number in range(60):
            name = (1000 * session + number).to_bytes(16, "big")
            host.files.serve(session, wire.BeginFile(transfer=name, path=b"x", size=3), b"")
    assert open_descriptors() <= before + 4 * daemon_files.MOST_TRANSFERS
    host.files.close()
    assert open_descriptors() == before


def test_a_file_that_grows_while_it_is_sent_is_said_and_nothing_is_there(
    host: Host, home: Path
) -> None:
    def grow(number: int) -> bool:
        if number == 3:
            with open(home / "file", "ab") as file:
                file.write(b"more")
        return False

    host.away = grow
    with pytest.raises((CannotTransfer, Barred), match="changed"):
        send(host, home / "file", b"file")
    assert list(host.folder.iterdir()) == []


def test_a_file_that_is_changed_while_it_is_fetched_is_said_and_nothing_is_here(
    host: Host, home: Path
) -> None:
    send(host, home / "file", b"file")

    def change(number: int) -> bool:
        if isinstance(host.asked[number], wire.ReadBlock):
            (host.folder / "file").write_bytes(DATA[:-1] + b"?")
        return False

    host.away = change
    with pytest.raises(CannotTransfer, match="changed while it was sent"):
        fetch(host, b"file", home / "back")
    assert not (home / "back").exists()
    assert not [name for name in os.listdir(home) if name.startswith(".")]


def test_a_host_that_declines_ends_it_and_keeps_nothing(host: Host, home: Path) -> None:
    before = open_descriptors()
    (host.folder / "taken").mkdir(parents=True)
    for to, why in ((b"../x", "'..'"), (b"/x", "root"), (b"taken", "folder"), (b"n" * 300, "long")):
        with pytest.raises(CannotTransfer, match=f"alpha: .*{why}"):
            send(host, home / "file", to)
    host.wait()
    assert open_descriptors() == before
    assert sorted(os.listdir(host.folder.parent)) == ["home", "host"]


def test_only_a_host_that_allows_it_has_files_anywhere(tmp_path: Path, home: Path) -> None:
    host = Host(tmp_path / "host", anywhere=True)
    elsewhere = os.fsencode(tmp_path / "else" / "where")
    send(host, home / "folder", elsewhere)
    assert tree(tmp_path / "else" / "where") == tree(home / "folder")
    fetch(host, elsewhere, home / "back")
    assert tree(home / "back") == tree(home / "folder")
    send(host, home / "file", b"below")
    assert (host.folder / "below").read_bytes() == DATA


# ---- a host that means harm ---------------------------------------------------------------------


def entry(path: bytes, size: int = 3) -> wire.FileEntry:
    return wire.FileEntry(path=path, folder=False, size=size, mode=0o777)


OUT = [b"../evil", b"/tmp/evil", b"a/../../evil", b"link/evil", b"\0"]


@pytest.mark.parametrize("path", OUT)
def test_a_host_that_names_a_file_outside_of_the_folder_writes_nothing(
    host: Host, home: Path, path: bytes
) -> None:
    outside = home / "outside"
    outside.mkdir()
    (home / "back").mkdir()
    os.symlink(outside, home / "back" / "link")

    def forged(asked: wire.FileRequest) -> tuple[Any, bytes] | None:
        if isinstance(asked, wire.LookAt):
            top = wire.FileEntry(path=b"x", folder=True, size=0, mode=0o700)
            return wire.Seen(found=top, entries=(entry(path),)), b""
        return wire.Opened(size=3, mode=0), b""

    host.forged = forged
    with pytest.raises((Barred, CannotTransfer)):
        fetch(host, b"x", home / "back")
    assert os.listdir(outside) == []
    assert sorted(os.listdir(home)) == ["back", "file", "folder", "outside"]
    assert os.listdir(home / "back") == ["link"]


LIES: dict[str, Callable[[wire.FileRequest], Any]] = {
    "too many bytes": lambda asked: (
        (wire.Done(), b"x" * 9) if isinstance(asked, wire.ReadBlock) else None
    ),
    "too few bytes": lambda asked: (
        (wire.Done(), b"") if isinstance(asked, wire.ReadBlock) else None
    ),
    "other bytes": lambda asked: (
        (wire.Done(), b"?" * asked.count) if isinstance(asked, wire.ReadBlock) else None
    ),
    "another size": lambda asked: (
        (wire.Opened(size=7, mode=0), b"") if isinstance(asked, wire.OpenFile) else None
    ),
    "another answer": lambda asked: (
        (wire.Done(), b"") if isinstance(asked, wire.OpenFile | wire.CloseFile) else None
    ),
    "no listing": lambda asked: (wire.Done(), b"") if isinstance(asked, wire.LookAt) else None,
    "a size that no disk has": lambda asked: (
        (wire.Seen(found=entry(b"x", 1 << 53)), b"") if isinstance(asked, wire.LookAt) else None
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_host_that_lies_leaves_no_file(host: Host, home: Path, lie: str) -> None:
    send(host, home / "file", b"file")
    before = open_descriptors()
    host.forged = LIES[lie]
    with pytest.raises((CannotTransfer, Barred)):
        fetch(host, b"file", home / "back")
    assert sorted(os.listdir(home)) == ["file", "folder"]
    host.wait()
    assert open_descriptors() == before


# ---- what tasks send ----------------------------------------------------------------------------


class Task:
    """A task on a host that sends files home."""

    def __init__(self, host: Host, folder: Path) -> None:
        host.lags = False  # another thread asks
        self._host = host
        self._receiving = Receiving(host.calls, str(folder))
        self._count = 0

    def sends(self, data: bytes, name: bytes, size: int | None = None) -> str:
        self._count += 1
        transfer = self._count.to_bytes(16, "big")
        fd = os.memfd_create("sent")
        os.write(fd, data)
        self._host.files.lend(self._host.session, transfer, fd, name)
        self._receiving.sent(
            messages.FileSent(
                host="alpha",
                worker=1,
                ticket=self._count,
                transfer=transfer,
                name=name,
                size=len(data) if size is None else size,
                mode=0o4755,
            )
        )
        until(lambda: len(self._host.taken) == self._count)
        told, body = self._host.taken[-1]
        assert (told.host, told.worker, told.ticket) == ("alpha", 1, self._count)
        if told.kind == Kind.RAISED:
            raise unpack_exception(body)
        where: str = loads(body)
        return where


def test_what_a_task_sends_lies_in_one_folder_and_replaces_nothing(
    host: Host, tmp_path: Path
) -> None:
    before = open_descriptors()
    task = Task(host, tmp_path / "received")
    where = task.sends(DATA, b"a/result")
    assert where == str(tmp_path / "received" / "a" / "result")
    assert Path(where).read_bytes() == DATA
    assert os.stat(where).st_mode & 0o7777 == 0o700
    assert task.sends(DATA, b"a/result") == where, "a task that runs again"
    for other in (DATA[:-1] + b"?", b"short"):
        with pytest.raises(CannotTransfer, match="already, which is not replaced"):
            task.sends(other, b"a/result")
    assert Path(where).read_bytes() == DATA
    assert os.listdir(tmp_path / "received" / "a") == ["result"]
    host.files.close()
    until(lambda: open_descriptors() == before)


@pytest.mark.parametrize("name", [b"../evil", b"/tmp/evil", b"link/evil", b"", b"n" * 300])
def test_what_a_task_sends_lies_nowhere_else(host: Host, tmp_path: Path, name: bytes) -> None:
    (tmp_path / "received").mkdir()
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "received" / "link")
    with pytest.raises(CannotTransfer):
        Task(host, tmp_path / "received").sends(b"abc", name)
    assert os.listdir(tmp_path / "outside") == []
    assert os.listdir(tmp_path / "received") == ["link"]


def test_a_task_is_answered_whatever_goes_wrong_here(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(host, tmp_path / "received")

    def fail(*_: object) -> None:
        raise RuntimeError("no thread, no memory, no anything")

    with monkeypatch.context() as patch:
        patch.setattr(receiving, "_check_new", fail)
        with pytest.raises(CannotTransfer, match=r"could not be taken: RuntimeError.*no anything"):
            task.sends(b"abc", b"x")
    assert Path(task.sends(b"abc", b"x")).read_bytes() == b"abc"


def test_a_file_of_another_size_than_was_said_is_not_taken(host: Host, tmp_path: Path) -> None:
    with pytest.raises(CannotTransfer):
        Task(host, tmp_path / "received").sends(b"abc", b"x", size=4)
    assert os.listdir(tmp_path / "received") == []


def test_many_tasks_may_send_files_at_once_and_the_client_as_well(host: Host, home: Path) -> None:
    before = open_descriptors()
    for number in range(2 * daemon_files.MOST_TRANSFERS):
        fd = os.memfd_create("sent")
        host.files.lend(1, number.to_bytes(16, "big"), fd, b"x")
    send(host, home / "file", b"file")
    host.files.left(1, keep=True)  # the tasks are lost in any case
    assert open_descriptors() == before


def test_a_worker_can_lend_nothing_but_a_file(host: Host) -> None:
    before = open_descriptors()
    reader, writer = os.pipe()
    with pytest.raises(ValueError, match="is a pipe"):
        host.files.lend(1, b"t" * 16, reader, b"x")
    os.close(writer)
    assert open_descriptors() == before
