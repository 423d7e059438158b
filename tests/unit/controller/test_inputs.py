from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scattergather.controller.values.inputs import Inputs
from scattergather.wire import blobs

SEGMENTS = st.lists(st.lists(st.binary(max_size=9), min_size=1, max_size=9), min_size=1, max_size=6)


def filled(segments: list[list[bytes]]) -> tuple[Inputs, list[bytes]]:
    inputs, tasks = Inputs(), []
    for number, segment in enumerate(segments):
        inputs.add(len(tasks), len(segment), blobs.pack(segment), (bytes([number]),))
        tasks += segment
    return inputs, tasks


@given(segments=SEGMENTS, data=st.data())
def test_any_range_can_be_cut_across_segments(segments, data) -> None:
    inputs, tasks = filled(segments)
    first = data.draw(st.integers(0, len(tasks) - 1))
    count = data.draw(st.integers(1, len(tasks) - first))
    body, needs, _ = inputs.cut(first, count)
    assert blobs.each(body, count) == tasks[first : first + count]
    touched, at = [], 0
    for number, segment in enumerate(segments):
        if at < first + count and first < at + len(segment):
            touched.append(bytes([number]))
        at += len(segment)
    assert list(needs) == touched


@given(segments=SEGMENTS, data=st.data())
def test_nothing_is_held_once_everything_is_released(segments, data) -> None:
    inputs, tasks = filled(segments)
    order = data.draw(st.permutations(range(len(tasks))))
    for index in order:
        assert inputs.size > 0
        inputs.release(index, 1)
    assert inputs.size == 0
