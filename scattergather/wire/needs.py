"""In which order code goes that needs other code.

Strangers say what needs what. It may be a circle, a chain of a million, or a ladder on which ever
more ways lead to the same code. So each digest is visited once, and nothing here is recursive.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from scattergather.model.ids import Digest


def needs_first(
    digests: Iterable[Digest],
    needs_of: Callable[[Digest], Iterable[Digest] | None],
    known: Container[Digest] = (),
) -> list[Digest]:
    """These digests and all that they need, each once, and behind what it needs itself.

    On a circle one of them goes before what it needs.

    Args:
        digests: where to begin.
        needs_of: what a digest needs; None if that is not known, and then it is left out.
        known: these are left out, with what only they need.
    """
    found: list[Digest] = []
    seen: set[Digest] = set()
    way: list[tuple[Digest, Iterator[Digest]]] = [(b"", iter(digests))]
    while way:
        digest, rest = way[-1]
        for need in rest:
            needs = None if need in seen or need in known else needs_of(need)
            if needs is not None:
                seen.add(need)
                way.append((need, iter(needs)))
                break
        else:
            way.pop()
            if way:
                found.append(digest)
    return found
