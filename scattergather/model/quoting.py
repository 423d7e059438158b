"""A value of the user's, as a message quotes it: short, in one line, whatever its repr does."""

from __future__ import annotations

from typing import Any

MOST = 200
"""Characters: who mixes up two arguments would be shown all his data."""


def quoted(value: Any, most: int = MOST) -> str:
    """Its repr, or its type if that raises; never longer than ``most``."""
    try:
        text = " ".join(repr(value).splitlines())
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 3] + "..."
