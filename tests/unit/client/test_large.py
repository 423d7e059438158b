"""Large values of a client: room and who waits for it, what is held, what is given back."""

from __future__ import annotations

import errno
import gc
import os
import threading
import time
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from scattergather.client.jobs.inputs import KeptInputs
from scattergather.client.pipe.outbox import Outbox, Ready
from scattergather.client.pipe.waiting import readers
from scattergather.client.values import large
from scattergather.client.values.large import REST_LOOKS, Copied, Held, LargeValues, Loan
from scattergather.errors import Closed, TooLarge
from scattergather.model.outcome import Kind
from scattergather.wire.descriptors import Escorted
from scattergather.wire.frame import FrameReader
from scattergather.wire.memory.outside import Outside
from scattergather.wire.memory.slabs import PAGE, create
from scattergather.wire.memory.views import private
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.wire.values.payload import Packer
from tests.struck import struck_everywhere
from tests.unit.client.fake import until

ROOM = 10 * PAGE


class Controller:
    """Reads what a client says, and says what is freed: what nobody holds, when it is asked."""

    def __init__(self, bound: int = ROOM) -> None:
        self.outbox = Outbox()
        self.large = LargeValues(self.outbox, bound)
        self.said: list[Any] = []

    def read(self) -> list[Any]:
        """What was said since the last time; descriptors are closed."""
        self.outbox.put(Ready([]))  # or it would wait for the first
        frames, said, pieces = FrameReader(), [], []
        self.outbox.drain(pieces.extend)
        for piece in pieces:
            data = piece.data if isinstance(piece, Escorted) else bytes(piece)
            said += [messages.read_to_controller(head) for head, _ in frames.feed(data)]
        self.said += said
        return said

    def free(self) -> None:
        """Everything that was released is free."""
        gc.collect()
        for message in self.read():
            if isinstance(message, messages.Release):
                self.large.freed(message.objects)


@pytest.fixture
def there() -> Iterator[Controller]:
    controller = Controller()
    yield controller
    controller.large.close()


def put(large: LargeValues, pages: float, fill: bytes = b"x") -> Loan:
    loan = large.put(fill * int(pages * PAGE))
    assert loan is not None
    return loan


def released(said: list[Any]) -> list[bytes]:
    return [name for each in said if isinstance(each, messages.Release) for name in each.objects]


class Waiting:
    """Somebody who puts, in a thread."""

    def __init__(self, large: LargeValues, pages: int, beside: int = 0) -> None:
        self.outcome: Any = None

        def run() -> None:
            try:
                self.outcome = large.put(b"w" * pages * PAGE, beside)
            except BaseException as error:
                self.outcome = error
            self.over = True

        self.over = False
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        until(lambda: self.over or large._room._waiters)


# ---- room ---------------------------------------------------------------------------------------


def test_a_loan_is_released_once_when_nobody_has_it_and_its_memory_is_freed_later(
    there: Controller,
) -> None:
    loan = put(there.large, 2)
    name = loan.extent.object
    assert there.large.lent == 2 * PAGE
    assert [type(each) for each in there.read()] == [messages.Slab]
    view = loan.view()
    del loan
    assert released(there.read()) == []
    del view
    assert released(there.read()) == [name]
    assert there.large.lent == 2 * PAGE
    there.large.freed([name])
    assert there.large.lent == 0
    assert there.large.resting == 0


def test_who_finds_no_room_waits_until_something_is_freed(there: Controller) -> None:
    loan = put(there.large, 6)
    waiting = Waiting(there.large, 5)
    assert not waiting.over
    del loan
    there.free()
    until(lambda: waiting.over)
    assert waiting.outcome.extent.length == 5 * PAGE


@pytest.mark.parametrize("length", [PAGE, PAGE + 1, 2 * PAGE - 1, 100])
def test_when_refs_hold_everything_the_next_is_refused_and_does_not_wait(
    there: Controller, length: int
) -> None:
    held = []
    for _ in range(ROOM // max(PAGE, -(-length // PAGE) * PAGE)):
        loan = there.large.put(b"x" * length)
        assert loan is not None
        loan.rests = True
        held.append(loan)
    with pytest.raises(TooLarge, match="Refs"):
        there.large.put(b"x" * length)
    assert there.large.resting == there.large.lent
    assert there.large.lent > ROOM - 2 * PAGE
    held.clear()
    del loan
    assert there.large.resting == 0


@pytest.mark.parametrize("bound", [ROOM, ROOM + 1, ROOM + PAGE - 1])
def test_what_can_never_fit_is_refused_whatever_is_free(bound: int) -> None:
    there = Controller(bound)
    for size in (bound + 1, ROOM + PAGE):
        with pytest.raises(TooLarge) as refused:
            there.large.put(b"x" * size)
        assert refused.value.bound == bound
    assert there.large.put(b"x" * ROOM) is not None
    there.large.close()


def test_a_value_of_parts_that_do_not_fit_together_is_refused_and_does_not_wait_for_itself(
    there: Controller,
) -> None:
    first = put(there.large, 6)
    with pytest.raises(TooLarge):
        there.large.put(b"x" * 5 * PAGE, 6 * PAGE)
    del first


def test_parts_that_fit_only_without_what_others_hold_for_good_are_refused_at_once(
    there: Controller,
) -> None:
    ref = put(there.large, 3)
    ref.rests = True
    first = put(there.large, 4)
    with pytest.raises(TooLarge):
        there.large.put(b"x" * 4 * PAGE, 4 * PAGE)
    del ref, first


def test_of_two_half_packed_values_that_wait_for_each_other_one_is_refused(
    there: Controller,
) -> None:
    first, second = put(there.large, 5), put(there.large, 5)
    patient = Waiting(there.large, 2, beside=5 * PAGE)
    assert not patient.over
    with pytest.raises(TooLarge):
        there.large.put(b"x" * 2 * PAGE, 5 * PAGE)
    assert not patient.over
    del second
    there.free()
    until(lambda: patient.over)
    assert isinstance(patient.outcome, Loan)
    del first


def test_who_waits_is_refused_when_what_was_under_way_turns_out_to_rest(there: Controller) -> None:
    under_way, other = put(there.large, 6), put(there.large, 1)
    waiting = Waiting(there.large, 5)
    under_way.rests = True
    del other
    there.free()
    until(lambda: waiting.over)
    assert isinstance(waiting.outcome, TooLarge)


def test_room_that_comes_between_two_looks_is_no_refusal(there: Controller) -> None:
    loan = put(there.large, 10)
    real, looks = there.large._arena.put, []

    def late(data: Any, name: Any) -> Any:
        extent = real(data, name)
        if not looks:
            looks.append(extent)
            nonlocal loan
            del loan
            there.free()
        return extent

    there.large._arena.put = late  # type: ignore[method-assign]
    assert there.large.put(b"x" * PAGE) is not None
    assert looks == [None]


def test_a_reader_does_not_wait_and_an_end_wakes_who_does(there: Controller) -> None:
    loan = put(there.large, 9)
    readers.add(threading.get_ident())
    try:
        assert there.large.put(b"x" * 5 * PAGE) is None
    finally:
        readers.discard(threading.get_ident())
    waiting = Waiting(there.large, 5)
    there.large.close()
    until(lambda: waiting.over)
    assert waiting.outcome is None
    assert there.large.put(b"x" * PAGE) is None
    with pytest.raises(Closed):
        loan.view()


def test_without_a_bound_or_without_memory_all_stays_in_messages(
    there: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Controller(0).large.put(b"x") is None

    def none(*_: object) -> None:
        raise OSError("none left")

    monkeypatch.setattr(os, "memfd_create", none)
    assert there.large.put(b"x") is None


def test_one_array_after_another_never_waits_for_those_that_tasks_before_it_took(
    there: Controller,
) -> None:
    """A list of arrays of a third of the room each: what its packer remembers must not stay."""
    packer = Packer(outside=Outside(there.large, shared=True))
    arrays = [np.full(3 * PAGE // 8 * 16, float(number)) for number in range(5)]
    there.large.bound = there.large._arena.bound = 10 * PAGE * 16
    packed: list[bytes] = []

    def pack() -> None:
        for each in arrays:
            packer.pack(each)
            packer.take_objects()
            packed.append(packer.take()[1])

    thread = threading.Thread(target=pack, daemon=True)
    thread.start()
    until(lambda: there.free() or len(packed) == len(arrays))


def test_slabs_are_told_before_what_lies_in_them_whoever_puts(there: Controller) -> None:
    """Two threads, the second of which finds the slab told while the first is telling."""
    real, order = there.outbox.put, []

    def slow(entry: Any) -> None:
        time.sleep(0.05)
        real(entry)
        order.append("told")

    there.outbox.put = slow  # type: ignore[method-assign]
    loans: list[Any] = []

    def one() -> None:
        loans.append(there.large.put(b"x" * PAGE))
        order.append("put")

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["told", "put", "put"]


def test_whoever_reads_what_it_lent_while_all_is_closed_reads_it(
    there: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    loan = put(there.large, 1)

    def late(fd: int, *rest: Any) -> Any:
        there.large.close()
        return private(fd, *rest)

    monkeypatch.setattr(large, "private", late)
    assert bytes(loan.view()) == b"x" * PAGE


def test_a_slab_that_cannot_be_announced_leaves_the_value_to_its_message(
    there: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: int) -> int:
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr(os, "dup", none)
    assert there.large.put(b"x" * PAGE) is None
    there.free()
    assert there.large.lent == 0


def test_a_put_that_the_end_overtakes_leaves_the_value_to_its_message(
    there: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = there.large._arena.reserve

    def overtaken(length: int, name: Any) -> Any:
        extent = reserve(length, name)
        there.large.close()
        return extent

    monkeypatch.setattr(there.large._arena, "reserve", overtaken)
    assert there.large.put(b"x" * PAGE) is None


# ---- what comes ---------------------------------------------------------------------------------


class Theirs:
    """A slab of somebody else, of ten pages that are all there."""

    def __init__(self, large: LargeValues) -> None:
        self.id = os.urandom(16)
        self.size = 10 * PAGE
        slab = create(self.size)
        self.fd = os.dup(slab.fileno())
        os.pwrite(self.fd, b"." * self.size, 0)
        large.adopt(self.id, self.size, os.dup(self.fd))

    def extent(self, page: int, length: int = PAGE) -> Extent:
        os.pwrite(self.fd, bytes([page]) * length, page * PAGE)
        return Extent(object=os.urandom(16), length=length, slab=self.id, offset=page * PAGE)

    @property
    def pages(self) -> int:
        return os.fstat(self.fd).st_blocks * 512 // PAGE

    def holders(self) -> int:
        """Descriptors of it in this process, ours too."""
        mine, found = os.fstat(self.fd), 0
        for fd in os.listdir("/proc/self/fd"):
            try:
                found += os.path.samestat(os.stat(f"/proc/self/fd/{fd}"), mine)
            except OSError:
                continue
        return found


def test_a_result_is_readable_and_writable_and_released_once(there: Controller) -> None:
    theirs = Theirs(there.large)
    extent = theirs.extent(3)
    (held,) = there.large.hold([extent])
    assert isinstance(held, Held)
    view = memoryview(held.view()).cast("B")
    assert bytes(view) == bytes([3]) * PAGE
    view[0] = 9
    assert os.pread(theirs.fd, 1, 3 * PAGE) == b"\x03"
    del held
    assert released(there.read()) == []
    del view
    assert released(there.read()) == [extent.object]
    os.close(theirs.fd)


def test_of_a_slab_whose_owner_is_gone_only_what_is_held_takes_memory(there: Controller) -> None:
    theirs = Theirs(there.large)
    first, second = (theirs.extent(page, PAGE + 10) for page in (2, 6))
    held = list(there.large.hold([first, second]))
    view = held[1].view()
    assert theirs.pages == 10
    there.large.abandon(theirs.id)
    assert theirs.pages == 4
    assert bytes(view) == bytes([6]) * (PAGE + 10)
    assert bytes(held[0].view()) == bytes([2]) * (PAGE + 10)
    gc.collect()
    del held[0]
    assert theirs.pages == 2
    assert theirs.holders() == 2
    held.clear()
    assert theirs.holders() == 2
    del view
    assert theirs.holders() == 1
    assert theirs.pages == 0
    os.close(theirs.fd)


def test_a_copy_made_by_fork_that_lets_go_leaves_the_result_of_the_original(
    there: Controller,
) -> None:
    theirs = Theirs(there.large)
    held = list(there.large.hold([theirs.extent(4)]))
    there.large.abandon(theirs.id)
    child = os.fork()
    if child == 0:
        held.clear()
        os._exit(0)
    os.waitpid(child, 0)
    assert bytes(held[0].view()) == bytes([4]) * PAGE
    os.close(theirs.fd)


def test_results_are_readable_after_the_end_and_nobody_is_told_of_them_then(
    there: Controller,
) -> None:
    theirs, empty = Theirs(there.large), Theirs(there.large)
    (held,) = there.large.hold([theirs.extent(4)])
    there.read()
    there.outbox.close()
    there.large.close()
    assert empty.holders() == 1
    assert theirs.pages == 1
    assert bytes(held.view()) == bytes([4]) * PAGE
    del held
    gc.collect()
    assert theirs.holders() == 1
    assert there.read() == []
    os.close(theirs.fd)
    os.close(empty.fd)


def test_results_that_many_threads_let_go_while_their_slab_goes_close_it_once(
    there: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        theirs = Theirs(there.large)
        held = [[each] for each in there.large.hold([theirs.extent(page) for page in range(8)])]
        threads = [threading.Thread(target=each.clear) for each in held]
        for thread in threads[:4]:
            thread.start()
        there.large.abandon(theirs.id)
        for thread in threads[4:]:
            thread.start()
        for thread in threads:
            thread.join()
        assert theirs.holders() == 1
        assert theirs.id not in there.large._foreign
        os.close(theirs.fd)


def test_a_result_whose_slab_did_not_come_is_an_error(there: Controller) -> None:
    (held,) = there.large.hold([Extent(object=b"o" * 16, length=1, slab=b"s" * 16)])
    with pytest.raises(LookupError, match="did not arrive"):
        held.view()


# ---- interrupts ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("frozen")
def test_an_interrupt_at_any_moment_of_a_put_leaves_no_room_taken(there: Controller) -> None:
    def use() -> None:
        for pages in (2, 6):
            loan = there.large.put(b"x" * pages * PAGE)
            assert loan is not None
            loan.rests = True

    rounds = 0
    for _ in struck_everywhere(use):
        rounds += 1
        there.free()
        assert there.large.lent == there.large.resting == 0
    assert rounds > 100
    there.free()
    loan = there.large.put(b"x" * ROOM)
    assert loan is not None
    there.read()
    slabs = [each.slab for each in there.said if isinstance(each, messages.Slab)]
    assert loan.extent.slab in slabs  # whoever hears of it has its slab


@pytest.mark.usefixtures("frozen")
@pytest.mark.filterwarnings("ignore:.*Held.__del__")
def test_an_interrupt_at_any_moment_keeps_no_slab_of_others_open(there: Controller) -> None:
    theirs = Theirs(there.large)

    def use() -> None:
        view = there.large.hold([theirs.extent(3)])[0].view()
        there.large.abandon(theirs.id)
        view[0] = 1

    for _ in struck_everywhere(use):
        gc.collect()
        there.large.abandon(theirs.id)
        assert theirs.holders() == 1
        os.close(theirs.fd)
        theirs = Theirs(there.large)
    os.close(theirs.fd)


# ---- arguments that come back -------------------------------------------------------------------


def test_an_argument_that_comes_back_is_the_loan_that_there_is_and_counts_once(
    there: Controller,
) -> None:
    loan = put(there.large, 2, b"a")
    loan.rests = True
    parts = [there.large.hold([loan.extent])[0] for _ in range(5)]
    assert all(part is loan for part in parts)
    assert there.large.resting == 2 * PAGE
    assert released(there.read()) == [loan.extent.object] * 5
    name = loan.extent.object
    parts.clear()
    del loan
    assert released(there.read()) == [name]
    assert there.large.resting == 0


def test_an_argument_that_comes_back_when_nobody_has_it_is_lent_anew(there: Controller) -> None:
    loan = put(there.large, 2, b"a")
    extent = loan.extent
    del loan
    there.read()
    (part,) = there.large.hold([extent])
    assert isinstance(part, Loan)
    assert bytes(part.view()) == b"a" * 2 * PAGE
    assert there.large.resting == 2 * PAGE
    gc.collect()
    assert released(there.read()) == []
    del part
    assert released(there.read()) == [extent.object]


def test_when_much_is_lent_an_argument_that_comes_back_is_copied(there: Controller) -> None:
    loan = put(there.large, 6, b"a")
    extent = loan.extent
    del loan
    there.read()
    (part,) = there.large.hold([extent])
    assert isinstance(part, Copied)
    assert released(there.read()) == [extent.object]
    assert there.large.resting == 0
    there.large.freed([extent.object])
    assert bytes(part.view()) == b"a" * 6 * PAGE


# ---- what is kept for a retry -------------------------------------------------------------------


def filled(there: Controller, tasks: int) -> tuple[KeptInputs, list[bytes]]:
    """The inputs of tasks in runs of two, an object a run."""
    inputs, names = KeptInputs(), []
    for first in range(0, tasks, 2):
        loan = put(there.large, 1)
        names.append(loan.extent.object)
        inputs.add(first, array("Q", [1, 2]), b"ab", (), (loan,))
    there.read()
    return inputs, names


def kinds(*outcomes: Kind) -> bytes:
    return bytes(outcomes)


def test_a_run_whose_tasks_returned_is_let_go_and_one_with_a_failure_rests(
    there: Controller,
) -> None:
    inputs, names = filled(there, 6)
    returned, raised = Kind.RETURNED, Kind.RAISED
    inputs.settle(1, kinds(returned, raised))
    assert there.large.resting == 0
    inputs.settle(0, kinds(returned))
    assert released(there.read()) == names[:1]
    inputs.settle(3, kinds(returned))
    assert there.large.resting == PAGE
    assert [each.extent.object for each in inputs.task(2)[2]] == names[1:2]
    inputs.settle(4, kinds(Kind.CANCELLED, Kind.LOST))
    assert there.large.resting == 2 * PAGE


def test_a_retry_that_returns_lets_go_and_one_that_fails_rests_on(there: Controller) -> None:
    inputs, names = filled(there, 2)
    inputs.settle(0, kinds(Kind.RAISED, Kind.RETURNED))
    inputs.unsettle(0)
    inputs.settle(0, kinds(Kind.RAISED))
    assert there.large.resting == PAGE
    inputs.unsettle(0)
    inputs.settle(0, kinds(Kind.RETURNED))
    assert released(there.read()) == names
    assert there.large.resting == 0
    assert inputs.task(0)[2] == ()


def test_a_run_does_not_rest_while_one_of_its_tasks_is_retried(there: Controller) -> None:
    inputs, names = filled(there, 2)
    inputs.settle(0, kinds(Kind.RAISED))
    inputs.unsettle(0)
    inputs.settle(1, kinds(Kind.RAISED))
    assert there.large.resting == 0
    inputs.settle(0, kinds(Kind.RETURNED))
    assert there.large.resting == PAGE
    inputs.unsettle(1)
    inputs.settle(1, kinds(Kind.RETURNED))
    assert released(there.read()) == names


# ---- order --------------------------------------------------------------------------------------


def test_a_release_never_overtakes_what_was_said_before_the_last_holder_let_go(
    there: Controller,
) -> None:
    early = put(there.large, 1)
    loan = put(there.large, 1)
    name = loan.extent.object
    there.read()
    del early  # a release waits already
    task = messages.AddTasks(job=b"j" * 16, first=0, count=1, objects=(loan.extent,))
    there.outbox.send(task)
    del loan
    said = there.read()
    assert said.index(task) < next(n for n, each in enumerate(said) if name in released([each]))


def test_what_is_free_for_a_while_goes_back_whatever_comes_meanwhile(there: Controller) -> None:
    loan = put(there.large, 2)
    name = loan.extent.object
    for _ in range(3 * REST_LOOKS):  # it is lent, and nothing happens for long
        there.large.rest()
    del loan
    there.free()
    assert there.large.lent == 0
    for _ in range(REST_LOOKS - 1):
        there.large.rest()
    assert there.large._arena.warm
    there.large.rest()
    assert not there.large._arena.warm
    assert name not in there.large.loans
