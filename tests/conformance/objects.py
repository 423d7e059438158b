"""What every ``link.seams.ObjectStore`` does; each rule is a function of a store.

``room`` is how many bytes the store has room for at a time, None if that is without bound; 0 is
the store of one who takes no objects.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scattergather.link.seams import ObjectStore
from scattergather.wire.memory.slabs import PAGE

A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))
DATA = bytes(range(256)) * (PAGE // 256)

Rule = Callable[[ObjectStore, int | None], None]


def keep(store: ObjectStore, name: bytes, data: bytes = DATA) -> None:
    """It arrives, in two parts that are good during the call only."""
    assert store.reserve(name, len(data))
    for first in (0, len(data) // 3):
        stop = len(data) if first else len(data) // 3
        lent = bytearray(data[first:stop])
        store.write(name, first, memoryview(lent))
        lent[:] = bytes(len(lent))
    store.stored(name)


def is_not_here(store: ObjectStore, name: bytes) -> None:
    assert store.length(name) is None
    with pytest.raises(LookupError):
        store.read(name, 0, 1)


def what_never_came_is_not_here(store: ObjectStore, room: int | None) -> None:
    is_not_here(store, A)


def what_has_arrived_is_read_from_anywhere(store: ObjectStore, room: int | None) -> None:
    if room == 0:
        return
    keep(store, A)
    assert store.length(A) == len(DATA)
    assert store.read(A, 0, len(DATA)) == DATA
    assert store.read(A, 300, 50) == DATA[300:350]
    assert store.read(A, len(DATA) - 5, 100) == DATA[-5:], "no more than there is"


def what_is_not_complete_is_not_here(store: ObjectStore, room: int | None) -> None:
    if room == 0:
        return
    assert store.reserve(A, len(DATA))
    is_not_here(store, A)
    store.write(A, 0, DATA)
    is_not_here(store, A)


def what_was_discarded_begins_anew(store: ObjectStore, room: int | None) -> None:
    if room == 0:
        return
    assert store.reserve(A, len(DATA))
    store.discard(A)
    is_not_here(store, A)
    assert store.reserve(A, len(DATA))
    store.write(A, 0, DATA[:10])
    store.discard(A)
    is_not_here(store, A)
    keep(store, A, DATA[:100])
    assert store.read(A, 0, 1000) == DATA[:100], "and may be another length"
    store.discard(A)
    is_not_here(store, A)
    keep(store, A)


def several_arrive_at_a_time(store: ObjectStore, room: int | None) -> None:
    if room is not None and room < 2 * len(DATA):
        return
    for name in (A, B):
        assert store.reserve(name, len(DATA))
    for first in range(0, len(DATA), 512):
        store.write(A, first, DATA[first : first + 512])
        store.write(B, first, bytes(512))
    store.stored(B)
    assert store.length(A) is None
    store.stored(A)
    assert store.read(A, 0, len(DATA)) == DATA
    assert store.read(B, 0, len(DATA)) == bytes(len(DATA))


def who_finds_no_room_leaves_no_trace_and_finds_it_when_others_are_gone(
    store: ObjectStore, room: int | None
) -> None:
    if not room:
        return
    names = [b"%016d" % number for number in range(room // len(DATA))]
    for name in names:
        keep(store, name)
    if not store.reserve(C, len(DATA)):  # or it lies elsewhere: that is the store's to say
        is_not_here(store, C)
        store.discard(names[0])
        assert store.reserve(C, len(DATA))
    store.write(C, 0, DATA)
    store.stored(C)
    assert store.read(C, 0, len(DATA)) == DATA
    assert all(store.read(name, 0, len(DATA)) == DATA for name in names[1:])


def for_what_there_never_will_be_room_the_reason_is_a_sentence(
    store: ObjectStore, room: int | None
) -> None:
    if room is None:
        return
    with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
        store.reserve(A, room + 1)
    is_not_here(store, A)
    if room:
        keep(store, A)


RULES: list[Rule] = [
    what_never_came_is_not_here,
    what_has_arrived_is_read_from_anywhere,
    what_is_not_complete_is_not_here,
    what_was_discarded_begins_anew,
    several_arrive_at_a_time,
    who_finds_no_room_leaves_no_trace_and_finds_it_when_others_are_gone,
    for_what_there_never_will_be_room_the_reason_is_a_sentence,
]
