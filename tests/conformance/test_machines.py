"""Every machine on which a pool runs keeps ``machines.CHECKS``: the real and the simulated one."""

from __future__ import annotations

import gc
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.values.payload import dumps
from scattergather.workers.daemon.machine import ZygoteSeam
from scattergather.workers.daemon.this_machine import ThisMachine
from tests.conformance.machines import CHECKS, Does, MachineCase, Session, descriptors
from tests.simulation import daemon
from tests.simulation.checked import CheckedScheduler
from tests.simulation.clock import Clock, Scope
from tests.simulation.large import Memory
from tests.simulation.ledger import Ledger
from tests.simulation.workload import Nature, Workload


def this_machine(folder: Path) -> tuple[MachineCase, Callable[[], None]]:
    """Real processes, and a reactor that turns only when it is told.

    Tasks open a file. That takes no time, or as long as nobody writes into a pipe.
    """
    reactor: Any = EPollReactor()
    reactor.running = True  # as far as it knows
    files = {
        Does.NOTHING: Path(os.devnull),
        Does.WAIT: folder / "1",
        Does.WITHOUT_END: folder / "2",
    }
    for does in (Does.WAIT, Does.WITHOUT_END):
        os.mkfifo(files[does])

    def chunk(number: int, tasks: tuple[Does, ...]) -> tuple[messages.Run, bytes]:
        run = messages.Run(chunk=number, job=b"j" * 16, function="open", first=0, count=len(tasks))
        return run, blobs.pack([dumps(((str(files[each]), os.O_RDONLY), {})) for each in tasks])

    def release() -> None:
        while True:
            try:
                os.close(os.open(files[Does.WAIT], os.O_WRONLY | os.O_NONBLOCK))
                return
            except OSError:  # the task has begun, and has not opened it yet
                reactor.iterate(0.005)

    def close() -> None:
        reactor.removeAll()
        for end in (reactor.waker.i, reactor.waker.o):
            os.close(end)
        reactor._poller.close()

    case = MachineCase(
        machine=ThisMachine(reactor),
        services=("open=os:open",),
        pause=lambda: reactor.iterate(0.005),
        chunk=chunk,
        release=release,
        freeze=lambda zygote: os.kill(zygote.pid, signal.SIGSTOP),
    )
    return case, close


def simulated_machine(_folder: Path) -> tuple[MachineCase, Callable[[], None]]:
    """The simulation's, in a world where nothing goes wrong."""
    chance, clock = random.Random(1), Clock()
    workload = Workload(chance)
    world: Any = SimpleNamespace(
        clock=clock,
        workload=workload,
        stillborn=0.0,
        torn=0.0,
    )
    ledger = Ledger(world)
    ledger.large = Memory(ledger, clock, chance)
    world.scheduler = CheckedScheduler(ledger)

    def chunk(number: int, tasks: tuple[Does, ...]) -> tuple[messages.Run, bytes]:
        job = workload.new_job(len(tasks), plain=True)
        for index, each in enumerate(tasks):
            job.natures[index] = Nature(
                runs_away=each is Does.WITHOUT_END, slow=0.3 * (each is Does.WAIT)
            )
        run = messages.Run(chunk=number, job=job.identity, function="f", first=0, count=len(tasks))
        return run, blobs.pack([job.blob(index) for index in range(len(tasks))])

    def pause() -> None:
        passed = clock.callLater(0.005, lambda: None)
        while passed.active():
            clock.step()

    def freeze(zygote: ZygoteSeam) -> None:
        assert isinstance(zygote, daemon.Zygote)
        zygote.scope.frozen = True

    def close() -> None:
        ledger.stop()
        ledger.large.close()

    machine = daemon.Machine(Scope(clock), ledger, chance, "host")
    case = MachineCase(
        machine=machine,
        services=(),
        pause=pause,
        chunk=chunk,
        release=lambda: None,  # that takes a moment, and time passes only when we let it
        freeze=freeze,
    )
    return case, close


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("machine", [this_machine, simulated_machine])
def test_a_machine(machine: Any, check: Callable[[Session], None], tmp_path: Path) -> None:
    gc.collect()  # what other tests have left is not to go meanwhile
    before = descriptors()
    case, close = machine(tmp_path)
    session = Session(case)
    check(session)
    session.close()
    close()
    del session, case
    gc.collect()
    assert descriptors() == before, "descriptors are left"
