"""The scheduler's one door: ``handle(event, now) -> list[Action]``.

Rules, and why:

- A task is queued, leased or final, never two of these (see ``job``). A lease names a chunk on a
  host; whatever comes back names the lease, and an unknown lease is ignored. That alone makes
  delivery exactly once, however late or doubled the messages of a lost host are.
- Only the task that ran in a dead worker is charged an attempt: the pool says which one it was, and
  gives back the rest of the chunk. When a whole host is lost nobody can say which tasks had begun,
  so each task there is charged: with ``retries=0`` none of them may run a second time.
- A refresh charges nothing; but a task that it interrupted and that may not run twice is lost.
- Every host is kept at one chunk a worker plus a read-ahead that hides the way to it. Once nothing
  is queued here, a host with idle workers makes us recall what others hold unstarted.
"""

from __future__ import annotations

from typing import assert_never

from scattergather.model.ids import JobId
from scattergather.model.outcome import Kind, LossKind
from scattergather.scheduler import actions, events
from scattergather.scheduler.chunking import Estimate, chunk_size, read_ahead
from scattergather.scheduler.fairness import Lines
from scattergather.scheduler.host import ScheduledHost
from scattergather.scheduler.job import HostLease, ScheduledJob

_FINAL = bytes([Kind.RETURNED, Kind.RAISED, Kind.EXCEEDED])
KNOWN_FUNCTIONS = 10_000
"""Time estimates kept for functions seen before; the oldest are forgotten."""


class Scheduler:
    """Jobs, hosts and leases. Reactor thread in the controller; anywhere in tests."""

    def __init__(self) -> None:
        self.jobs: dict[JobId, ScheduledJob] = {}
        self.hosts: dict[str, ScheduledHost] = {}
        self._leases: dict[int, HostLease] = {}
        self._lines = Lines()
        self._estimates: dict[str, Estimate] = {}
        self._chunks = 0
        self._slots = 0
        self._settled = False
        self.rerun = 0

    def handle(self, event: events.Event, now: float) -> list[actions.Action]:
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
                self._job_cancelled(event, out)
            case events.TasksWithdrawn():
                self._tasks_cancelled(event, out)
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
            case events.HostsSettled():
                self._settled = True
                self._fail_homeless(out)
            case _:
                assert_never(event)
        return out

    def job_of(self, chunk: int) -> ScheduledJob | None:
        """The job that a live lease belongs to."""
        lease = self._leases.get(chunk)
        return lease.job if lease is not None else None

    @property
    def working(self) -> bool:
        """Something is leased, of which outcomes will come."""
        return bool(self._leases)

    # ---- jobs ----

    def _job_added(self, event: events.JobAdded) -> None:
        estimate = self._estimates.pop(event.function, None) or Estimate()
        self._estimates[event.function] = estimate
        if len(self._estimates) > KNOWN_FUNCTIONS:
            del self._estimates[next(iter(self._estimates))]
        self.jobs[event.job] = ScheduledJob(event, estimate)

    def _tasks_added(self, event: events.TasksAdded, out: list[actions.Action]) -> None:
        job = self.jobs.get(event.job)
        if job is None:
            return
        if job.cancelled:
            job.added += event.count
            self._cancelled(job, event.first, event.first + event.count, out)
            return
        job.add(event.first, event.count, event.size)
        self._lines.join(job)
        self._feed_all(out)
        if job.pending and self._homeless(job):
            self._fail(job, out)

    def _tasks_ended(self, event: events.TasksEnded, out: list[actions.Action]) -> None:
        job = self.jobs.get(event.job)
        if job is not None:
            job.total = event.total
            self._end_if_done(job, out)

    def _job_cancelled(self, event: events.JobCancelled, out: list[actions.Action]) -> None:
        job = self.jobs.get(event.job)
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

    def _tasks_cancelled(self, event: events.TasksWithdrawn, out: list[actions.Action]) -> None:
        job = self.jobs.get(event.job)
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
        if job.ended and self.jobs.pop(job.spec.job, None) is not None:
            out.append(actions.EndJob(job=job.spec.job))

    # ---- what hosts say ----

    def _lease(self, chunk: int, host: str) -> HostLease | None:
        lease = self._leases.get(chunk)
        return lease if lease is not None and lease.host == host else None

    def _release(self, lease: HostLease) -> None:
        del self._leases[lease.chunk]
        del lease.job.leases[lease.chunk]
        host = self.hosts[lease.host]
        del host.leases[lease.chunk]
        host.recalling = False
        lease.job.running -= lease.stop - lease.next

    def _shorten(self, lease: HostLease, first: int) -> tuple[int, int]:
        """Take the tasks from ``first`` on out of a lease; those before have outcomes to come."""
        first, stop = min(max(first, lease.next), lease.stop), lease.stop
        lease.stop = first
        lease.job.running -= stop - first
        self.hosts[lease.host].recalling = False
        if lease.next >= first:
            self._release(lease)
        return first, stop

    def _outcomes(self, event: events.OutcomesArrived, out: list[actions.Action]) -> None:
        lease = self._lease(event.chunk, event.host)
        if lease is None or event.first != lease.next:
            return
        job, count = lease.job, len(event.kinds)
        if event.elapsed:
            job.estimate.learn(count, event.elapsed)
        job.proven = max(job.proven, count)
        lease.next += count
        job.running -= count
        if not event.kinds.strip(_FINAL):
            self._final(job, event.first, 0, count, lease.attempt, out)
        else:
            self._judge(lease, event, out)
        if lease.next >= lease.stop:
            self._release(lease)
        self._end_if_done(job, out)
        self._feed(self.hosts[event.host], out)

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
    ) -> None:
        """Deliver the final ones in runs, and queue again what may run again."""
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

    def _again(
        self, job: ScheduledJob, first: int, stop: int, attempt: int, out: list[actions.Action]
    ) -> None:
        if job.cancelled:
            self._cancelled(job, first, stop, out)
        else:
            self.rerun += stop - first
            job.put_back(first, stop, attempt)
            self._lines.join(job)

    def _given_back(self, event: events.ChunkGivenBack, out: list[actions.Action]) -> None:
        lease = self._lease(event.chunk, event.host)
        if lease is None:
            return
        job = lease.job
        first, stop = self._shorten(lease, event.first)
        if first == stop:  # they came back before
            return
        if job.cancelled:
            self._cancelled(job, first, stop, out)
        else:
            job.put_back(first, stop, lease.attempt)
            self._lines.join(job)
        self._feed_all(out)

    def _cancel_completed(self, event: events.CancelCompleted, out: list[actions.Action]) -> None:
        lease = self._lease(event.chunk, event.host)
        if lease is None:
            return
        first, stop = self._shorten(lease, event.first)
        self._cancelled(lease.job, first, stop, out)
        self._feed(self.hosts[event.host], out)

    # ---- hosts ----

    def _host_joined(self, event: events.HostJoined, out: list[actions.Action]) -> None:
        self.hosts[event.host] = ScheduledHost(
            event.host, event.slots, event.python, event.services
        )
        self._count_slots()
        self._feed_all(out)

    def _slots_changed(self, event: events.SlotsChanged, out: list[actions.Action]) -> None:
        host = self.hosts.get(event.host)
        if host is not None:
            host.slots = event.slots
            self._count_slots()
            self._feed(host, out)

    def _round_trip_measured(
        self, event: events.RoundTripMeasured, out: list[actions.Action]
    ) -> None:
        host = self.hosts.get(event.host)
        if host is not None:
            host.round_trip = event.seconds
            self._feed(host, out)

    def _host_left(self, event: events.HostLeft, out: list[actions.Action]) -> None:
        host = self.hosts.get(event.host)
        if host is None:
            return
        for lease in list(host.leases.values()):
            self._release(lease)
            job = lease.job
            if job.cancelled:
                self._cancelled(job, lease.next, lease.stop, out)
            elif lease.attempt < job.attempts:
                self._again(job, lease.next, lease.stop, lease.attempt + 1, out)
            else:
                job.done += lease.stop - lease.next
                out.append(
                    actions.DeliverLoss(
                        job=job.spec.job,
                        first=lease.next,
                        count=lease.stop - lease.next,
                        kind=LossKind.HOST_LOST,
                        reason=event.reason,
                        host=event.host,
                        attempt=lease.attempt,
                        attempts=job.attempts,
                    )
                )
                self._end_if_done(job, out)
        del self.hosts[event.host]
        self._count_slots()
        self._fail_homeless(out)
        self._feed_all(out)

    def _count_slots(self) -> None:
        self._slots = sum(host.slots for host in self.hosts.values())

    # ---- feeding ----

    def _feed_all(self, out: list[actions.Action]) -> None:
        """Hand out what is queued, always to the host with the fewest chunks a worker."""
        open_hosts = [host for host in self.hosts.values() if host.slots]
        while self._lines and open_hosts:
            host = min(open_hosts, key=_load) if len(open_hosts) > 1 else open_hosts[0]
            if not self._send_one(host, out):
                open_hosts.remove(host)
        self._recall(out)

    def _feed(self, host: ScheduledHost, out: list[actions.Action]) -> None:
        """Fill up one host that has just become less busy."""
        while host.slots and self._lines and self._send_one(host, out):
            pass
        if not self._lines:
            self._recall(out)

    def _send_one(self, host: ScheduledHost, out: list[actions.Action]) -> bool:
        job = self._lines.first()
        if job is None or not self._eligible(host, job):
            job = next((job for job in self._lines.in_order() if self._eligible(host, job)), None)
            if job is None:
                return False
        ahead = len(host.leases) - host.slots
        if ahead >= 0 and ahead >= read_ahead(
            job.estimate, slots=host.slots, round_trip=host.round_trip
        ):
            return False
        size = chunk_size(
            job.estimate,
            queued=job.queued,
            slots=self._slots,
            proven=job.proven,
            mean_bytes=job.size / max(1, job.added),
        )
        taken = job.take(size)
        self._lines.served(job)
        self._chunks += 1
        lease = HostLease(self._chunks, job, host.name, taken.first, taken.stop, taken.attempt)
        self._leases[lease.chunk] = job.leases[lease.chunk] = host.leases[lease.chunk] = lease
        count = taken.stop - taken.first
        job.running += count
        out.append(
            actions.SendChunk(
                host=host.name,
                chunk=lease.chunk,
                job=job.spec.job,
                first=taken.first,
                count=count,
                attempt=taken.attempt,
                ahead=job.estimate.ahead and not job.spec.limited and taken.attempt == 1,
            )
        )
        if job.spec.stream:
            out.append(actions.ReportPlaced(job=job.spec.job, first=taken.first, count=count))
        return True

    def _eligible(self, host: ScheduledHost, job: ScheduledJob) -> bool:
        """Whether this host may run the job: its code loads there, and its service is there.

        A name that no host lists may come from pushed code: then any host will do, and answers.
        """
        if not host.fits(job):
            return False
        service = job.spec.service
        if not service or service in host.services:
            return True
        return not any(service in each.services for each in self.hosts.values())

    def _homeless(self, job: ScheduledJob) -> bool:
        """No host can run the job, and all have answered; with no host at all, it waits."""
        return bool(
            job.spec.python
            and self._settled
            and self.hosts
            and not any(host.fits(job) for host in self.hosts.values())
        )

    def _fail_homeless(self, out: list[actions.Action]) -> None:
        """End what no host can run: hosts have changed."""
        for job in list(self._lines.in_order()):
            if self._homeless(job):
                self._fail(job, out)

    def _fail(self, job: ScheduledJob, out: list[actions.Action]) -> None:
        """End what is queued of a job that no host can run."""
        pythons = ", ".join(f"{host.name} runs {host.python}" for host in self.hosts.values())
        reason = (
            f"the function is byte code of Python {job.spec.python} and {pythons}: functions "
            "from the notebook need the same minor version; functions of installed modules "
            "and services run on any"
        )
        for first, stop in list(job.drop(0, job.added)):
            job.done += stop - first
            out.append(
                actions.DeliverLoss(
                    job=job.spec.job,
                    first=first,
                    count=stop - first,
                    kind=LossKind.VERSION_MISMATCH,
                    reason=reason,
                    host="",
                    attempt=1,
                    attempts=job.attempts,
                )
            )
        self._lines.leave(job)
        self._end_if_done(job, out)

    def _recall(self, out: list[actions.Action]) -> None:
        """Ask the fullest host for unstarted chunks when another one has idle workers."""
        if len(self.hosts) < 2 or self._lines:
            return
        hosts = self.hosts.values()
        idle = [host for host in hosts if host.surplus < 0]
        if not idle:
            return
        victim = max(hosts, key=lambda host: host.surplus)
        if victim.surplus > 0 and not victim.recalling:
            queued = list(victim.leases.values())[victim.slots :]
            # What no idle host may run would go back to the victim, and be recalled, for ever.
            jobs = {lease.job.spec.job: lease.job for lease in queued}.values()
            if not all(any(self._eligible(host, job) for host in idle) for job in jobs):
                return
            victim.recalling = True
            tasks = sum(lease.stop - lease.next for lease in queued)
            out.append(actions.TakeBackFrom(host=victim.name, count=max(1, tasks // 2)))


def _load(host: ScheduledHost) -> float:
    return host.load
