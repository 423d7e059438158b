"""What is known of one controller's hosts and jobs: by its last words, and by what came since."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from scattergather.client.pipe.pipe import Pipe
from scattergather.client.pipe.waiting import Bell
from scattergather.client.session.life import Life
from scattergather.client.session.receiver import Receivers
from scattergather.errors import UnknownName
from scattergather.model.ids import JobId
from scattergather.model.nearest import there_are
from scattergather.model.quoting import quoted
from scattergather.model.snapshot import Go, HostView, JobView, Snapshot
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import (
    EmbeddedSpec,
    HostSpec,
    HostState,
    JobState,
    RemoteSpec,
)

GO_SECONDS = 5.0


class Known:
    """What is known of one controller, of which ``hosts`` were asked for at its start.

    Any thread, but where it is said. ``bell`` is rung when there is a go value.
    """

    def __init__(
        self, hosts: Sequence[HostSpec], life: Life, pipe: Pipe, receivers: Receivers, bell: Bell
    ) -> None:
        self._hosts = tuple(hosts)
        self.near = any(isinstance(host, EmbeddedSpec) for host in hosts)
        """Tasks run on this machine, or did."""
        self._life = life
        self._pipe = pipe
        self._receivers = receivers
        self._bell = bell
        self._begun = time.monotonic()
        self.go: Go | None = None
        self._hosts_at_go: tuple[HostState, ...] = ()
        self.status: messages.Status | None = None
        """What the controller has said last of what is going on."""

    # ---- what the controller says: reader thread ------------------------------------------------

    def learn_go(self, message: messages.GoReady) -> None:
        """Every host has answered the controller, or it has waited long enough."""
        self._hosts_at_go = message.hosts
        hosts = tuple(_view(host, host.busy + host.queued) for host in message.hosts)
        up = sum(host.workers for host in hosts if host.state == "up")
        self.go = Go(hosts=hosts, workers=up)
        self._bell.ring()

    # ---- hosts ----------------------------------------------------------------------------------

    def added(self, host: HostSpec) -> None:
        """The controller has taken this host, too."""
        self._hosts = (*(each for each in self._hosts if each.name != host.name), host)
        self.near = self.near or isinstance(host, EmbeddedSpec)

    def hosts(self) -> tuple[HostSpec, ...]:
        """What was asked for, but for hosts that were dropped and are gone."""
        there = {host.name for host in self.snapshot().hosts}
        return tuple(host for host in self._hosts if host.name in there)

    def wait_go(self, timeout: float | None) -> Go | None:
        """The go value: from the controller, or after five seconds what is known by then.

        None when ``timeout`` is over first.

        Raises:
            ControllerLost, Closed: the controller ended before any host had answered.
        """
        left = self._begun + GO_SECONDS + 1.0 - time.monotonic()
        late = timeout is None or timeout >= left
        self._bell.wait(lambda: self.go or self._life.ended, left if late else timeout)
        if self.go is None:
            self._life.check_alive()
        if self.go is None and late:
            hosts = self.snapshot().hosts
            self.go = Go(hosts=hosts, workers=sum(host.workers for host in hosts))
        return self.go

    def check_hosts(self, names: Sequence[str]) -> None:
        """All of these are hosts of this client, up or not.

        Raises:
            UnknownName: one is not; all that there are are listed.
        """
        if names:
            hosts = self._hosts if self.status is None else self.status.hosts
            known = [host.name for host in hosts]
            for name in names:
                if name not in known:
                    raise UnknownName(f"unknown host {quoted(name)}; {there_are(known, name)}")

    @property
    def workers(self) -> int:
        """How many workers there are, as far as is known; at least 1."""
        hosts = self.status.hosts if self.status is not None else ()
        known = sum(host.workers for host in hosts if host.state == "up")
        return known or (self.go.workers if self.go is not None else 0) or 1

    def services(self) -> set[str] | None:
        """The services of all hosts, as they said when they joined last; None before the go."""
        if self.go is None:
            return None
        return {name for host in self.snapshot().hosts for name in host.services}

    def chosen_services(self) -> list[str]:
        """The services that hosts that are up were started for, sorted; empty if none said so."""
        hosts = self.status.hosts if self.status is not None else self._hosts_at_go
        return sorted({name for host in hosts if host.state == "up" for name in host.chosen})

    def services_of_urls(self) -> list[str]:
        """The services that the urls name, sorted."""
        remote = (host for host in self.hosts() if isinstance(host, RemoteSpec))
        return sorted({host.service for host in remote if host.service})

    # ---- how it stands --------------------------------------------------------------------------

    def is_stopped(self) -> bool:
        """A signal has stopped the controller."""
        return not self._life.ended and self._pipe.is_stopped()

    def standstill(self) -> str:
        """Why nothing goes on, with the cure; empty when all that is known is well."""
        process = self._pipe.process
        if process is not None and self.is_stopped():
            return stopped(process.pid)
        snapshot = self.snapshot()
        if not snapshot.workers:
            return f"No worker is there: {snapshot.absent()}"
        return "\n".join(f"{job.name} {job.awaits}" for job in snapshot.jobs if job.awaits)

    def awaited(self, on: Sequence[str]) -> str:
        """That whatever may run on these hosts only waits for them; empty if one of them is up."""
        return _awaited(on, self.snapshot().hosts) if on else ""

    def placed(self, view: JobView) -> JobView:
        """The same, with the hosts that the job waits for: none of those that it may run on is up.

        Looked up where a job is bound to hosts and is not through.
        """
        if not view.on or view.settled == view.total:
            return view
        return replace(view, awaits=self.awaited(view.on))

    def snapshot(self) -> Snapshot:
        """What the controller pushed last, and of jobs what has come here since."""
        status = self.status
        states = {} if status is None else {state.job: state for state in status.jobs}
        jobs = self._receivers.views(states)
        if status is None:
            hosts = self.go.hosts if self.go is not None else tuple(map(_expected, self._hosts))
            return Snapshot(hosts=hosts, jobs=_with_awaited(jobs, hosts))
        outstanding = sum(view.running + view.queued for view in jobs)
        hosts = tuple(_view(host, outstanding) for host in status.hosts)
        return Snapshot(
            hosts=hosts,
            jobs=_with_awaited(jobs, hosts),
            controller_pid=status.controller_pid,
            uptime=status.uptime,
            rerun=status.rerun,
            held=status.held,
        )

    def state_of(self, job: JobId) -> JobState | None:
        """What the controller last said of a job."""
        for state in self.status.jobs if self.status is not None else ():
            if state.job == job:
                return state
        return None


def stopped(pid: int) -> str:
    """What the user is told of a controller that a signal has stopped."""
    return (
        f"the controller (process {pid}) was stopped by a signal and does nothing. "
        f"Let it go on with: kill -CONT {pid}"
    )


def _view(host: HostState, outstanding: int) -> HostView:
    """``outstanding`` tasks are known to be; no more can keep its workers busy."""
    return HostView(
        name=host.name,
        state=host.state,
        workers=host.workers,
        busy=min(host.busy, outstanding),
        queued=min(host.queued, outstanding),
        done=host.done,
        python=host.python,
        version=host.version,
        services=host.services,
        why=host.why,
        round_trip=host.round_trip,
        memory=host.memory,
        most=host.most,
        platform=host.platform,
        cpus=host.cpus,
        load=host.load,
        free_memory=host.free_memory,
        free_disk=host.free_disk,
        sent=host.sent,
        received=host.received,
        apart=host.apart,
        jobs=host.jobs if outstanding else (),
    )


def _with_awaited(jobs: Sequence[JobView], hosts: Sequence[HostView]) -> tuple[JobView, ...]:
    return tuple(
        replace(job, awaits=_awaited(job.on, hosts)) if job.on and job.settled != job.total else job
        for job in jobs
    )


def _awaited(on: Sequence[str], hosts: Sequence[HostView]) -> str:
    """For which hosts it is waited, and why they are not up; empty if one of them is."""
    named = [host for host in hosts if host.name in on]
    if not named or any(host.state == "up" for host in named):
        return ""
    if len(named) == 1:
        return f"waits for {named[0].name}, which is not up: {named[0].why or named[0].state}"
    names = " or ".join(host.name for host in named)
    whys = "; ".join(f"{host.name}: {host.why or host.state}" for host in named)
    return f"waits for {names}, none of which is up ({whys})"


def _expected(host: HostSpec) -> HostView:
    return HostView(name=host.name, state="connecting", workers=host.workers)
