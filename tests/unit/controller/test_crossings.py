"""Who gives what to whom, past the controller, and who meets whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.task import Clock

from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.crossings import APART_SECONDS, Crossings
from scattergather.link.blocks.tunnel import tub_of
from scattergather.link.seams import PoolFacts
from scattergather.model.ids import ObjectId
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec, RemoteSpec
from scattergather.wire.messages.shared import Extent

ONE, TWO = b"1" * 16, b"2" * 16
KEY = "k" * 32


@dataclass
class Made:
    extent: Extent
    maker: Entry | None


class Host:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def send(self, message: Any, body: bytes = b"") -> None:
        self.told.append(message)

    def take(self) -> list[Any]:
        told, self.told = self.told, []
        return told


class There:
    """A controller's hosts, by their names; ``here`` is its own."""

    def __init__(self, *names: str) -> None:
        self.clock = Clock()
        specs: list[Any] = [EmbeddedSpec(name="here")]
        for name in names:
            tub = tub_of(name.encode())
            furl = f"pb://{tub}@tcp:{name}.example:4000/{'s' * 32}"
            specs.append(RemoteSpec(name=name, furl=furl))
        self.roster = Roster(tuple(specs))
        self.fetched: list[tuple[ObjectId, Entry | None, Entry]] = []
        self.notices: list[str] = []
        self.came: list[tuple[ObjectId, str]] = []
        self.hosts: dict[str, Host] = {}
        for name, entry in self.roster.entries.items():
            entry.host = self.hosts[name] = Host()  # type: ignore[assignment]
            entry.up = True
            entry.facts = PoolFacts(
                host=name,
                workers=1,
                python="",
                version="",
                protocol=0,
                certificate=name.encode() if name in names else b"",
            )
        self.crossings = Crossings(
            self.clock,
            self.roster,
            lambda *each: self.fetched.append(each),
            self.notices.append,
            lambda name, entry: self.came.append((name, entry.spec.name)),
        )

    def entry(self, name: str) -> Entry:
        return self.roster.entries[name]

    def want(self, taker: str, owner: str, *names: ObjectId) -> list[ObjectId]:
        """A host wants these; returns what it does not get from where it lies."""
        made = [Made(Extent(object=name, length=9), self.entry(owner)) for name in names]
        others = self.crossings.hand(made, self.entry(taker))
        return [each.extent.object for each in others]

    def say(self, host: str, message: Any) -> None:
        self.crossings.said(self.entry(host), message)

    def meet(self, called: str, caller: str) -> None:
        """The one had asked; returns when the caller was told how to call."""
        assert self.hosts[called].take() == [
            messages.MintKey(peer=caller, certificate=caller.encode())
        ]
        self.say(called, messages.KeyMinted(peer=caller, key=KEY))
        assert self.hosts[caller].take() == [
            messages.MeetPeer(
                peer=called,
                addresses=((f"{called}.example", 4000),),
                certificate=called.encode(),
                key=KEY,
            )
        ]


@pytest.fixture
def there() -> There:
    return There("alpha", "beta", "gamma")


def begun(there: There) -> None:
    """Something is under way from alpha to beta, and beta calls."""
    assert there.want("beta", "alpha", ONE, TWO) == []
    for host in there.hosts.values():
        host.take()
    there.say("beta", messages.AskKey(peer="alpha"))
    there.meet("alpha", "beta")


def test_owner_and_taker_are_told_and_meet_when_they_ask(there) -> None:
    assert there.want("beta", "alpha", ONE, TWO) == []
    assert there.hosts["alpha"].take() == [messages.Hand(peer="beta", objects=(ONE, TWO))]
    (awaits,) = there.hosts["beta"].take()
    assert [(each.object, each.length) for each in awaits.objects] == [(ONE, 9), (TWO, 9)]
    there.say("beta", messages.AskKey(peer="alpha"))
    there.say("alpha", messages.AskKey(peer="beta"))
    there.meet("alpha", "beta")
    assert there.crossings.leave(there.entry("alpha"))
    there.say("beta", messages.Fetched(peer="alpha", objects=(ONE, TWO)))
    assert not there.crossings.leave(there.entry("alpha"))
    assert (there.fetched, there.notices) == ([], [])
    assert there.came == [(ONE, "beta"), (TWO, "beta")]


def test_what_lies_here_or_is_wanted_here_goes_another_way(there) -> None:
    assert there.want("beta", "here", ONE) == [ONE]
    assert there.want("here", "beta", ONE) == [ONE]
    made = [Made(Extent(object=ONE, length=9), None)]
    assert there.crossings.hand(made, there.entry("beta")) == made


def test_a_host_whose_certificate_is_not_that_of_its_furl_has_no_peers(there) -> None:
    entry = there.entry("alpha")
    entry.facts = PoolFacts(
        host="", workers=1, python="", version="", protocol=0, certificate=b"another"
    )
    assert there.want("beta", "alpha", ONE) == [ONE]
    assert there.want("alpha", "beta", ONE) == [ONE]


def test_where_one_calls_in_vain_the_other_calls(there) -> None:
    begun(there)
    there.say("beta", messages.NotFetched(peer="alpha", why="no way", unreachable=True))
    there.meet("beta", "alpha")
    there.say("beta", messages.Fetched(peer="alpha", objects=(ONE,)))
    assert (there.fetched, there.notices) == ([], [])
    # Next time it is the other at once.
    there.say("beta", messages.AskKey(peer="alpha"))
    there.meet("beta", "alpha")


def test_who_cannot_meet_is_apart_for_a_minute_and_said_to_be_once(there) -> None:
    begun(there)
    alpha, beta = there.entry("alpha"), there.entry("beta")
    there.say("beta", messages.NotFetched(peer="alpha", why="a wall", unreachable=True))
    there.meet("beta", "alpha")
    there.say("alpha", messages.NotFetched(peer="beta", why="no way", unreachable=True))
    told = there.hosts["beta"].take()
    assert there.fetched == [(ONE, alpha, beta), (TWO, alpha, beta)]
    (notice,) = there.notices
    assert "alpha and beta do not reach each other (no way)" in notice
    assert (alpha.apart, beta.apart) == ({"beta"}, {"alpha"})
    assert messages.PartPeers(peer="alpha") in told
    assert there.want("beta", "alpha", ONE) == [ONE]
    assert there.want("gamma", "alpha", ONE) == []
    there.say("beta", messages.AskKey(peer="alpha"))
    assert there.hosts["beta"].take() == [messages.PartPeers(peer="alpha")]
    there.clock.advance(APART_SECONDS)
    assert there.want("beta", "alpha", ONE) == []
    there.say("beta", messages.Fetched(peer="alpha", objects=(ONE,)))
    assert not alpha.apart
    assert not beta.apart


def test_what_does_not_come_alone_comes_another_way(there) -> None:
    begun(there)
    there.say("beta", messages.NotFetched(peer="alpha", objects=(ONE,), why="gone"))
    assert there.fetched == [(ONE, there.entry("alpha"), there.entry("beta"))]
    there.say("beta", messages.NotFetched(peer="alpha", objects=(ONE,), why="gone"))
    assert len(there.fetched) == 1
    assert there.want("beta", "alpha", b"3" * 16) == []


def test_of_a_host_that_left_nothing_comes_and_its_peer_is_told(there) -> None:
    begun(there)
    alpha, beta = there.entry("alpha"), there.entry("beta")
    alpha.up = False
    assert there.crossings.left(alpha) == [(ONE, [beta]), (TWO, [beta])]
    assert there.hosts["beta"].take() == [messages.PartPeers(peer="alpha")]
    there.say("beta", messages.AskKey(peer="alpha"))
    assert there.hosts["beta"].take() == [messages.PartPeers(peer="alpha")]
    there.say("beta", messages.NotFetched(peer="alpha", objects=(ONE,), unreachable=True))
    assert there.fetched == []


def test_the_taker_that_left_waits_for_nothing(there) -> None:
    begun(there)
    assert there.crossings.left(there.entry("beta")) == []
    assert not there.crossings.leave(there.entry("alpha"))


def test_who_says_what_nobody_asked_for_changes_nothing(there) -> None:
    begun(there)
    there.say("alpha", messages.KeyMinted(peer="beta", key=KEY))
    there.say("beta", messages.KeyMinted(peer="alpha", key=KEY))
    there.say("gamma", messages.Fetched(peer="alpha", objects=(ONE,)))
    there.say("gamma", messages.NotFetched(peer="gamma", objects=(ONE,)))
    there.say("alpha", messages.NotFetched(peer="beta", objects=(ONE,)))
    there.say("gamma", messages.KeyMinted(peer="nobody", key=KEY))
    assert not any(host.take() for host in there.hosts.values())
    assert there.fetched == []
    assert there.crossings.leave(there.entry("alpha"))
