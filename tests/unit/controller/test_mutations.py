"""Whatever a host says: it is taken in whole, or the host is thrown out and nothing has changed.

Then its leases run elsewhere, and every task has one outcome.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, get_args

import msgspec
import pytest

from scattergather.controller.jobs.nested import size_of
from scattergather.model.outcome import Kind, LossKind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.files import FileEntry, Seen
from scattergather.wire.messages.shared import Extent, Loss
from tests.nasty import A, B, head, mutated
from tests.unit.controller.near import Near, returned

JOB, OTHER = b"j" * 16, b"o" * 16
TASKS = 300
FILE = FileEntry(path=b"file", folder=False, size=1, mode=0o600)


class There(Near):
    """A controller with a stranger among its two hosts, each of which has chunks of a job."""

    def __init__(self, retries: int = 3) -> None:
        super().__init__(hosts=2, workers=2)
        self.stranger, self.other = self.hosts
        self.add(JOB, TASKS, retries=retries)
        for _ in range(3):  # so that there are chunks of several tasks, too
            for host in self.hosts:
                for run in host.take(messages.Run):
                    host.told.remove(run)
                    host.say(returned(run, elapsed=1e-5 * run.count))
        self.theirs = self.stranger.take(messages.Run)
        self.is_in = True

    def hear(self, message_head: bytes, body: bytes) -> None:
        """The stranger says this, as its link passes it on."""
        before = self.state()
        try:
            self.stranger.listener.received(messages.read_from_pool(message_head), body)
        except Exception:
            assert self.state() == before
            self.thrown_out()

    def state(self) -> Any:
        parts = self.parts
        return (
            self.driver.statistics(),
            parts.objects.statistics(),
            self.store.statistics(),
            parts.roster.statistics(),
            list(self.told),
        )

    def thrown_out(self) -> None:
        if self.is_in:
            self.is_in = False
            self.stranger.listener.left("it said what makes no sense")

    def end(self) -> Counter[int]:
        """The other host does all that there is; returns how often each task came to an end."""
        self.thrown_out()
        done: set[int] = set()
        for _ in range(TASKS):
            fresh = [run for run in self.other.take(messages.Run) if run.chunk not in done]
            if not fresh:
                break
            for run in fresh:
                done.add(run.chunk)
                self.other.say(returned(run))
        ends: Counter[int] = Counter()
        for message in self.take(messages.TaskOutcomes):
            if message.job == JOB:
                ends.update(range(message.first, message.first + len(message.kinds)))
        for message in self.take(messages.TasksCancelled):
            if message.job == JOB:
                ends.update(range(message.first, message.first + message.count))
        return ends

    def add_argument(self) -> None:
        """A job takes a large argument of the client."""
        self.store.reserve(A, 10)
        self.store.stored(A)
        self.ask(messages.AddJob(job=OTHER, name="other", function="sum"), b"")
        task = messages.AddTasks(
            job=OTHER, first=0, count=1, objects=(Extent(object=A, length=10),)
        )
        self.ask(task, blobs.pack([b"."]))
        self.ask(messages.EndTasks(job=OTHER, total=1), b"")

    def ship_something(self, chance: random.Random) -> None:
        """Its block stream brings things, too, or says that it will not."""
        if not self.is_in:
            return
        name, what = chance.choice((A, B)), chance.random()
        if what < 0.1 and self.store.length(name) is None and self.store.reserve(name, 10):
            self.store.stored(name)
            self.stranger.listener.arrived((name,))
        elif what < 0.2:
            self.stranger.listener.lost((name,), "no room")

    def is_well(self) -> None:
        assert self.end() == dict.fromkeys(range(TASKS), 1)
        assert [each.job for each in self.driver.statistics().jobs] == []
        for message, body in self.outcomes():
            assert blobs.sound(body, len(message.kinds))


def samples(run: messages.Run) -> list[tuple[msgspec.Struct, bytes]]:
    """What a host that means well may say of a chunk, each message once at least."""
    part = (Extent(object=A, length=10),)
    body = blobs.pack([b"."] * run.count)
    loss = messages.encode(Loss(kind=LossKind.LOST, reason="so"))
    losses = returned(run, 1), blobs.pack([loss])
    return [
        (returned(run), body),
        (returned(run), body),
        (msgspec.structs.replace(losses[0], kinds=bytes([Kind.LOST])), losses[1]),
        (returned(run, 1, objects=part), blobs.pack([b"."])),
        (returned(run, 1, borrowed=part), blobs.pack([b"."])),
        (returned(run, 1, lent=part), blobs.pack([b"."])),
        (messages.Output(chunk=run.chunk, index=run.first), b"hello"),
        (messages.GaveBack(chunk=run.chunk, first=run.first), b""),
        (messages.CancelDone(chunk=run.chunk, first=run.first), b""),
        (messages.WorkersChanged(workers=2, alive=2), b""),
        (messages.RefreshDone(call=1, workers=2, interrupted=0, seconds=0.1), b""),
        (messages.EverywhereDone(call=2, worker=1, kind=Kind.RETURNED, last=True), b"."),
        (messages.NestedSubmit(ticket=1, function="sum", chunk=run.chunk, worker=1), b"."),
        (messages.NestedSubmit(ticket=1, function="sum", chunk=run.chunk, lent=part), b"."),
        (messages.Code(digest=A, needs=(B,)), b"code"),
        (messages.Code(digest=B, needs=(A, B)), b"code"),
        (messages.Want(objects=(A,)), b""),
        (messages.Dropped(objects=(A,)), b""),
        (messages.Release(objects=(A,)), b""),
        (messages.Vitals(load=1.5, memory=1 << 30, disk=1 << 40), b""),
        (messages.FilesAnswer(call=1, reply=Seen(found=FILE, entries=(FILE,))), b"."),
        (messages.AskKey(peer="other"), b""),
        (messages.KeyMinted(peer="other", key="k" * 32), b""),
        (messages.Fetched(peer="other", objects=(A,)), b""),
        (messages.NotFetched(peer="other", objects=(A,), why="so"), b""),
        (messages.NotFetched(peer="other", why="so", unreachable=True), b""),
        (messages.SendFile(ticket=1, transfer=A, name=b"file", size=1, mode=0o600), b""),
    ]


def odd_body(chance: random.Random, body: bytes) -> bytes:
    match chance.randrange(8):
        case 0:
            return b""
        case 1:
            return body[: chance.randrange(len(body) + 1)]
        case 2:
            return body + b"."
        case 3:
            return chance.randbytes(len(body))
        case 4:
            return b"\xff" * 8 + body[8:]
        case _:
            return body


def test_the_samples_leave_no_message_out() -> None:
    run = messages.Run(chunk=1, job=JOB, function="f", first=0, count=1)
    assert {type(message) for message, _ in samples(run)} == set(get_args(messages.FromPool))


@pytest.mark.parametrize("retries", [0, 3])
@pytest.mark.parametrize("seed", range(0, 200, 20))
def test_whatever_a_host_says_every_task_has_one_outcome(seed: int, retries: int) -> None:
    for each in range(seed, seed + 20):
        chance = random.Random(each)
        there = There(retries)
        if chance.random() < 0.5:
            there.add_argument()
        there.ask(messages.Command(call=1, word="refresh"), b"")
        there.ask(messages.RunEverywhere(call=2, function="sum"), b".")
        for _ in range(chance.randrange(1, 15)):
            if not there.is_in:
                break
            message, body = chance.choice(samples(chance.choice(there.theirs)))
            if chance.random() < 0.2:
                said = head(chance, type(message))
            elif chance.random() < 0.8:
                said = mutated(chance, message)
            else:
                said = messages.encode(message)
            there.hear(said, odd_body(chance, body))
            there.ship_something(chance)
        there.is_well()


@pytest.mark.parametrize(
    ("kinds", "body"),
    [
        ([Kind.RETURNED] * 3, blobs.table([b"...."]).tobytes() + blobs.pack([b".", b"."])),
        ([Kind.RETURNED, Kind.LOST, Kind.RETURNED], blobs.pack([b".", b"\x92\xa1x", b"."])),
        ([Kind.RETURNED, Kind.LOST, Kind.RETURNED], blobs.pack([b".", b"", b"."])),
        ([Kind.LOST] * 3, blobs.pack([b"\x92\xa8TaskLost\xa1\xff"] * 3)),
    ],
    ids=["backwards in the middle", "no loss", "an empty loss", "a loss that is no text"],
)
def test_a_batch_that_makes_no_sense_is_found_out_before_any_of_it_counts(
    kinds: list[Kind], body: bytes
) -> None:
    there = There(retries=0)
    run = there.theirs[-1]
    said = msgspec.structs.replace(returned(run, 3), kinds=bytes(kinds))
    there.hear(messages.encode(said), body)
    there.is_well()


def test_an_object_of_the_client_is_not_a_hosts_to_bring_to_name_or_to_drop() -> None:
    there = There()
    part = (Extent(object=A, length=10),)
    there.add_argument()
    run = there.theirs[0]
    for said in (
        returned(run, 1, objects=part),
        returned(run, 1, lent=part),
        messages.NestedSubmit(ticket=1, function="#no", chunk=run.chunk, lent=part),
        messages.Release(objects=(A, A)),
        messages.Dropped(objects=(A,)),
    ):
        there.hear(messages.encode(said), blobs.pack([b"."]))
        assert there.store.length(A) == 10
    there.thrown_out()
    assert there.store.length(A) == 10
    assert not there.take(messages.Freed)


def test_a_part_that_is_named_twice_throws_its_host_out_before_it_is_passed_on_twice() -> None:
    there = There()
    part = (Extent(object=A, length=10),)
    there.store.reserve(A, 10)
    there.store.stored(A)
    there.stranger.listener.arrived((A,))
    first, second = there.theirs[:2]
    there.hear(messages.encode(returned(first, 1, objects=part)), blobs.pack([b"."]))
    assert there.is_in
    there.hear(messages.encode(returned(second, 1, objects=part)), blobs.pack([b"."]))
    assert not there.is_in
    assert there.store.length(A) == 10, "the client has it"
    there.is_well()


def test_an_answer_of_a_host_that_was_not_asked_counts_for_nothing() -> None:
    there = There()
    there.ask(messages.Command(call=1, word="refresh"), b"")
    done = messages.RefreshDone(call=1, workers=1, interrupted=0, seconds=0.0)
    for _ in range(2):
        there.hear(messages.encode(done), b"")
    there.other.say(done)
    (answer,) = [each for each in there.take(messages.Answer) if each.call == 1]
    assert answer.value.workers == 2


def test_a_client_that_repeats_a_job_or_leaves_tasks_out_is_refused_and_nothing_has_changed() -> (
    None
):
    there = There()
    before = there.driver.statistics()
    with pytest.raises(ValueError, match="came twice"):
        there.ask(messages.AddJob(job=JOB, name="again", function="sum"), b"")
    for first in (0, TASKS - 1, TASKS + 1):
        with pytest.raises(ValueError, match=f"where {TASKS} had come"):
            there.ask(messages.AddTasks(job=JOB, first=first, count=1), blobs.pack([b"."]))
    assert there.driver.statistics() == before
    there.is_well()


@pytest.mark.parametrize("total", [0, 1, 3, 1 << 53])
def test_a_client_that_counts_the_tasks_of_a_job_wrongly_is_refused_and_nothing_has_changed(
    total: int,
) -> None:
    there = There()
    there.ask(messages.AddJob(job=OTHER, name="other", function="sum"), b"")
    there.ask(messages.AddTasks(job=OTHER, first=0, count=2), blobs.pack([b".", b"."]))
    before = there.driver.statistics()
    with pytest.raises(ValueError, match="where 2 had come"):
        there.ask(messages.EndTasks(job=OTHER, total=total), b"")
    assert there.driver.statistics() == before
    there.ask(messages.EndTasks(job=OTHER, total=2), b"")
    there.is_well()


def test_who_ends_a_job_that_was_forgotten_is_not_refused() -> None:
    there = There()
    there.ask(messages.AddJob(job=OTHER, name="other", function="sum"), b"")
    there.ask(messages.ForgetJob(job=OTHER), b"")
    there.ask(messages.EndTasks(job=OTHER, total=7), b"")
    there.is_well()


def test_calls_of_tasks_without_end_are_refused_when_those_without_an_outcome_take_too_much() -> (
    None
):
    there = There()
    nested = there.driver._nested
    nested._most = 3 * size_of(messages.NestedSubmit(ticket=1, function="sum"), bytes(10))
    run = there.theirs[0]

    def submit(ticket: int) -> None:
        call = messages.NestedSubmit(ticket=ticket, function="sum", chunk=run.chunk, worker=1)
        there.stranger.say(call, bytes(10))

    for ticket in range(1, 6):
        submit(ticket)
    refused = there.stranger.take(messages.NestedOutcome)
    assert [each.ticket for each in refused] == [4, 5]
    loss = messages.read_loss(there.stranger.bodies[-1])
    assert loss.reason.startswith("calls of tasks that have no outcome yet take all the ")
    assert nested.refusal(1)
    there.thrown_out()  # so nobody waits for them any more
    assert not nested.refusal(nested._most)
    there.is_well()
