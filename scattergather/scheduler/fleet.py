"""The hosts that have joined: which of them may run a job, has the least to do, or too much.

With a thousand hosts nobody may look at each of them for every chunk. So they stand in a list by
their load, a heap, and a host's place there is allowed to be too low: whoever takes the first one
puts it right then. It costs something only when a host has less to do than its place says.
"""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heappop, heappush, heapreplace

from scattergather.scheduler import actions
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
        dropped: the names of those that nobody wants any more, there or not.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, ScheduledHost] = {}
        self.slots = 0
        self.longest_trip = 0.0
        self.settled = False
        self.crowded: dict[str, ScheduledHost] = {}
        self.leaving: dict[str, ScheduledHost] = {}
        self.drained: list[ScheduledHost] = []
        self.dropped: set[str] = set()
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
        self.dropped.discard(host.name)
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
            self.drained.append(host)

    def take_drained(self) -> list[ScheduledHost]:
        """Those of the hosts that leave which have nothing any more: they get nothing now."""
        found, self.drained = [host for host in self.drained if not host.leases], []
        for host in found:
            host.closed = True
        return found

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

        A name that no host lists may come from pushed code: then any host will do, and answers. Of
        a job that is bound to hosts only these count.
        """
        spec, on = job.spec, job.on
        if (on and host.name not in on) or (spec.python and spec.python != host.python):
            return False
        service = spec.service
        if not service or service in host.services:
            return True
        if on:
            return not any(service in each.services for each in self.up(on))
        return not self._services[service]

    def _leaves(self, on: tuple[str, ...]) -> bool:
        """Some of these hosts are still there, and finish what they have begun."""
        return any((host := self.leaving.get(name)) is not None and not host.closed for name in on)

    def up(self, on: tuple[str, ...]) -> list[ScheduledHost]:
        """Those of the hosts of these names that have workers for us now."""
        found = (self.hosts.get(name) for name in on)
        return [host for host in found if host is not None and host.slots]

    def slots_for(self, job: ScheduledJob) -> int:
        """How many workers there are for a job that is bound to hosts."""
        return sum(host.slots for host in self.up(job.on))

    def obstacle(self, job: ScheduledJob) -> actions.Cause | None:
        """Why no host can run the job, and none will; None if one can, or may yet join.

        With no host at all a job waits, and so does one that is bound to hosts which are not up.
        Calls of tasks on a host that leaves may run there, until it has nothing any more.
        """
        python, on, call = job.spec.python, job.on, job.spec.depth > 0
        if on and self.dropped.issuperset(on) and not (call and self._leaves(on)):
            return actions.HostsDropped(hosts=on)
        if not python or not self.settled or not self.hosts:
            return None
        if not on and self._pythons[python] and not (call and self.leaving):
            return None
        hosts = [host for host in self.hosts.values() if not (call and host.closed)]
        if on:
            hosts = [host for host in hosts if host.name in on]
        if not hosts:
            return None
        pythons = tuple((host.name, host.python) for host in hosts)
        if any(theirs == python for _, theirs in pythons):
            return None
        return actions.NoHostFits(python=python, hosts=pythons)

    # ---- what each has to do --------------------------------------------------------------------

    def relieved(self, host: ScheduledHost) -> None:
        """A host has a chunk less, and its place may be wrong now."""
        has, slots = len(host.leases), host.slots
        if has == slots:
            self.crowded.pop(host.name, None)
            if host.leaving is not None:
                self.drained.append(host)
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

    def recallable(self) -> tuple[ScheduledHost, list[HostLease], bool] | None:
        """The fullest host, its unstarted chunks for idle workers of others, and if these are all.

        What no idle host may run would go back to the fullest, and be recalled, for ever. A host
        that has nothing else is passed over.
        """
        least = self.least_loaded() if self.crowded else None
        if least is None or least.surplus >= 0:
            return None
        wanted: dict[tuple[tuple[str, ...], str, str], bool] = {}
        for victim in sorted(self.crowded.values(), key=_emptier):
            if victim.recalling:
                return None
            unstarted = list(victim.leases.values())[victim.slots :]
            movable = []
            for lease in unstarted:
                spec = lease.job.spec
                needs = lease.job.on, spec.python, spec.service
                if needs not in wanted:
                    wanted[needs] = self._some_idle(least, lease.job)
                if wanted[needs]:
                    movable.append(lease)
            if movable:
                return victim, movable, len(movable) == len(unstarted)
        return None

    def _some_idle(self, least: ScheduledHost, job: ScheduledJob) -> bool:
        """Whether some host with idle workers may run the job; ``least`` is the one that has most.

        Mostly that one may, or the job is bound to a few.
        """
        if self.eligible(least, job):
            return True
        hosts = self.up(job.on) if job.on else self.hosts.values()
        return any(len(host.leases) < host.slots and self.eligible(host, job) for host in hosts)


def _emptier(host: ScheduledHost) -> int:
    return host.slots - len(host.leases)
