"""The end of a program that has left something outstanding.

A script that came to its end has what it asked for finished first: calls, maps, and jobs of what
has a length. Jobs of iterators, which may have no end, are cancelled, and so is all that waits for
a host where there is none and nobody is left to add one. When an exception or an interrupt ended
it, and in a notebook's kernel, all is cancelled. Nothing of this goes without a word, and an
interrupt ends the waiting.

It runs when all threads of the program's own are through but its daemons. New threads cannot be
started by then (Python 3.12), so nothing here may need one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.scatter import unread_jobs
from scattergather.client.seen.here import current_display
from scattergather.client.seen.terminal import TERMINAL
from scattergather.client.session.session import Session
from scattergather.model.snapshot import counted, listed, plural

NOTICE_SECONDS = 2.0
"""How long it takes until the user is told what is waited for."""

LOOK_SECONDS = 0.1
"""How often what tasks print meanwhile is shown."""

_interrupts: list[str] = []
"""Filled when Python itself was interrupted while it waited for threads of the program."""

_due: list[str] = []
"""Filled until Python has come to :func:`_heed`, at the end of that."""


def end(sessions: Sequence[Session], *, finalizing: bool = False) -> None:
    """All is through or cancelled, and the controllers have ended. Main thread.

    Args:
        sessions: all that there are.
        finalizing: the interpreter itself calls this, and so has waited for the program's threads.
    """
    alive = [session for session in sessions if not session.life.closed]
    why = _why_not_finished(finalizing)
    if not why:
        try:
            _finish(alive, sessions)
        except KeyboardInterrupt:
            why = "interrupted"
    left = [view for session in alive for view in session.receivers.outstanding()]
    if left and why:
        _say(f"{why}; cancelled {counted(left)}")
    for session in sessions:
        session.exit()


def heed_interrupts() -> None:
    """An interrupt of what Python does when the main thread has ended ends the program, for us too.

    Python waits for the program's threads then. Of an interrupt it tells by the hook for what can
    be raised nowhere, and goes on; but of what was registered to be called then, the last first, as
    executors do which wait for their threads, it calls no more.
    """
    with suppress(AttributeError, RuntimeError):  # a Python without; one that ends already
        threading._register_atexit(_heed)  # type: ignore[attr-defined]
        _due.append("interrupted")


def _heed() -> None:
    tell = sys.unraisablehook

    def note(what: sys.UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            _interrupts.append("interrupted")
        tell(what)

    sys.unraisablehook = note
    _due.clear()  # only now: an interrupt that comes before is told by what is still due


def _why_not_finished(finalizing: bool) -> str:
    """Why what is outstanding is not finished; empty where the program came to its end."""
    if current_display() is not TERMINAL:
        return "the kernel ends"
    # Python notes here what it has shown of the main thread, unless the user has seen to it since.
    shown = getattr(sys, "last_type", None)
    if shown is not None and not hasattr(sys, "ps1"):
        return f"the script ended by {shown.__name__}"
    if _interrupts or (_due and finalizing):
        return "interrupted"
    if isinstance(error := sys.exc_info()[1], Exception | KeyboardInterrupt):
        return f"the process ended by {type(error).__name__}"
    return ""


def _finish(sessions: Sequence[Session], ever: Sequence[Session]) -> None:
    """Of these ``sessions`` all is through; of all that there ever were, what failed is told."""
    jobs = [job for session in ever for job in unread_jobs(session)]
    told = {job: job.failed for job in jobs if job.told}
    before = _failed_calls(sessions, jobs)

    def goes_on() -> bool:
        return any(not session.receivers.quiet() for session in sessions)

    # What comes of one session may add to another. The last look is behind whatever the first one
    # has missed.
    def more() -> bool:
        return goes_on() or goes_on()

    fed = [view for session in sessions for view in session.finish(more)]
    if fed:
        _say(f"the script ended; cancelled what iterators feed: {listed(fed)}")
    due: float | None = time.monotonic() + NOTICE_SECONDS
    hostless: set[Session] = set()
    for session in sessions:
        while not session.life.wait_closed(LOOK_SECONDS):
            for each in sessions:
                each.echo.flush()
                each.life.end_if_idle()
                if each not in hostless and not each.known.snapshot().hosts:
                    hostless.add(each)
                    _cancel(each)
            if due is not None and time.monotonic() >= due:
                due = None
                _tell(sessions)
        session.echo.flush()
        if (fate := session.life.fate) and session.lost:
            _say(f"the script has ended, and {fate}; lost {counted(session.lost)}")
    failed = [
        f"{job.label} ({job.failed} of {job.added} tasks)"
        for job in jobs
        if job.failed > told.get(job, 0)
    ]
    if (calls := _failed_calls(sessions, jobs) - before) > 0:
        failed.append(plural(calls, "call"))
    if failed:
        wait = "waitForResult(), results() or result() before its end raises it"
        _say(
            f"the script has ended, and nobody waited for what failed: {', '.join(failed)}; {wait}"
        )


def _cancel(session: Session) -> None:
    """Nothing is waited for where there is no host: nobody is left who could add one."""
    if left := session.receivers.outstanding():
        session.cancel_all()
        _say(f"the script has ended, and there is no host; cancelled {listed(left)}")


def _failed_calls(sessions: Sequence[Session], jobs: Sequence[Gathering]) -> int:
    """How many tasks failed that are of none of these jobs, nor of one that is cancelled."""
    failed = sum(each.inbox.failed - each.inbox.unheard for each in sessions)
    return failed - sum(job.failed + job.cancelled for job in jobs)


def _tell(sessions: Sequence[Session]) -> None:
    left = [view for session in sessions for view in session.receivers.outstanding()]
    why = " ".join(dict.fromkeys(filter(None, (each.known.standstill() for each in sessions))))
    what = f"the script has ended; waiting for {listed(left)}; an interrupt cancels that"
    TERMINAL.notice(f"{what}. {why}" if why else what)


def _say(line: str) -> None:
    if current_display() is TERMINAL:
        TERMINAL.notice(line)
    elif sys.__stderr__ is not None:
        # What goes the way of a cell finds no front end any more; this is in the server's log.
        sys.__stderr__.write(f"[scattergather] {line}\n")
