"""What the user had better know of his tasks, and is told once."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scattergather.client.values.edited import EditedModules
from scattergather.client.values.equal_draws import EqualDraws
from scattergather.wire.code.origin import importable
from scattergather.wire.values.chance import COPIED
from scattergather.wire.values.payload import dumps
from tests.conftest import calls
from tests.unit.client.fake import until


@pytest.fixture
def told() -> list[str]:
    COPIED.clear()
    return []


def test_a_generator_in_two_tasks_is_told_once(told: list[str]) -> None:
    draws = EqualDraws(told.append)
    generator = np.random.default_rng(1)
    dumps(generator)
    draws.look()
    assert told == []
    for _ in range(3):
        dumps([generator])
        draws.look()
    assert len(told) == 1
    assert "Generator" in told[0]
    assert "draws the same numbers" in told[0]


@pytest.mark.parametrize(
    ("generator", "cure"),
    [
        (np.random.default_rng(1), "default_rng(), or give each task one of rng.spawn(n)"),
        (np.random.PCG64(1), "default_rng(), or give each task one of rng.spawn(n)"),
        (np.random.Philox(1), "default_rng(), or give each task one of rng.spawn(n)"),
        (np.random.RandomState(1), "np.random.RandomState(), or give each task a seed of its own"),
        (random.Random(1), "random.Random(), or give each task a seed of its own"),
    ],
)
def test_each_kind_of_generator_is_told_with_a_cure_that_fits(told, generator, cure) -> None:
    draws = EqualDraws(told.append)
    dumps([generator])
    draws.look(many=True)
    assert len(told) == 1
    assert f"({type(generator).__name__})" in told[0]
    assert told[0].endswith(cure)


def test_generators_that_stand_elsewhere_or_went_on_are_no_news(told: list[str]) -> None:
    draws = EqualDraws(told.append)
    one = random.Random(1)
    for each in (one, random.Random(2), np.random.RandomState(3), np.random.default_rng(4)):
        dumps(each)
    one.random()
    dumps(one)
    draws.look()
    assert told == []


def test_a_function_of_many_tasks_that_holds_a_generator_is_told(c, capsys) -> None:
    COPIED.clear()
    generator = random.Random(1)
    assert c.addJob(calls(1), lambda _: generator.random()).results()
    assert "same numbers" not in capsys.readouterr().err
    generator.random()
    c.addJob(calls(1, 2), lambda _: generator.random()).results()
    until(lambda: "same numbers" in capsys.readouterr().err)


def test_a_function_that_runs_everywhere_and_holds_a_generator_is_told(c, capsys) -> None:
    COPIED.clear()
    generator = random.Random(1)
    c.run_everywhere(lambda: generator.random())
    until(lambda: "same numbers" in capsys.readouterr().err)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "used_by_it.py").write_text("def inner(): return 1\n")
    (tmp_path / "edited_one.py").write_text("import used_by_it\ndef f(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("edited_one", "used_by_it"):
        sys.modules.pop(name, None)


def test_an_edited_module_is_told_once_an_edit_until_workers_are_replaced(
    modules: Path, told: list[str]
) -> None:
    import edited_one  # type: ignore[import-not-found]  # noqa: PLC0415

    edited = EditedModules(told.append)
    assert importable(edited_one.f)  # as it is asked when a task names it
    edited.look()
    edited.look()
    assert told == []
    os.utime(modules / "used_by_it.py", ns=(1, 1))
    edited.look()
    edited.look()
    assert len(told) == 1
    assert "used_by_it was edited" in told[0]
    assert "c.command('refresh')" in told[0]
    os.utime(modules / "edited_one.py", ns=(2, 2))
    edited.renew()
    edited.look()
    assert len(told) == 1
    (modules / "edited_one.py").unlink()  # as editors do for a moment
    edited.look()
    assert len(told) == 1


def test_what_is_installed_is_not_looked_at() -> None:
    edited = EditedModules(lambda _: None)
    assert importable(np.linalg.norm)
    assert importable(pytest.raises)
    edited.look()
    assert not {"json", "numpy", "pytest", "scattergather"} & edited._times.keys()
