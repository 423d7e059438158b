"""Calls that tasks submit: each is a job of one task, and its outcome goes down again.

Who waits for it is a task, known by the chunk that it runs in and its index. Once that has raised,
or was ended, nobody waits, and its calls are cancelled; those of one that returned are let be: it
may have meant not to wait. Once the worker is gone, so is all that was asked in its chunk. Once
its host is lost, an outcome must reach nobody: a daemon that is started there anew numbers its
workers, and their tickets, alike, so it would be taken for another call's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from scattergather.controller.roster import Roster
from scattergather.model.ids import JobId
from scattergather.model.outcome import Kind, LossKind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Loss

MOST = 1 << 30
"""Bytes that the calls of tasks may take here which have no outcome yet."""

APIECE = 1 << 12
"""Bytes that each takes beside its arguments: it is a job."""

A_NAME = 1 << 9
"""Bytes that each name in it is taken to hold."""


def size_of(message: messages.NestedSubmit, body: bytes) -> int:
    """About how many bytes such a call takes here."""
    names = len(message.needs) + len(message.lent) + len(message.borrowed)
    return APIECE + len(body) + len(message.function) + A_NAME * names


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who submitted a nested call: ``ticket`` of ``worker`` on ``host``, from within ``chunk``.

    ``job`` and ``index`` say for which task of the client that is, through all calls above it.
    ``weight`` is about how many bytes the call takes here.
    """

    host: str
    worker: int
    ticket: int
    chunk: int
    depth: int
    job: JobId
    index: int
    weight: int


class NestedCalls:
    """Every nested call that is not over. Reactor thread only.

    Args:
        most: about how many bytes all of them may take.
    """

    def __init__(self, roster: Roster, most: int = MOST) -> None:
        self._roster = roster
        self._most = most
        self._held = 0
        self._origins: dict[JobId, Origin] = {}
        # Dictionaries, not sets: what is done in their order can be replayed.
        self._by_chunk: dict[int, dict[JobId, int]] = {}
        """The calls of each chunk, with the index of the task in it that submitted them."""
        self._abandoned: set[JobId] = set()

    # ---- who waits for what ---------------------------------------------------------------------

    def refusal(self, size: int) -> str:
        """Why a call of this size cannot be made now; empty if it can.

        A task may submit calls for ever without waiting for one.
        """
        if self._held + size <= self._most:
            return ""
        return (
            "calls of tasks that have no outcome yet take all the "
            f"{self._most:,} bytes that they may; wait for some before you submit more"
        )

    def begin(
        self, host: str, message: messages.NestedSubmit, parent: messages.AddJob, size: int
    ) -> tuple[messages.AddJob, messages.AddTasks, Origin]:
        """A task of the job ``parent`` has submitted a call; returns that as a job, and its task.

        It takes about ``size`` bytes.
        It goes before the tasks of its parent: somebody holds a worker and waits for it.
        """
        above = self._origins.get(parent.job)
        origin = Origin(
            host=host,
            worker=message.worker,
            ticket=message.ticket,
            chunk=message.chunk,
            depth=1 if above is None else above.depth + 1,
            job=parent.job if above is None else above.job,
            index=message.index if above is None else above.index,
            weight=size,
        )
        self._held += origin.weight
        job = messages.AddJob(
            job=os.urandom(16),
            name=f"{parent.name} > call {message.ticket}",
            function=message.function,
            needs=message.needs,
            priority=parent.priority,
            code_version=parent.code_version,
            placement=parent.placement,
            keep_children=parent.keep_children,
        )
        tasks = messages.AddTasks(
            job=job.job,
            first=0,
            count=1,
            needs=message.needs,
            objects=(*message.lent, *message.borrowed),
        )
        self._origins[job.job] = origin
        self._by_chunk.setdefault(message.chunk, {})[job.job] = message.index
        return job, tasks, origin

    def origin(self, job: JobId) -> Origin | None:
        """Who waits for a job, or None when the client does."""
        return self._origins.get(job)

    def of_chunk(self, chunk: int) -> tuple[JobId, ...]:
        """The nested jobs that tasks of a chunk wait for."""
        return tuple(self._by_chunk.get(chunk, ()))

    def orphaned(
        self, host: str, outcomes: messages.Outcomes, *, worker_gone: bool
    ) -> tuple[JobId, ...]:
        """The nested jobs that nobody waits for any more, by what came of tasks of a chunk."""
        found = self._by_chunk.get(outcomes.chunk)
        if found is None:
            return ()
        first, kinds = outcomes.first, outcomes.kinds
        ended = {first + at for at, kind in enumerate(kinds) if kind != Kind.RETURNED}
        return tuple(
            job
            for job, index in found.items()
            if (worker_gone or index in ended) and self._origins[job].host == host
        )

    def any_of(self, host: str) -> bool:
        """A call that a task of this host has submitted is not over."""
        return any(origin.host == host for origin in self._origins.values())

    def abandon(self, host: str) -> Iterable[JobId]:
        """Nobody waits any more for what tasks of this host submitted: for these jobs."""
        jobs = tuple(job for job, origin in self._origins.items() if origin.host == host)
        self._abandoned.update(jobs)
        return jobs

    def abandoned(self, job: JobId) -> bool:
        """Nobody waits for this job any more."""
        return job in self._abandoned

    def ended(self, job: JobId) -> None:
        """The job has its outcome."""
        origin = self._origins.pop(job, None)
        self._abandoned.discard(job)
        if origin is not None:
            self._held -= origin.weight
            siblings = self._by_chunk.get(origin.chunk, {})
            siblings.pop(job, None)
            if not siblings:
                self._by_chunk.pop(origin.chunk, None)

    # ---- what they are told ---------------------------------------------------------------------

    def refuse(self, host: str, message: messages.NestedSubmit, reason: str) -> None:
        """This call cannot be made: whoever waits for it is told why."""
        entry = self._roster.entries[host]
        lost = messages.NestedOutcome(
            worker=message.worker, ticket=message.ticket, kind=Kind.LOST, host=host
        )
        loss = Loss(kind=LossKind.LOST, reason=reason, host=host)
        self._roster.send(entry, lost, messages.encode(loss))

    def answer(self, origin: Origin, message: messages.TaskOutcomes, body: bytes) -> None:
        """The outcome of a call goes to the worker that waits for it, if it is still there."""
        if message.job in self._abandoned:
            return
        outcome = messages.NestedOutcome(
            worker=origin.worker,
            ticket=origin.ticket,
            kind=message.kinds[0],
            host=message.host,
            pid=message.worker,
            objects=message.objects,
        )
        self._roster.send(self._roster.entries[origin.host], outcome, blobs.each(body, 1)[0])
