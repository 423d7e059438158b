"""Seeded runs of a whole cluster. Replay one: ``SCATTERGATHER_SEED=17 pytest tests/simulation``."""

from __future__ import annotations

import os

import pytest

from scattergather.scheduler.events import JobCancelled
from tests.simulation.world import World

SEEDS = (
    [int(os.environ["SCATTERGATHER_SEED"])] if "SCATTERGATHER_SEED" in os.environ else range(300)
)


def _run(world: World, steps: int, chances: dict[str, float]) -> None:
    for name in world.hosts:
        world.start_host(name)
    happenings = {
        "kill": world.kill_a_worker,
        "refresh": world.refresh,
        "lose": lambda: world.lose_host(world.random.choice(list(world.hosts))),
        "start": lambda: world.start_host(world.random.choice(list(world.hosts))),
        "add": lambda: world.add_job(
            world.random.randrange(1, 60), priority=world.random.randrange(3)
        ),
        "cancel": lambda: world.handle(_cancel(world)),
    }
    for _ in range(steps):
        world.step()
        for name, chance in chances.items():
            if world.random.random() < chance:
                happenings[name]()
    world.settle()


def _cancel(world: World):
    job = world.random.choice(list(world.jobs)) if world.jobs else b""
    return JobCancelled(job=job)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_task_ends_once_whatever_dies(seed: int) -> None:
    world = World(seed, hosts=1 + seed % 4, slots=1 + seed % 3)
    world.add_job(100)
    _run(
        world,
        600,
        {
            "kill": 0.02,
            "refresh": 0.003,
            "lose": 0.004,
            "start": 0.05,
            "add": 0.01,
            "cancel": 0.004,
        },
    )
    world.check_all_done()


@pytest.mark.parametrize("seed", range(100))
def test_extra_runs_are_at_most_the_kills(seed: int) -> None:
    world = World(seed, hosts=2)
    world.add_job(200)
    _run(world, 1500, {"kill": 0.02})
    world.check_all_done()
    assert sum(world.begun.values()) - 200 <= world.kills


@pytest.mark.parametrize("seed", range(50))
def test_without_faults_every_task_runs_once(seed: int) -> None:
    world = World(seed, hosts=3)
    world.add_job(300)
    world.add_job(50, priority=1)
    _run(world, 500, {})
    world.check_all_done()
    assert set(world.begun.values()) == {1}


@pytest.mark.parametrize("seed", range(50))
def test_a_task_without_retries_never_begins_twice(seed: int) -> None:
    world = World(seed, hosts=2)
    world.add_job(100, retries=0)
    _run(world, 800, {"kill": 0.03, "lose": 0.005, "start": 0.05, "refresh": 0.01})
    world.check_all_done()
    assert set(world.begun.values()) <= {1}
