from __future__ import annotations

from types import SimpleNamespace

from scattergather.controller.roster import Roster
from scattergather.controller.values.shelf import SPARED, SPARED_BYTES, Shelf
from scattergather.wire.messages.shared import Code


def code(name: int, *needs: int, python: str = "") -> Code:
    return Code(digest=digest(name), needs=tuple(map(digest, needs)), python=python)


def digest(name: int) -> bytes:
    return name.to_bytes(16, "big")


def test_what_is_free_goes_once_nothing_uses_it() -> None:
    shelf = Shelf()
    for name in (1, 2, 3):
        shelf.keep(code(name), b"")
    shelf.free([digest(1), digest(2), digest(99)])
    assert shelf.clear([digest(1)]) == [digest(2)]
    assert shelf.get(digest(1)) is not None
    assert shelf.clear([]) == [digest(1)]
    assert shelf.get(digest(3)) is not None


def test_what_other_code_needs_stays_as_long_as_that_does() -> None:
    shelf = Shelf()
    shelf.keep(code(1), b"")
    shelf.keep(code(2, 1), b"")
    shelf.keep(code(3, 2), b"")
    shelf.free([digest(1), digest(2)])
    assert shelf.clear([]) == []
    shelf.free([digest(3)])
    assert shelf.clear([digest(3)]) == []
    assert sorted(shelf.clear([])) == [digest(1), digest(2), digest(3)]


def test_what_is_sent_again_is_not_free_any_more() -> None:
    shelf = Shelf()
    shelf.keep(code(1), b"")
    shelf.free([digest(1)])
    shelf.keep(code(1), b"")
    assert shelf.clear([]) == []


def test_of_what_tasks_send_the_youngest_stays() -> None:
    shelf = Shelf()
    crowded = [shelf.keep_passing(code(name), b"") for name in range(3 * SPARED)]
    assert crowded.index(True) == 2 * SPARED
    assert sorted(shelf.clear([])) == [digest(name) for name in range(2 * SPARED)]
    assert shelf.get(digest(0)) is None
    assert shelf.get(digest(3 * SPARED - 1)) is not None


def test_what_the_client_has_sent_too_is_the_clients() -> None:
    shelf = Shelf()
    shelf.keep(code(0), b"")
    for name in range(3 * SPARED):
        shelf.keep_passing(code(name), b"")
    assert digest(0) not in shelf.clear([])


def test_the_version_of_python_is_found_behind_what_needs_it() -> None:
    shelf = Shelf()
    shelf.keep(code(1, python="3.11"), b"")
    shelf.keep(code(2, 1), b"")
    assert shelf.python_of([digest(9), digest(2)]) == "3.11"
    assert shelf.python_of([]) == ""


def test_code_that_needs_itself_or_ever_more_is_looked_through_once() -> None:
    shelf = Shelf()
    for rung in range(0, 80, 2):  # 2 ** 40 ways down, and from the bottom up again
        for each in (rung, rung + 1):
            needs = (digest(rung + 2), digest(rung + 3)) if rung < 78 else (digest(0),)
            shelf.keep_passing(Code(digest=digest(each), needs=needs), b"")
    assert shelf.python_of([digest(0)]) == ""
    assert sorted(shelf.in_order([digest(0), digest(1)])) == [digest(each) for each in range(80)]
    assert shelf.in_order([digest(0)], known={digest(2), digest(3)}) == [digest(0)]


def test_a_chain_of_code_may_be_longer_than_the_stack() -> None:
    shelf = Shelf()
    for each in range(5000):
        shelf.keep(Code(digest=digest(each), needs=(digest(each + 1),)), b"")
    shelf.keep(Code(digest=digest(5000), python="3.11"), b"")
    assert shelf.python_of([digest(0)]) == "3.11"
    entry = SimpleNamespace(known=set(), up=True, host=Mouth())
    roster = Roster(())
    roster.shelf = shelf
    roster.teach(entry, (digest(0),))  # type: ignore[arg-type]
    assert entry.host.told == [digest(each) for each in range(5000, -1, -1)]


def test_code_that_tasks_have_sent_takes_so_many_bytes_and_the_last_is_spared() -> None:
    shelf = Shelf()
    blob = b"x" * (SPARED_BYTES // 4)
    due = [shelf.keep_passing(code(each), blob) for each in range(9)]
    assert due == [False] * 8 + [True]
    assert shelf.clear([digest(0)])
    assert [each for each in range(9) if shelf.get(digest(each))] == [0, 5, 6, 7, 8]
    shelf.keep_passing(code(10), 9 * blob)
    shelf.clear([])
    assert [each for each in range(11) if shelf.get(digest(each))] == [10]
    assert not shelf.keep_passing(code(10), b"")


class Mouth:
    """A host, as far as code is sent to it."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def send(self, message: Code, body: bytes) -> None:
        self.told.append(message.digest)
