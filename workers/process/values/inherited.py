"""What was mapped when a task forked a process, which reads it for as long as it lives.

A private mapping shows what is written below it later, in every copy of the process that has made
it. So what was mapped at a fork counts as in use here until the copy is gone, whatever became of it
in the worker itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from scattergather.machine import proc


class Inherited:
    """Mappings that copies of this process may read. Any thread."""

    def __init__(self) -> None:
        self._views: list[object] = []

    def keep(self, views: Iterable[object]) -> None:
        """This process was copied, and these were mapped."""
        self._views.extend(views)

    def settle(self) -> None:
        """Nothing is kept any more, if no copy can be there.

        Which of our children are copies, or have made some, is not known: any that runs counts.
        """
        had = len(self._views)
        # Only what was there before the look: the next copy may be made behind it.
        if had and not proc.living_children():
            del self._views[:had]
