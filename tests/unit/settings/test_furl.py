from __future__ import annotations

import pytest

from scattergather.errors import BadRequest
from scattergather.settings.furl import Furl, redacted

TUB = "abcdefghijklmnopqrstuvwxyz234567"
NAME = "q" * 32
TEXT = f"pb://{TUB}@tcp:127.0.0.1:12345,[::1]:99/{NAME}"


def test_a_furl_is_taken_apart_and_put_together():
    furl = Furl.parse(f"  {TEXT}\n")
    assert furl.tub == TUB
    assert furl.addresses == (("127.0.0.1", 12345), ("::1", 99))
    assert furl.name == NAME
    assert furl.text == TEXT
    assert Furl.parse(f"pb://{TUB}@[::1]:99/{NAME}").address == "[::1]:99"


def test_a_furl_never_shows_its_secret():
    furl = Furl.parse(TEXT)
    for shown in (repr(furl), str(furl), f"{furl}", f"{[furl]}", redacted(f"at {TEXT}: x")):
        assert NAME not in shown
        assert TUB not in shown
        assert "abcdef" in shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "does not begin with pb://"),
        ("http://alpha/", "does not begin with pb://"),
        ("pb://", "no @"),
        (f"pb://{TUB[:-1]}@h:1/{NAME}", "31 characters"),
        (f"pb://{TUB}@h:1", "no /name"),
        (f"pb://{TUB}@h:1/{NAME}?", "altered"),
        (f"pb://{TUB.upper()}@h:1/{NAME}", "altered"),
        (f"pb://{TUB}@/{NAME}", "where its pool listens"),
        (f"pb://{TUB}@h:99999/{NAME}", "'h:99999' is no address"),
        (f"pb://{TUB}@h:1,/{NAME}", "'' is no address"),
        (f"pb://{TUB}@tor:h/{NAME}", "'tor:h' is no address"),
        (f"pbu://h:1/{NAME}", "hosts add"),
    ],
)
def test_what_is_no_furl_is_refused_with_its_fault_and_without_repeating_it(text, fault):
    with pytest.raises(BadRequest, match=fault.replace("?", r"\?")) as caught:
        Furl.parse(text)
    assert NAME not in str(caught.value)
