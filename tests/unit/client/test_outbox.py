from __future__ import annotations

import threading

from scattergather.client.outbox import Growing, Outbox, Ready
from scattergather.wire import blobs, messages
from scattergather.wire.frame import FrameReader
from tests.unit.client.fake import until
from tests.waits import waits

JOB = b"j" * 16


def frames(pieces):
    data = b"".join(bytes(piece) for piece in pieces)
    return [(messages.read_to_controller(head), body) for head, body in FrameReader().feed(data)]


def test_frames_leave_in_the_order_they_came():
    outbox = Outbox()
    for n in range(3):
        outbox.send(messages.EndTasks(job=JOB, total=n))
    assert [message.total for message, _ in frames(outbox.take())] == [0, 1, 2]


def test_a_growing_frame_takes_tasks_until_it_is_taken():
    outbox, lock = Outbox(), threading.Lock()
    growing = Growing(lock, JOB, 5, ())
    outbox.put(growing)
    for blob in (b"one", b"two"):
        growing.add(blob)
    assert growing.next == 7
    ((message, body),) = frames(outbox.take())
    assert (message.first, message.count) == (5, 2)
    assert blobs.each(body, 2) == [b"one", b"two"]
    assert growing.taken


def test_taking_waits_for_the_first_frame_and_ends_when_closed():
    outbox, got = Outbox(), []

    def take():
        while (pieces := outbox.take()) is not None:
            got.append(pieces)

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
    outbox.take()
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
