"""A value that many hosts want goes from one to the next."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.spreading import PATIENCE, Spreading
from scattergather.wire.messages.client import RemoteSpec
from scattergather.wire.messages.shared import Extent

NAME = b"1" * 16
EXTENT = Extent(object=NAME, length=1 << 27)


class There:
    """Hosts "0", "1", ... of which some do not reach each other; and what goes to each."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.roster = Roster(
            tuple(RemoteSpec(name=str(number), furl="pb://") for number in range(count))
        )
        self.sent: list[str] = []
        self.crossing: dict[str, str] = {}
        self.spreading = Spreading(self.clock, self.roster, self, self._send)  # type: ignore[arg-type]

    def entry(self, host: str) -> Entry:
        return self.roster.entries[host]

    def _send(self, name: bytes, taker: Entry) -> None:
        self.sent.append(taker.spec.name)

    def hand(self, wanted: list[Any], taker: Entry) -> list[Any]:
        (copy,) = wanted
        if copy.maker.spec.name in taker.apart:
            return wanted
        assert taker.spec.name not in self.crossing
        self.crossing[taker.spec.name] = copy.maker.spec.name
        return []

    def want(self, *hosts: str) -> None:
        for host in hosts:
            self.spreading.want(EXTENT, self.entry(host))

    def came(self, host: str) -> None:
        self.crossing.pop(host, None)
        self.spreading.came(NAME, self.entry(host))

    def failed(self, host: str) -> bool:
        self.crossing.pop(host, None)
        return self.spreading.failed(NAME, self.entry(host))

    def leave(self, host: str) -> None:
        entry = self.roster.entries[host]
        self.crossing.pop(host, None)
        for taker in [taker for taker, source in self.crossing.items() if source == host]:
            self.failed(taker)
        del self.roster.entries[host]
        self.spreading.left(entry)

    def apart(self, one: str, other: str) -> None:
        self.entry(one).apart.add(other)
        self.entry(other).apart.add(one)


def test_it_is_sent_from_here_twice_and_each_who_has_it_serves_two() -> None:
    there = There(8)
    there.want(*"01234567")
    assert (there.sent, there.crossing) == (["0", "1"], {})
    there.came("0")
    assert there.crossing == {"2": "0", "3": "0"}
    there.came("1")
    assert there.crossing == {"2": "0", "3": "0", "4": "1", "5": "1"}
    there.came("2")
    assert there.crossing["6"] in ("0", "2")
    while there.crossing:
        there.came(next(iter(there.crossing)))
    assert there.sent == ["0", "1"]
    there.want("0")  # it had dropped it
    assert there.crossing.keys() == {"0"}


def test_where_a_host_that_was_to_give_it_fails_another_does() -> None:
    there = There(4)
    there.want(*"0123")
    there.came("0")
    assert there.crossing == {"2": "0", "3": "0"}
    assert there.failed("2")
    assert there.crossing == {"3": "0"}
    there.came("1")
    assert there.crossing == {"3": "0", "2": "1"}
    assert not there.failed("0"), "that came from here"


def test_it_is_sent_from_here_to_whom_nobody_else_can_give_it() -> None:
    there = There(4)
    for other in "012":
        there.apart("3", other)
    there.want(*"0123")
    assert there.sent == ["0", "1", "3"]


def test_when_all_who_have_it_are_gone_it_is_sent_from_here_again() -> None:
    there = There(5)
    there.want(*"01")
    there.came("0")
    there.came("1")
    there.spreading.dropped(NAME, there.entry("0"))
    there.leave("1")
    there.want("2", "3")
    assert there.sent == ["0", "1", "2"]
    there.came("2")
    assert there.crossing == {"3": "2"}


def test_who_waits_for_long_gets_it_from_here() -> None:
    there = There(3)
    there.want(*"012")
    there.clock.advance(PATIENCE - 1)
    assert there.sent == ["0", "1"]
    there.clock.advance(1)
    assert there.sent == ["0", "1", "2"]
    there.came("2")
    there.clock.advance(PATIENCE)
    assert there.sent == ["0", "1", "2"]


def test_what_nobody_needs_is_forgotten() -> None:
    there = There(3)
    there.want(*"012")
    there.spreading.forget(NAME)
    there.came("0")
    there.clock.advance(2 * PATIENCE)
    assert (there.sent, there.crossing) == (["0", "1"], {})


@pytest.mark.parametrize("fails", [False, True])
@given(seed=st.integers(0, 1 << 30))
def test_everybody_gets_it_whatever_happens(fails: bool, seed: int) -> None:
    chance = random.Random(seed)
    there = There(chance.randrange(1, 12))
    for _ in range(chance.choice((0, 0, 5, 20)) if fails else 0):
        one, other = chance.choices(list(there.roster.entries), k=2)
        if one != other:
            there.apart(one, other)
    wanting = list(there.roster.entries)
    chance.shuffle(wanting)
    under_way: set[str] = set()
    got: set[str] = set()
    while wanting or under_way:
        step = chance.random()
        if wanting and step < 0.4:
            host = wanting.pop()
            under_way.add(host)
            there.want(host)
        elif fails and step < 0.5 and there.crossing:
            there.failed(chance.choice(list(there.crossing)))
        elif fails and step < 0.55 and len(there.roster.entries) > 1:
            host = chance.choice(list(there.roster.entries))
            there.leave(host)
            under_way.discard(host)
            got.discard(host)
            wanting = [each for each in wanting if each != host]
        else:
            coming = [each for each in (*there.sent, *there.crossing) if each in under_way]
            if coming:
                host = chance.choice(coming)
                under_way.discard(host)
                got.add(host)
                there.came(host)
            else:
                assert not under_way, "they wait, and nothing comes"
    assert got == set(there.roster.entries)
    if not fails:
        assert len(there.sent) <= 2
