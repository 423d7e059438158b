"""What tests with real processes start; it ends with the test, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.system.daemons import Daemon, daemons
from tests.system.large import Gate
from tests.system.relay import Relay


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    """Starts daemons."""
    with daemons() as begin:
        yield begin


@pytest.fixture(scope="module")
def c() -> Iterator[ScatterGather]:
    """A client that all tests of a module use, with two workers."""
    with spawnScatterGather(workers=2) as client:
        client.waitForResult()
        yield client


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Holds tasks up until the test opens it."""
    made = Gate(tmp_path)
    yield made
    made.open()  # tasks of a test that failed hold nobody up


@pytest.fixture
def relay() -> Iterator[Relay]:
    """Counts what passes between a controller and daemons."""
    made = Relay()
    yield made
    made.close()


@pytest.fixture
def spawn() -> Iterator[Callable[..., ScatterGather]]:
    """Starts clients."""
    clients: list[ScatterGather] = []

    def make(*args: Any, **options: Any) -> ScatterGather:
        clients.append(spawnScatterGather(*args, **options))
        return clients[-1]

    yield make
    for client in clients:
        client._session.exit()
