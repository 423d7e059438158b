from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _worlds_end() -> Iterator[None]:
    """A world is full of cycles, and the slabs in its stores are real: they go with it."""
    yield
    gc.collect()
