"""Words about pushed code, which runs in a worker before its tasks and may end both."""

from __future__ import annotations

PUSHED = "in pushed code: "
"""Begins what a worker notes in the place of a task's arguments while pushed code runs."""


def told(version: int) -> str:
    """Which code it is, and what to do about it."""
    return (
        f"code that was pushed (push_code, version {version}) and runs in each worker before its "
        "tasks. push_code('') withdraws all that was pushed; then push it again, mended."
    )


def is_empty(source: str) -> bool:
    """True when pushing it withdraws what was pushed before."""
    return not source.strip()
