"""Hands out what is queued.

Every host is kept at one chunk a worker plus a read-ahead that hides the way to it. Once nothing is
queued here, a host with idle workers makes us recall what others hold unstarted.
"""

from __future__ import annotations

from scattergather.model.ids import JobId
from scattergather.scheduler import actions
from scattergather.scheduler.chunking import chunk_size, read_ahead
from scattergather.scheduler.fairness import Lines, before
from scattergather.scheduler.fleet import Fleet
from scattergather.scheduler.host import ScheduledHost
from scattergather.scheduler.job import ScheduledJob
from scattergather.scheduler.leases import Leases


class Feeding:
    """From the lines of jobs to the hosts."""

    def __init__(self, fleet: Fleet, lines: Lines, leases: Leases) -> None:
        self._fleet = fleet
        self._lines = lines
        self._leases = leases
        self.urgent: dict[JobId, ScheduledJob] = {}
        """Jobs for which hosts take more than they may have."""

    def feed_all(self, out: list[actions.Action]) -> None:
        """Hand out what is queued, always to the host with the fewest chunks a worker."""
        fleet, queued, fresh, aside = self._fleet, self._lines.ranks, self._lines.fresh, []
        if self.urgent:
            self._send_urgent(out)
        while queued and (host := fleet.least_loaded()) is not None:
            if not self._send_one(host, out):
                if self._full(host):
                    break
                fleet.set_aside(host)
                aside.append(host)
        for host in aside:
            fleet.enlist(host)
        # Only now: a host that is full would get what idle ones have to take back from it.
        while fresh:
            self._feed_bound(fresh.popitem()[0], out)
        if fleet.leaving and (queued or self._lines.bound):
            self.feed_leaving(out)
        self._recall(out)

    def _feed_bound(self, on: tuple[str, ...], out: list[actions.Action]) -> None:
        """Hand out what is bound to these hosts, to the one with the fewest chunks a worker."""
        up = self._fleet.up(on)
        while up and self._lines.waits_for(on):
            host = min(up, key=lambda each: each.load)
            if not self._send_one(host, out):
                up.remove(host)

    def _full(self, host: ScheduledHost) -> bool:
        """Whether the host with the least to do refuses what the hosts behind it refuse, too.

        Each of them has more to do. Would one of them yet take a chunk ahead, since its workers
        are more or fewer, then it takes it when it next reports; for it has work until then.
        """
        ahead, job = host.surplus, self._next_for(host)
        return (
            ahead >= 0
            and job is not None
            and ahead
            >= read_ahead(job.estimate, slots=host.slots, round_trip=self._fleet.longest_trip)
        )

    def feed(self, host: ScheduledHost, out: list[actions.Action]) -> None:
        """Fill up one host that has just become less busy."""
        queued, bound, half = self._lines.ranks, self._lines.bound, host.slots // 2
        if self.urgent:
            self._send_urgent(out)
        some = queued or bound
        if some and len(host.leases) - host.slots >= half > 1 and self._has_plenty(host, half):
            return
        while (queued or bound) and host.slots and self._send_one(host, out):
            pass
        if not queued:
            self._recall(out)
        if self._fleet.leaving and (queued or bound):
            self.feed_leaving(out)

    def _send_urgent(self, out: list[actions.Action]) -> None:
        """What others wait for goes to hosts at once, beyond what these may have.

        They may be full of chunks that wait for it.
        """
        eligible = self._fleet.eligible
        for job in list(self.urgent.values()):
            hosts = [
                host for host in self._fleet.hosts.values() if host.slots and eligible(host, job)
            ]
            while job.pending and hosts:
                self._send(job, min(hosts, key=lambda each: each.load), out)

    def feed_leaving(self, out: list[actions.Action]) -> None:
        """Calls that tasks have submitted go to hosts that are leaving, if no other can run them.

        What runs there waits for them perhaps, and is waited for.
        """
        for host in self._fleet.leaving.values():
            while not host.closed and len(host.leases) < (host.leaving or 0):
                job = next((job for job in self._lines.calls() if self._needs(job, host)), None)
                if job is None:
                    break
                self._send(job, host, out)

    def _needs(self, job: ScheduledJob, host: ScheduledHost) -> bool:
        """A job can run on this host, and on none that stays."""
        eligible, staying = self._fleet.eligible, self._fleet.hosts.values()
        return bool(
            eligible(host, job) and not any(each.slots and eligible(each, job) for each in staying)
        )

    def _has_plenty(self, host: ScheduledHost, half: int) -> bool:
        """It lacks less than half a chunk a worker, and tasks are slow.

        It gets them together later: a message costs as much as what is in it.
        """
        job = self._next_for(host)
        if job is None or not job.estimate.slow:
            return False
        most = read_ahead(job.estimate, slots=host.slots, round_trip=host.round_trip)
        return most - host.surplus < half

    def _next_for(self, host: ScheduledHost) -> ScheduledJob | None:
        """The job whose turn it is among those that the host may run."""
        lines, eligible = self._lines, self._fleet.eligible
        job = lines.first()
        if job is not None and not eligible(host, job):
            job = next((each for each in lines.in_order() if eligible(host, each)), None)
        if lines.bound:
            for line in lines.bound_to(host.name):
                first = next((each for each in line if eligible(host, each)), None)
                if first is not None and before(first, job):
                    job = first
        return job

    def _send_one(self, host: ScheduledHost, out: list[actions.Action]) -> bool:
        job = self._next_for(host)
        if job is None:
            return False
        ahead = len(host.leases) - host.slots
        if ahead >= 0 and ahead >= read_ahead(
            job.estimate, slots=host.slots, round_trip=host.round_trip
        ):
            return False
        self._send(job, host, out)
        return True

    def _nearer(self, job: ScheduledJob, host: ScheduledHost) -> ScheduledHost:
        """The host that is near to what is next of the job, if it has an idle worker; else this."""
        near = job.bring_forward(host.name)
        other = self._fleet.hosts.get(near)
        if other is None or len(other.leases) >= other.slots:
            return host
        return other if self._fleet.eligible(other, job) else host

    def _send(self, job: ScheduledJob, host: ScheduledHost, out: list[actions.Action]) -> None:
        if job.near:
            host = self._nearer(job, host)
        size = chunk_size(
            job.estimate,
            queued=job.queued,
            slots=(self._fleet.slots_for(job) if job.on else self._fleet.slots) or 1,
            proven=job.proven,
            mean_bytes=job.size / max(1, job.added),
        )
        taken = job.take(size)
        self._lines.served(job)
        lease = self._leases.begin(job, host, taken)
        count = taken.stop - taken.first
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

    def _recall(self, out: list[actions.Action]) -> None:
        """Ask a host that is full for unstarted chunks when another one has idle workers."""
        if not self._fleet.crowded or self._lines.ranks:
            return
        if (found := self._fleet.recallable()) is None:
            return
        victim, movable, every = found
        victim.recalling = True
        tasks = sum(lease.stop - lease.next for lease in movable)
        chunks = () if every else tuple(lease.chunk for lease in movable)
        count = max(1, tasks // 2)
        out.append(actions.TakeBackFrom(host=victim.name, count=count, chunks=chunks))
