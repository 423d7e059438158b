"""Copies of one random generator in several tasks: all draw the same numbers. It is told once."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.wire.values.chance import COPIED

REMEMBERED = 256

CURE = "make one in each task, as in np.random.default_rng(), or give each task one of rng.spawn(n)"
CURES = {
    "Random": "make one in each task, as in random.Random(), or give each task a seed of its own",
    "RandomState": "make one in each task, as in np.random.RandomState(), or give each task a seed "
    "of its own",
}
"""Of the kinds that cannot spawn others."""


class EqualDraws:
    """What of ``COPIED`` went to more than one task. Any thread.

    Args:
        tell: shows the user a sentence.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._known: dict[tuple[str, int], None] = {}
        self._told = False

    def look(self, *, many: bool = False) -> None:
        """What was written since the last look went to one task; with ``many``, to several."""
        while COPIED:
            try:
                found = COPIED.popleft()
            except IndexError:  # another thread was first
                return
            if self._told:
                continue
            if many or found in self._known:
                self._told = True
                cure = CURES.get(found[0], CURE)
                self._tell(
                    f"a random generator ({found[0]}) is copied to several tasks, and each copy "
                    f"draws the same numbers: {cure}"
                )
            self._known[found] = None
            if len(self._known) > REMEMBERED:
                self._known.pop(next(iter(self._known)), None)
