"""What tests with real processes start; it ends with the test, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.system.daemons import Daemon, daemons


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    """Starts daemons."""
    with daemons() as begin:
        yield begin


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
