"""What fault tests start: daemons and clients that end with the test, whatever became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.system.daemons import Daemon, daemons
from tests.system.faults.traces import Scene


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    with daemons() as begin:
        yield begin


@pytest.fixture
def spawn() -> Iterator[Callable[..., ScatterGather]]:
    clients: list[ScatterGather] = []

    def make(*args, **options) -> ScatterGather:
        clients.append(spawnScatterGather(*args, **options))
        return clients[-1]

    yield make
    for client in clients:
        client._session.exit()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """What is here now; the temporary directory is the test's own from now on."""
    made = Scene(tmp_path)
    monkeypatch.setenv("TMPDIR", str(made.temporary))
    monkeypatch.setenv("FAMILY", str(tmp_path))
    return made
