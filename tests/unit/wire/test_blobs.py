from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattergather.wire import blobs

BLOBS = st.lists(st.binary(max_size=40), max_size=30)


@given(kept=BLOBS)
def test_each_undoes_pack(kept: list[bytes]) -> None:
    assert blobs.each(blobs.pack(kept), len(kept)) == kept


@given(kept=BLOBS, data=st.data())
def test_cut_is_the_body_of_that_range(kept: list[bytes], data) -> None:
    start = data.draw(st.integers(0, len(kept)))
    stop = data.draw(st.integers(start, len(kept)))
    body = blobs.pack(kept)
    ends = blobs.ends_of(body, len(kept))
    cut = blobs.cut(ends, memoryview(body)[len(kept) * blobs.WIDTH :], start, stop)
    assert blobs.each(cut, stop - start) == kept[start:stop]


def test_a_body_that_does_not_hold_what_it_says_is_refused() -> None:
    body = blobs.pack([b"one", b"two"])
    for wrong in (body[:-1], body + b"x", body[:10]):
        with pytest.raises(ValueError, match="does not hold"):
            blobs.ends_of(wrong, 2)


def test_a_table_and_the_blobs_behind_it_are_a_body() -> None:
    assert blobs.table([b"one", b"", b"two"]) == array("Q", [3, 3, 6])
    assert blobs.table([]).tobytes() == blobs.pack([]) == b""
