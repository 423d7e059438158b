from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattergather.link.tubs import inspector as i

LONGEST = 1000


def token(kind: int, number: int = 0, body: bytes = b"") -> bytes:
    digits = bytearray()
    while number:
        digits.append(number & 127)
        number >>= 7
    return bytes(digits) + bytes([kind]) + body


def string(size: int, kind: int = i.STRING) -> bytes:
    return token(kind, size, b"\xff" * size)


def message(*inside: bytes) -> bytes:
    return token(i.OPEN, 7) + b"".join(inside) + token(i.CLOSE, 7)


INT = token(0x81, 5)

FINE = {
    "a call": message(string(4), INT, INT, string(5), message(string(9), string(LONGEST))),
    "a float": message(token(i.FLOAT, 0, b"\x88" * 8)),
    "a ping": token(0x8E, 1 << 60),
    "as many tokens as may be": message(*[INT] * (i.MOST_TOKENS - 1)) * 3,
    "many messages": message(string(LONGEST)) * 3000,
    "as deep as may be": token(i.OPEN) * i.MOST_DEPTH + token(i.CLOSE) * i.MOST_DEPTH,
}
TOO_MUCH = {
    "a long string": message(token(i.STRING, LONGEST + 1)),
    "a string of 300 MB": message(token(i.STRING, 300 << 20)),
    "a long error": token(i.ERROR, LONGEST + 1),
    "a long integer": message(token(i.LONGINT, 1, b"x")),
    "a long integer below zero": message(token(i.LONGNEG, 1, b"x")),
    "a long header": b"\x01" * (i.MOST_DIGITS + 1),
    "a deep list": token(i.OPEN) * (i.MOST_DEPTH + 1),
    "many tokens": message(*[INT] * (i.MOST_TOKENS + 1)),
}


@pytest.mark.parametrize("name", FINE)
def test_what_foolscap_sends_for_us_passes(name):
    i.Inspector(LONGEST).inspect(FINE[name])


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_nothing_of_ours_sends_is_refused_at_its_header(name):
    with pytest.raises(i.Excess):
        i.Inspector(LONGEST).inspect(TOO_MUCH[name])


def test_a_message_beyond_a_megabyte_is_refused():
    piece = string(1 << 18)
    inspector = i.Inspector(1 << 18)
    inspector.inspect(token(i.OPEN) + piece * 3)
    with pytest.raises(i.Excess, match="1048576 bytes"):
        inspector.inspect(piece)


@given(st.sampled_from([*FINE.values(), *TOO_MUCH.values()]), st.lists(st.integers(0, 5000)))
def test_the_verdict_does_not_depend_on_where_the_stream_is_cut(stream, cuts):
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parts = [stream[begin:end] for begin, end in itertools.pairwise(places)]

    def verdict(*parts: bytes) -> str:
        inspector = i.Inspector(LONGEST)
        try:
            for part in parts:
                inspector.inspect(part)
        except i.Excess as excess:
            return str(excess)
        return "fine"

    assert verdict(*parts) == verdict(stream)
