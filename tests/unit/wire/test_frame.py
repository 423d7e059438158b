from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattergather.wire.frame import MAX_HEAD, FrameError, FrameReader, frame

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
