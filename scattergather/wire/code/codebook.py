"""What one process knows of code by digest: functions and classes that do not live in a module.

A *digest* is the start of the sha256 of a blob; a class is a digest and an index, as classes that
name each other travel together. Two roles, and a process may play both:

- *Sender*: :meth:`CodeBook.sent` remembers which class a reference stands for, weakly, so that
  objects come home as instances of it. A class that stood in ``__main__`` comes home as the one
  that stands there now: after its cell was run again that is what the user's ``isinstance`` means,
  whether or not the garbage collector has taken the old one.
- *Receiver*: :meth:`CodeBook.add` takes blobs, which are loaded when first needed and kept.
"""

from __future__ import annotations

import hashlib
import io
import threading
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scattergather.errors import CannotImport
from scattergather.wire.code.code import OF_A_WORLD, CodeBlob
from scattergather.wire.code.origin import at_home, present
from scattergather.wire.code.world import World, enter, outside
from scattergather.wire.memory import stub
from scattergather.wire.values.picklers import ValueUnpickler

DIGEST_SIZE = 16
REMEMBERED = 64 << 20
"""Bytes of blobs that a sender keeps, for objects whose class is gone when they come home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    code: CodeBlob
    classes: tuple[weakref.ref[type], ...]
    homes: tuple[str, ...]
    """Qualified name of each class that stood in ``__main__``, else ""."""


def digest_of(blob: bytes) -> bytes:
    """The name of a blob."""
    return hashlib.sha256(blob).digest()[:DIGEST_SIZE]


def resolve(digest: bytes, index: int) -> type:
    """The class that a payload refers to.

    Pickles name this function; our own unpickler puts the method of its book in its place, a plain
    one gets the book of the process.
    """
    return BOOK.resolve(*stub.present(digest, index))


def adopt(digest: bytes, index: int, blob: bytes, home: str) -> type:
    """Like :func:`resolve`, for a class that is new to whoever loads the payload."""
    return BOOK.adopt(digest, index, blob, home)


class CodeBook:
    """What this process has sent or got of code, by digest. Any thread."""

    def __init__(self) -> None:
        self._codes: dict[bytes, CodeBlob] = {}
        self._classes: dict[bytes, tuple[type, ...]] = {}
        self._world = World(shares=False)
        self._sent: OrderedDict[bytes, _Sent] = OrderedDict()
        self._sent_bytes = 0
        self._places: dict[int, tuple[weakref.ref[type], bytes, int]] = {}
        self._lock = threading.RLock()
        self.tell: Callable[[tuple[type, ...]], object] | None = None
        """Called with the classes of a blob each time that a value refers to one of them."""
        self.sharing: weakref.WeakSet[types.CodeType] = weakref.WeakSet()
        """Of functions that shared something with classes of the notebook when they were sent."""
        self._doors = {
            (resolve.__module__, resolve.__name__): self.resolve,
            (adopt.__module__, adopt.__name__): self.adopt,
        }

    def add(self, code: CodeBlob) -> None:
        """The blob can be loaded from now on."""
        self._codes[code.digest] = code

    def discard(self, digest: bytes) -> None:
        """Forget a blob that was added, and what was loaded from it."""
        self._codes.pop(digest, None)
        self._classes.pop(digest, None)
        self._world.functions.pop(digest, None)
        self._world.classes.pop(digest, None)

    def enter(self, world: World) -> None:
        """Functions and classes that share what can change are those of this world now."""
        self._world = world
        enter(world)

    def is_of_a_world(self, digest: bytes) -> bool:
        """True of a blob whose classes are others in each world."""
        code = self._codes.get(digest)
        return code is not None and code.is_of_a_world

    def needs(self, digest: bytes) -> tuple[bytes, ...]:
        """What the blob needs, as far as it is known here."""
        code = self._codes.get(digest)
        return () if code is None else code.needs

    def codes(self, digests: Iterable[bytes]) -> list[CodeBlob]:
        """The blobs of these and of what they need, as far as they are known here; needs last."""
        found: dict[bytes, CodeBlob] = {}
        pending = list(digests)
        while pending:
            digest = pending.pop(0)
            sent = self._sent.get(digest)
            code = self._codes.get(digest) or (sent.code if sent is not None else None)
            if code is not None and digest not in found:
                found[digest] = code
                pending += code.needs
        return list(found.values())

    def missing(self, digests: Iterable[bytes]) -> list[bytes]:
        """Which of these, and of what they need, were not added."""
        absent: dict[bytes, None] = {}
        pending = list(digests)
        done: set[bytes] = set()
        while pending:
            digest = pending.pop()
            if digest in done:
                continue
            done.add(digest)
            code = self._codes.get(digest)
            if code is None:
                absent[digest] = None
            else:
                pending += code.needs
        return list(absent)

    def function(self, digest: bytes) -> Callable[..., Any]:
        """The callable frozen under ``digest``; loaded once in a world, so its globals last.

        Raises:
            CannotImport: something that it needs is not here.
        """
        world = self._world
        found = world.functions.get(digest)
        if found is None:
            with self._lock:
                found = world.functions.get(digest)
                if found is None:
                    blob = self._blob(digest)
                    with world.loading():
                        found = self.load(blob)
                    if blob.endswith(OF_A_WORLD):
                        classes, found = found[0], found[-1]
                        self._remember_all(world.classes, digest, classes)
                    world.functions[digest] = found
        return found

    def load(self, blob: bytes) -> Any:
        """The one value in ``blob``."""
        return ValueUnpickler(io.BytesIO(blob), self._doors).load()

    def unpickler(self, file: io.BytesIO, buffers: Iterable[Any] | None = None) -> ValueUnpickler:
        """An unpickler for the value that starts where ``file`` stands."""
        return ValueUnpickler(file, self._doors, buffers)

    def resolve(self, digest: bytes, index: int) -> type:
        """The class with this reference."""
        kind = self._standing(digest, index)
        if kind is None:
            classes = self._loaded(digest)
            if self.tell is not None:
                self.tell(classes)
            kind = classes[index]
        return kind

    def adopt(self, digest: bytes, index: int, blob: bytes, home: str) -> type:
        """The class with this reference, whose blob came inside the payload."""
        if digest not in self._sent and digest not in self._codes:
            kind = present(home) if home else None
            if kind is not None:
                return kind
            self.add(CodeBlob(digest=digest, blob=blob))
        return self.resolve(digest, index)

    def within(self, digest: bytes) -> tuple[type, ...]:
        """The classes that came in the blob of a function which is loaded."""
        return self._world.classes.get(digest, ())

    def loaded(self, digests: Iterable[bytes]) -> list[type]:
        """The classes of these blobs; without those that cannot be had here."""
        found: list[type] = []
        for digest in digests:
            try:
                found += self._loaded(digest)
            except Exception:  # whoever needs it hears of it
                continue
        return found

    def standing(self, digest: bytes) -> list[tuple[int, type]]:
        """The classes that objects of a blob sent from here come home as, without those gone."""
        sent = self._sent.get(digest)
        found = (
            (index, self._standing(digest, index))
            for index in range(len(sent.homes if sent else ()))
        )
        return [(index, kind) for index, kind in found if kind is not None]

    def _standing(self, digest: bytes, index: int) -> type | None:
        sent = self._sent.get(digest)
        if sent is None:
            return None
        kind = present(sent.homes[index]) if sent.homes[index] else None
        return kind or sent.classes[index]()

    def place(self, kind: type) -> tuple[bytes, int] | None:
        """The reference of a class that was loaded here."""
        entry = self._places.get(id(kind))
        if entry is None or entry[0]() is not kind:
            return None
        return entry[1], entry[2]

    def sent(self, code: CodeBlob, classes: tuple[type, ...]) -> None:
        """Objects of these classes come home as their instances."""
        with self._lock:
            known = self._sent.pop(code.digest, None)
            if known is not None:
                self._sent_bytes -= len(known.code.blob)
            self._sent[code.digest] = _Sent(
                code=code,
                classes=tuple(weakref.ref(kind) for kind in classes),
                homes=tuple(kind.__qualname__ if at_home(kind) else "" for kind in classes),
            )
            self._sent_bytes += len(code.blob)
            while self._sent_bytes > REMEMBERED and len(self._sent) > 1:
                _, oldest = self._sent.popitem(last=False)
                self._sent_bytes -= len(oldest.code.blob)

    def _blob(self, digest: bytes) -> bytes:
        code = self._codes.get(digest)
        if code is not None:
            return code.blob
        sent = self._sent.get(digest)
        if sent is not None:
            return sent.code.blob
        name = digest.hex()
        raise CannotImport(f"The code {name} did not arrive here; add the job again.", module=name)

    def _loaded(self, digest: bytes) -> tuple[type, ...]:
        world = self._world
        with self._lock:
            classes = self._classes.get(digest) or world.classes.get(digest)
            if classes is None:
                blob = self._blob(digest)
                apart = blob.endswith(OF_A_WORLD)
                with world.loading() if apart else outside():
                    classes, *others = self.load(blob)
                self._remember_all(world.classes if apart else self._classes, digest, classes)
                if apart and others[2:]:  # with the function that they came with
                    world.functions.setdefault(digest, others[2])
            return classes

    def _remember_all(
        self,
        known: dict[bytes, tuple[type, ...]],
        digest: bytes,
        classes: tuple[type, ...],
    ) -> None:
        known[digest] = classes
        for index, kind in enumerate(classes):
            self._remember(kind, digest, index)

    def _remember(self, kind: type, digest: bytes, index: int) -> None:
        key = id(kind)

        def forget(_gone: weakref.ref[type], places: dict[Any, Any] = self._places) -> None:
            places.pop(key, None)

        self._places[key] = (weakref.ref(kind, forget), digest, index)


BOOK = CodeBook()
"""The book of this process: digests name contents, so all clients in it can share one."""
