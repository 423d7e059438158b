"""Errors cross process borders, and come as what they were."""

from __future__ import annotations

import pickle

import pytest

from scattergather import errors
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
