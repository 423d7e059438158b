"""A group of classes that name each other, as one blob.

First every by-value class, function and closure cell that can be reached is found, then the whole
group is written at once: all of these empty, then what fills them. So it does not matter who refers
to whom.

What fills them is written in an order of its own. Making an instance again may run code of its
class: ``__hash__`` where it is a key, ``__setstate__``, the lookup of a bound method. So all parts
that hold no instance of the group (methods, and nearly everything else) come first. A part that
holds some comes after all parts that the code of their classes may reach. Of parts that need each
other, registries of instances come first, each put into its place while it is empty: a class that
interns its instances looks there for them. A ``__new__`` that raises for want of something that
comes later is passed by.
"""

from __future__ import annotations

import copyreg
import enum
import io
import itertools
import types
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from scattergather.wire.code import rebuild
from scattergather.wire.code.class_recipe import skeleton, state
from scattergather.wire.code.enums import empty_member, reduce_member
from scattergather.wire.code.recipe import (
    RECIPES,
    empty_function,
    function_state,
    namespace_of,
    reduce_cell,
    reduce_function,
    reduce_method,
    travels,
)
from scattergather.wire.code.world import shares
from scattergather.wire.values.picklers import ValuePickler, write
from scattergather.wire.values.reducing import PROTOCOL

_NOTHING = object()

Placed = Callable[[type], Any]
"""The reduction of a class that is importable or has its place already, else None."""

_ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None)})
_EMPTY = frozenset({tuple, dict})
"""Types of which an empty one is an atom, too."""
_STANDS_IN = rebuild.make_cell, ()
"""For what is met while parts are looked at; what that writes is thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What holds instances of classes of the group, and is put into a class, function or cell.

    Attributes:
        owner: where it is put.
        aspect: the part of the owner's state that it belongs to, as ``rebuild`` names it.
        name: its name there.
        value: what is put there.
        leads: ids of the classes, functions and cells that it refers to.
    """

    owner: Any
    aspect: str
    name: str
    value: Any
    leads: dict[int, None]


@dataclass(slots=True, kw_only=True)
class _Holder:
    """A class, a function or a cell of the group.

    Attributes:
        thing: it.
        leads: ids of those that it refers to by what it is made with and by its plain state.
        plain: what of its state holds no instance of classes of the group.
        parts: what does.
    """

    thing: Any
    leads: dict[int, None] = field(default_factory=dict)
    plain: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: list[_Part] = field(default_factory=list)


class _Filling:
    """Pickled in the place of parts of one owner: it has them where this is loaded."""

    def __init__(self, owner: Any, state: dict[str, dict[str, Any]]) -> None:
        self._owner = owner
        self._state = state

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._owner, types.CellType):
            return rebuild.fill_cell, (self._owner, (self._state["cell"]["contents"],))
        is_class = isinstance(self._owner, type)
        fill = rebuild.fill_class if is_class else rebuild.fill_function
        return fill, (self._owner, self._state)


class _GroupPickler(ValuePickler):
    """Makes instances of the group's classes although what their making asks for may lack.

    A class that interns its instances looks into its registry while one is made. The registry that
    holds that one is put into its place before its first item.
    """

    group: Collection[int] = ()
    """Ids of its classes, whose own hashes may run code of the user."""
    early: _Filling | None = None
    """Puts the registry that is being written into its place; None when that is done."""

    def reducer_override(self, thing: Any) -> Any:
        """As for any other pickler, but for instances of the group."""
        reduction = super().reducer_override(thing)
        if id(type(thing)) not in self.group or isinstance(thing, type):
            return reduction
        if reduction is NotImplemented:
            reduction = thing.__reduce_ex__(PROTOCOL)
        if not isinstance(reduction, tuple):
            return reduction
        make, args, *state = reduction
        if make is copyreg.__newobj__:  # type: ignore[attr-defined]
            make = rebuild.make_instance
        early, self.early = self.early, None
        if early is None:
            return make, args, *state
        return rebuild.make_after, (early, make, *args), *state


class _Acting(_Filling):
    """The same for a part that holds instances."""

    def __init__(self, part: _Part, pickler: _GroupPickler) -> None:
        super().__init__(part.owner, _state_of(part))
        self._part = part
        self._pickler = pickler

    def __reduce__(self) -> tuple[Any, ...]:
        part = self._part
        # A state of its own: the other one is half written when this is put into place.
        early = _Filling(part.owner, _state_of(part)) if _is_registry(part) else None
        self._pickler.early = early
        return super().__reduce__()


def _state_of(part: _Part) -> dict[str, dict[str, Any]]:
    return {part.aspect: {part.name: part.value}}


class ClassSurvey(dict[type, Any]):
    """The recipes of a pickler that finds what belongs to the group, and how its parts hang on it.

    Args:
        placed: says which classes do not belong to it.
    """

    def __init__(self, placed: Placed) -> None:
        super().__init__(RECIPES)
        self.holders: dict[int, _Holder] = {}
        self.namespaces: dict[int, Any] = {}
        self._queue: list[_Holder] = []
        self._placed = placed
        self._leads: dict[int, None] = {}
        self._acts = False
        self._globals: dict[tuple[int, str], tuple[dict[int, None], _Part | None]] = {}
        """What functions share, by namespace and name; one of them puts it there."""
        self._buffer = io.BytesIO()
        self._pickler = ValuePickler(self._buffer, self._meet_class, recipes=self)
        self[types.FunctionType] = self._meet_function
        self[types.CellType] = self._meet_cell
        self[types.MethodType] = self._meet_method
        self[typing._GenericAlias] = self._meet_alias  # type: ignore[attr-defined]
        self[enum.Enum] = self._meet_member

    def get(self, kind: type, default: Any = None) -> Any:
        """The recipe for instances of ``kind``, which is noted if it belongs to the group."""
        if kind not in RECIPES and not issubclass(kind, type) and self._placed(kind) is None:
            self._meet(kind)
            self._acts = True
        return super().get(kind, default)

    def explore(self, first: Any, title: str) -> None:
        """``holders`` has all that ``first`` needs, each with its parts."""
        if isinstance(first, type):
            self._meet(first)
        else:
            self._probe(first, title)
        for holder in self._queue:  # grows while it is read
            self._look_at(holder)

    def apart(self) -> list[type]:
        """The classes that reach nothing which they could share with other code."""
        needed: dict[int, list[int]] = {}
        for key, holder in self.holders.items():
            for lead in [*holder.leads, *(lead for part in holder.parts for lead in part.leads)]:
                needed.setdefault(lead, []).append(key)
        named: dict[int, set[int]] = {}
        sharing = [key for key, holder in self.holders.items() if shares(holder.thing, named)]
        met = set(sharing)
        for key in sharing:  # grows while it is read
            new = [each for each in needed.get(key, ()) if each not in met]
            met.update(new)
            sharing += new
        return [
            holder.thing
            for key, holder in self.holders.items()
            if key not in met and isinstance(holder.thing, type)
        ]

    def _look_at(self, holder: _Holder) -> None:
        thing = holder.thing
        if isinstance(thing, types.CellType):
            try:
                contents = thing.cell_contents
            except ValueError:  # it is empty
                return
            self._look_at_part(holder, "cell", "contents", contents)
            return
        if isinstance(thing, type):
            whole = state(thing)
            holder.leads, _ = self._probe(skeleton(thing), thing.__qualname__)
        else:
            whole = function_state(thing)
            self._look_at_globals(holder, whole.pop("globals"))
            self._leads = holder.leads
            for cell in thing.__closure__ or ():
                self._meet(cell)
        for aspect, values in whole.items():
            plain = holder.plain[aspect] = {}
            for name, value in values.items():
                kind = type(value)
                if kind in _ATOMS or (kind in _EMPTY and not value):
                    plain[name] = value
                else:
                    self._look_at_part(holder, aspect, name, value)

    def _look_at_globals(self, holder: _Holder, values: dict[str, Any]) -> None:
        space = id(holder.thing.__globals__)
        holder.plain["globals"] = {}
        for name, value in values.items():
            found = self._globals.get((space, name))
            if found is None:
                found = self._look_at_part(holder, "globals", name, value)
                self._globals[space, name] = found
            else:
                leads, part = found
                holder.leads |= leads
                holder.parts += [] if part is None else [part]

    def _look_at_part(
        self, holder: _Holder, aspect: str, name: str, value: Any
    ) -> tuple[dict[int, None], _Part | None]:
        thing = holder.thing
        leads, acts = self._probe(value, name)
        if aspect in ("abc", "fields", "hooks"):
            leads, acts = leads | {id(thing): None}, True
        elif aspect == "enum":  # members are made without any code of their class
            acts = acts and bool(leads.keys() - {id(thing)})
        holder.leads |= leads
        if not acts:
            holder.plain.setdefault(aspect, {})[name] = value
            return leads, None
        part = _Part(owner=thing, aspect=aspect, name=name, value=value, leads=leads)
        holder.parts.append(part)
        return leads, part

    def _probe(self, value: Any, title: str) -> tuple[dict[int, None], bool]:
        self._leads, self._acts = {}, False
        kind = type(value)
        if kind in (classmethod, staticmethod):
            value, kind = value.__func__, type(value.__func__)
        if kind is types.FunctionType:
            self._meet_function(None, value)
        elif issubclass(kind, type):
            self._meet_class(value)
            self._acts = False
        elif kind not in _ATOMS:
            self._pickler.meet_again()
            write(value, self._pickler, self._buffer, title)
            self._buffer.seek(0)
            self._buffer.truncate()
        return self._leads, self._acts

    def _meet(self, thing: Any) -> None:
        if id(thing) not in self.holders:
            self.holders[id(thing)] = holder = _Holder(thing=thing)
            self._queue.append(holder)
        self._leads[id(thing)] = None

    def _meet_class(self, kind: type) -> Any:
        reduction = None if id(kind) in self.holders else self._placed(kind)
        if reduction is None:
            self._meet(kind)
            metaclass = type(kind)
            if metaclass.__hash__ is not type.__hash__ and self._placed(metaclass) is None:
                self._meet(metaclass)  # the class may be a key
                self._acts = True
            return _STANDS_IN
        return reduction

    def _meet_function(self, _writing: Any, function: types.FunctionType) -> Any:
        if id(function) not in self.holders:
            if not travels(function):
                return NotImplemented
            namespace_of(function, self.namespaces)
        self._meet(function)
        return _STANDS_IN

    def _meet_member(self, writing: Any, member: enum.Enum) -> Any:
        placed = self._placed(type(member))
        return empty_member(member) if placed is None else reduce_member(writing, member)

    def _meet_cell(self, _writing: Any, cell: types.CellType) -> Any:
        if cell != types.CellType():  # an empty one may have been made for the pickler just now
            self._meet(cell)
        return _STANDS_IN

    def _meet_method(self, writing: Any, method: types.MethodType) -> Any:
        """A bound method is looked up on its object, which a class may be."""
        owner = method.__self__
        if isinstance(owner, type) and self._placed(owner) is None:
            self._acts = True
        return reduce_method(writing, method)

    def _meet_alias(self, _writing: Any, alias: Any) -> Any:
        """``Box[int]`` is made by a call of ``Box.__class_getitem__``."""
        if self._placed(alias.__origin__) is None:
            self._acts = True
        return NotImplemented


def surveyed(first: Any, placed: Placed, title: str) -> ClassSurvey:
    """What ``first``, a class or what holds some, needs of by-value classes and their parts.

    Raises:
        CannotPickle: an attribute of one of them cannot travel.
    """
    found = ClassSurvey(placed)
    found.explore(first, title)
    return found


def bundle(
    survey: ClassSurvey, placed: Placed, title: str, value: Any = _NOTHING
) -> tuple[tuple[type, ...], bytes, bool]:
    """The group of by-value classes of a survey, their blob, and if that has byte code.

    With a ``value`` this is in the blob, too, and has what it refers to in common with them.

    Raises:
        CannotPickle: an attribute of one of them cannot travel.
    """
    holders = survey.holders
    # By name, so that neither places nor digest depend on where the group was entered.
    group = tuple(
        sorted(
            (holder.thing for holder in holders.values() if isinstance(holder.thing, type)),
            key=lambda kind: (kind.__module__, kind.__qualname__),
        )
    )
    first = [id(kind) for kind in group]
    ordered = _in_order(holders, first if value is _NOTHING else [*first, *holders])
    empties = [holder.thing for holder in ordered if not isinstance(holder.thing, type)]

    def reduce_class(kind: type) -> Any:
        reduction = placed(kind)
        return skeleton(kind) if reduction is None else reduction

    def reduce_known_function(writing: Any, function: types.FunctionType) -> Any:
        if id(function) in holders:
            return empty_function(survey, function)
        writing.namespaces |= survey.namespaces
        return reduce_function(writing, function)

    def reduce_known_cell(writing: Any, cell: types.CellType) -> Any:
        return _STANDS_IN if id(cell) in holders else reduce_cell(writing, cell)

    recipes = {
        **RECIPES,
        types.FunctionType: reduce_known_function,
        types.CellType: reduce_known_cell,
        enum.Enum: survey[enum.Enum],
    }
    buffer = io.BytesIO()
    pickler = _GroupPickler(buffer, reduce_class, recipes=recipes)
    pickler.group = frozenset(map(id, group))
    root: tuple[Any, ...] = (group, empties, [*_fillings(ordered, holders, pickler)])
    if value is not _NOTHING:
        root = *root, value
    holds_code = write(root, pickler, buffer, title)
    return group, buffer.getvalue(), holds_code


def _in_order(holders: dict[int, _Holder], first: list[int]) -> list[_Holder]:
    """All holders, as they are met from ``first`` on."""
    met = dict.fromkeys(first)
    for key in (queue := [*first]):
        new = [each for each in holders[key].leads if each not in met]
        met.update(dict.fromkeys(new))
        queue += new
    return [holders[key] for key in met]


def _fillings(
    ordered: list[_Holder], holders: dict[int, _Holder], pickler: _GroupPickler
) -> Iterator[_Filling]:
    """What fills the group, in the order of the module's rules."""
    for holder in ordered:
        plain = {aspect: values for aspect, values in holder.plain.items() if values}
        if plain:
            yield _Filling(holder.thing, plain)
    for part in sorted(_acting(ordered, holders), key=lambda part: part.aspect == "hooks"):
        yield _Acting(part, pickler)


def _acting(ordered: list[_Holder], holders: dict[int, _Holder]) -> list[_Part]:
    """The parts that hold instances, each after those that it needs.

    Tarjan's algorithm: holders and parts that need each other are met as one knot, after all that
    the knot needs. In a knot registries come first: they can be put into place while they are
    empty, and what interns its instances finds them there.
    """
    parts = {id(part): part for holder in ordered for part in holder.parts}

    def needed(key: int) -> Iterator[int]:
        part = parts.get(key)
        if part is not None:
            return iter(part.leads)
        holder = holders[key]
        return itertools.chain(holder.leads, map(id, holder.parts))

    found: list[_Part] = []
    number = itertools.count()
    met: dict[int, int] = {}
    lowest: dict[int, int] = {}
    open_: dict[int, None] = {}

    def enter(key: int) -> tuple[int, Iterator[int]]:
        met[key] = lowest[key] = next(number)
        open_[key] = None
        return key, needed(key)

    for first in parts:
        path = [] if first in met else [enter(first)]
        while path:
            key, rest = path[-1]
            for each in rest:
                if each not in met:
                    path.append(enter(each))
                    break
                if each in open_:
                    lowest[key] = min(lowest[key], met[each])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[key])
                if lowest[key] == met[key]:
                    knot = []
                    while key in open_:
                        knot.append(open_.popitem()[0])
                    found += sorted((parts[each] for each in knot if each in parts), key=_rank)
    return found


def _rank(part: _Part) -> int:
    return 2 if not _is_registry(part) else 1 if type(part.value) is list else 0


def _is_registry(part: _Part) -> bool:
    """True of what holds instances by names, and can be put into its place before them."""
    value = part.value
    if part.aspect not in ("attributes", "globals"):
        return False
    return type(value) is list or (
        type(value) is dict and all(type(key) in _ATOMS for key in value)
    )
