"""Lineage against a model that keeps everything: what it forgets, and what can be made again."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scattergather.controller.jobs.lineage import A_RECIPE, MOST_STEPS, Cut, Lineage, Recipe
from scattergather.model.ids import ObjectId
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent

SPEC = messages.AddJob(job=b"j" * 16, name="job 1", function="f")


def name(number: int) -> ObjectId:
    return number.to_bytes(16, "big")


def recipe(
    *takes: int, own: tuple[int, ...] = (), body: bytes = b"", retries: int = 1, length: int = 10
) -> Recipe:
    return Recipe(
        spec=SPEC,
        label="task 0 of job 1",
        body=body,
        objects=tuple(Extent(object=name(each), length=length) for each in (*takes, *own)),
        own=tuple(map(name, own)),
        retries=retries,
    )


def nothing_is_here(_name: ObjectId) -> bool:
    return False


def test_a_chain_can_be_made_again_from_its_beginning_though_it_was_freed() -> None:
    lineage = Lineage()
    for each in range(1, 6):
        lineage.enter(name(each), recipe(*([each - 1] if each > 1 else [])))
        if each > 1:
            lineage.freed(name(each - 1))
    assert lineage.refusal(name(5), nothing_is_here) == ""
    lineage.freed(name(5))
    assert len(lineage) == 0
    assert lineage.size == 0


def test_a_chain_has_so_many_steps_and_no_more() -> None:
    lineage = Lineage()
    for each in range(1, MOST_STEPS + 2):
        lineage.enter(name(each), recipe(*([each - 1] if each > 1 else [])))
    assert lineage.refusal(name(MOST_STEPS), nothing_is_here) == ""
    assert "100 tasks" in lineage.refusal(name(MOST_STEPS + 1), nothing_is_here)
    assert lineage.refusal(name(MOST_STEPS + 1), lambda each: each == name(50)) == ""


def test_a_very_long_chain_is_forgotten_at_once() -> None:
    lineage = Lineage()
    for each in range(1, 20_000):
        lineage.enter(name(each), recipe(*([each - 1] if each > 1 else [])))
        lineage.freed(name(each - 1))
    lineage.freed(name(19_999))
    assert len(lineage) == 0


def test_what_may_not_run_again_says_so_by_its_name() -> None:
    lineage = Lineage()
    lineage.enter(name(1), recipe(retries=0))
    lineage.enter(name(2), recipe(1))
    assert lineage.refusal(name(2), nothing_is_here) == "task 0 of job 1 may not run again"
    assert lineage.refusal(name(2), lambda each: each == name(1)) == ""
    assert "not known" in lineage.refusal(name(3), nothing_is_here)


def test_a_part_is_made_again_with_the_whole() -> None:
    lineage = Lineage()
    lineage.enter(name(1), recipe())
    lineage.enter(name(2), Cut(of=name(1), offset=3, length=4))
    lineage.enter(name(3), recipe(2))
    for each in (1, 2):
        lineage.freed(name(each))
    assert lineage.refusal(name(3), nothing_is_here) == ""
    assert lineage.find(name(2)) == Cut(of=name(1), offset=3, length=4)


def test_the_oldest_go_when_the_arguments_are_too_many() -> None:
    lineage = Lineage(bound=3 * (100 + A_RECIPE))
    for each in range(1, 5):
        lineage.enter(name(each), recipe(body=b"x" * 100))
    assert [lineage.find(name(each)) is None for each in range(1, 5)] == [True, False, False, False]
    assert lineage.size <= 3 * (100 + A_RECIPE)


def test_what_the_client_has_lent_is_let_go_when_it_lacks_room() -> None:
    lineage = Lineage()
    lineage.enter(name(10), recipe())
    for each in range(1, 4):
        assert lineage.enter(name(each), recipe(own=(100 + each,), length=50)) == []
    assert lineage.press(60) == [name(101), name(102)]
    assert lineage.find(name(3)) is not None
    assert lineage.find(name(10)) is not None
    assert lineage.freed(name(3)) == [name(103)]


class Model:
    """Recipes as they were entered, and the objects that are needed."""

    def __init__(self) -> None:
        self.made: dict[ObjectId, Recipe] = {}
        self.live: set[ObjectId] = set()

    def reached(self) -> set[ObjectId]:
        found: set[ObjectId] = set()
        pending = list(self.live)
        while pending:
            each = pending.pop()
            if each not in found and each in self.made:
                found.add(each)
                pending += self.made[each].takes
        return found


@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(1, 12), max_size=3),
            st.sets(st.integers(100, 104), max_size=2),
            st.sets(st.integers(1, 12), max_size=4),
        ),
        max_size=12,
    )
)
def test_what_is_kept_is_what_something_needed_is_made_of(
    steps: list[tuple[set[int], set[int], set[int]]],
) -> None:
    lineage, model, held = Lineage(), Model(), Counter[ObjectId]()
    for number, (takes, own, freed) in enumerate(steps, 1):
        made = recipe(*(each for each in takes if each < number), own=tuple(own))
        held.update(made.own)
        held.subtract(lineage.enter(name(number), made))
        model.made[name(number)] = made
        model.live.add(name(number))
        for each in freed:
            if name(each) in model.live:
                model.live.discard(name(each))
                held.subtract(lineage.freed(name(each)))
        reached = model.reached()
        assert {each for each in model.made if lineage.find(each)} == reached
        for each in set(model.made) - reached:
            del model.made[each]
        assert +held == Counter(own for each in model.made.values() for own in each.own)
        assert not -held
    for each in list(model.live):
        held.subtract(lineage.freed(each))
    assert len(lineage) == 0
    assert lineage.size == 0
    assert not +held
