"""The scheduler's one door: ``handle(event) -> list[Action]``.

Rules, and why:

- A task is queued, leased or final, never two of these (see ``job``). A lease names a chunk on a
  host; whatever comes back names the lease, and an unknown lease is ignored. That alone makes
  delivery exactly once, however late or doubled the messages of a lost host are.
- Only the task that ran in a dead worker is charged an attempt: the pool says which one it was, and
  gives back the rest of the chunk. When a whole host is lost nobody can say which tasks had begun,
  so each task there is charged: with ``retries=0`` none of them may run a second time.
- A host that is dropped gives back what it has not begun, and is left when it has nothing any more.
  That charges nobody. Calls that tasks there have submitted run there, too, where nobody else can.
- A refresh charges nothing; but a task that it interrupted and that may not run twice is lost.
- A job that is bound to hosts runs on no other, whatever happens: it waits for one that is down.
  Once all of them were dropped it is lost, but for calls of what they have begun.
- Whenever the door closes, no host has an idle worker while something is queued that it may run. So
  tasks that join others of their job in line change nothing, and cost nothing.

The door takes no time. Nothing here is decided by the clock: how long tasks take is measured where
they run and comes with their outcomes, and whatever waits, waits for an event.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import structs

from scattergather.model.ids import JobId
from scattergather.model.outcome import Kind
from scattergather.scheduler import actions, events
from scattergather.scheduler.chunking import Estimate
from scattergather.scheduler.fairness import Lines
from scattergather.scheduler.feeding import Feeding
from scattergather.scheduler.fleet import Fleet
from scattergather.scheduler.host import ScheduledHost
from scattergather.scheduler.job import HostLease, ScheduledJob
from scattergather.scheduler.leases import Leases
from scattergather.scheduler.statistics import SchedulerStatistics, statistics_of

_FINAL = bytes([Kind.RETURNED, Kind.RAISED, Kind.EXCEEDED])
KNOWN_FUNCTIONS = 10_000
"""Time estimates kept for functions seen before; the oldest are forgotten."""


MOST_JOBS = 100
"""Beyond, it takes too long to find out whether one of them is in a hurry."""


class Scheduler:
    """Jobs, hosts and leases. Reactor thread in the controller; anywhere in tests."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, ScheduledJob] = {}
        self._fleet = Fleet()
        self._leases = Leases(self._fleet)
        self._lines = Lines()
        self._feeding = Feeding(self._fleet, self._lines, self._leases)
        self._estimates: dict[str, Estimate] = {}
        self._rerun = 0

    def handle(self, event: events.Event) -> list[actions.Action]:
        """Take in what happened; returns what is to be done about it, in order."""
        out: list[actions.Action] = []
        match event:
            case events.OutcomesArrived():
                self._outcomes(event, out)
            case events.TasksAdded():
                self._tasks_added(event, out)
            case events.JobAdded():
                self._job_added(event)
            case events.TasksEnded():
                self._tasks_ended(event, out)
            case events.ChunkGivenBack():
                self._given_back(event, out)
            case events.JobCancelled():
                self._job_cancelled(event.job, out)
            case events.JobForgotten():
                self._job_forgotten(event, out)
            case events.TasksWithdrawn():
                self._tasks_withdrawn(event, out)
            case events.CancelCompleted():
                self._cancel_completed(event, out)
            case events.HostJoined():
                self._host_joined(event, out)
            case events.SlotsChanged():
                self._slots_changed(event, out)
            case events.RoundTripMeasured():
                self._round_trip_measured(event, out)
            case events.HostLeft():
                self._host_left(event, out)
            case events.HostDraining():
                self._host_draining(event, out)
            case events.HostsAwaited():
                self._fleet.settled = False
            case events.HostDropped():
                self._fleet.dropped.add(event.host)
                self._fail_stranded(out)
            case events.HostExpected():
                self._fleet.dropped.discard(event.host)
            case events.HostsSettled():
                self._fleet.settled = True
                self._fail_stranded(out)
            case _:
                assert_never(event)
        if self._fleet.drained:
            self._leave_drained(out)
        return out

    def job_of(self, chunk: int, host: str) -> JobId | None:
        """The job of a chunk, if this host has it."""
        lease = self._leases.of(chunk, host)
        return lease.job.spec.job if lease is not None else None

    def has_leases(self, host: str) -> bool:
        """A host that is up has chunks."""
        return bool(self._fleet.hosts[host].leases)

    @property
    def working(self) -> bool:
        """Something is leased, of which outcomes will come."""
        return len(self._leases) > 0

    @property
    def can_wait(self) -> bool:
        """Outcomes may be heard a moment later: only slow tasks run, and no worker waits for us.

        Each host has more chunks than workers, or there are no more to be had.
        """
        if not len(self._leases) or len(self._jobs) > MOST_JOBS:
            return False
        if not all(job.estimate.slow for job in self._jobs.values() if job.running):
            return False
        lines, hosts = self._lines, self._fleet.hosts.values()
        return not (lines.ranks or lines.bound) or all(
            host.surplus > 0
            for host in hosts
            if host.slots and (lines.ranks or host.name in lines.bound)
        )

    def statistics(self) -> SchedulerStatistics:
        """What there is to do, and who does how much of it."""
        return statistics_of(self._fleet.hosts.values(), self._jobs.values(), self._rerun)

    # ---- jobs ----

    def _job_added(self, event: events.JobAdded) -> None:
        estimate = self._estimates.pop(event.function, None) or Estimate()
        self._estimates[event.function] = estimate
        if len(self._estimates) > KNOWN_FUNCTIONS:
            del self._estimates[next(iter(self._estimates))]
        job = self._jobs[event.job] = ScheduledJob(event, estimate, event.placement.on)
        if event.urgent:
            self._feeding.urgent[event.job] = job

    def _tasks_added(self, event: events.TasksAdded, out: list[actions.Action]) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        if job.cancelled:
            job.added += event.count
            if job.total is not None:  # it was forgotten while a thread still added to it
                job.total += event.count
            self._cancelled(job, event.first, event.first + event.count, out)
            return
        stood = bool(job.pending)
        job.add(event.first, event.count, event.size, event.near)
        if stood:
            return
        self._lines.join(job)
        self._feeding.feed_all(out)
        if job.pending and (cause := self._fleet.obstacle(job)) is not None:
            self._fail(job, cause, out)

    def _tasks_ended(self, event: events.TasksEnded, out: list[actions.Action]) -> None:
        job = self._jobs.get(event.job)
        if job is not None:
            job.total = event.total
            self._end_if_done(job, out)

    def _job_forgotten(self, event: events.JobForgotten, out: list[actions.Action]) -> None:
        self._job_cancelled(event.job, out)
        job = self._jobs.get(event.job)
        if job is not None and job.total is None:
            job.total = job.added
            self._end_if_done(job, out)

    def _job_cancelled(self, identity: JobId, out: list[actions.Action]) -> None:
        job = self._jobs.get(identity)
        if job is None:
            return
        job.cancelled = True
        for first, stop in list(job.drop(0, job.added)):
            self._cancelled(job, first, stop, out)
        self._lines.leave(job)
        by_host: dict[str, list[int]] = {}
        for lease in job.leases.values():
            by_host.setdefault(lease.host, []).append(lease.chunk)
        for host, chunks in by_host.items():
            out.append(actions.CancelChunks(host=host, chunks=tuple(chunks)))

    def _tasks_withdrawn(self, event: events.TasksWithdrawn, out: list[actions.Action]) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        for first, stop in list(job.drop(event.first, event.first + event.count)):
            self._cancelled(job, first, stop, out)
        self._lines.leave(job)

    def _cancelled(
        self, job: ScheduledJob, first: int, stop: int, out: list[actions.Action]
    ) -> None:
        if stop > first:
            job.done += stop - first
            out.append(actions.ReportCancelled(job=job.spec.job, first=first, count=stop - first))
            self._end_if_done(job, out)

    def _end_if_done(self, job: ScheduledJob, out: list[actions.Action]) -> None:
        if job.ended and self._jobs.pop(job.spec.job, None) is not None:
            self._feeding.urgent.pop(job.spec.job, None)
            out.append(actions.EndJob(job=job.spec.job))

    # ---- what hosts say ----

    def _outcomes(self, event: events.OutcomesArrived, out: list[actions.Action]) -> None:
        lease = self._leases.of(event.chunk, event.host)
        if lease is None or event.first != lease.next or not event.kinds:
            return
        job, count = lease.job, len(event.kinds)
        if count > lease.stop - lease.next:  # the chunk has no such tasks
            count = lease.stop - lease.next
            event = structs.replace(event, kinds=event.kinds[:count])
        if event.elapsed:
            job.estimate.learn(count, event.elapsed)
        job.proven = max(job.proven, count)
        lease.next += count
        job.running -= count
        again = False
        if not event.kinds.strip(_FINAL):
            self._final(job, event.first, 0, count, lease.attempt, out)
        else:
            again = self._judge(lease, event, out)
        if lease.next >= lease.stop:
            self._leases.end(lease)
        self._end_if_done(job, out)
        if again:  # more than this host has idle workers for, it may be
            self._lines.hosts_changed(event.host)
            self._feeding.feed_all(out)
        else:
            self._feeding.feed(self._fleet.hosts[event.host], out)

    def _final(
        self,
        job: ScheduledJob,
        first: int,
        offset: int,
        count: int,
        attempt: int,
        out: list[actions.Action],
    ) -> None:
        if count:
            job.done += count
            out.append(
                actions.Deliver(
                    job=job.spec.job,
                    first=first,
                    offset=offset,
                    count=count,
                    attempt=attempt,
                    attempts=job.attempts,
                )
            )

    def _judge(
        self, lease: HostLease, event: events.OutcomesArrived, out: list[actions.Action]
    ) -> bool:
        """Deliver the final ones in runs, and queue again what may run again; True if any may."""
        job, begin, again = lease.job, 0, []
        for offset, kind in enumerate(event.kinds):
            if kind in _FINAL:
                continue
            charged = kind != Kind.INTERRUPTED
            index = event.first + offset
            self._final(job, event.first + begin, begin, offset - begin, lease.attempt, out)
            begin = offset
            if kind == Kind.CANCELLED or (job.cancelled and kind != Kind.RETRYABLE):
                self._cancelled(job, index, index + 1, out)
                begin = offset + 1
            elif job.spec.retries and (lease.attempt < job.attempts or not charged):
                again.append((index, lease.attempt + charged))
                begin = offset + 1
        self._final(job, event.first + begin, begin, len(event.kinds) - begin, lease.attempt, out)
        for index, attempt in reversed(again):
            self._again(job, index, index + 1, attempt, out)
        return bool(again)

    def _again(
        self, job: ScheduledJob, first: int, stop: int, attempt: int, out: list[actions.Action]
    ) -> None:
        if not job.cancelled:
            self._rerun += stop - first
        self._put_back(job, first, stop, attempt, out)

    def _put_back(
        self, job: ScheduledJob, first: int, stop: int, attempt: int, out: list[actions.Action]
    ) -> None:
        """Tasks that a host had are queued again, unless nobody wants or can run them any more."""
        if job.cancelled:
            self._cancelled(job, first, stop, out)
        elif job.on and (cause := self._fleet.obstacle(job)) is not None:
            self._lose(job, first, stop, cause, attempt, out)
        else:
            job.put_back(first, stop, attempt)
            self._lines.join(job)

    def _given_back(self, event: events.ChunkGivenBack, out: list[actions.Action]) -> None:
        lease = self._leases.of(event.chunk, event.host)
        if lease is None:
            return
        first, stop = self._leases.shorten(lease, event.first)
        if first == stop:  # they came back before
            return
        self._put_back(lease.job, first, stop, lease.attempt, out)
        self._lines.hosts_changed(event.host)
        self._feeding.feed_all(out)

    def _cancel_completed(self, event: events.CancelCompleted, out: list[actions.Action]) -> None:
        lease = self._leases.of(event.chunk, event.host)
        if lease is None:
            return
        first, stop = self._leases.shorten(lease, event.first)
        self._cancelled(lease.job, first, stop, out)
        self._feeding.feed(self._fleet.hosts[event.host], out)

    # ---- hosts ----

    def _host_joined(self, event: events.HostJoined, out: list[actions.Action]) -> None:
        self._fleet.join(ScheduledHost(event.host, event.slots, event.python, event.services))
        self._lines.hosts_changed(event.host)
        self._feeding.feed_all(out)

    def _slots_changed(self, event: events.SlotsChanged, out: list[actions.Action]) -> None:
        host = self._fleet.hosts.get(event.host)
        if host is not None:
            self._fleet.resize(host, event.slots)
            self._feeding.feed(host, out)

    def _round_trip_measured(
        self, event: events.RoundTripMeasured, out: list[actions.Action]
    ) -> None:
        host = self._fleet.hosts.get(event.host)
        if host is not None:
            self._fleet.measure(host, event.seconds)
            self._feeding.feed(host, out)

    def _host_draining(self, event: events.HostDraining, out: list[actions.Action]) -> None:
        host = self._fleet.hosts.get(event.host)
        if host is None:
            return
        host.closed = host.closed or event.closed
        if host.leaving is not None:
            self._fail_stranded(out)
            return
        self._fleet.drain(host)
        self._fleet.dropped.add(event.host)
        self._lines.hosts_changed(event.host)
        self._fail_stranded(out)
        if tasks := sum(lease.stop - lease.next for lease in host.leases.values()):
            out.append(actions.TakeBackFrom(host=host.name, count=tasks))
        self._feeding.feed_all(out)

    def _leave_drained(self, out: list[actions.Action]) -> None:
        """Hosts that leave have nothing any more, unless calls of what ran there need them."""
        self._feeding.feed_leaving(out)
        if drained := self._fleet.take_drained():
            self._fail_stranded(out)
            out += [actions.LeaveHost(host=host.name) for host in drained]

    def _host_left(self, event: events.HostLeft, out: list[actions.Action]) -> None:
        host = self._fleet.hosts.get(event.host)
        if host is None:
            return
        for lease in list(host.leases.values()):
            self._leases.end(lease)
            job = lease.job
            if job.cancelled:
                self._cancelled(job, lease.next, lease.stop, out)
            elif lease.attempt < job.attempts:
                self._again(job, lease.next, lease.stop, lease.attempt + 1, out)
            else:
                cause = actions.HostGone(host=event.host, reason=event.reason)
                self._lose(job, lease.next, lease.stop, cause, lease.attempt, out)
        self._fleet.leave(host)
        self._lines.hosts_changed(event.host)
        self._fail_stranded(out)
        self._feeding.feed_all(out)

    # ---- what no host can run -------------------------------------------------------------------

    def _fail_stranded(self, out: list[actions.Action]) -> None:
        """End what no host can run: hosts have changed."""
        for job in list(self._lines.all()):
            if (cause := self._fleet.obstacle(job)) is not None:
                self._fail(job, cause, out)

    def _fail(self, job: ScheduledJob, cause: actions.Cause, out: list[actions.Action]) -> None:
        """End what is queued of a job that no host can run."""
        for first, stop in list(job.drop(0, job.added)):
            self._lose(job, first, stop, cause, 1, out)
        self._lines.leave(job)

    def _lose(
        self,
        job: ScheduledJob,
        first: int,
        stop: int,
        cause: actions.Cause,
        attempt: int,
        out: list[actions.Action],
    ) -> None:
        job.done += stop - first
        out.append(
            actions.DeliverLoss(
                job=job.spec.job,
                first=first,
                count=stop - first,
                cause=cause,
                attempt=attempt,
                attempts=job.attempts,
            )
        )
        self._end_if_done(job, out)
