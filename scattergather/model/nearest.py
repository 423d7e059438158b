"""A name that does not exist, and the one that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LEAST = 3
"""Shorter names are parts of others by chance."""


def nearest(name: Any, known: Iterable[str]) -> str:
    """The known name that ``name`` was meant to be; empty if none is near.

    Case and underscores count for nothing, and one may be a part of the other: ``n_workers`` is
    ``workers``.
    """
    if not isinstance(name, str):
        return ""
    asked, by_letters = _letters(name), {_letters(each): each for each in known}
    parts = [each for each in by_letters if min(len(each), len(asked)) >= LEAST]
    within = [each for each in parts if each in asked or asked in each]
    near = difflib.get_close_matches(asked, by_letters, n=1) or within[:1]
    return by_letters[near[0]] if near else ""


def there_are(known: Iterable[str], name: Any) -> str:
    """The second half of a sentence on a ``name`` that does not exist: all others, the nearest."""
    known = list(known)
    listed = f"there are: {', '.join(known)}" if known else "there is none"
    near = nearest(name, known)
    return f"{listed}. Did you mean {near!r}?" if near else listed


def _letters(name: str) -> str:
    return name.casefold().replace("_", "")
