"""What all parts of a pool share: its sessions, its workers, and when it wants to be woken."""

from __future__ import annotations

import signal

from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import Doom, PoolWorker

SPARE_SECONDS = 5.0
"""How long an idle worker beyond the limit (it had a lent slot) is kept."""


class Crew:
    """Sessions and workers of one host. ``wake_at`` is when to tick the pool, or None."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.sessions: dict[int, Tenant] = {}
        self.workers: dict[int, PoolWorker] = {}
        self.wake_at: float | None = None
        self._count = 0

    def wake(self, at: float) -> None:
        """Be ticked at ``at`` at the latest."""
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    def fork(self, session: Tenant, now: float, out: list[actions.Action]) -> list[int]:
        """Fork workers until the session has what it may have; returns their numbers."""
        forked: list[int] = []
        wanted = session.limit + session.blocked - session.alive
        if session.restarts.pause:  # one at a time, until one lives
            wanted = int(now >= session.restarts.until and wanted > 0 and not session.unborn)
        for _ in range(wanted):
            self._count += 1
            worker = PoolWorker(self._count, session.number)
            self.workers[worker.number] = session.workers[worker.number] = worker
            forked.append(worker.number)
            out.append(actions.ForkWorker(session=session.number, worker=worker.number))
        return forked

    def idle(self, session: Tenant, worker: PoolWorker, now: float) -> None:
        """It has nothing to do, and may be given a chunk."""
        if worker.doom is None:
            worker.since = now
            worker.stopped_since = None
            session.idle[worker.number] = worker
            # The first is cheap and nearly always settles it.
            if (
                len(session.workers) > session.limit
                and session.alive > session.limit + session.blocked
            ):
                self.wake(now + SPARE_SECONDS)

    def retire_spares(
        self, session: Tenant, now: float, kept: float, out: list[actions.Action]
    ) -> None:
        """End workers beyond the limit that were idle for ``kept`` seconds."""
        surplus = session.alive - session.limit - session.blocked
        for worker in list(session.idle.values())[: max(0, surplus)]:
            if now >= worker.since + kept:  # as it is woken: `now - since` may round down
                del session.idle[worker.number]
                retire(worker, out)
            else:
                self.wake(worker.since + kept)


def retire(worker: PoolWorker, out: list[actions.Action]) -> None:
    """End a worker that has nothing to do."""
    worker.doom = Doom.RETIRED
    out.append(actions.RetireWorker(worker=worker.number))


def kill(worker: PoolWorker, doom: Doom, out: list[actions.Action]) -> None:
    """End a worker with all that it started, unless that is under way; ``doom`` says why."""
    if worker.doom is None:
        worker.doom = doom
        out.append(actions.KillWorker(worker=worker.number, signal=signal.SIGKILL, group=True))


def report(
    session: Tenant, message: messages.FromPool, out: list[actions.Action], body: bytes = b""
) -> None:
    """Tell the controller."""
    out.append(actions.Report(session=session.number, message=message, body=body))


def report_slots(session: Tenant, out: list[actions.Action]) -> None:
    """Tell the controller how many chunks can be worked on, lent slots included."""
    slots = session.limit + session.blocked
    report(session, messages.WorkersChanged(workers=slots, alive=session.alive), out)
