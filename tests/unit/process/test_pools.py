"""Pools that stay between tasks: those of a class of the user's own are found as well."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from scattergather.workers.process.surroundings.pools import Pools


@dataclass
class Own(ThreadPoolExecutor):
    """It compares by value, so it has no hash."""

    size: int = 1

    def __post_init__(self) -> None:
        super().__init__(self.size)


def test_an_executor_that_has_no_hash_is_known_as_long_as_it_lives() -> None:
    pools = Pools()
    pools.find()
    before = pools.threads()
    executor = Own()
    executor.submit(int).result()
    for _ in range(2):
        pools.find()
        assert pools.threads() - before == executor._threads
    executor.shutdown()
    del executor
    gc.collect()
    assert not pools.threads() - before
