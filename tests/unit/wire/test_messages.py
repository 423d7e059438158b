from __future__ import annotations

import msgspec
import pytest

from scattergather.model.ids import digest_of, shipped
from scattergather.wire.messages import page as messages


def test_a_message_comes_out_as_it_went_in() -> None:
    run = messages.Run(chunk=7, job=b"j" * 16, function="#00", first=3, count=2, attempt=2)
    assert messages.read_to_pool(messages.encode(run)) == run


def test_a_message_of_another_direction_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        messages.read_to_pool(messages.encode(messages.Command(call=1, word="die")))


def test_a_message_with_a_wrong_field_is_refused() -> None:
    wrong = msgspec.msgpack.encode(["EndTasks", b"j" * 16, -1])
    with pytest.raises(msgspec.ValidationError, match=">= 0"):
        messages.read_to_controller(wrong)


def test_garbage_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.read_from_pool(b"\xc1garbage")


def test_shipped_names_hold_their_digest() -> None:
    assert digest_of(shipped(b"\x01\xff")) == b"\x01\xff"
    assert digest_of("all_series") is None
