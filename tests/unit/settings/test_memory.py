from __future__ import annotations

from typing import Any

import pytest

from scattergather.errors import BadRequest
from scattergather.settings.memory import read_size


@pytest.mark.parametrize("size", [0, -1, True, 1 << 54, "9000000T", "9" * 400, "much"])
def test_a_size_that_is_none_or_beyond_all_machines_is_refused(size: Any) -> None:
    with pytest.raises(BadRequest, match="memory must be"):
        read_size(size)


@pytest.mark.parametrize(("text", "size"), [(1 << 20, 1 << 20), ("512 MB", 512 << 20)])
def test_a_size_is_a_number_of_bytes_or_says_its_unit(text: Any, size: int) -> None:
    assert read_size(text) == size


def test_who_is_refused_a_size_is_told_of_what() -> None:
    with pytest.raises(BadRequest, match=r"memory_limit must be a number of bytes, from 1 .*'x'"):
        read_size("x", "memory_limit", least=1)
    assert read_size("10k", "memory_limit", least=1) == 10 << 10
