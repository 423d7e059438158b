"""A task can write into all that its worker has, journal and socket. Its pool stays what it is.

The pool and its service are real, with real journals and sockets; the test plays the processes.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from twisted.internet.task import Clock

from scattergather.machine import proc
from scattergather.model.outcome import Kind, LossKind
from scattergather.store.store import Store
from scattergather.wire import blobs
from scattergather.wire.frame import LENGTHS, frame
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import MOST, Extent
from scattergather.wire.messages.zygote import BENT
from scattergather.workers.daemon.process import WorkerProcess
from scattergather.workers.daemon.service import PoolService
from scattergather.workers.pool.losses.watching import ASLEEP_AFTER, STOPPED_AFTER
from scattergather.workers.pool.pool import Pool
from scattergather.workers.process.line import WorkerLine
from scattergather.workers.process.task import journal as places
from scattergather.workers.process.task.journal import Contradiction, Journal
from tests.nasty import SLAB, A, head

JOB = b"j" * 16
RETURNED = bytes([Kind.RETURNED])


class Reactor(Clock):
    """Time that the test tells; whoever wants to read is asked by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.addReader, self.removeReader = self.readers.append, self._gone
        self.addWriter = self.removeWriter = lambda _: None

    def _gone(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def read(self) -> None:
        for reader in list(self.readers):
            reader.drain()


class Played:
    """A worker's process: its end of everything."""

    def __init__(self, seam: WorkerProcess) -> None:
        self.seam = seam
        self.journal = Journal.attach(seam.journal.fd)
        self.socket = seam._theirs.dup()

    def say(self, message: messages.FromWorker, *body: bytes) -> None:
        self.write(b"".join(frame(messages.encode(message), *body)))

    def write(self, data: bytes) -> None:
        self.socket.setblocking(False)
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # nobody reads it any more, or there is no room

    def begin(self, index: int, at: float) -> None:
        self.journal.begin(index, at)

    def flush(self, chunk: int) -> None:
        first, kinds, table, data = self.journal.gathered()
        said = messages.Outcomes(chunk=chunk, first=first, kinds=bytes(kinds))
        self.say(said, bytes(table), bytes(data))
        self.journal.sent(len(kinds))

    def end(self) -> None:
        self.socket.close()
        self.journal.close()


class There:
    """A pool of two workers with one session; each has a chunk: 10 to 13 and 20 to 21."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.heard: list[tuple[Any, bytes]] = []
        self.dismissed: list[str] = []
        self.played: dict[int, Played] = {}
        self.killed: set[int] = set()
        self.store = Store(1 << 20)
        pool = Pool(2)
        self.service = PoolService(
            self.reactor,  # type: ignore[arg-type]
            pool,
            self,  # type: ignore[arg-type]
            store=self.store,
            memory=1 << 20,
        )
        self.service.start()
        self.session = self.service.open(self, controller="test", workers=0)
        for number, played in self.played.items():
            played.say(messages.Born(pid=100 + number))
        self.reactor.read()
        for chunk, count in ((1, 4), (2, 2)):
            run = messages.Run(
                chunk=chunk, job=JOB, function="f", first=10 * chunk, count=count, retry_on=b""
            )
            self.session.receive(run, blobs.pack([b""] * count))
        self.of = {
            worker.leases[0].run.chunk: self.played[worker.number]
            for worker in pool.crew.workers.values()
        }
        self.of[1].journal.open(1, 10)
        self.of[2].journal.open(2, 20)
        self.heard.clear()

    # ---- the session's peer ----

    def send(self, message: messages.FromPool, body: bytes = b"", *, patient: bool = False) -> None:
        self.heard.append((message, body))

    def dismiss(self, reason: str) -> None:
        self.dismissed.append(reason)

    # ---- the machine and its zygotes ----

    memory_kills = SimpleNamespace(look=lambda now: None, lately=lambda now: False)
    pid, open = 7, True
    stopped = ended = staticmethod(lambda: False)
    close = kill = staticmethod(lambda: None)

    def root(self, *_: Any) -> There:
        return self

    def open_session(
        self, _number: int, _place: Any, on_message: Callable[[Any], None], _end: Any
    ) -> There:
        self.zygote_says = on_message
        return self

    def worker(self, number: int, on_message: Any, on_broken: Any) -> WorkerProcess:
        return WorkerProcess(self.reactor, number, on_message, on_broken)  # type: ignore[arg-type]

    def fork(self, seam: WorkerProcess) -> None:
        self.played[seam.number] = Played(seam)

    def signal(self, worker: int, number: int, *, group: bool = False) -> None:
        self.killed.add(worker)

    # ---- what happens ----

    def look(self, seconds: float = 1.0) -> None:
        """Time passes, and the pool looks and hears."""
        for _ in range(int(seconds / 0.2)):
            self.reactor.advance(0.2)
            self.reactor.read()

    def dies(self, played: Played, signal: int = 9) -> None:
        played.end()
        number = played.seam.number
        self.zygote_says(messages.Exited(worker=number, pid=100 + number, signal=signal))

    def came_of(self, chunk: int, tasks: range) -> dict[int, int | None]:
        """What came of each task of a chunk: a kind; None where it is free to run elsewhere."""
        found: dict[int, int | None] = {}
        stop = tasks.stop
        for message, body in self.heard:
            if isinstance(message, messages.Outcomes) and message.chunk == chunk:
                assert blobs.sound(body, len(message.kinds))
                for index, kind in enumerate(message.kinds, message.first):
                    assert index not in found, f"{index} came back twice"
                    assert index in tasks
                    found[index] = kind
            elif isinstance(message, messages.GaveBack) and message.chunk == chunk:
                for index in range(message.first, stop):
                    assert index not in found, f"{index} came back twice"
                    found[index] = None
                stop = message.first
        return found

    def finish(self) -> None:
        for played in self.played.values():
            if played.socket.fileno() >= 0:
                played.end()
        self.service.stop()
        self.store.close()


@pytest.fixture
def there() -> Iterator[There]:
    made = There()
    yield made
    made.finish()


def others_are_well(there: There) -> None:
    """The chunk of the other worker is untouched, and comes to its end."""
    assert there.came_of(2, range(20, 22)) == {}
    other = there.of[2]
    assert other.seam.number not in there.killed
    for index in (20, 21):
        other.begin(index, there.reactor.seconds())
        other.journal.record(Kind.RETURNED, b"well")
    other.flush(2)
    there.reactor.read()
    assert there.came_of(2, range(20, 22)) == dict.fromkeys((20, 21), Kind.RETURNED)
    assert blobs.each(there.heard[-1][1], 2) == [b"well"] * 2
    assert not there.dismissed


# ---- the journal --------------------------------------------------------------------------------

NAN, INFINITE = (struct.unpack("<Q", struct.pack("<d", float(each)))[0] for each in ("nan", "inf"))
WORDS = (0, 1, 2, 3, 11, 12, 13, 14, 15, 4096, 4097, MOST, MOST + 2, (1 << 64) - 1, NAN, INFINITE)


def scribble(chance: random.Random, whole: memoryview) -> None:
    """Write what native code may: zeros, ones, noise, one word, or odd ones."""
    kind = chance.randrange(6)
    if kind == 0:
        length = chance.choice((8, 40, 128, 4096, len(whole)))
        whole[:length] = bytes([chance.choice((0, 255, 65))]) * length
    elif kind == 1:
        start = chance.randrange(128)
        length = chance.randrange(1, 1 << chance.randrange(1, 15))
        whole[start : start + length] = chance.randbytes(length)
    else:
        words = whole[:128].cast("Q")
        for _ in range(chance.choice((1, 1, 2, 5))):
            words[chance.randrange(11)] = chance.choice((*WORDS, chance.getrandbits(64)))
        if kind == 2:
            start = chance.randrange(128, 4096)
            whole[start : start + 64] = chance.randbytes(64)
        words.release()


@pytest.mark.parametrize("seed", range(0, 2000, 100))
def test_whatever_is_written_over_a_journal_its_pool_reads_what_can_be_or_says_that_it_cannot(
    seed: int,
) -> None:
    for each in range(seed, seed + 100):
        chance = random.Random(each)
        journal = Journal.create()
        journal.open(1, 10)
        for index in range(10, 10 + chance.randrange(4)):
            journal.begin(index, 1.0)
            journal.record(Kind.RETURNED, chance.randbytes(5))
        if chance.random() < 0.7:
            journal.begin(journal.index + 1, 2.0)
        scribble(chance, journal._whole)
        found: object = None
        for look in (journal.running, journal.harvest, partial(journal.waiting, 3.0)):
            with contextlib.suppress(Contradiction):
                found = look()
            if isinstance(found, places.Remains):
                assert len(found.outcomes) <= places.SLOTS
                assert all(kind <= max(Kind) for _, kind, _ in found.outcomes)
                assert found.running is None or 0 <= found.running <= MOST + places.SLOTS
        journal.close()


@pytest.mark.parametrize(
    "word",
    [places.STARTED, places.RUNNING, places.FIRST, places.COUNT, places.CHUNK],
    ids=["started", "running", "first", "count", "chunk"],
)
@pytest.mark.parametrize("value", [NAN, (1 << 64) - 1, 0], ids=["no number", "most", "zero"])
def test_a_word_that_cannot_be_ends_the_worker_and_its_task_is_charged_once(
    there: There, word: int, value: int
) -> None:
    bent = there.of[1]
    bent.begin(10, there.reactor.seconds())
    bent.journal.record(Kind.RETURNED, b"ten")
    bent.flush(1)
    bent.begin(11, there.reactor.seconds())
    bent.journal.words[word] = value
    there.look()
    harmless = (word, value) in ((places.STARTED, 0), (places.COUNT, 0), (places.FIRST, 0))
    assert (bent.seam.number in there.killed) is not harmless
    there.dies(bent)
    came = there.came_of(1, range(10, 14))
    assert came[10] == Kind.RETURNED
    assert came[11] == Kind.LOST
    assert sorted(came) == [10, 11, 12, 13]
    others_are_well(there)


def test_zeros_over_a_journal_do_not_let_a_task_that_was_killed_run_again_uncharged(
    there: There,
) -> None:
    bent = there.of[1]
    bent.begin(10, there.reactor.seconds())
    bent.journal._whole[:] = bytes(places.SIZE)
    there.dies(bent)  # at once, before anybody has looked
    assert there.came_of(1, range(10, 14)) == dict.fromkeys(range(10, 14), Kind.LOST)
    others_are_well(there)


def test_a_worker_that_sends_no_more_than_its_journal_can_tell_ends_itself() -> None:
    journal = Journal.create()
    journal.open(1, 10)
    journal.begin(10)
    journal.record(Kind.RETURNED, b"ten")
    journal.words[places.COUNT] = 3
    with pytest.raises(Contradiction):
        journal.gathered()
    journal.close()


def test_a_worker_that_tells_again_of_what_it_has_told_ends_instead_of_waiting_for_ever(
    there: There,
) -> None:
    bent = there.of[1]
    for index in (10, 11, 12):
        bent.begin(index, there.reactor.seconds())
        bent.journal.record(Kind.RETURNED, b"well")
        bent.flush(1)
    there.reactor.read()
    bent.say(messages.Outcomes(chunk=1, first=10, kinds=RETURNED), blobs.pack([b"again"]))
    there.reactor.read()
    assert bent.seam.number in there.killed
    there.dies(bent)
    assert there.came_of(1, range(10, 14))[13] in (None, Kind.LOST)
    others_are_well(there)


def test_nobody_can_shorten_a_journal_under_its_pool(there: There) -> None:
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(there.of[1].seam.journal.fd, 0)


# ---- the socket ---------------------------------------------------------------------------------


def nasty_frame(chance: random.Random) -> bytes:
    """What a task may write into its worker's socket: a message, or noise."""
    kind = chance.random()
    if kind < 0.05:
        return chance.randbytes(chance.randrange(1, 200))
    if kind < 0.1:
        return LENGTHS.pack(chance.getrandbits(32), chance.getrandbits(32))
    if kind < 0.3:
        count = chance.choice((1, 2, 4, 5))
        said = messages.Outcomes(
            chunk=chance.choice((1, 1, 1, 2, 0, 3)),
            first=chance.choice((9, 10, 11, 12, 13, 14, 20)),
            kinds=bytes([chance.choice((*Kind, 7, 255))]) * count,
        )
        body = blobs.pack([b"forged"] * chance.choice((count, count, 1)))
        return b"".join(frame(messages.encode(said), body[: chance.choice((None, None, 9))]))
    of = chance.choice(get_args(messages.FromWorker))
    return b"".join(frame(head(chance, of), chance.randbytes(chance.choice((0, 8, 30)))))


@pytest.mark.parametrize("seed", range(0, 400, 20))
def test_whatever_a_task_writes_into_its_worker_every_task_comes_back_once(seed: int) -> None:
    for each in range(seed, seed + 20):
        chance = random.Random(each)
        there = There()
        bent = there.of[1]
        done = chance.randrange(4)
        for index in range(10, 10 + done):
            bent.begin(index, there.reactor.seconds())
            bent.journal.record(Kind.RETURNED, b"honest")
            if chance.random() < 0.5:
                bent.flush(1)
        bent.begin(10 + done, there.reactor.seconds())
        if chance.random() < 0.5:
            there.look(chance.choice((0.2, 1.0)))
        for _ in range(chance.randrange(1, 12)):
            if chance.random() < 0.4:
                scribble(chance, bent.journal._whole)
            else:
                bent.write(nasty_frame(chance))
            if chance.random() < 0.3:
                there.look(chance.choice((0.2, 1.0)))
        there.look(2.0)
        there.dies(bent, chance.choice((9, 11)))
        came = there.came_of(1, range(10, 14))
        assert sorted(came) == [10, 11, 12, 13], f"seed {each}"
        others_are_well(there)
        there.finish()


FORGED = {
    "a gap": messages.Outcomes(chunk=1, first=12, kinds=RETURNED),
    "too many": messages.Outcomes(chunk=1, first=10, kinds=RETURNED * 5),
    "of a pool": messages.Outcomes(chunk=1, first=10, kinds=bytes([Kind.INTERRUPTED])),
    "shared": messages.Outcomes(
        chunk=1, first=10, kinds=RETURNED * 2, borrowed=(Extent(object=A, length=1),)
    ),
    "not its own": messages.Outcomes(
        chunk=1, first=10, kinds=RETURNED, objects=(Extent(object=A, length=1, slab=SLAB),)
    ),
    "born twice": messages.Born(pid=5),
    "the wrong rest": messages.GaveBack(chunk=1, first=12),
    "nothing begun": messages.GaveBack(chunk=1, first=10),
    "no descriptor": messages.Slab(slab=SLAB, size=1),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_no_worker_says_ends_this_one_and_charges_its_task_once(
    there: There, what: str
) -> None:
    bent, said = there.of[1], FORGED[what]
    bent.begin(10, there.reactor.seconds())
    body = blobs.pack([b"."] * len(said.kinds)) if isinstance(said, messages.Outcomes) else b""
    bent.say(said, body)
    there.reactor.read()
    assert bent.seam.number in there.killed
    there.dies(bent)
    came = there.came_of(1, range(10, 14))
    if what == "nothing begun":  # whoever wrote there is another one
        assert came == dict.fromkeys(range(10, 14))
    else:
        assert came == {10: Kind.LOST, 11: None, 12: None, 13: None}
    others_are_well(there)


HARMLESS = {
    "of another's chunk": messages.Outcomes(chunk=2, first=20, kinds=RETURNED),
    "of no chunk": messages.Outcomes(chunk=9, first=0, kinds=RETURNED),
    "another's rest": messages.GaveBack(chunk=2, first=20),
    "another's output": messages.Output(chunk=2, index=20),
    "no call": messages.EverywhereDone(call=3, worker=1, kind=Kind.RETURNED),
    "not held": messages.Release(objects=(A,)),
    "not kept": messages.LetGo(objects=(A,)),
    "not its slab": messages.SlabGone(slab=SLAB),
    "not waiting": messages.Resumed(),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_not_a_workers_to_say_counts_for_nothing(there: There, what: str) -> None:
    said = HARMLESS[what]
    there.of[1].say(said, blobs.pack([b"."]) if isinstance(said, messages.Outcomes) else b"")
    there.reactor.read()
    heard = [message for message, _ in there.heard if message != messages.Release(objects=())]
    assert heard == []
    others_are_well(there)


def test_a_worker_that_waits_without_a_task_lends_no_slot(there: There) -> None:
    bent = there.of[1]
    for index in range(10, 14):
        bent.begin(index, there.reactor.seconds())
        bent.journal.record(Kind.RETURNED, b"")
    bent.flush(1)
    bent.say(messages.Waiting())
    there.reactor.read()
    assert len(there.played) == 2
    assert there.service.statistics().tenants[0].running == 1


def test_a_task_that_told_its_outcome_and_goes_on_does_not_hold_up_the_next_chunk_for_ever(
    there: There,
) -> None:
    bent = there.of[1]
    bent.begin(10, there.reactor.seconds())
    bent.say(messages.Outcomes(chunk=1, first=10, kinds=RETURNED * 4), blobs.pack([b"."] * 4))
    there.reactor.read()
    run = messages.Run(chunk=3, job=JOB, function="f", first=30, count=1)
    there.session.receive(run, blobs.pack([b""]))
    there.look(STOPPED_AFTER + 1)
    assert bent.seam.number in there.killed
    there.dies(bent)
    there.look(1)
    anew = there.played[max(there.played)]
    anew.say(messages.Born(pid=200))
    there.reactor.read()
    assert there.came_of(1, range(10, 14)) == dict.fromkeys(range(10, 14), Kind.RETURNED)


# ---- what it was sent, and never begins ---------------------------------------------------------


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    """A process that sleeps."""
    with subprocess.Popen(["sleep", "600"]) as process:
        while proc.time_of_sleeper(process.pid) is None:
            time.sleep(0.01)
        yield process.pid
        process.kill()


def sent_another(there: There, sleeper: int, *, woken: bool = True) -> Played:
    """The worker of chunk 1 has ended that, and was sent chunk 3, which it does not begin."""
    worker = there.of[1]
    worker.seam.pid = sleeper
    if woken:
        for index in range(10, 14):
            worker.begin(index, there.reactor.seconds())
            worker.journal.record(Kind.RETURNED, b"well")
        worker.flush(1)
        there.reactor.read()
    else:  # not even that one
        worker.journal.words[places.CHUNK] = places.NOWHERE
    run = messages.Run(chunk=3, job=JOB, function="f", first=30, count=2)
    there.session.receive(run, blobs.pack([b"", b""]))
    return worker


def test_a_worker_from_whose_socket_a_task_has_read_is_replaced_and_nobody_charged(
    there: There, sleeper: int
) -> None:
    worker = sent_another(there, sleeper)
    there.look(ASLEEP_AFTER - 1)
    assert worker.seam.number not in there.killed
    there.look(2)
    assert worker.seam.number in there.killed
    there.dies(worker)
    assert there.came_of(3, range(30, 32)) == {30: None, 31: None}
    others_are_well(there)


def test_where_nothing_ran_before_in_a_worker_that_begins_nothing_its_task_is_charged(
    there: There, sleeper: int
) -> None:
    worker = sent_another(there, sleeper, woken=False)
    there.look(ASLEEP_AFTER + 1)
    assert worker.seam.number in there.killed
    there.dies(worker)
    assert there.came_of(1, range(10, 14)) == {10: Kind.LOST, 11: None, 12: None, 13: None}
    (body,) = [body for said, body in there.heard if isinstance(said, messages.Outcomes)]
    assert (
        "did not begin what it had been sent" in messages.read_loss(blobs.each(body, 1)[0]).reason
    )
    others_are_well(there)


def test_a_worker_that_cannot_send_what_it_has_done_is_replaced_and_keeps_that(
    there: There, sleeper: int
) -> None:
    worker = there.of[1]
    worker.seam.pid = sleeper
    for index in (10, 11):
        worker.begin(index, there.reactor.seconds())
        worker.journal.record(Kind.RETURNED, b"well")
    there.look(ASLEEP_AFTER + 1)
    assert worker.seam.number in there.killed
    there.dies(worker)
    assert there.came_of(1, range(10, 14)) == {
        10: Kind.RETURNED, 11: Kind.RETURNED, 12: None, 13: None
    }  # fmt: skip
    others_are_well(there)


def test_a_worker_that_makes_a_call_everywhere_may_sleep_as_long_as_that_takes(
    there: There, sleeper: int
) -> None:
    call = messages.Everywhere(call=1, function="f")
    there.session.receive(call, b"")
    worker = sent_another(there, sleeper)
    there.look(3 * ASLEEP_AFTER)
    assert worker.seam.number not in there.killed
    worker.say(messages.EverywhereDone(call=1, worker=1, kind=Kind.RETURNED), b".")
    there.look(ASLEEP_AFTER + 1)
    assert worker.seam.number in there.killed
    there.dies(worker)
    others_are_well(there)


def test_a_worker_in_a_task_may_sleep_for_hours(there: There, sleeper: int) -> None:
    worker = there.of[1]
    worker.seam.pid = sleeper
    worker.begin(10, there.reactor.seconds())
    there.look(3 * ASLEEP_AFTER)
    assert worker.seam.number not in there.killed


def test_one_who_ends_itself_because_of_what_a_task_has_written_or_read_says_so_in_the_loss(
    there: There,
) -> None:
    worker = there.of[1]
    worker.begin(10, there.reactor.seconds())
    os.write(worker.seam.output.fd, b"printed\na task has written over its worker's journal\n")
    worker.end()
    number = worker.seam.number
    there.zygote_says(messages.Exited(worker=number, pid=100 + number, status=BENT))
    assert there.came_of(1, range(10, 14)) == {10: Kind.LOST, 11: None, 12: None, 13: None}
    (body,) = [body for said, body in there.heard if isinstance(said, messages.Outcomes)]
    loss = messages.read_loss(blobs.each(body, 1)[0])
    assert loss.kind == LossKind.KILLED_WORKER
    assert loss.reason == ("its worker ended itself: a task has written over its worker's journal")
    others_are_well(there)


def test_one_that_ends_because_a_task_had_read_a_part_of_what_it_was_sent_charges_nobody(
    there: There, sleeper: int
) -> None:
    worker = sent_another(there, sleeper)
    worker.end()
    number = worker.seam.number
    there.zygote_says(messages.Exited(worker=number, pid=100 + number, status=BENT))
    assert there.came_of(3, range(30, 32)) == {30: None, 31: None}
    others_are_well(there)


def test_a_worker_finds_out_that_something_has_read_from_its_socket() -> None:
    ours, theirs = socket.socketpair()
    line = WorkerLine(theirs)
    ours.sendall(b"".join(frame(messages.encode(messages.Born(pid=1)))))
    for _ in range(2):  # whoever asks again hears it again
        with pytest.raises(Contradiction, match="has read from its worker's socket"):
            line.receive()
    ours.close()
    line.close()


def test_a_slab_that_can_become_shorter_is_not_taken(there: There) -> None:
    bent = there.of[1]
    fd = os.memfd_create("soft")
    os.ftruncate(fd, 4096)
    with pytest.raises(ValueError, match="less than 8,192"):
        there.store.adopt(SLAB, 8192, os.dup(fd))
    with pytest.raises(ValueError, match="less than 4,096"):
        there.store.adopt(SLAB, 4096, os.dup(fd))
    os.close(fd)
    assert bent.seam.number not in there.killed
