from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from scattergather.model.ids import digest_of, shipped
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import (
    Declined,
    Done,
    EmbeddedSpec,
    HostsAnswered,
    RemoteSpec,
    TasksDropped,
)


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


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (messages.read_to_controller, ["Command", 1, "sing"]),
        (messages.read_to_client, ["GoReady", [["alpha", "asleep"]]]),
        (messages.read_to_client, ["Answer", 1, ["Unheard", 5]]),
        (messages.read_to_client, ["Answer", 1, {"workers": 5}]),
        (messages.read_to_controller, ["Spawn", 2, "1.0", "", [["OtherSpec", "alpha"]], 1]),
        (messages.read_loss, ["Unheard", "a meteorite"]),
    ],
)
def test_a_tag_that_nobody_knows_is_refused_when_it_is_read(
    read: Callable[[bytes], object], message: list[object]
) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(msgspec.msgpack.encode(message))


@pytest.mark.parametrize(
    "value",
    [Done(), Declined(why="no"), TasksDropped(ranges=((3, 2),)), HostsAnswered(problems=("a",))],
)
def test_an_answer_comes_out_as_the_type_that_went_in(
    value: Done | Declined | TasksDropped | HostsAnswered,
) -> None:
    answer = messages.Answer(call=1, value=value)
    assert messages.read_to_client(messages.encode(answer)) == answer


def test_a_spawn_tells_hosts_of_this_process_from_those_of_a_daemon() -> None:
    hosts = (EmbeddedSpec(name="local", workers=2), RemoteSpec(name="alpha", furl="pb://secret"))
    spawn = messages.Spawn(
        protocol=messages.PROTOCOL, version="1", python="3.11", hosts=hosts, client_pid=1
    )
    assert messages.read_to_controller(messages.encode(spawn)) == spawn
    assert "secret" not in repr(spawn)


def test_a_placement_costs_a_job_one_byte() -> None:
    job = messages.AddJob(job=b"j" * 16, name="job", function="sum")
    read = messages.read_to_controller(messages.encode(job))
    assert read == job
    assert messages.encode(job).endswith(msgspec.msgpack.encode([]))


def test_garbage_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.read_from_pool(b"\xc1garbage")


def test_shipped_names_hold_their_digest() -> None:
    assert digest_of(shipped(b"\x01\xff")) == b"\x01\xff"
    assert digest_of("all_series") is None
