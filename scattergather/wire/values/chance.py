"""Random generators that are pickled: each copy draws the same numbers, so their user is told."""

from __future__ import annotations

from collections import deque
from typing import Any

GENERATORS = frozenset({
    ("numpy.random._generator", "Generator"),
    ("numpy.random._mt19937", "MT19937"),
    ("numpy.random._pcg64", "PCG64"),
    ("numpy.random._pcg64", "PCG64DXSM"),
    ("numpy.random._philox", "Philox"),
    ("numpy.random._sfc64", "SFC64"),
    ("numpy.random.mtrand", "RandomState"),
    ("random", "Random"),
})  # fmt: skip

COPIED: deque[tuple[str, int]] = deque(maxlen=256)
"""Of each generator that was written lately: its type, and a hash of where it stands."""


def reduce_generator_of_chance(_writing: Any, generator: Any) -> Any:
    """As it does it itself; that it was copied is noted."""
    try:
        COPIED.append((type(generator).__name__, hash(_state(generator))))
    except Exception:  # a subclass, perhaps, that says it in other words
        pass
    return NotImplemented


def _state(generator: Any) -> Any:
    if hasattr(generator, "bit_generator"):
        generator = generator.bit_generator
    if hasattr(generator, "state"):
        return repr(generator.state)
    return repr(generator.get_state()) if hasattr(generator, "get_state") else generator.getstate()
