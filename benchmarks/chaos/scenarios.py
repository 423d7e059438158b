"""What goes wrong, and what came of it, in a few words.

The words: *ok*; *lost n*, outcomes that are errors of the system's making; *hung n*, no outcome
within the limit; *left n*, processes that outlive their owner.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos import tasks
from benchmarks.chaos.peers import Future, Peer, Submit
from benchmarks.chaos.tasks import Ledger
from benchmarks.system import WORKERS

PATIENCE = 6.0
"""Seconds within which a single task must have an outcome."""

SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A row of the table.

    Attributes:
        name: on the command line.
        title: in the table.
        play: with a peer that was not started yet, and a ledger; returns the words. ``None`` for
            the one that is played from outside.
        limit: seconds that it may take by its own account.
        short: part of a short run.
    """

    name: str
    title: str
    play: Callable[[Peer, Ledger], str] | None
    limit: float
    short: bool = False


def _outcome(future: Future, timeout: float) -> tuple[str, Any]:
    """``ok`` and the value, ``hung``, or the error's name and the error."""
    try:
        return "ok", future.result(timeout)
    except BaseException as error:
        name = type(error).__name__
        return ("hung", None) if name == "TimeoutError" else (name, error)


def _submitted(submit: Submit, function: Any, *arguments: Any) -> Future:
    try:
        return submit(function, *arguments)
    except Exception as error:
        return _Refused(error)


class _Refused:
    """A call that was not even taken."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self, timeout: float) -> Any:
        raise self._error

    def cancel(self) -> object:
        return False


# ---- a stream of tasks --------------------------------------------------------------------------


def _stream(
    submit: Submit,
    ledger: Ledger,
    count: int,
    seconds: float,
    limit: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> str:
    """What came of ``count`` honest tasks while something happened."""
    submit(tasks.double, 1).result(30)
    begin = time.monotonic()
    futures = [
        _submitted(submit, tasks.sleep, ledger.path, str(number), seconds)
        for number in range(count)
    ]
    threading.Thread(target=meanwhile, daemon=True).start()
    return _gathered(futures, ledger, begin, limit)


def _gathered(futures: Sequence[Future], ledger: Ledger, begin: float, limit: float) -> str:
    found: Counter[str] = Counter()
    for number, future in enumerate(futures):
        left = begin + limit - time.monotonic()
        kind, value = _outcome(future, max(left, 0.01))
        found["wrong" if kind == "ok" and value != str(number) else kind] += 1
    took = time.monotonic() - begin
    right, hung = found.pop("ok", 0), found.pop("hung", 0)
    runs = ledger.runs()
    extra = sum(runs.values()) - len(runs)
    words = [] if found or hung else ["ok"]
    if found:
        kinds = ", ".join(sorted(found))
        words.append(f"**lost {found.total()}** of {len(futures)} ({kinds})")
    if hung:
        words.append(f"**hung {hung}** of {len(futures)}")
    if right == len(futures):
        words.append(f"{took:.1f} s")
    if extra:
        words.append(f"{extra} run again")
    return ", ".join(words)


def calm(peer: Peer, ledger: Ledger) -> str:
    """Nothing goes wrong."""
    return _stream(peer.start(), ledger, 600, 0.01, 28)


def kills(period: float) -> Callable[[Peer, Ledger], str]:
    """A worker that is in a task is killed now and then."""

    def play(peer: Peer, ledger: Ledger) -> str:
        chance = random.Random(SEED)
        killed = 0

        def kill() -> None:
            nonlocal killed
            while True:
                time.sleep(period)
                running = ledger.running()
                if running:
                    _signal(chance.choice(running), signal.SIGKILL)
                    killed += 1

        words = _stream(peer.start(), ledger, 600, 0.01, 28, kill)
        return f"{words}, {killed} killed"

    return play


def stopped(peer: Peer, ledger: Ledger) -> str:
    """One of two workers is stopped by a signal."""

    def stop() -> None:
        while not (running := ledger.running()):
            time.sleep(0.01)
        _signal(running[0], signal.SIGSTOP)

    return _stream(peer.start(), ledger, 100, 0.02, 18, stop)


def poison(count: int, limit: float) -> Callable[[Peer, Ledger], str]:
    """Some tasks kill their workers, among honest ones."""

    def play(peer: Peer, ledger: Ledger) -> str:
        submit = peer.start()
        submit(tasks.double, 1).result(30)
        begin = time.monotonic()
        honest, bad = [], []
        for number in range(200):
            if number % (200 // count) == 100 // count:
                bad.append(_submitted(submit, tasks.is_killed, ""))
            honest.append(_submitted(submit, tasks.sleep, ledger.path, str(number), 0.01))
        words = _gathered(honest, ledger, begin, limit)
        kinds = Counter(
            _outcome(future, max(begin + limit - time.monotonic(), 0.01))[0] for future in bad
        )
        hung = kinds.pop("hung", 0)
        named = [f"{kind} × {times}" for kind, times in kinds.items()]
        if hung:
            named.append(f"**hung {hung}**")
        return f"{words}; poison: {', '.join(named)}"

    return play


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


# ---- one bad task -------------------------------------------------------------------------------


def bad(function: Callable[[str], Any]) -> Callable[[Peer, Ledger], str]:
    """One task misbehaves; afterwards the pool is asked for something easy."""
    return lambda peer, ledger: _bad(peer.start(), function, ledger)


def limited(peer: Peer, ledger: Ledger) -> str:
    """A task takes more memory than it may."""
    return _bad(peer.start_limited(), tasks.hogs, ledger)


def _bad(
    submit: Submit,
    function: Callable[[str], Any],
    ledger: Ledger,
    patience: float = PATIENCE,
) -> str:
    submit(tasks.double, 1).result(30)
    neighbours = [submit(tasks.sleep, ledger.path, str(number), 0.1) for number in range(4)]
    kind, value = _outcome(_submitted(submit, function, ledger.path), patience)
    lost = sum(_outcome(each, patience)[0] != "ok" for each in neighbours)
    after, _ = _outcome(_submitted(submit, tasks.double, 21), patience)
    words = ["**hung**" if kind == "hung" else "returned" if kind == "ok" else kind]
    if isinstance(value, int) and _runs(value):
        words.append("**left 1**")
    if lost:
        words.append(f"**{lost} neighbours lost**")
    if after != "ok":
        words.append("**pool hangs**" if after == "hung" else "**pool broken**")
    return ", ".join(words)


def _runs(pid: int) -> bool:
    """True when a process still runs after two seconds."""
    time.sleep(2)
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def cancelled(peer: Peer, ledger: Ledger) -> str:
    """All workers are in a task without end, which is cancelled; then there is other work."""
    submit = peer.start_cancellable()
    submit(tasks.double, 1).result(30)
    endless = [submit(tasks.hangs, ledger.path) for _ in range(WORKERS)]
    until = time.monotonic() + 20
    while len(set(ledger.running())) < WORKERS and time.monotonic() < until:
        time.sleep(0.01)
    for future in endless:
        future.cancel()
    begin = time.monotonic()
    kind, _ = _outcome(submit(tasks.double, 21), PATIENCE)
    if kind == "ok":
        return f"ok, {time.monotonic() - begin:.1f} s"
    return "**workers stay busy**" if kind == "hung" else kind


def stillborn(peer: Peer, _: Ledger) -> str:
    """Every worker exits before its first task."""
    try:
        future = peer.start_badly()(tasks.double, 1)
    except Exception as error:
        return type(error).__name__
    kind, _ = _outcome(future, 15)
    return "**hung**" if kind == "hung" else kind


def abandoned(peer: Peer, ledger: Ledger) -> None:
    """Long tasks run until somebody kills this process."""
    submit = peer.start()
    held = [submit(tasks.sleep, ledger.path, str(number), 600.0) for number in range(4)]
    while len(ledger.running()) < WORKERS:
        time.sleep(0.01)
    ledger.note("client", "ready")
    held[0].result(600)


ABANDONED = Scenario(
    name="abandoned", title="kill -9 the client: processes left", play=None, limit=45, short=True
)

SCENARIOS = (
    Scenario(name="calm", title="600 × 10 ms, no fault", play=calm, limit=28, short=True),
    Scenario(name="kills", title="the same, a worker killed every 1 s", play=kills(1.0), limit=28),
    Scenario(name="hail", title="the same, every 0.2 s", play=kills(0.2), limit=28, short=True),
    Scenario(name="poison", title="1 task of 201 kills its worker", play=poison(1, 24), limit=24),
    Scenario(name="poisons", title="10 tasks of 210 do", play=poison(10, 24), limit=24),
    Scenario(name="stop", title="1 of 2 workers stopped, 100 × 20 ms", play=stopped, limit=18),
    ABANDONED,
    Scenario(name="stillborn", title="workers exit at start", play=stillborn, limit=20),
    Scenario(name="cancel", title="cancel tasks without end", play=cancelled, limit=30, short=True),
    Scenario(name="exit", title="sys.exit(3)", play=bad(tasks.exits), limit=20),
    Scenario(name="hard", title="os._exit(3)", play=bad(tasks.exits_hard), limit=20),
    Scenario(name="segfault", title="segmentation fault", play=bad(tasks.segfaults), limit=20),
    Scenario(
        name="lock",
        title="exception that holds a lock",
        play=bad(tasks.raises_unpicklable),
        limit=20,
    ),
    Scenario(
        name="odd",
        title="exception with other `__init__` arguments",
        play=bad(tasks.raises_odd),
        limit=20,
    ),
    Scenario(
        name="mute", title="exception whose `str()` raises", play=bad(tasks.raises_mute), limit=20
    ),
    Scenario(
        name="unpicklable",
        title="result cannot be pickled",
        play=bad(tasks.returns_a_lock),
        limit=20,
    ),
    Scenario(
        name="trap", title="result cannot be unpickled", play=bad(tasks.returns_a_trap), limit=20
    ),
    Scenario(
        name="closes",
        title="closes descriptors 3 to 255",
        play=bad(tasks.closes_descriptors),
        limit=20,
    ),
    Scenario(
        name="child", title="starts a process and returns", play=bad(tasks.leaves_a_child), limit=20
    ),
    Scenario(name="hog", title="takes 600 MB where 300 are allowed", play=limited, limit=30),
)
