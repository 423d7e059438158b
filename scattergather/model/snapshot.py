"""What ``status``, the reprs and the go value show: frozen, and readable as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

HostPhase = Literal["connecting", "up", "leaving", "down"]
"""Of a host: it has not answered yet, it works for us, it was dropped and is not through yet, it
cannot be used for now."""

_STATES: dict[HostPhase, str] = {
    "connecting": "connecting",
    "leaving": "it was dropped and takes nothing more",
    "down": "down",
}

NO_HOSTS = "there is no host; c.hosts.add(url) adds one"


def in_bytes(size: int) -> str:
    """A number of bytes, for people: ``1.6 MB``."""
    if size < 1000:
        return f"{size} B"
    amount = size / 1000
    for unit in ("kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def in_time(seconds: float) -> str:
    """A time, for people: ``2.4 s``, ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for unit, length in (("s", 1), ("min", 60)):
        if seconds < 99.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One host as the controller last knew it. ``why`` says why it is not up.

    ``most`` is how many workers it has (0: as many as are wanted), and ``workers`` how many of them
    work for this client, of which ``busy`` do now. ``round_trip`` is in seconds; ``memory`` are the
    bytes of large values there, on the client's own machine results that it has not done with too;
    ``sent`` and ``received`` are bytes that passed between it and the controller. ``load`` is how
    many processes ran there on average within a minute, on ``cpus`` processors; ``free_memory`` and
    ``free_disk`` (for temporary files) are in bytes. Its workers run tasks of ``jobs``. What passes
    between it and the hosts that it is ``apart`` from goes by way of the controller.
    """

    name: str
    state: HostPhase
    workers: int = 0
    busy: int = 0
    queued: int = 0
    done: int = 0
    python: str = ""
    version: str = ""
    services: tuple[str, ...] = ()
    why: str = ""
    round_trip: float = 0.0
    memory: int = 0
    most: int = 0
    platform: str = ""
    cpus: int = 0
    load: float = 0.0
    free_memory: int = 0
    free_disk: int = 0
    sent: int = 0
    received: int = 0
    jobs: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def line(self) -> str:
        """The host in one line."""
        text = f"{self.name}  {self.state}"
        if self.state in ("up", "leaving"):
            text += f"  {plural(self.workers, 'worker')}, {self.busy} busy"
            text += f", python {self.python}" if self.python else ""
            text += f", holds {in_bytes(self.memory)}" if self.memory else ""
            text += f", does not reach {', '.join(self.apart)}" if self.apart else ""
        return text + (f"  ({self.why})" if self.why else "")

    def machine(self) -> str:
        """What it is that it runs on, in one line; empty while it is not there."""
        if not self.cpus or self.state not in ("up", "leaving"):
            return ""
        parts = [self.platform, plural(self.cpus, "processor"), f"load {self.load:.1f}"]
        parts += [f"{in_bytes(self.free_memory)} free", f"{in_bytes(self.free_disk)} of disk"]
        parts += [self.passed] if self.sent else []
        parts += [f"round trip {self.trip}"] if self.round_trip else []
        return " · ".join(parts)

    @property
    def passed(self) -> str:
        """How many bytes went there, and came from there."""
        return f"{in_bytes(self.sent)} out, {in_bytes(self.received)} in"

    @property
    def trip(self) -> str:
        """How long a word there and back takes."""
        return f"{1000 * self.round_trip:.3g} ms"

    def facts(self) -> list[tuple[str, str]]:
        """What is known of it, each with the name of what it is."""
        runs = plural(self.busy, "task")
        runs += f" of {', '.join(self.jobs)}" if self.jobs else ""
        runs += f", {plural(self.queued, 'chunk')} behind" if self.queued else ""
        facts = [
            ("workers", f"{self.workers} of {self.most}" if self.most else str(self.workers)),
            ("runs", runs if self.busy or self.queued else "nothing"),
            ("done", plural(self.done, "task")),
            ("holds", in_bytes(self.memory)),
        ]
        facts += [("python", self.python)] if self.python else []
        if self.cpus:
            facts += [
                ("platform", self.platform),
                ("processors", f"{self.cpus}, load {self.load:.1f}"),
                ("free memory", in_bytes(self.free_memory)),
                ("free disk", in_bytes(self.free_disk)),
            ]
        facts += [("bytes", self.passed)] if self.sent else []
        facts += [("round trip", self.trip)] if self.round_trip else []
        facts += [("services", ", ".join(self.services))] if self.services else []
        facts += [("does not reach", ", ".join(self.apart))] if self.apart else []
        return facts + ([("why", self.why)] if self.why else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """Counts of one job, in tasks; ``rate`` in tasks per second; ``total`` None: not known yet.

    ``lost`` says why nothing more will come of a job that is not through. It runs ``on`` the hosts
    of these names only, where there are any, and ``awaits`` says for which it waits as none is up.
    """

    name: str
    total: int | None
    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    rate: float = 0.0
    lost: str = ""
    on: tuple[str, ...] = ()
    awaits: str = ""

    @property
    def settled(self) -> int:
        """How many tasks have their outcome."""
        return self.done + self.failed + self.cancelled

    @property
    def speed(self) -> str:
        """How fast it goes on; empty when it does not."""
        if not self.rate or self.settled == self.total:
            return ""
        return f"{self.rate:.0f}/s" if self.rate >= 9.5 else f"{self.rate:.2g}/s"

    @property
    def left(self) -> str:
        """How long it takes still, if it goes on like this; empty while nobody can tell."""
        if not self.rate or self.total is None or self.settled >= self.total:
            return ""
        return in_time((self.total - self.settled) / self.rate)

    def line(self) -> str:
        """The job in one line."""
        return f"{self.name}  {self.counts()}"

    def counts(self) -> str:
        """How far it is."""
        total = "?" if self.total is None else str(self.total)
        text = f"{self.settled}/{total}"
        for count, word in (
            (self.running, "running"),
            (self.queued, "queued"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
        ):
            text += f" · {count} {word}" if count else ""
        text += f" · {self.speed}" if self.speed else ""
        text += f" · {self.left} left" if self.left else ""
        text += f" · {self.awaits}" if self.awaits else ""
        return text + (f" · {self.lost}" if self.lost else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferView(JobView):
    """How far a transfer of files is: in bytes, and bytes per second."""

    def counts(self) -> str:
        """How far it is."""
        text = f"{in_bytes(self.done)} of {in_bytes(self.total or 0)}"
        text += f" · {in_bytes(int(self.rate))}/s" if self.rate else ""
        return text + (f" · {self.left} left" if self.left else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is going on in a controller.

    Attributes:
        rerun: how many tasks had to be run again because something died under them.
        held: bytes of inputs that the controller keeps for retries.
        uptime: seconds since it began.
    """

    hosts: tuple[HostView, ...] = ()
    jobs: tuple[JobView, ...] = ()
    controller_pid: int = 0
    uptime: float = 0.0
    rerun: int = 0
    held: int = 0

    @property
    def workers(self) -> int:
        """How many workers the hosts that are up have together."""
        return sum(host.workers for host in self.hosts if host.state == "up")

    def absent(self, among: Sequence[str] = ()) -> str:
        """Which hosts are not up, and why, or that there is none; empty when all are.

        Of all hosts, or of those ``among`` them.
        """
        if not self.hosts:
            return NO_HOSTS
        return "; ".join(
            f"{host.name} is not up: {host.why or _STATES[host.state]}"
            for host in self.hosts
            if host.state != "up" and (not among or host.name in among)
        )

    def headline(self) -> str:
        """Workers, hosts and tasks in one line."""
        up = sum(host.state == "up" for host in self.hosts)
        text = f"{plural(self.workers, 'worker')} on {plural(up, 'host')}"
        if up < len(self.hosts):
            text += f" ({len(self.hosts) - up} not up)"
        running = sum(job.running for job in self.jobs)
        queued = sum(job.queued for job in self.jobs)
        return text + f" · {running} running · {queued} queued"

    def __repr__(self) -> str:
        lines = [self.headline(), *("  " + host.line() for host in self.hosts)]
        lines += ["  " + job.line() for job in self.jobs]
        facts = [f"controller {self.controller_pid}, up {self.uptime:.0f} s"]
        facts += [f"{plural(self.rerun, 'task')} run again"] if self.rerun else []
        facts += [f"{self.held:,} bytes of inputs held"] if self.held else []
        return "\n".join([*lines, "  " + " · ".join(facts)])

    def _repr_html_(self) -> str:
        return f"<div><b>{escape(self.headline())}</b>{hosts_table(self.hosts)}" + (
            jobs_table(self.jobs) + "</div>"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Who is ready: what the first ``waitForResult`` after spawning returns."""

    hosts: tuple[HostView, ...]
    workers: int

    def __repr__(self) -> str:
        if not self.hosts:
            return f"Go: {NO_HOSTS}"
        up = sum(host.state == "up" for host in self.hosts)
        head = f"Go: {plural(self.workers, 'worker')} on {up} of {plural(len(self.hosts), 'host')}"
        return "\n".join([head, *("  " + host.line() for host in self.hosts)])

    def _repr_html_(self) -> str:
        return f"<div><b>{plural(self.workers, 'worker')} ready</b>{hosts_table(self.hosts)}</div>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """Every worker was replaced; ``interrupted`` tasks were running and run again."""

    workers: int
    hosts: int
    interrupted: int
    seconds: float
    problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        text = f"refreshed {plural(self.workers, 'worker')} on {plural(self.hosts, 'host')} in "
        text += f"{self.seconds:.2f} s ({plural(self.interrupted, 'task')} interrupted)"
        return "\n".join([text, *("  " + problem for problem in self.problems)])


def plural(count: int, noun: str) -> str:
    """``1 worker``, ``2 workers``; ``3 processes``."""
    more = "es" if noun.endswith("s") else "s"
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{more}"


def are(count: int) -> str:
    """The verb behind a counted noun: ``is`` of one, ``are`` of others."""
    return "is" if count == 1 else "are"


def listed(views: Sequence[JobView]) -> str:
    """How far each job is: ``job 1 (3/5), f (0/2)``."""
    totals = ("?" if view.total is None else view.total for view in views)
    return ", ".join(
        f"{view.name} ({view.settled}/{total})" for view, total in zip(views, totals, strict=True)
    )


def counted(views: Sequence[JobView]) -> str:
    """How many tasks are outstanding, and of what."""
    count = sum(view.running + view.queued for view in views)
    return f"{plural(count, 'outstanding task')}: {listed(views)}"


def together(views: Sequence[JobView]) -> JobView:
    """How far all of these are, as one."""
    totals = [view.total for view in views]
    return JobView(
        name=", ".join(dict.fromkeys(view.name for view in views)),
        total=None if None in totals else sum(filter(None, totals)),
        queued=sum(view.queued for view in views),
        running=sum(view.running for view in views),
        done=sum(view.done for view in views),
        failed=sum(view.failed for view in views),
        cancelled=sum(view.cancelled for view in views),
        awaits="; ".join(dict.fromkeys(view.awaits for view in views if view.awaits)),
    )


def hosts_table(hosts: tuple[HostView, ...]) -> str:
    """The hosts as an HTML table."""
    rows = [
        (
            host.name,
            host.state,
            str(host.workers),
            str(host.busy),
            host.python,
            in_bytes(host.memory) if host.memory else "",
            host.why,
        )
        for host in hosts
    ]
    return _table(("host", "state", "workers", "busy", "python", "holds", ""), rows)


def machines_table(hosts: Sequence[HostView]) -> str:
    """The hosts and what they run on as an HTML table."""
    rows = [
        (
            host.name,
            host.state,
            str(host.workers),
            str(host.busy),
            host.python,
            host.platform,
            f"{host.cpus}, load {host.load:.1f}" if host.cpus else "",
            in_bytes(host.free_memory) if host.cpus else "",
            in_bytes(host.free_disk) if host.cpus else "",
            in_bytes(host.memory) if host.memory else "",
            host.passed if host.sent else "",
            host.trip if host.round_trip else "",
            host.why,
        )
        for host in hosts
    ]
    head = ("host", "state", "workers", "busy", "python", "platform", "processors")
    more = ("free memory", "free disk", "holds", "bytes", "round trip", "")
    return _table((*head, *more), rows)


def facts_table(host: HostView) -> str:
    """What is known of one host as an HTML table."""
    return _table((), host.facts())


def jobs_table(jobs: tuple[JobView, ...]) -> str:
    """The jobs as an HTML table, empty without jobs."""
    rows = [
        (
            job.name,
            f"{job.settled}/{'?' if job.total is None else job.total}",
            str(job.running),
            str(job.queued),
            str(job.failed),
            job.speed,
            job.awaits or job.left,
        )
        for job in jobs
    ]
    return (
        _table(("job", "done", "running", "queued", "failed", "rate", "left"), rows) if rows else ""
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in head)
    lines = [f"<tr>{cells}</tr>"] if head else []
    for row in rows:
        cells = "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"
