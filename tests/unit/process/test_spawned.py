"""What processes that a task starts by spawn find in their ``__main__``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.values.payload import dumps
from scattergather.workers.process.surroundings.spawned import stand


class OfOneProcess:
    """Cannot be loaded where it is not at home."""

    def __reduce__(self) -> Any:
        return int, ("one licence only",)


def test_what_cannot_be_loaded_in_a_process_that_may_not_need_it_does_not_end_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    stand([dumps({"one": OfOneProcess()}, CodeBook()), dumps({"other": 3}, CodeBook())])
    assert vars(main)["other"] == 3
    assert not hasattr(main, "one")
    assert "one licence only" in capsys.readouterr().err
