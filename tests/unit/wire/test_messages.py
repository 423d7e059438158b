from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import get_args

import msgspec
import pytest

from scattergather.link import remote
from scattergather.model.ids import digest_of, shipped
from scattergather.scheduler.chunking import MAX_BYTES
from scattergather.wire.blobs import WIDTH
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import (
    Declined,
    Done,
    EmbeddedSpec,
    HostsAnswered,
    RemoteSpec,
    TasksDropped,
)
from scattergather.wire.messages.shared import MOST_NAMES, MOST_TASKS, Extent

JOB = b"j" * 16


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


def test_a_placement_that_names_no_host_costs_a_job_two_bytes() -> None:
    job = messages.AddJob(job=b"j" * 16, name="job", function="sum")
    read = messages.read_to_controller(messages.encode(job))
    assert read == job
    place = messages.AddJob.__struct_fields__.index("placement") + 1  # behind the tag
    assert msgspec.msgpack.decode(messages.encode(job))[place] == [[]]


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (messages.read_to_pool, ["Run", 1, JOB, "f", 0, 1 << 30]),
        (messages.read_to_pool, ["Run", 1, JOB, "f", (1 << 64) - 1, 1]),
        (messages.read_to_pool, ["TakeBack", 1 << 63]),
        (messages.read_to_controller, ["AddTasks", JOB, 0, 1 << 30]),
        (messages.read_to_controller, ["CancelTasks", 1, JOB, 0, (1 << 64) - 1]),
        (messages.read_from_pool, ["WorkersChanged", 1 << 32]),
        (messages.read_from_pool, ["Outcomes", 1, 0, b"", math.inf]),
        (messages.read_from_pool, ["Outcomes", 1, 0, b"", math.nan]),
        (messages.read_from_pool, ["Outcomes", 1, 0, b"", -1.0]),
        (messages.read_from_pool, ["EverywhereDone", 1, 2, 99]),
        (messages.read_from_worker, ["Slab", b"s" * 16, 1 << 63]),
        (remote.read_greeting, {"protocol": 2, "version": "", "python": "", "workers": -1}),
        (messages.read_loss, ["TaskLost", "so", "", 0, 1, 1, 0, 0, "", "", math.inf]),
    ],
)
def test_a_number_beyond_what_there_can_be_is_refused_when_it_is_read(
    read: Callable[[bytes], object], message: object
) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"[<>]= "):
        read(msgspec.msgpack.encode(message))


def test_numbers_as_large_as_users_need_them_pass() -> None:
    result = Extent(object=b"o" * 16, length=5 << 40, offset=1 << 50)
    for message in (
        messages.AddJob(job=JOB, name="job", function="f", retries=sys.maxsize),
        messages.AddTasks(job=JOB, first=10**12, count=10**7, objects=(result,)),
        messages.EndTasks(job=JOB, total=10**15),
    ):
        assert messages.read_to_controller(messages.encode(message)) == message


ECHOED = {"call", "ticket", "worker", "pid", "client_pid", "protocol", "priority"}
"""Numbers that are compared, shown or said again, and nothing is computed with."""


@pytest.mark.parametrize(
    "message",
    get_args(messages.ToController | messages.ToPool | messages.FromPool | messages.FromWorker),
    ids=lambda message: message.__name__,
)
def test_every_number_of_a_message_from_outside_has_its_limits(message: type) -> None:
    found = msgspec.inspect.type_info(message)
    assert isinstance(found, msgspec.inspect.StructType)
    assert [place for place in unlimited(found) if place not in ECHOED] == []


def unlimited(found: msgspec.inspect.Type, name: str = "") -> Iterator[str]:
    """Names of the fields that hold a number of any size."""
    match found:
        case msgspec.inspect.StructType():
            for field in found.fields:
                yield from unlimited(field.type, field.name)
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            if found.ge is None or found.le is None:
                yield name
        case msgspec.inspect.UnionType():
            for each in found.types:
                yield from unlimited(each, name)
        case msgspec.inspect.VarTupleType():
            yield from unlimited(found.item_type, name)
        case msgspec.inspect.TupleType():
            for each in found.item_types:
                yield from unlimited(each, name)
        case _:
            pass


@pytest.mark.parametrize(
    "message",
    get_args(messages.ToPool | messages.FromPool | messages.FromWorker),
    ids=lambda message: message.__name__,
)
def test_every_list_between_controller_pool_and_worker_has_a_greatest_length(
    message: type,
) -> None:
    found = msgspec.inspect.type_info(message)
    assert isinstance(found, msgspec.inspect.StructType)
    for field in found.fields:
        if isinstance(field.type, msgspec.inspect.VarTupleType):
            assert field.type.max_length is not None, field.name


def test_a_list_that_is_too_long_is_refused_before_anything_is_made_of_it() -> None:
    head = msgspec.msgpack.encode(["Cancel", [0] * (MOST_NAMES + 1)])
    with pytest.raises(msgspec.ValidationError, match="length <= "):
        messages.read_to_pool(head)
    kinds = bytes(MOST_TASKS + 1)
    with pytest.raises(msgspec.ValidationError, match="length <= "):
        messages.read_from_pool(msgspec.msgpack.encode(["Outcomes", 1, 0, kinds]))


def test_a_chunk_as_large_as_a_controller_makes_them_passes() -> None:
    smallest = WIDTH + 2  # its end, and a pickle of nothing
    run = messages.Run(chunk=1, job=JOB, function="f", first=0, count=MAX_BYTES // smallest)
    assert messages.read_to_pool(messages.encode(run)) == run


def test_garbage_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.read_from_pool(b"\xc1garbage")


def test_shipped_names_hold_their_digest() -> None:
    assert digest_of(shipped(b"\x01\xff")) == b"\x01\xff"
    assert digest_of("all_series") is None
