"""The reprs of client and job: from what was pushed last, without asking anyone."""

from __future__ import annotations

from html import escape

from scattergather.model.snapshot import JobView, Snapshot, hosts_table, jobs_table

WIDTH = 20


def job_text(view: JobView) -> str:
    """A job in one line, with a bar."""
    total = view.total or 0
    filled = WIDTH * view.settled // total if total else (WIDTH if view.total == 0 else 0)
    bar = "━" * filled + "─" * (WIDTH - filled)
    text = f"{view.name}  {bar}  {view.counts()}"
    if view.rate and view.total:
        text += f" · {(view.total - view.settled) / view.rate:.1f} s left"
    return text


def job_html(view: JobView) -> str:
    """A job in one line of HTML, with a bar."""
    total = max(view.total or view.settled, 1)
    return (
        f"<div><b>{escape(view.name)}</b> "
        f"<progress value='{view.settled}' max='{total}'></progress> {escape(view.counts())}</div>"
    )


def client_text(snapshot: Snapshot, done: int, failed: int, rate: float) -> str:
    """A client in a few lines."""
    lines = [f"ScatterGather  {_headline(snapshot, done, failed, rate)}"]
    lines += ["  " + host.line() for host in snapshot.hosts]
    lines += ["  " + job.line() for job in snapshot.jobs]
    return "\n".join(lines)


def client_html(snapshot: Snapshot, done: int, failed: int, rate: float) -> str:
    """A client in a few lines of HTML, with tables of its hosts and jobs."""
    headline = escape(_headline(snapshot, done, failed, rate))
    return (
        f"<div><b>ScatterGather</b> {headline}<details open><summary>hosts</summary>"
        f"{hosts_table(snapshot.hosts)}</details>{jobs_table(snapshot.jobs)}</div>"
    )


def _headline(snapshot: Snapshot, done: int, failed: int, rate: float) -> str:
    text = f"{snapshot.headline()} · {done} done · {failed} failed"
    return text + (f" · {rate:.0f}/s" if rate else "")
