"""The two deciders, looked at after every event. What is checked costs a few microseconds."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from scattergather.scheduler import actions as scheduler_actions
from scattergather.scheduler import events as scheduler_events
from scattergather.scheduler.chunking import read_ahead
from scattergather.scheduler.job import ScheduledJob
from scattergather.scheduler.scheduler import Scheduler
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions as pool_actions
from scattergather.workers.pool import events as pool_events
from scattergather.workers.pool.pool import Pool
from scattergather.workers.pool.tenant import Tenant

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger

THOROUGH_EVERY = 32
"""Every so many events a scheduler's jobs are checked range by range."""


class CheckedScheduler(Scheduler):
    """Each task of each job is queued, leased or done."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._events = 0
        self._last_chunk = 0
        self._unwanted: set[str] = set()
        """Hosts that the user has dropped and not added again."""

    def handle(self, event: scheduler_events.Event) -> list[scheduler_actions.Action]:
        if isinstance(event, scheduler_events.HostLeft) and event.host in self._fleet.hosts:
            self._ledger.world.losing(event.host)
        match event:
            case scheduler_events.HostDraining() | scheduler_events.HostDropped():
                self._unwanted.add(event.host)
            case scheduler_events.HostExpected() | scheduler_events.HostJoined():
                self._unwanted.discard(event.host)
        out = super().handle(event)
        self._events += 1
        thorough = not self._events % THOROUGH_EVERY
        for job in self._jobs.values():
            self._check_job(job, thorough)
        room: dict[str, int] = {}
        for action in out:
            if isinstance(action, scheduler_actions.SendChunk):
                most = self._check_sent(action)
                if self._jobs[action.job].spec.urgent:  # beyond what the host may have
                    self._ledger.world.remade += 1
                    continue
                room[action.host] = max(room.get(action.host, 0), most)
            elif isinstance(action, scheduler_actions.DeliverLoss):
                self._check_lost(action.cause)
        for host, most in room.items():
            leases = self._fleet.hosts[host].leases.values()
            held = sum(not lease.job.spec.urgent for lease in leases)
            self._ledger.check(held <= most, f"{held} chunks on {host}, which has room for {most}")
        self._check_idle()
        return out

    def held_by(self, host: str) -> list[tuple[bytes, int, int]]:
        """The job, first task and count of what each lease of a host has no outcome of."""
        return [
            (lease.job.spec.job, lease.next, lease.stop - lease.next)
            for lease in self._fleet.hosts[host].leases.values()
        ]

    def lives(self, chunk: int) -> bool:
        """Some host has a lease of this number."""
        return chunk in self._leases._leases

    def _check_idle(self) -> None:
        """No host has an idle worker while something is queued that it may run."""
        for host in self._fleet.hosts.values():
            idle = len(host.leases) < host.slots
            waits = [job for job in self._lines.all() if self._fleet.eligible(host, job)]
            self._ledger.check(not (idle and waits), f"{host.name} is idle, and tasks wait")

    def _check_lost(self, cause: scheduler_actions.Cause) -> None:
        if isinstance(cause, scheduler_actions.HostsDropped):
            there = set(cause.hosts) - self._unwanted
            self._ledger.check(not there, f"tasks are lost for {cause}, and {there} may come")

    def _check_job(self, job: ScheduledJob, thorough: bool) -> None:
        check = self._ledger.check
        check(
            job.queued + job.running + job.done == job.added,
            f"{job.queued} queued + {job.running} running + {job.done} done != {job.added}",
        )
        check(not job.ended, "a job that is over is still there")
        if thorough:
            queued = [(each.first, each.stop) for each in job.pending]
            leased = [(each.next, each.stop) for each in job.leases.values()]
            check(sum(b - a for a, b in queued) == job.queued, "wrong count of queued tasks")
            check(sum(b - a for a, b in leased) == job.running, "wrong count of running tasks")
            places = sorted(queued + leased)
            for (_, stop), (first, _) in itertools.pairwise(places):
                check(stop <= first, f"tasks are in two places: {places}")
            for chunk, lease in job.leases.items():
                check(self._leases.of(chunk, lease.host) is lease, f"lease {chunk} is not known")
                held = self._fleet.hosts[lease.host].leases.get(chunk)
                check(held is lease, f"lease {chunk} is not its host's")

    def _check_sent(self, action: scheduler_actions.SendChunk) -> int:
        """Returns how many chunks of this job's kind the host has room for."""
        check, host, job = (
            self._ledger.check,
            self._fleet.hosts[action.host],
            self._jobs[action.job],
        )
        check(action.chunk > self._last_chunk, f"chunk {action.chunk} was sent before")
        self._last_chunk = action.chunk
        check(action.attempt <= job.attempts, f"attempt {action.attempt} of {job.attempts}")
        check(not job.cancelled, "tasks of a cancelled job were sent")
        check(not job.on or host.name in job.on, f"a job for {job.on} was sent to {host.name}")
        leaving = host.leaving is not None
        check(not leaving or job.spec.depth, f"tasks were sent to {host.name}, which was dropped")
        check(not host.closed, f"calls were sent to {host.name}, whose workers were ended")
        if leaving:
            return host.leaving or 0
        ahead = read_ahead(job.estimate, slots=host.slots, round_trip=host.round_trip)
        return host.slots + ahead


class CheckedPool(Pool):
    """Each chunk is queued or with one worker; slots are kept; who waits to be woken will be."""

    def __init__(self, slots: int, ledger: Ledger) -> None:
        super().__init__(slots)
        self._ledger = ledger

    def handle(self, event: pool_events.Event, now: float) -> list[pool_actions.Action]:
        before = sum(tenant.running for tenant in self.crew.tenants.values())
        out = super().handle(event, now)
        for action in out:
            if isinstance(action, pool_actions.EndSession):
                self._ledger.fail(action.error)
        forked = {each.tenant for each in out if isinstance(each, pool_actions.ForkWorker)}
        for tenant in self.crew.tenants.values():
            self._check_tenant(tenant, tenant.number in forked)
        self._check_slots(event, before)
        return out

    def _check_slots(self, event: pool_events.Event, before: int) -> None:
        running = sum(tenant.running for tenant in self.crew.tenants.values())
        hungry = len(self.crew.tenants) if len(self.crew.tenants) > 1 else 0
        resumed = isinstance(event, pool_events.WorkerSaid) and isinstance(
            event.message, messages.Resumed
        )
        self._ledger.check(
            resumed or running <= max(self.slots, before) + hungry,
            f"{running} workers run in {self.slots} slots",
        )

    def _check_tenant(self, tenant: Tenant, forked: bool) -> None:
        check = self._ledger.check
        busy, chunks = 0, len(tenant.queue) + len(tenant.waiting)
        seen = {*tenant.queue, *tenant.waiting}
        for queued in tenant.waiting.values():
            check(queued.missing, "a chunk waits for nothing")
            check(queued.missing <= tenant.wanted, "a chunk waits for what nobody wants")
            check(not queued.missing & tenant.here.keys(), "a chunk waits for what is here")
        check(not tenant.wanted & tenant.here.keys(), "what is here is wanted")
        for number, worker in tenant.workers.items():
            busy += worker.busy
            chunks += len(worker.leases)
            seen.update(lease.run.chunk for lease in worker.leases)
            check(len(worker.leases) <= 2, f"worker {number} has {len(worker.leases)} chunks")
            if len(worker.leases) == 2:
                check(worker.leases[1].run.ahead, "a long chunk waits behind another")
                check(worker.leases[0].run.ahead, "a chunk waits behind a long one")
            if worker.leases and worker.leases[0].escalation:
                due = worker.leases[0].escalation[0][0]
                check(self.wake_at is not None and self.wake_at <= due, "nobody wakes the pool")
            ready = worker.born and worker.doom is None and not worker.leases
            check((number in tenant.idle) == ready, f"worker {number} is wrongly (not) idle")
        check(busy == tenant.running, f"{busy} workers are busy, counted {tenant.running}")
        check(len(seen) == chunks, "a chunk is in two places")
        room = tenant.limit + tenant.blocked
        check(not forked or tenant.alive <= room, f"{tenant.alive} workers, room for {room}")
