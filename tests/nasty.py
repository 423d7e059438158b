"""Messages with fields that nobody sends who means well."""

from __future__ import annotations

import random
from typing import Any, get_args, get_type_hints

import msgspec

from scattergather.wire.messages.shared import MOST

A, B, SLAB = b"a" * 16, b"b" * 16, b"s" * 16

VALUES: dict[Any, tuple[Any, ...]] = {
    int: (0, 1, 2, 9, 10, 11, 13, 14, 20, 101, 1 << 22, MOST, -1, MOST + 1, (1 << 64) - 1),
    bytes: (b"", A, B, SLAB, *(bytes([each]) for each in (*range(8), 255)), b"\0" * 4, b"\1" * 99),
    str: ("", "f", "#no", "#" + "00" * 16, "x" * 1000),
    float: (0.0, 1.0, 1e-9, -1.0, float("nan"), float("inf"), 1e300),
    bool: (True, False),
}


def nasty(chance: random.Random, hint: Any) -> Any:
    """A value of about this type, as it is sent."""
    if chance.random() < 0.02:
        return chance.choice((None, -1, "x", b"x", [], [[[]]], {"x": 1}))
    if hint in VALUES:
        return chance.choice(VALUES[hint])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = get_type_hints(hint, include_extras=True)
        return [nasty(chance, hints[each.name]) for each in msgspec.structs.fields(hint)]
    arguments = get_args(hint)
    if arguments and arguments[-1] is Ellipsis:
        return [nasty(chance, arguments[0]) for _ in range(chance.choice((0, 0, 1, 2)))]
    return nasty(chance, arguments[0]) if arguments else 1


def head(chance: random.Random, kind: type[msgspec.Struct]) -> bytes:
    """The head of a message of this kind, all of whose fields are odd."""
    fields = nasty(chance, kind)
    return msgspec.msgpack.encode([kind.__name__, *(fields if isinstance(fields, list) else ())])


def mutated(chance: random.Random, message: msgspec.Struct) -> bytes:
    """The head of this message with one or two odd fields."""
    sent: list[Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    hints = get_type_hints(type(message), include_extras=True)
    names = [each.name for each in msgspec.structs.fields(message)]
    for _ in range(chance.choice((1, 1, 2)) if names else 0):
        place = chance.randrange(len(names))
        sent[1 + place] = nasty(chance, hints[names[place]])
    return msgspec.msgpack.encode(sent)
