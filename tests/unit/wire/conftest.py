from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def notebook() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs cells in a module that stands in ``sys.modules`` as ``__main__`` meanwhile."""
    real = sys.modules["__main__"]
    fake = types.ModuleType("__main__")
    sys.modules["__main__"] = fake

    def cell(source: str) -> dict[str, Any]:
        exec(compile(source, "<cell>", "exec", dont_inherit=True), fake.__dict__)
        return fake.__dict__

    yield cell
    sys.modules["__main__"] = real
