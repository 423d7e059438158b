"""For tests that count what this process has open or mapped."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from tests.pace import Promise


def ending() -> bool:
    """A client of an earlier test still closes its ends."""
    return any(thread.name == "scattergather-reader" for thread in threading.enumerate())


@pytest.fixture(scope="module")
def frozen() -> Iterator[None]:
    """To collect garbage is quick."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def counted(frozen: None) -> None:
    """Nothing that an earlier test left, to a thread or to the collector, is closed from now on."""
    gc.collect()
    promise = Promise(5)
    while ending() and not promise.broken():
        time.sleep(0.01)
        gc.collect()
