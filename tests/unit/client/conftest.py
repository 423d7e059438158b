from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scattergather.client.client import ScatterGather
from tests.unit.client.fake import FakeController, connect, until

Pair = tuple[ScatterGather, FakeController]


@pytest.fixture
def made() -> Iterator[Callable[..., Pair]]:
    """Makes clients with a fake controller; all are ended afterwards."""
    pairs: list[Pair] = []

    def make(**options: Any) -> Pair:
        pairs.append(connect(**options))
        return pairs[-1]

    yield make
    for client, fake in pairs:
        fake.resume()
        client._session.exit()


@pytest.fixture
def pair(made: Callable[..., Pair]) -> Pair:
    """A client that knows its workers: until then it says that there are none."""
    client, fake = made()
    until(lambda: client._session.known.go is not None)
    return client, fake


@pytest.fixture
def c(pair: Pair) -> ScatterGather:
    return pair[0]


@pytest.fixture
def fake(pair: Pair) -> FakeController:
    return pair[1]
