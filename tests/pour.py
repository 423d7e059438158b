"""Bytes into whoever says where they are to go, as a socket or TLS gives them."""

from __future__ import annotations

from collections.abc import Callable


def pour(data: bytes, space: Callable[[], memoryview], filled: Callable[[int], object]) -> None:
    """Write all of ``data`` into ``space()``, piece by piece; ends when that is empty."""
    at = 0
    while at < len(data) and (room := space()):
        count = min(len(room), len(data) - at)
        room[:count] = data[at : at + count]
        at += count
        filled(count)
