"""The hosts that have joined: which of them may run a job, has the least to do, or too much.

With a thousand hosts nobody may look at each of them for every chunk. So they stand in a list by
their load, a heap, and a host's place there is allowed to be too low: whoever takes the first one
puts it right then. It costs something only when a host has less to do than its place says.
"""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heappop, heappush, heapreplace

from scattergather.scheduler.host import ScheduledHost
from scattergather.scheduler.job import HostLease, ScheduledJob

_Place = tuple[float, int, int, ScheduledHost]
"""A load, the ``order`` of a host, the number of this place, and the host."""

SPARE_PLACES = 64
"""Places that do not count any more are cleared away when there are so many, and one a host."""


class Fleet:
    """All hosts that are up.

    Attributes:
        hosts: by name, in the order in which they joined.
        slots: the workers of all of them together.
        longest_trip: seconds to the farthest of them and back.
        settled: every host has answered or failed once.
        crowded: those that hold more chunks than they have workers.
        leaving: those that get nothing more, but for calls of what they have begun.
        drained: those of them that have just become idle.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, ScheduledHost] = {}
        self.slots = 0
        self.longest_trip = 0.0
        self.settled = False
        self.crowded: dict[str, ScheduledHost] = {}
        self.leaving: dict[str, ScheduledHost] = {}
        self.drained: list[ScheduledHost] = []
        self._pythons: Counter[str] = Counter()
        self._services: Counter[str] = Counter()
        self._list: list[_Place] = []
        self._joined = 0
        self._stamps = 0

    # ---- who is there ---------------------------------------------------------------------------

    def join(self, host: ScheduledHost) -> None:
        """A host is up; it holds nothing."""
        self._joined += 1
        host.order = self._joined
        self.hosts[host.name] = host
        self.slots += host.slots
        self.longest_trip = max(self.longest_trip, host.round_trip)
        self._pythons[host.python] += 1
        self._services.update(host.services)
        self.enlist(host)

    def drain(self, host: ScheduledHost) -> None:
        """A host gets nothing more: it has no slots but for what it has begun."""
        slots = host.slots
        self.resize(host, 0)
        host.leaving = slots
        self.crowded.pop(host.name, None)
        self.set_aside(host)
        self.leaving[host.name] = host
        if not host.leases:
            self._drained(host)

    def _drained(self, host: ScheduledHost) -> None:
        host.closed = True
        self.drained.append(host)

    def leave(self, host: ScheduledHost) -> None:
        """A host is gone."""
        del self.hosts[host.name]
        host.stamp = 0
        self.slots -= host.slots
        self.longest_trip = max((each.round_trip for each in self.hosts.values()), default=0.0)
        self._pythons[host.python] -= 1
        self._services.subtract(host.services)
        self.crowded.pop(host.name, None)
        self.leaving.pop(host.name, None)
        self.drained = [each for each in self.drained if each is not host]

    def measure(self, host: ScheduledHost, round_trip: float) -> None:
        """The way to a host and back takes so many seconds now."""
        before, host.round_trip = host.round_trip, round_trip
        if round_trip >= self.longest_trip:
            self.longest_trip = round_trip
        elif before == self.longest_trip:
            self.longest_trip = max(each.round_trip for each in self.hosts.values())

    def resize(self, host: ScheduledHost, slots: int) -> None:
        """A host can keep more workers busy, or fewer."""
        if host.leaving is not None:
            host.leaving = slots
            return
        self.slots += slots - host.slots
        host.slots = slots
        self.crowded.pop(host.name, None)
        if host.surplus > 0:
            self.crowded[host.name] = host
        self.enlist(host)

    # ---- what each may run ----------------------------------------------------------------------

    def eligible(self, host: ScheduledHost, job: ScheduledJob) -> bool:
        """Whether this host may run the job: its code loads there, and its service is there.

        A name that no host lists may come from pushed code: then any host will do, and answers.
        """
        spec = job.spec
        if spec.python and spec.python != host.python:
            return False
        service = spec.service
        return not service or service in host.services or not self._services[service]

    def pythons(self) -> tuple[tuple[str, str], ...]:
        """Which version of Python each host runs."""
        return tuple((host.name, host.python) for host in self.hosts.values())

    def strands(self, job: ScheduledJob) -> bool:
        """No host can run the job, and all have answered; with no host at all, it waits."""
        python = job.spec.python
        return bool(python and self.settled and self.hosts and not self._pythons[python])

    # ---- what each has to do --------------------------------------------------------------------

    def relieved(self, host: ScheduledHost) -> None:
        """A host has a chunk less, and its place may be wrong now."""
        has, slots = len(host.leases), host.slots
        if has == slots:
            self.crowded.pop(host.name, None)
            if host.leaving is not None:
                self._drained(host)
        if slots and has / slots < host.listed:
            self.enlist(host)

    def least_loaded(self) -> ScheduledHost | None:
        """The host with the fewest chunks a worker; None if none has workers, or all are aside."""
        places = self._list
        while places:
            load, order, stamp, host = places[0]
            if stamp != host.stamp:
                heappop(places)
            elif host.slots and load < (now := len(host.leases) / host.slots):
                host.listed = now
                heapreplace(places, (now, order, stamp, host))
            else:
                return host if host.slots else None
        return None

    def set_aside(self, host: ScheduledHost) -> None:
        """Let the others come first, until :meth:`enlist` puts this one back."""
        host.stamp = 0

    def enlist(self, host: ScheduledHost) -> None:
        """Give a host its place in the list, by its load."""
        self._stamps += 1
        host.stamp, host.listed = self._stamps, host.load
        heappush(self._list, (host.listed, host.order, host.stamp, host))
        if len(self._list) > 2 * len(self.hosts) + SPARE_PLACES:
            self._list = [place for place in self._list if place[2] == place[3].stamp]
            heapify(self._list)

    def recallable(self) -> tuple[ScheduledHost, list[HostLease]] | None:
        """The fullest host and its unstarted chunks, if idle workers of others may run them all.

        What no idle host may run would go back to the fullest, and be recalled, for ever.
        """
        least = self.least_loaded() if self.crowded else None
        if least is None or least.surplus >= 0:
            return None
        surplus = [len(host.leases) - host.slots for host in self.crowded.values()]
        victim = list(self.crowded.values())[surplus.index(max(surplus))]
        if victim.recalling:
            return None
        unstarted = list(victim.leases.values())[victim.slots :]
        jobs = {lease.job.spec.job: lease.job for lease in unstarted}.values()
        idle = [host for host in self.hosts.values() if len(host.leases) < host.slots]
        if not all(any(self.eligible(host, job) for host in idle) for job in jobs):
            return None
        return victim, unstarted
