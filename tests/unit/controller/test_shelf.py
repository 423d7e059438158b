from __future__ import annotations

from scattergather.controller.values.shelf import SPARED, Shelf
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
