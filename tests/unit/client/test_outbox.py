from __future__ import annotations

import itertools
import queue
import socket
import sys
import threading
from pathlib import Path

import pytest

from scattergather.client.pipe import outbox as outboxes
from scattergather.client.pipe.outbox import Growing, Outbox, Ready
from scattergather.client.pipe.waiting import readers
from scattergather.wire import blobs
from scattergather.wire.frame import FrameReader
from scattergather.wire.messages import page as messages
from tests.struck import struck_everywhere
from tests.unit.client.fake import until
from tests.waits import frame_of, waits

JOB = b"j" * 16


def taken(outbox):
    """The pieces of all that waits."""
    pieces = []
    assert outbox.drain(pieces.extend)
    return pieces


def frames(pieces):
    data = b"".join(bytes(piece) for piece in pieces)
    return [(messages.read_to_controller(head), body) for head, body in FrameReader().feed(data)]


def test_frames_leave_in_the_order_they_came():
    outbox = Outbox()
    for n in range(3):
        outbox.send(messages.EndTasks(job=JOB, total=n))
    assert [message.total for message, _ in frames(taken(outbox))] == [0, 1, 2]


def test_a_growing_frame_takes_tasks_until_it_is_taken():
    outbox, lock = Outbox(), threading.Lock()
    growing = Growing(lock, JOB, 5, ())
    outbox.put(growing)
    for blob in (b"one", b"two"):
        growing.add(blob)
    assert growing.next == 7
    ((message, body),) = frames(taken(outbox))
    assert (message.first, message.count) == (5, 2)
    assert blobs.each(body, 2) == [b"one", b"two"]
    assert growing.taken


def test_taking_waits_for_the_first_frame_and_ends_when_closed():
    outbox, got = Outbox(), []

    def take():
        while outbox.drain(got.append):
            pass

    thread = threading.Thread(target=take)
    thread.start()
    outbox.send(messages.EndTasks(job=JOB, total=1))
    until(lambda: got)
    outbox.close()
    thread.join(60)
    assert not thread.is_alive()


def test_who_sends_too_much_waits_until_it_was_written():
    outbox = Outbox(bound=1000)
    outbox.put(Ready([bytes(2000)]))
    passed = []
    thread = threading.Thread(target=lambda: (outbox.make_room(), passed.append(1)))
    thread.start()
    until(lambda: waits(thread))
    assert not passed
    assert outbox.waiting == 2000
    taken(outbox)
    thread.join(60)
    assert passed
    assert outbox.waiting == 0


def test_who_waits_for_room_goes_on_when_it_is_closed():
    outbox = Outbox(bound=10)
    outbox.put(Ready([bytes(100)]))
    thread = threading.Thread(target=outbox.make_room)
    thread.start()
    until(lambda: waits(thread))
    outbox.close()
    thread.join(60)
    assert not thread.is_alive()


# ---- a call that is alone -----------------------------------------------------------------------


class Line:
    """An outbox with a connection, and what arrived at its other end."""

    def __init__(self, room: int = 0) -> None:
        self.ours, self.theirs = socket.socketpair()
        if room:
            self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self.outbox = Outbox()
        self.outbox.open(self.ours)
        self._reader = FrameReader()
        self._firsts: list[int] = []
        self._reading = threading.Thread(target=self._read)

    def read(self) -> None:
        """From now on the other end reads."""
        if self._reading.ident is None:
            self._reading.start()

    def _read(self) -> None:
        while data := self.theirs.recv(1 << 16):
            for head, _ in self._reader.feed(data):
                self._firsts.append(messages.read_to_controller(head).first)

    def alone(self, first: int, blob: bytes = b"blob") -> Growing:
        growing = Growing(threading.Lock(), JOB, first, ())
        growing.add(blob)
        return growing

    def drain(self) -> None:
        self.read()
        self.outbox.drain(lambda pieces: self.ours.sendall(b"".join(pieces)))

    def heard(self) -> list[int]:
        """The first tasks of all frames that were sent; ends the connection."""
        self.read()
        self.ours.close()
        self._reading.join(60)
        self.theirs.close()
        return self._firsts


@pytest.fixture
def line():
    lines = []

    def make(room: int = 0) -> Line:
        lines.append(Line(room))
        return lines[-1]

    yield make
    for each in lines:
        each.heard()


def test_a_call_that_is_alone_leaves_without_the_writer(line):
    here = line()
    growing = here.alone(7)
    here.outbox.count(4)
    here.outbox.put_alone(growing)
    assert growing.taken
    assert here.outbox.waiting == 0
    assert not here.outbox._entries
    assert here.heard() == [7]


def test_it_overtakes_nothing_that_waits(line):
    here = line()
    here.outbox.put(here.alone(1))
    here.outbox.put_alone(here.alone(2))
    here.drain()
    assert here.heard() == [1, 2]


class HeldQueue(queue.SimpleQueue):
    """A queue whose items are for a while neither in it nor with whoever they were handed to."""

    def __init__(self) -> None:
        super().__init__()
        self.handing, self.on = threading.Event(), threading.Event()

    def get(self, block=True, timeout=None):
        item = super().get(block, timeout)
        self.handing.set()
        self.on.wait()
        return item


def test_it_overtakes_nothing_that_the_writer_is_just_being_handed(line, monkeypatch):
    held = HeldQueue()
    monkeypatch.setattr(outboxes, "SimpleQueue", lambda: held)
    here = line()
    writer = threading.Thread(target=here.drain)
    writer.start()
    here.outbox.put(here.alone(1))
    assert held.handing.wait(60)
    assert held.empty()
    here.outbox.put_alone(last := here.alone(2))
    overtook = last.taken
    held.on.set()
    writer.join(60)
    assert not overtook
    if here.outbox._entries:
        here.drain()
    assert here.heard() == [1, 2]


def asleep(thread):
    """True while it has gone to sleep, in the outbox."""
    frame = frame_of(thread)
    state = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2]
    return frame is not None and frame.f_code.co_filename == outboxes.__file__ and "S" in state


def test_it_overtakes_nothing_while_the_writer_that_was_woken_cannot_run(line):
    here = line()
    writer = threading.Thread(target=here.drain)
    before = sys.getswitchinterval()
    writer.start()
    until(lambda: asleep(writer))
    try:
        sys.setswitchinterval(60)
        here.outbox.put(here.alone(1))
        here.outbox.put_alone(last := here.alone(2))
        overtook = last.taken
    finally:
        sys.setswitchinterval(before)
    writer.join(60)
    assert not overtook
    if here.outbox._entries:
        here.drain()
    assert here.heard() == [1, 2]


def test_it_waits_for_nobody_who_is_writing(line):
    here = line()
    here.outbox.put(here.alone(1))
    last = here.alone(3)

    def write(pieces):
        here.outbox.put_alone(last)
        here.ours.sendall(b"".join(pieces))

    here.outbox.drain(write)
    assert not last.taken
    here.drain()
    assert here.heard() == [1, 3]


def test_what_another_thread_put_meanwhile_is_not_sent_again(line):
    """A second thread adds to the frame before the first comes to send it, and queues it."""
    here = line()
    growing = here.alone(0)
    growing.add(b"another's")
    here.outbox.put(growing)
    here.drain()
    here.outbox.put_alone(growing)
    here.drain()
    assert here.heard() == [0]


def test_a_reader_leaves_it_to_the_writer(line):
    here = line()
    me = threading.get_ident()
    readers.add(me)
    try:
        here.outbox.put_alone(here.alone(0))
    finally:
        readers.discard(me)
    assert here.outbox._entries


def test_before_there_is_a_connection_and_after_it_nothing_leaves(line):
    outbox, here = Outbox(), line()
    outbox.put_alone(here.alone(1))
    assert outbox._entries
    here.outbox.close()
    here.outbox.put_alone(here.alone(2))
    assert here.heard() == []


def test_what_a_full_socket_does_not_take_the_writer_sends(line):
    here = line(room=1)
    here.outbox.put_alone(here.alone(0, bytes(3 << 20)))
    assert 0 < sum(here.outbox._sent) < 3 << 20
    here.outbox.put_alone(here.alone(1))
    here.drain()
    assert here.heard() == [0, 1]


def test_a_socket_that_is_broken_is_the_writers_to_see(line):
    here = line()
    here.ours.shutdown(socket.SHUT_WR)
    here.outbox.put_alone(here.alone(1))
    with pytest.raises(BrokenPipeError):
        here.drain()


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_an_interrupt_at_any_moment_leaves_a_frame_whole_and_once_or_not_at_all(line, size):
    here, numbers = line(room=1), itertools.count()

    def put() -> None:
        nonlocal growing
        growing = here.alone(next(numbers), bytes(size))
        here.outbox.put_alone(growing)

    growing, put_, moments = here.alone(next(numbers)), set(), 0
    for _ in struck_everywhere(put):
        moments += 1
        here.outbox.put(growing)  # as the next call of the stream does
        here.drain()
        put_.add(growing.next - 1)
    assert moments > 10
    put_.add(growing.next - 1)  # the last was not interrupted
    here.outbox.put(here.alone(last := next(numbers)))
    here.drain()
    assert here.heard() == [*sorted(put_), last]


def test_however_much_becomes_garbage_together_no_message_names_more_than_one_may(monkeypatch):
    monkeypatch.setattr(outboxes, "MOST_NAMES", 3)
    outbox = Outbox()
    names = [bytes([number]) * 16 for number in range(8)]
    things = [frozenset([name]) for name in names]
    for thing, name in zip(things, names, strict=True):
        outbox.watch(thing, name)
    del thing
    things.clear()
    told = []
    for _ in range(3):
        pieces = []
        assert outbox.drain(pieces.extend)
        told += [
            messages.read_to_controller(head) for head, _ in FrameReader().feed(b"".join(pieces))
        ]
    assert [len(each.objects) for each in told] == [3, 3, 2]
    assert {name for each in told for name in each.objects} == set(names)
