"""Seeded runs of a whole cluster; docs/simulation.md says what of it is real.

Replay one run of ``test_whatever_goes_wrong``: ``SCATTERGATHER_SEED=17 pytest tests/simulation -k
goes_wrong``.
Try more of them: ``SCATTERGATHER_SEEDS=20000 pytest tests/simulation``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.daemon import Service
from tests.simulation.nemesis import Faults, Nemesis
from tests.simulation.network import DOWN, UP
from tests.simulation.workload import PLAIN, POISON, Nature
from tests.simulation.world import Shape, World

SEEDS = int(os.environ.get("SCATTERGATHER_SEEDS", "500"))
BATCH = 50
FULL_EVERY = 50
"""Every so many seeds the world is the largest: five daemons, fifty workers."""

ROOT = Path(__file__).parents[2]

if "SCATTERGATHER_SEED" in os.environ:
    ONLY = int(os.environ["SCATTERGATHER_SEED"])
    BATCHES = [range(ONLY, ONLY + 1)]
else:
    BATCHES = [range(first, min(first + BATCH, SEEDS)) for first in range(0, SEEDS, BATCH)]


def whatever_goes_wrong(seed: int) -> World:
    """A run in which everything that can go wrong may."""
    lots = random.Random(f"shape {seed}")
    if seed % FULL_EVERY == 0:
        shape, jobs, largest = Shape(daemons=5, workers=10), 5, 80
    else:
        shape = Shape(
            daemons=lots.randrange(1, 4),
            workers=lots.randrange(1, 4),
            embedded=lots.random() < 0.25,
        )
        jobs, largest = 1, 30

    def mean(often: float) -> float:
        return often * lots.choice((0, 0, 1, 3))

    changes = random.Random(f"hosts {seed}").choice((0, 0, 1, 3))
    faults = Faults(
        kill_worker=mean(4),
        kill_zygote=mean(0.5),
        kill_daemon=mean(1),
        freeze_worker=mean(1),
        freeze_zygote=mean(0.5),
        freeze_host=mean(0.5),
        cut=mean(1),
        cut_stream=mean(3),
        shut=mean(1),
        refresh=mean(0.5),
        add_host=2 * changes,
        drop_host=changes,
        resize_host=changes,
        run_everywhere=mean(0.5),
        bring=3 * random.Random(f"keep {seed}").choice((0, 1, 3)),
        cancel_job=mean(0.3),
        cancel_tasks=mean(0.3),
        add_job=jobs,
        largest_job=largest,
        noise=lots.choice((0.0, 0.002, 0.05)),
        torn=lots.choice((0.0, 0.0, 0.05)),
        stillborn=lots.choice((0.0, 0.0, 0.05, 0.5)),
    )
    seconds = lots.choice((1.0, 10.0))
    world = World(seed, shape)
    nemesis = Nemesis(world, faults, seconds)
    nemesis.add_job(lots.randrange(1, largest))
    world.run_until(seconds)
    world.settle()
    world.check_at_rest()
    return world


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda seeds: f"from {seeds[0]}")
def test_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        try:
            whatever_goes_wrong(seed)
        except Exception as error:
            pytest.fail(
                f"seed {seed}: {error!r}. Replay it with\n"
                f"    SCATTERGATHER_SEED={seed} python -m pytest tests/simulation -k goes_wrong",
                pytrace="SCATTERGATHER_SEED" in os.environ,
            )


def run(world: World, faults: Faults, *, seconds: float = 5.0) -> World:
    """Let faults happen for a while, then mend everything, and look for what is left."""
    Nemesis(world, faults, seconds)
    world.run_until(world.clock.now + seconds)
    world.settle()
    world.check_at_rest()
    return world


def plain_job(world: World, tasks: int, *, retries: int = 3, odd: Nature = PLAIN) -> None:
    """A job of plain tasks, every tenth of them odd."""
    job = world.workload.new_job(tasks, plain=True, retries=retries)
    job.natures.update((index, odd) for index in range(0, tasks, 10))
    world.client.begin(job)
    world.client.add(job, 0, tasks)


@pytest.mark.parametrize("seed", range(5))
def test_without_faults_every_task_runs_once(seed: int) -> None:
    world = World(seed, Shape(daemons=2, workers=3, embedded=bool(seed % 2)))
    plain_job(world, 150)
    plain_job(world, 30)
    run(world, Faults())
    assert set(world.ledger.begun.values()) == {1}


@pytest.mark.parametrize("seed", range(5))
def test_what_waits_behind_a_long_task_runs_elsewhere_and_once(seed: int) -> None:
    world = World(seed, Shape(daemons=2, workers=2))
    plain_job(world, 300, odd=Nature(slow=1.0))
    world.workload.jobs[0].seconds = 1e-4
    run(world, Faults())
    assert set(world.ledger.begun.values()) == {1}


@pytest.mark.parametrize("seed", range(5))
def test_a_cancelled_job_ends_whatever_its_tasks_resist(seed: int) -> None:
    world = World(seed, Shape(daemons=2, workers=2))
    plain_job(world, 50, odd=Nature(slow=1000.0, stubborn=True, immune=bool(seed % 2)))
    world.run_until(1.0)
    world.client.cancel(world.workload.jobs[0])
    world.run_until(4.0)
    assert world.client.satisfied, "SIGKILL comes two seconds after the interrupt"
    world.settle()
    world.check_at_rest()


@pytest.mark.parametrize("seed", range(5))
def test_extra_runs_are_at_most_the_kills(seed: int) -> None:
    world = World(seed, Shape(daemons=2, workers=3))
    plain_job(world, 200, retries=100)
    run(world, Faults(kill_worker=200, torn=0.02), seconds=1.0)
    ledger = world.ledger
    assert ledger.kills
    assert sum(ledger.begun.values()) - 200 <= sum(ledger.deaths.values()) <= ledger.kills


@pytest.mark.parametrize("seed", range(5))
def test_poison_fails_alone_after_its_retries(seed: int) -> None:
    world = World(seed, Shape(daemons=2, workers=2))
    plain_job(world, 60, odd=POISON)
    run(world, Faults())
    ledger = world.ledger
    poisoned = {b"0.%d" % index for index in range(0, 60, 10)}
    assert {task for task, times in ledger.begun.items() if times != 1} == poisoned
    assert ledger.deaths == dict.fromkeys(poisoned, 4)


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_within_the_grace_costs_nothing(seed: int) -> None:
    world = World(seed, Shape(daemons=2, workers=2))
    plain_job(world, 200)
    run(world, Faults(cut=6, noise=0.02), seconds=2.0)
    assert set(world.ledger.begun.values()) == {1}
    assert sum(path.wires for path in world.paths.values()) > 2, "no connection ever broke"


@pytest.mark.parametrize("direction", [DOWN, UP])
@pytest.mark.parametrize("seed", range(5))
def test_outcomes_that_come_after_their_host_was_given_up_count_for_nothing(
    seed: int, direction: int
) -> None:
    world = World(seed, Shape(daemons=2, workers=2))
    plain_job(world, 200)
    world.workload.jobs[0].seconds = 0.2  # so that something is left for each host
    path = world.paths["host0"]
    while not any(
        host.chunks and host.name == "host0" for host in world.scheduler.statistics().hosts
    ):
        world.step()
    path.shut(direction)
    world.clock.callLater(40.0, path.open, direction)
    world.run_until(50.0)
    world.settle()
    world.check_at_rest()
    assert world.lost_hosts, "the host was never given up"


@pytest.mark.parametrize("seed", range(10))
def test_outcomes_of_nested_calls_reach_nobody_else(seed: int) -> None:
    world = World(seed, Shape(daemons=2, workers=2))
    world.workload.nested_seconds = 2.0  # so that it outlives the daemon of whoever waits
    for _ in range(3):
        plain_job(world, 40, retries=10, odd=Nature(children=2))
    run(world, Faults(kill_daemon=20), seconds=20.0)
    assert world.lost_hosts


@pytest.mark.parametrize("seed", range(5))
def test_a_task_that_is_to_be_retried_does_not_cancel_the_calls_of_the_next(seed: int) -> None:
    world = World(seed, Shape(daemons=1, workers=2))
    world.workload.nested_seconds = 0.1
    plain_job(world, 100, odd=Nature(flaky=1))
    job = world.workload.jobs[0]
    job.seconds = 1e-5
    job.natures.update((index, Nature(children=1)) for index in range(1, 100, 10))
    run(world, Faults())


@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_hosts_that_come_and_go_cost_no_task_anything(seed: int, patient: bool) -> None:
    world = World(seed, Shape(daemons=3, workers=3, embedded=bool(seed % 2)))
    for retries in (0, 3):
        plain_job(world, 200, retries=retries, odd=Nature(slow=0.3, children=seed % 3))
    faults = Faults(add_host=40, drop_host=20, resize_host=20, run_everywhere=3)
    nemesis = Nemesis(world, faults, 5.0)
    nemesis.patient = patient
    world.run_until(5.0)
    world.settle()
    world.check_at_rest()
    tasks = {b"%d.%d" % (job, index) for job in range(2) for index in range(200)}
    ledger = world.ledger
    assert not tasks & ledger.charges.keys(), "calls of theirs may kill"
    assert bool(tasks & ledger.spared.keys()) != patient, "only who does not wait interrupts"
    again = {task for task in tasks if task.startswith(b"1.")}
    assert {ledger.begun[task] - ledger.spared[task] for task in again} == {1}
    assert {ledger.begun[task] for task in tasks - again} == {1}, "they may not run twice"


def one_service(seed: int) -> tuple[World, Service]:
    """A world of one daemon, whose two workers are ready."""
    world = World(seed, Shape(daemons=1, workers=2))
    world.run_until(1.0)
    (service,) = world.services()
    return world, service


@pytest.mark.parametrize("seed", [*range(5), 214])
def test_what_is_kept_is_made_again_when_its_host_is_lost(seed: int) -> None:
    world = World(seed, Shape(daemons=3, workers=2, embedded=seed % 2 == 0))
    client, large = world.client, world.large
    faults = Faults(kill_daemon=4, freeze_host=1, cut=1, bring=30)
    for _ in range(3):
        job = world.workload.new_job(30, plain=True, retries=1000)
        objects = large.take_kept(3)
        world.workload.furnish(job, objects, 1.0)
        job.loads = {index: replace(load, returns="new") for index, load in job.loads.items()}
        job.keep = True
        client.begin(job)
        client.add(job, 0, 30)
        Nemesis(world, faults, 20.0)
        world.run_until(world.clock.now + 20.0)
    world.settle()
    world.check_at_rest()
    assert large.kept == 90
    assert large.brought_home > 0
    assert large.missed == 0


@pytest.mark.parametrize("which", ["root", "session"])
@pytest.mark.parametrize("seed", range(5))
def test_a_stopped_zygote_is_replaced_with_its_workers_and_one_that_goes_on_is_let_be(
    seed: int, which: str
) -> None:
    world, service = one_service(seed)
    root, session = service.zygotes()
    stopped = root if which == "root" else session
    plain_job(world, 200)
    stopped.scope.frozen = True
    world.run_until(10.0)  # nine seconds
    assert service.zygotes() == [root, session]
    stopped.scope.thaw()
    world.run_until(20.0)
    assert service.zygotes() == [root, session]
    plain_job(world, 30)
    plain_job(world, 30, odd=POISON, retries=0)
    stopped.scope.frozen = True
    world.run_until(33.0)
    assert session not in service.zygotes(), "who parents the workers took them along"
    assert (root in service.zygotes()) == (which == "session")
    world.settle()
    world.check_at_rest()


@pytest.mark.parametrize("seed", range(5))
def test_workers_that_a_refresh_ends_before_a_zygote_has_forked_them_are_not_forked(
    seed: int,
) -> None:
    world, service = one_service(seed)
    root, _ = service.zygotes()
    root.kill()
    while service.zygotes():
        world.step()
    world.client.refresh()
    world.settle()
    world.check_at_rest()


DIGEST = """
import sys
from tests.simulation.test_simulation import whatever_goes_wrong
print([whatever_goes_wrong(seed).ledger.digest for seed in range(1, 9)])
"""


def test_a_seed_replays_identically_whatever_the_hash_order() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1


def test_steps_of_the_wall_clock_have_no_influence(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [whatever_goes_wrong(seed).ledger.digest for seed in range(1, 9)]
    steps = random.Random(0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + steps.choice((-3600.0, 0.0, 3600.0)))
    assert [whatever_goes_wrong(seed).ledger.digest for seed in range(1, 9)] == digests
