"""Which task has made what is kept, so that it can be made again when its host is lost.

A *recipe* is what a task was: its job, its packed arguments, and the large objects that these take.
There is one for each object that a job keeps, for as long as that is needed, or a recipe takes it:
so what is lost is made again although what it was made of was freed meanwhile. A part of an object
is a recipe, too.

Lineage holds nothing back. Arguments take ``bound`` bytes at most, and large ones of the client's
are held while there is room: the oldest recipes go first. What has none any more cannot be made
again. Recipes refer to older ones only, so there is no circle. A pure value.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scattergather.model.ids import Digest, ObjectId
from scattergather.model.snapshot import plural
from scattergather.wire.memory import stub
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent

BOUND = 64 << 20
"""Bytes of packed arguments that all recipes of a session take."""

A_RECIPE = 1 << 9
"""Bytes that each recipe is taken to hold beside them."""

MOST_STEPS = 100
"""Tasks that may have to run until something is there again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A task: its ``body``, as in ``AddTasks``, refers to the code ``needs`` and to ``objects``.

    It may run ``retries`` times more. Of its objects those of ``own`` are the client's. ``label``
    is what users call it. ``flag`` says what kind of object it makes (``wire.memory.stub``).
    """

    spec: messages.AddJob
    label: str
    body: bytes
    needs: tuple[Digest, ...] = ()
    objects: tuple[Extent, ...] = ()
    own: tuple[ObjectId, ...] = ()
    retries: int = 0
    flag: int = stub.WHOLE

    @property
    def takes(self) -> tuple[ObjectId, ...]:
        """The objects without which it cannot be made."""
        return tuple(extent.object for extent in self.objects)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.body) + A_RECIPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A range of another object."""

    of: ObjectId
    offset: int
    length: int
    file: bool = False

    @property
    def takes(self) -> tuple[ObjectId, ...]:
        """The object of which it is a part."""
        return (self.of,)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return A_RECIPE


class Lineage:
    """The recipes of one session. What a call returns are objects that are held no more."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._recipes: OrderedDict[ObjectId, Recipe | Cut] = OrderedDict()
        self._live: set[ObjectId] = set()
        self._users: Counter[ObjectId] = Counter()
        """How many recipes take each object."""
        self._size = 0

    def __len__(self) -> int:
        return len(self._recipes)

    @property
    def size(self) -> int:
        """Bytes that all recipes take."""
        return self._size

    def find(self, name: ObjectId) -> Recipe | Cut | None:
        """How an object is made, if that is known."""
        return self._recipes.get(name)

    def code(self) -> Iterator[Digest]:
        """The digests that recipes refer to, some more than once."""
        for recipe in self._recipes.values():
            if isinstance(recipe, Recipe):
                yield from recipe.needs

    def enter(self, name: ObjectId, recipe: Recipe | Cut) -> list[ObjectId]:
        """An object was made so; of one that was made again the older recipe is void."""
        gone = self._forget(name)
        self._recipes[name] = recipe
        self._live.add(name)
        self._users.update(recipe.takes)
        self._size += recipe.size
        while self._size > self._bound:
            gone += self._forget(next(iter(self._recipes)))
        return gone

    def freed(self, name: ObjectId) -> list[ObjectId]:
        """Nobody needs an object any more; its recipe stays while another takes it."""
        self._live.discard(name)
        return [] if self._users[name] else self._forget(name)

    def press(self, size: int) -> list[ObjectId]:
        """The client lacks so many bytes of room: recipes that take what is its own go."""
        gone: list[ObjectId] = []
        for name in [*self._recipes]:
            recipe = self._recipes.get(name)
            if size <= 0:
                break
            if isinstance(recipe, Recipe) and recipe.own:
                lengths = {extent.object: extent.length for extent in recipe.objects}
                size -= sum(lengths[own] for own in recipe.own if self._users[own] == 1)
                gone += self._forget(name)
        return gone

    def refusal(self, name: ObjectId, here: Callable[[ObjectId], bool]) -> str:
        """Why something that is lost cannot be made again; empty if it can.

        Args:
            name: of the object.
            here: says of an object whether it can be taken as it is.
        """
        pending, steps = [name], 0
        seen: set[ObjectId] = set()
        while pending:
            each = pending.pop()
            if each in seen or (here(each) and each != name):
                continue
            seen.add(each)
            recipe = self._recipes.get(each)
            what = "what it was made of" if each != name else "its task"
            if recipe is None:
                return f"{what} is not known any more"
            if isinstance(recipe, Recipe):
                steps += 1
                if not recipe.retries:
                    return f"{recipe.label} may not run again"
            if steps > MOST_STEPS:
                return f"more than {plural(MOST_STEPS, 'task')} would have to run again"
            pending += recipe.takes
        return ""

    def _forget(self, name: ObjectId) -> list[ObjectId]:
        """A recipe is gone, and those that it alone had use for."""
        gone: list[ObjectId] = []
        pending = [name]
        while pending:
            recipe = self._recipes.pop(pending.pop(), None)
            if recipe is None:
                continue
            self._size -= recipe.size
            if isinstance(recipe, Recipe):
                gone += recipe.own
            for each in recipe.takes:
                self._users[each] -= 1
                if not self._users[each]:
                    del self._users[each]
                    if each not in self._live:
                        pending.append(each)
        return gone
