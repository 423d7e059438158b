"""Every public name can be had from the top, and one page lists them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import scattergather
from scattergather import errors

PAGE = (Path(__file__).parents[2] / "docs" / "names.md").read_text()
ROWS = re.findall(r"^\|(.*?)\|", PAGE, re.MULTILINE)
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.ScatterGatherError)
}


def test_the_page_lists_every_public_name_once() -> None:
    listed = re.findall(r"`(\w+)`", " ".join(ROWS))
    assert sorted(listed) == sorted(scattergather.__all__) == dir(scattergather)


def test_every_error_is_public() -> None:
    assert set(KINDS) <= set(scattergather.__all__)


@pytest.mark.parametrize("name", scattergather.__all__)
def test_every_public_name_can_be_had_from_the_top(name: str) -> None:
    found = getattr(scattergather, name)
    assert KINDS.get(name, found) is found


def test_the_page_draws_the_tree_of_errors_as_it_is() -> None:
    above = [errors.ScatterGatherError]
    for row in ROWS[[row.strip() for row in ROWS].index("`ScatterGatherError`") :]:
        (name,) = re.findall(r"`(\w+)`", row)
        del above[row.count("—") :]
        assert not above or above[-1] in KINDS[name].__bases__
        above.append(KINDS[name])


def test_names_are_loaded_when_they_are_asked_for() -> None:
    code = (
        "import sys, scattergather\n"
        "dir(scattergather)\n"
        "assert not [name for name in sys.modules if name.startswith('scattergather.')]\n"
        "assert scattergather.errors.JobFailed is scattergather.JobFailed\n"
        "assert 'scattergather.client' not in sys.modules\n"
        "from scattergather import *\n"
        "assert Job and inside.submit\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'JobFaild'"):
        scattergather.JobFaild  # noqa: B018
