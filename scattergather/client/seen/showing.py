"""The reprs of client and job: from what was pushed last, without asking anyone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scattergather.model.snapshot import (
    NO_HOSTS,
    HostView,
    JobView,
    Snapshot,
    facts_table,
    hosts_table,
    jobs_table,
    machines_table,
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


def hosts_bundle(hosts: Sequence[HostView]) -> dict[str, str]:
    """The hosts of a client in two lines each, and as a table in HTML."""
    if not hosts:
        html = f"<div><b>hosts</b>: {escape(NO_HOSTS)}</div>"
        return {"text/plain": f"hosts: {NO_HOSTS}", "text/html": html}
    head, lines = plural(len(hosts), "host"), []
    for host in hosts:
        lines += [f"  {host.line()}", *(f"      {more}" for more in filter(None, [host.machine()]))]
    html = f"<div><b>{head}</b>{machines_table(hosts)}</div>"
    return {"text/plain": "\n".join([head, *lines]), "text/html": html}


def host_bundle(host: HostView) -> dict[str, str]:
    """One host, in a line for each thing that is known of it."""
    text = "\n".join([host.line(), *(f"  {what:<12} {said}" for what, said in host.facts())])
    html = f"<div><b>{escape(host.line())}</b>{facts_table(host)}</div>"
    return {"text/plain": text, "text/html": html}


def closed_bundle(how: str) -> dict[str, str]:
    """A client whose controller has ended."""
    html = f"<div><b>ScatterGather</b>: {escape(how)}</div>"
    return {"text/plain": f"<ScatterGather: {how}>", "text/html": html}


def _headline(snapshot: Snapshot, done: int, failed: int, rate: float) -> str:
    text = f"{snapshot.headline()} · {done} done · {failed} failed"
    return text + (f" · {rate:.0f}/s" if rate else "")
