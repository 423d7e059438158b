"""Code on its way out: frozen once for each job, and sent by digest.

A :class:`Shipment` is one consistent freeze. Within it a class has one digest; the next shipment
looks at the class anew, so that a job never runs with older code than when it was added.
"""

from __future__ import annotations

import io
import operator
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from scattergather.errors import CannotPickle, TooLarge
from scattergather.wire.code.bundle import bundle, surveyed
from scattergather.wire.code.code import OF_A_WORLD, CodeBlob
from scattergather.wire.code.codebook import CodeBook, adopt, digest_of, resolve
from scattergather.wire.code.origin import at_home, importable, reduction_by_name
from scattergather.wire.code.recipe import reference
from scattergather.wire.frame import MOST_INSIDE
from scattergather.wire.validation import origin_of
from scattergather.wire.values.picklers import ValuePickler, write

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Carrier(Protocol):
    """Says how classes travel: beside the payloads (a shipment) or inside them."""

    book: CodeBook

    def reduce_class(self, kind: type) -> Any:
        """The reduction of a class, or ``NotImplemented`` for a reference by name."""

    def require(self, codes: Iterable[CodeBlob]) -> None:
        """The value just written refers to these, too."""

    def take_needs(self) -> tuple[bytes, ...]:
        """Digests that the values written since the last call refer to."""


class _Shares(BaseException):
    """A class that is met belongs into the blob of the function; no pickler goes on after this."""


class Shipment:
    """One freeze, from one thread: the blobs in :attr:`code` go to whoever runs the job."""

    def __init__(self, book: CodeBook) -> None:
        self.book = book
        self.code: dict[bytes, CodeBlob] = {}
        self._reductions: dict[int, tuple[type, Any]] = {}
        self._needs: dict[bytes, None] = {}
        self._is_freezing = False
        """A function is, of which it is not known yet whether it shares something with classes."""

    def freeze(self, function: Callable[..., Any]) -> bytes:
        """The digest of any callable, whose blob, with all that it needs, is in :attr:`code`.

        Raises:
            CannotPickle: it reaches something that cannot travel; the path is in the message.
        """
        outer, self._needs = self._needs, {}
        code = _code_of(function)
        known = len(self.code), len(self._reductions)
        try:
            if code is not None and code in self.book.sharing:  # it will most likely again
                return self._freeze_with_classes(function)
            self._is_freezing = True
            return self._freeze_alone(function)
        except _Shares:
            self._is_freezing = False
            # From the start, or classes met by now would be in other groups than the next time.
            _shorten(self.code, known[0])
            _shorten(self._reductions, known[1])
            if code is not None:
                self.book.sharing.add(code)
            return self._freeze_with_classes(function)
        finally:
            self._is_freezing = False
            self._needs = outer

    def _freeze_alone(self, function: Callable[..., Any]) -> bytes:
        buffer = io.BytesIO()
        pickler = ValuePickler(buffer, self.reduce_class)
        holds_code = write(function, pickler, buffer, _title(function))
        return self._add(buffer.getvalue(), holds_code, _title(function)).digest

    def _freeze_with_classes(self, function: Callable[..., Any]) -> bytes:
        """One blob for the function and all classes that may share something with it."""
        title = _title(function)
        self._needs.clear()
        try:
            survey = surveyed(function, self._placed, title)
            if apart := survey.apart():
                for kind in apart:
                    self.reduce_class(kind)
                survey = surveyed(function, self._placed, title)
            group, blob, holds_code = bundle(survey, self._placed, title, function)
        except CannotPickle:
            # That it cannot is told by who meets it on the way from the function.
            self._needs.clear()
            return self._freeze_alone(function)
        return self._place(group, blob + OF_A_WORLD, holds_code, title).digest

    def holds_classes(self, digest: bytes) -> bool:
        """True of a blob in which classes have come, or which needs one that has some."""
        code = self.code[digest]
        return code.is_of_a_world or bool(code.needs)

    def include(self, code: CodeBlob) -> None:
        """A blob frozen before is part of this shipment too."""
        self.code[code.digest] = code

    def require(self, codes: Iterable[CodeBlob]) -> None:
        """The value just written refers to these blobs, so they are part of the shipment."""
        for code in codes:
            self.include(code)
            self._needs[code.digest] = None

    def reduce_class(self, kind: type) -> Any:
        """The reduction of a class; one of the notebook becomes part of the shipment."""
        reduction = self._placed(kind)
        if reduction is None:
            self._ship(kind)
            reduction = self._placed(kind)
        return reduction

    def take_needs(self) -> tuple[bytes, ...]:
        """Digests that the values written since the last call refer to."""
        needs = tuple(self._needs)
        self._needs.clear()
        return needs

    def _placed(self, kind: type) -> Any:
        entry = self._reductions.get(id(kind))
        if entry is None:
            plain = _plain(kind)
            if plain is None:
                return None
            entry = self._reductions[id(kind)] = (kind, plain)
        reduction = entry[1]
        if reduction is not NotImplemented and reduction[0] is resolve:
            self._needs[reduction[1][0]] = None
        return reduction

    def _ship(self, first: type) -> None:
        outer, self._needs = self._needs, {}
        title = _title(first)
        try:
            survey = surveyed(first, self._placed, title)
            shares = first not in survey.apart() or self._needs_a_world()
            if shares and self._is_freezing:
                raise _Shares
            group, blob, holds_code = bundle(survey, self._placed, title)
            self._place(group, blob + OF_A_WORLD if shares else blob, holds_code, title)
        finally:
            self._needs = outer

    def _needs_a_world(self) -> bool:
        return any(self.code[digest].is_of_a_world for digest in self._needs)

    def _place(
        self, group: tuple[type, ...], blob: bytes, holds_code: bool, title: str
    ) -> CodeBlob:
        code = self._add(blob, holds_code, title)
        for index, kind in enumerate(group):
            self._reductions[id(kind)] = (kind, (resolve, (code.digest, index)))
        self.book.sent(code, group)
        return code

    def _add(self, blob: bytes, holds_code: bool, title: str) -> CodeBlob:
        if len(blob) > MOST_INSIDE:
            raise TooLarge(
                f"{title} holds {len(blob):,} bytes, more than the {MOST_INSIDE:,} that a function "
                "or class can take along. Pass what is large as an argument: ref = c.put(it)",
                size=len(blob),
                bound=MOST_INSIDE,
            )
        code = CodeBlob(
            digest=digest_of(blob),
            blob=blob,
            needs=tuple(self._needs),
            python=PYTHON if holds_code else "",
        )
        self.code[code.digest] = code
        return code


class Inline:
    """The carrier of a worker.

    Classes that came by digest go back by it. Those that exist only here, made inside a task or
    pushed, go inside the payload, once in each value.
    """

    def __init__(self, book: CodeBook) -> None:
        self.book = book
        self._reductions: dict[int, tuple[type, Any]] = {}

    def require(self, codes: Iterable[CodeBlob]) -> None:
        """Whoever reads has what came by digest: there is nothing to note."""

    def reduce_class(self, kind: type) -> Any:
        """The reduction of a class; one that exists only here goes inside the value."""
        reduction = self._placed(kind)
        if reduction is None:
            title = _title(kind)
            group, blob, _ = bundle(surveyed(kind, self._placed, title), self._placed, title)
            blob += OF_A_WORLD
            code = CodeBlob(digest=digest_of(blob), blob=blob)
            self.book.sent(code, group)
            for index, member in enumerate(group):
                home = member.__qualname__ if at_home(member) else ""
                arguments = (code.digest, index, blob, home)
                self._reductions[id(member)] = (member, (adopt, arguments))
            reduction = self._placed(kind)
        return reduction

    def take_needs(self) -> tuple[bytes, ...]:
        """None: what a value needs is inside it, or came by digest."""
        # A task that makes a class would keep one alive for each time that it ran.
        if len(self._reductions) > 256:
            self._reductions.clear()
        return ()

    def _placed(self, kind: type) -> Any:
        entry = self._reductions.get(id(kind))
        if entry is not None:
            return entry[1]
        place = self.book.place(kind)
        reduction = _plain(kind) if place is None else (resolve, place)
        if reduction is None:
            reduction = self._parametrised(kind)
        if reduction is None:
            return None
        self._reductions[id(kind)] = (kind, reduction)
        return reduction

    def _parametrised(self, kind: type) -> Any:
        """``Page[int]``, made in a task, is at home what that expression gives there."""
        found = origin_of(kind)
        return (operator.getitem, found) if found and all(map(self._stands, found)) else None

    def _stands(self, thing: Any) -> bool:
        if isinstance(thing, type):
            return self._placed(thing) is not None
        parts = thing if isinstance(thing, tuple | list) else getattr(thing, "__args__", ())
        return all(map(self._stands, parts))


class Noting(Inline):
    """The carrier of a worker for what others may read than those who sent the task.

    They need the code by digest that a value needs: that is noted.
    """

    def __init__(self, book: CodeBook) -> None:
        super().__init__(book)
        self._noted: dict[bytes, None] = {}

    def reduce_class(self, kind: type) -> Any:
        """The reduction of a class; one that came by digest is noted."""
        reduction = super().reduce_class(kind)
        if reduction is not NotImplemented and reduction[0] is resolve:
            self._noted[reduction[1][0]] = None
        return reduction

    def take_needs(self) -> tuple[bytes, ...]:
        """Digests that the values written since the last call refer to."""
        super().take_needs()
        needs = tuple(self._noted)
        self._noted.clear()
        return needs


def _shorten(entered: dict[Any, Any], length: int) -> None:
    while len(entered) > length:
        entered.popitem()


def _code_of(function: Any) -> types.CodeType | None:
    """What tells functions and bound methods apart that are made anew each time."""
    if type(function) is types.MethodType:
        function = function.__func__
    return function.__code__ if type(function) is types.FunctionType else None


def _plain(kind: type) -> Any:
    """The reduction of a class that every host has; None for one that has to travel."""
    named = reduction_by_name(kind)
    return reference(kind) if named is NotImplemented and importable(kind) else named


def _title(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None)
    if name is None:
        return f"task object {type(function).__qualname__!r}"
    return f"{'class' if isinstance(function, type) else 'function'} {name!r}"
