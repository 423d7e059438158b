"""The reprs of client and job: from what was pushed last, without asking anyone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scattergather.model.snapshot import (
    NO_HOSTS,
    HostView,
    JobView,
    Snapshot,
    hosts_table,
    jobs_table,
    plural,
)

WIDTH = 20


def job_text(view: JobView) -> str:
    """A job in one line, with a bar."""
    total = view.total or 0
    filled = WIDTH * view.settled // total if total else (WIDTH if view.total == 0 else 0)
    bar = "━" * filled + "─" * (WIDTH - filled)
    return f"{view.name}  {bar}  {view.counts()}"


def job_html(view: JobView) -> str:
    """A job in one line of HTML, with a bar."""
    total = max(view.total or view.settled, 1)
    return (
        f"<div><b>{escape(view.name)}</b> "
        f"<progress value='{view.settled}' max='{total}'></progress> {escape(view.counts())}</div>"
    )


def job_bundle(view: JobView) -> dict[str, str]:
    """A job as a notebook shows it."""
    return {"text/plain": job_text(view), "text/html": job_html(view)}


def client_bundle(snapshot: Snapshot, done: int, failed: int, rate: float) -> dict[str, str]:
    """A client in a few lines, and in HTML with tables of its hosts and jobs."""
    headline = _headline(snapshot, done, failed, rate)
    lines = [f"ScatterGather  {headline}"]
    lines += ["  " + host.line() for host in snapshot.hosts]
    lines += ["  " + job.line() for job in snapshot.jobs]
    html = (
        f"<div><b>ScatterGather</b> {escape(headline)}<details open><summary>hosts</summary>"
        f"{hosts_table(snapshot.hosts)}</details>{jobs_table(snapshot.jobs)}</div>"
    )
    return {"text/plain": "\n".join(lines), "text/html": html}


def hosts_text(hosts: Sequence[HostView]) -> str:
    """The hosts of a client in one line each."""
    if not hosts:
        return f"hosts: {NO_HOSTS}"
    return "\n".join([plural(len(hosts), "host"), *("  " + host.line() for host in hosts)])


def hosts_html(hosts: Sequence[HostView]) -> str:
    """The hosts of a client as a table in HTML."""
    if not hosts:
        return f"<div><b>hosts</b>: {escape(NO_HOSTS)}</div>"
    return f"<div><b>{plural(len(hosts), 'host')}</b>{hosts_table(tuple(hosts))}</div>"


def host_text(host: HostView) -> str:
    """One host, in a line for each thing that is known of it."""
    return "\n".join([host.line(), *(f"  {what:<12} {said}" for what, said in host.facts())])


def host_html(host: HostView) -> str:
    """One host, as a table in HTML."""
    rows = "".join(
        f"<tr><td style='text-align:left'>{escape(what)}</td>"
        f"<td style='text-align:left'>{escape(said)}</td></tr>"
        for what, said in host.facts()
    )
    return f"<div><b>{escape(host.line())}</b><table>{rows}</table></div>"


def closed_bundle(how: str) -> dict[str, str]:
    """A client whose controller has ended."""
    html = f"<div><b>ScatterGather</b>: {escape(how)}</div>"
    return {"text/plain": f"<ScatterGather: {how}>", "text/html": html}


def _headline(snapshot: Snapshot, done: int, failed: int, rate: float) -> str:
    text = f"{snapshot.headline()} · {done} done · {failed} failed"
    return text + (f" · {rate:.0f}/s" if rate else "")
