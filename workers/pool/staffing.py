"""Who is forked, who is idle, and who ends: the workers of a tenant follow what it may have.

- A tenant has as many workers as it may keep busy, and one more for each that waits for a nested
  result: that one's slot is lent.
- A worker beyond that number is kept for a few idle seconds: the next nested call may want it.
- A worker that dies at its start again and again is tried after a pause, one at a time.
- Whoever ends workers faster than they die, by one refresh behind the other, gets no more processes
  for it than a few times what he may have.
"""

from __future__ import annotations

import signal

from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import Doom, PoolWorker

SPARE_SECONDS = 5.0
"""How long an idle worker beyond the limit (it had a lent slot) is kept."""

MOST_TIMES = 4
"""A tenant has at most so many times the workers that it may have, with those that are dying."""


def fork(turn: Turn, tenant: Tenant) -> list[int]:
    """As many workers are forked as the tenant lacks; returns their numbers."""
    forked: list[int] = []
    may = tenant.limit + tenant.blocked
    wanted = min(may - tenant.alive, MOST_TIMES * may - len(tenant.workers))
    if tenant.restarts.pause:  # one at a time, until one lives
        wanted = int(turn.now >= tenant.restarts.until and wanted > 0 and not tenant.unborn)
    for _ in range(wanted):
        worker = turn.crew.enter_worker(tenant)
        forked.append(worker.number)
        turn.ask(actions.ForkWorker(tenant=tenant.number, worker=worker.number))
    return forked


def resize(turn: Turn, tenant: Tenant, workers: int) -> None:
    """A tenant may keep so many workers busy, 0: all there are; those too many end when idle."""
    if turn.crew.own and workers:
        turn.crew.slots = workers
    tenant.limit = min(workers or turn.crew.slots, turn.crew.slots)
    fork(turn, tenant)
    retire_spares(turn, tenant, 0.0)
    report_slots(turn, tenant)


def set_idle(turn: Turn, tenant: Tenant, worker: PoolWorker) -> None:
    """A worker that has nothing to do may be given a chunk, unless it is to end."""
    if worker.doom is None:
        worker.since = turn.now
        tenant.idle[worker.number] = worker
        # The first is cheap and nearly always settles it.
        if len(tenant.workers) > tenant.limit and tenant.alive > tenant.limit + tenant.blocked:
            turn.crew.wake(turn.now + SPARE_SECONDS)


def retire_spares(turn: Turn, tenant: Tenant, kept: float) -> None:
    """Workers beyond the limit that were idle for ``kept`` seconds end."""
    surplus = tenant.alive - tenant.limit - tenant.blocked
    for worker in list(tenant.idle.values())[: max(0, surplus)]:
        if turn.now >= worker.since + kept:  # as it is woken: `now - since` may round down
            del tenant.idle[worker.number]
            retire(turn, worker)
        else:
            turn.crew.wake(worker.since + kept)


def retire(turn: Turn, worker: PoolWorker) -> None:
    """A worker that has nothing to do ends by itself."""
    worker.doom = Doom.RETIRED
    turn.ask(actions.RetireWorker(worker=worker.number))


def kill(turn: Turn, worker: PoolWorker, doom: Doom) -> None:
    """A worker ends with all that it started, unless it is ending; ``doom`` says why."""
    if worker.doom is None:
        worker.doom = doom
        turn.ask(actions.KillWorker(worker=worker.number, signal=signal.SIGKILL, group=True))


def end_bent(turn: Turn, tenant: Tenant, worker: PoolWorker, why: str) -> None:
    """A worker ends because what it says cannot be: a task, or native code in it, has bent it.

    Nothing more of what it says is believed.
    """
    if not worker.bent:
        worker.bent = why
        tenant.idle.pop(worker.number, None)
        tenant.ahead.pop(worker.number, None)
        kill(turn, worker, Doom.BENT)


def report_slots(turn: Turn, tenant: Tenant) -> None:
    """The controller is told how many chunks can be worked on, lent slots included."""
    slots = tenant.limit + tenant.blocked
    turn.report(tenant, messages.WorkersChanged(workers=slots, alive=tenant.alive))
