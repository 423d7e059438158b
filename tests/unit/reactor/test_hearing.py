"""Those who may wait a moment are heard in one turn, all others at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from scattergather.model.outcome import GATHER_SECONDS
from scattergather.reactor.hearing import Hearing


class Loop(Clock):
    """A reactor by hand; ``turn`` lets those hear whom it looks after."""

    def __init__(self) -> None:
        Clock.__init__(self)
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        assert reader not in self.readers
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def turn(self) -> None:
        for reader in list(self.readers):
            reader.doRead()


class Ear:
    """A transport: hears one end of a socket; somebody speaks at the other."""

    def __init__(self, story: Story, name: str) -> None:
        self.name = name
        self.story = story
        self.reactor: Any = story.loop
        self.socket, self.mouth = socket.socketpair()
        self.fileno = self.socket.fileno
        self.end: Any = None

    def startReading(self) -> None:
        self.reactor.addReader(self)

    def stopReading(self) -> None:
        if self.reactor is not self.story.loop:
            self.reactor.removeReader(self)

    def doRead(self) -> Any:
        self.story.heard.append(self.name + self.socket.recv(100).decode())
        if isinstance(self.end, Exception):
            return self.end
        if self.end is not None:
            self.end()
        return None

    def connectionLost(self, reason: Failure) -> None:
        self.stopReading()
        self.story.heard.append(f"{self.name} lost: {type(reason.value).__name__}")

    def say(self, what: str) -> None:
        self.mouth.send(what.encode())

    def close(self) -> None:
        self.socket.close()
        self.mouth.close()


class Story:
    """Three who speak, and one who hears them."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.heard: list[str] = []
        self.patient = True
        self.passed_on: list[list[str]] = []
        """What was heard when it was said that all were."""
        self.hearing = Hearing(
            self.loop,  # type: ignore[arg-type]
            lambda: self.patient,
            lambda: self.passed_on.append([*self.heard]),
        )
        self.a, self.b, self.c = self.ears = [Ear(self, name) for name in "abc"]
        for ear in self.ears:
            self.hearing.adopt(ear)

    def after(self, seconds: float) -> list[str]:
        """What was heard until then since the last time."""
        self.loop.advance(seconds)
        self.loop.turn()
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
def story() -> Iterator[Story]:
    story = Story()
    yield story
    for ear in story.ears:
        ear.close()


def test_what_comes_after_silence_is_heard_at_once(story) -> None:
    for number in range(3):
        story.a.say(str(number))
        assert story.after(0) == [f"a{number}"]
        assert story.after(GATHER_SECONDS) == []


def test_what_follows_is_heard_together_a_moment_later(story) -> None:
    story.a.say("1")
    assert story.after(0) == ["a1"]
    story.b.say("2")
    story.c.say("3")
    assert story.after(GATHER_SECONDS / 2) == []
    story.a.say("4")
    assert sorted(story.after(GATHER_SECONDS)) == ["a4", "b2", "c3"]
    story.b.say("5")
    assert story.after(0) == [], "who was heard a moment ago may wait again"
    assert story.after(GATHER_SECONDS) == ["b5"]


def test_what_is_heard_together_is_passed_on_together(story) -> None:
    story.a.say("1")
    story.after(0)
    assert story.passed_on == [["a1"]], "at once, as it was heard"
    story.after(2 * GATHER_SECONDS)
    assert len(story.passed_on) == 1, "nothing was heard"
    story.a.say("2")
    story.after(0)
    story.b.say("3")
    story.c.say("4")
    story.after(GATHER_SECONDS)
    assert [sorted(each) for each in story.passed_on] == [["a1"], ["a2"], ["b3", "c4"]]


def test_a_fault_of_whoever_passes_it_on_makes_nobody_deaf(story) -> None:
    story.hearing._heard = lambda: 1 / 0
    story.a.say("1")
    assert story.after(0) == ["a1"]
    for number in range(3):
        story.b.say(str(number))
        assert story.after(GATHER_SECONDS) == [f"b{number}"]


def test_nobody_waits_when_it_cannot_wait(story) -> None:
    story.patient = False
    for number in range(3):
        story.a.say(str(number))
        assert story.after(0) == [f"a{number}"]


def test_a_fault_of_whoever_is_asked_makes_nobody_wait(story) -> None:
    story.a.say("1")
    story.after(0)
    story.hearing._can_wait = lambda: 1 / 0
    for number in range(3):
        story.b.say(str(number))
        story.loop.advance(GATHER_SECONDS)
        assert story.after(0) == [f"b{number}"]


def test_what_was_said_is_heard_at_once_when_somebody_waits_for_it(story) -> None:
    story.a.say("1")
    story.after(0)
    story.b.say("2")
    assert story.after(0) == []
    story.hearing.hurry()
    story.hearing.hurry()
    assert story.after(0) == ["b2"]


def test_it_waits_no_longer_once_it_cannot_wait(story) -> None:
    story.a.say("1")
    story.after(0)
    story.patient = False
    story.b.say("2")
    assert story.after(GATHER_SECONDS) == ["b2"]
    story.c.say("3")
    assert story.after(0) == ["c3"]


@pytest.mark.parametrize("why", [ConnectionDone(), ValueError("broken")])
def test_one_that_ends_is_told_and_the_others_are_heard(story, why: Exception) -> None:
    story.patient = False
    story.a.end = why
    story.a.say("1")
    story.b.say("2")
    assert sorted(story.after(0)) == ["a lost: " + type(why).__name__, "a1", "b2"]
    story.a.say("3")
    story.b.say("4")
    assert story.after(0) == ["b4"]


def test_one_that_is_gone_because_of_another_is_not_heard(story) -> None:
    story.a.end = story.b.stopReading
    story.b.end = story.a.stopReading
    story.a.say("1")
    story.b.say("2")
    assert len(story.after(0)) == 1


def test_without_anybody_there_is_nothing_left_of_it_and_it_can_begin_anew(story) -> None:
    story.a.say("1")
    story.after(0)
    for ear in story.ears:
        ear.stopReading()
    assert story.loop.readers == []
    assert story.loop.getDelayedCalls() == []
    assert story.hearing.fileno() == -1
    story.hearing.adopt(story.b)
    story.b.say("2")
    assert story.after(0) == ["b2"]


def test_the_last_one_may_leave_and_another_one_come_while_it_is_heard(story) -> None:
    def change() -> None:
        for ear in story.ears:
            ear.stopReading()
        story.hearing.adopt(story.b)

    story.a.say("1")
    story.after(0)
    story.a.end = change
    story.a.say("2")
    assert story.after(GATHER_SECONDS) == ["a2"]
    story.b.say("3")
    assert story.after(GATHER_SECONDS) == ["b3"]
    assert len(story.loop.getDelayedCalls()) + len(story.loop.readers) <= 2


def test_all_are_told_when_the_reactor_ends(story) -> None:
    story.hearing.connectionLost(Failure(ConnectionDone()))
    assert story.heard == [f"{name} lost: ConnectionDone" for name in "abc"]
    assert story.loop.readers == []
