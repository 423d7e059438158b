"""The life of a session: what a request gets in each state, and that it never goes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from scattergather.client.pipe.waiting import Bell
from scattergather.client.session import life as module
from scattergather.client.session.life import NO_MORE, Life
from scattergather.errors import Closed, ControllerLost, VersionMismatch
from tests.struck import struck_everywhere


class There:
    """What a life needs of its session."""

    def __init__(self) -> None:
        self.busy = True
        self.told: list[str] = []
        self.life = Life(self, self, self, Bell())  # type: ignore[arg-type]

    def send(self, message: Any) -> None:
        self.told.append(message.word)

    def hang_up(self) -> None:
        self.told.append("hang up")

    def join(self, seconds: float) -> None:
        pass

    def drain(self) -> None:
        self.life.drain("shut down")

    def dry(self) -> None:
        self.busy = False
        self.life.end_if_idle()

    def die(self) -> None:
        self.life.die("told to die")

    def exit(self) -> None:
        self.life.exit()

    def mismatch(self) -> None:
        self.life.refuse(lambda: VersionMismatch("another version"))

    def end(self) -> None:
        self.life.end(lambda: lambda: ControllerLost("it died", status=1, log=[]))

    def copy(self) -> None:
        self.life.copied()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DIE_SECONDS", 0.0)


COPIED = "this client was copied by fork"


@pytest.mark.parametrize(
    ("ways", "state", "said", "executor", "fate"),
    [
        ("", "_Open", "", "", ""),
        ("drain", "_Draining", "shut down", NO_MORE, ""),
        ("drain dry", "_Dying", "shut down", NO_MORE, ""),
        ("drain dry end", "_Ended", "shut down", NO_MORE, ""),
        ("drain die end", "_Ended", "shut down", NO_MORE, ""),
        ("drain end", "_Ended", "it died", "it died", "it died"),
        ("dry", "_Open", "", "", ""),
        ("die", "_Dying", "told to die", "told to die", ""),
        ("die drain end", "_Ended", "told to die", "told to die", ""),
        ("exit end", "_Ended", "the interpreter is exiting", "the interpreter is exiting", ""),
        ("mismatch", "_Dying", "another version", "another version", "another version"),
        ("die mismatch end", "_Ended", "another version", "another version", "another version"),
        ("end", "_Ended", "it died", "it died", "it died"),
        ("end drain dry die exit mismatch end", "_Ended", "it died", "it died", "it died"),
        ("copy", "_Copied", COPIED, COPIED, COPIED),
        ("drain copy drain dry die exit mismatch end", "_Copied", COPIED, COPIED, COPIED),
    ],
)
def test_each_way_leads_to_one_state_which_says_why_it_refuses(
    ways: str, state: str, said: str, executor: str, fate: str
) -> None:
    there = There()
    for way in ways.split():
        getattr(there, way)()
    assert type(there.life.state).__name__ == state
    assert there.life.closed == (state in ("_Dying", "_Ended", "_Copied"))
    assert there.life.ended == (state in ("_Ended", "_Copied"))
    assert there.life.fate.startswith(fate)
    assert bool(fate) == bool(there.life.fate)
    for check, expected in ((there.life.check, said), (there.life.check_executor, executor)):
        if not expected:
            check()
            continue
        with pytest.raises((Closed, ControllerLost, VersionMismatch), match=expected):
            check()
    if there.life.ended:
        with pytest.raises((Closed, ControllerLost, VersionMismatch), match=said):
            there.life.check_alive()
    else:
        there.life.check_alive()


def test_what_comes_between_a_decision_and_its_assignment_is_decided_on_anew() -> None:
    """The reader looks into the log of one that died; meanwhile the user tells it to die."""
    there = There()
    looked: list[int] = []

    def loss() -> Any:
        looked.append(1)
        there.die()
        return lambda: ControllerLost("it died", status=1, log=[])

    error = there.life.end(loss)()
    assert (str(error), looked) == ("told to die", [1])


def test_of_many_who_shut_down_at_once_one_tells_the_controller() -> None:
    for _ in range(50):
        there = There()
        there.drain()
        there.busy = False
        start = threading.Barrier(4)

        def shut(there: There = there, start: threading.Barrier = start) -> None:
            start.wait()
            there.life.end_if_idle()

        threads = [threading.Thread(target=shut) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert there.told == ["die"]


def test_a_client_that_is_idle_when_it_is_shut_down_tells_the_controller_once() -> None:
    there = There()
    there.busy = False
    there.drain()
    assert there.told == ["die"]


@pytest.mark.parametrize("way", [There.drain, There.die, There.exit])
def test_an_interrupt_at_any_moment_leaves_a_state_from_which_the_same_word_ends_it(
    way: Callable[[There], None],
) -> None:
    there = There()

    def go() -> None:
        nonlocal there
        there = There()
        there.busy = False
        way(there)

    for _ in struck_everywhere(go):
        assert not there.life._turn.locked()
        there.busy = False
        way(there)
        assert there.life.closed
        assert there.told
        there.end()
        assert there.life.ended
        assert there.life.fate == ""


def test_in_a_copy_nobody_takes_the_lock_that_another_thread_may_have_held() -> None:
    there = There()
    there.drain()
    with there.life._turn:
        there.copy()
        for way in (there.drain, there.dry, there.die, there.exit, there.mismatch, there.end):
            way()
    assert "hang up" not in there.told
    with pytest.raises(Closed, match=COPIED):
        there.life.refuse_copy()
