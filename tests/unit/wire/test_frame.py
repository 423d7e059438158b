from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattergather.wire.frame import LENGTHS, MAX_HEAD, FrameError, FrameReader, Unwanted, frame

FRAMES = st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=300)), max_size=8)


@given(frames=FRAMES, data=st.data())
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(frames, data) -> None:
    stream = b"".join(b"".join(frame(head, body)) for head, body in frames)
    reader, got = FrameReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got == frames
    assert not reader.partial


def test_a_body_of_many_pieces_is_one_body() -> None:
    (got,) = FrameReader().feed(b"".join(frame(b"h", b"ab", memoryview(b"cd"), b"")))
    assert got == (b"h", b"abcd")


def test_a_large_body_that_dribbles_in_is_not_joined_at_every_piece() -> None:
    body = bytes(3_000_000)
    stream = b"".join(frame(b"h", body))
    reader, got = FrameReader(), []
    for start in range(0, len(stream), 1000):
        got += reader.feed(stream[start : start + 1000])
        assert len(reader._pieces) <= start // 1000 + 1
    assert got == [(b"h", body)]


def test_a_frame_that_claims_too_much_is_refused_before_it_arrives() -> None:
    claim = (MAX_HEAD + 1).to_bytes(4, "little") + bytes(4)
    with pytest.raises(FrameError, match="refused"):
        list(FrameReader().feed(claim))
    with pytest.raises(FrameError, match="refused"):
        list(FrameReader(max_body=10).feed(b"".join(frame(b"", b"x" * 11))[:8]))


def test_a_frame_for_which_there_is_no_room_is_refused_when_its_size_is_known() -> None:
    asked: list[int] = []

    def refusal(size: int) -> str:
        asked.append(size)
        return "no room" if size > 100 else ""

    reader = FrameReader(refusal=refusal)
    stream = b"".join(frame(b"h", b"x" * 50))
    assert list(reader.feed(stream)) == [(b"h", b"x" * 50)]
    assert not asked, "it is here already"
    for byte in stream:
        got = list(reader.feed(bytes([byte])))
    assert got == [(b"h", b"x" * 50)]
    assert asked == [len(stream)]
    with pytest.raises(Unwanted, match="no room"):
        list(reader.feed(LENGTHS.pack(1, 92)))


def test_a_frame_that_comes_byte_by_byte_takes_little_more_than_its_bytes() -> None:
    reader = FrameReader()
    count = 50_000
    tracemalloc.start()
    list(reader.feed(LENGTHS.pack(1, 2 * count)))
    for _ in range(count):
        list(reader.feed(bytes(2)))  # another object each time
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 2 * count
