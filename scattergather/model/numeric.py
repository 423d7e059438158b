"""Numbers as users have them: those of numpy are as good as Python's, and a bool is none."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, TypeGuard


def is_whole(number: Any) -> TypeGuard[int]:
    """It counts something; ``int(number)`` can be sent if it is small enough."""
    return isinstance(number, Integral) and not isinstance(number, bool)


def is_real(number: Any) -> TypeGuard[float]:
    """It measures something; it may still be NaN."""
    return isinstance(number, Real) and not isinstance(number, bool)
