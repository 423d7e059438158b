"""What is going on, as the client is shown it: built of statistics, pushed when they change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import islice

from scattergather.controller import heap
from scattergather.controller.jobs.driver import Driver, DriverStatistics
from scattergather.controller.roster import EntryStatistics, Roster
from scattergather.model.snapshot import HostPhase
from scattergather.reactor.seam import Clock, Timer, planned
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostState, JobState

STATUS_SECONDS = 0.5

SOON_SECONDS = 0.05
"""After a host came or went; many come at once."""

MOST_NAMED = 10
"""Jobs that the client is told a host works at."""

_Seen = tuple[tuple[EntryStatistics, ...], DriverStatistics, int]
"""The last are the bytes of the large objects that lie on this machine."""


class Board:
    """Builds every ``Status`` and sends it. Reactor thread only.

    It reads nothing but what the parts say of themselves, so a look costs what there is of hosts,
    workers and jobs, however many tasks there are.
    """

    def __init__(
        self,
        reactor: Clock,
        roster: Roster,
        driver: Driver,
        store: Store,
        send: Callable[[messages.ToClient, bytes], None],
    ) -> None:
        self._reactor = reactor
        self._roster = roster
        self._driver = driver
        self._store = store
        self._send = send
        self._begun = reactor.seconds()
        self._shown: _Seen | None = None
        self._tidy = False
        self._next: Timer | None = None

    def start(self) -> None:
        """From now on the client is told twice a second, while something changes."""
        self._next = self._reactor.callLater(STATUS_SECONDS, self._look)

    def hurry(self) -> None:
        """A host came or went: the client is told soon."""
        soon = self._reactor.seconds() + SOON_SECONDS
        if planned(self._next) and self._next.getTime() > soon:
            self._next.reset(SOON_SECONDS)

    def push(self) -> messages.Status:
        """Tell the client what is going on; returns what it was told."""
        self._tidy = False
        self._shown = seen = self._seen()
        status = self._status(*seen)
        self._send(status, b"")
        return status

    def _seen(self) -> _Seen:
        return self._roster.statistics(), self._driver.statistics(), self._store.statistics().held

    def _look(self) -> None:
        if self._shown != self._seen():
            self.push()
        elif not self._shown[1].jobs and not self._tidy:
            self._tidy = True
            heap.trim()
            self._store.rest()
        self._next = self._reactor.callLater(STATUS_SECONDS, self._look)

    def _status(
        self, roster: tuple[EntryStatistics, ...], driver: DriverStatistics, here: int
    ) -> messages.Status:
        now = self._reactor.seconds()
        chunks = {host.name: host.chunks for host in driver.scheduler.hosts}
        names = {job.job: job.name for job in driver.jobs}
        runs = {host.name: host.jobs for host in driver.scheduler.hosts}
        counts = {job.job: job for job in driver.scheduler.jobs}
        hosts = []
        for host in roster:
            has = chunks.get(host.name, 0)
            busy = min(has, host.workers)
            hosts.append(
                HostState(
                    name=host.name,
                    state=_phase(host),
                    workers=host.workers if host.up else 0,
                    busy=busy,
                    queued=has - busy,
                    done=host.done,
                    python=host.python,
                    version=host.version,
                    services=host.services,
                    chosen=host.chosen,
                    most=host.most,
                    platform=host.platform,
                    cpus=host.cpus,
                    load=host.vitals.load,
                    free_memory=host.vitals.memory,
                    free_disk=host.vitals.disk,
                    sent=host.traffic.sent,
                    received=host.traffic.received,
                    jobs=_some(names[job] for job in runs.get(host.name, ()) if job in names),
                    apart=host.apart,
                    why=host.why,
                    round_trip=host.round_trip,
                    memory=host.held if host.remote else here,
                )
            )
        jobs = [
            JobState(
                job=job.job,
                name=job.name,
                total=count.total,
                queued=count.queued,
                running=count.running,
                done=job.finished - job.failed - job.cancelled,
                failed=job.failed,
                cancelled=job.cancelled,
                rate=job.finished / max(now - job.begun, 1e-6),
            )
            for job in driver.jobs
            if (count := counts.get(job.job)) is not None
        ]
        return messages.Status(
            hosts=tuple(hosts),
            jobs=tuple(jobs),
            controller_pid=os.getpid(),
            uptime=now - self._begun,
            rerun=driver.scheduler.rerun,
            held=sum(job.held for job in driver.jobs),
        )


def _some(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(names), MOST_NAMED))


def _phase(host: EntryStatistics) -> HostPhase:
    if host.leaving:
        return "leaving"
    return "up" if host.up else "down" if host.why else "connecting"
