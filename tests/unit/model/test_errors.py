"""Errors cross process borders, and come as what they were."""

from __future__ import annotations

import pickle

import pytest

from scattergather import errors, inside
from scattergather.errors import ScatterGatherError, TooLarge

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ScatterGatherError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_travels_with_its_facts_and_notes(kind: type[ScatterGatherError]):
    error = kind("a sentence; a cure\nand more")
    error.__dict__["fact"] = 3
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.args, again.__dict__) == (error.args, error.__dict__)
    assert (str(again), again.gist) == (str(error), "a sentence")
    assert again.brief().message == "a sentence; a cure"


def test_too_large_travels():
    error = pickle.loads(pickle.dumps(TooLarge.of("x", 1, 2)))
    assert (type(error), error.size, error.bound) == (TooLarge, 1, 2)
    assert isinstance(error, MemoryError)


class _Worker:
    """A worker as a task sees it: each call that the task submits raises ``error``."""

    def __init__(self, error):
        self.error = error

    def running(self):
        return True

    def submit(self, function, args, kwargs):
        return 1

    def settled(self, ticket, timeout):
        return True

    def outcome(self, ticket):
        return None, self.error


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_nested_call_that_raises_the_end_of_an_iteration_does_not_end_map(kind):
    inside.join(_Worker(kind("there")))
    try:
        with pytest.raises(RuntimeError) as caught:
            list(inside.map(len, "ab"))
        assert type(caught.value.__cause__) is kind
        with pytest.raises(kind):
            inside.submit(len, "ab").result()
    finally:
        inside.join(None)
