"""What was displayed as the last line of a cell goes on moving: a job, a client.

Each is looked at four times a second, and before a cell ends, and shown anew if it has changed; the
last look is when nothing more will come. One thread looks at all of them, while there are any.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from scattergather.client.pipe.waiting import start_thread
from scattergather.client.seen.cell import CellOutput

INTERVAL = 0.25

MOST = 50
"""How many move at a time; of more, the oldest stand still."""

Look = Callable[[], tuple[bool, dict[str, str]]]
"""What there is to see now, by mime type, and before it whether that is the last."""


class Live:
    """All that moves in one kernel. Any thread."""

    def __init__(self) -> None:
        self._views: list[_View] = []
        self._turn = threading.Lock()
        self._runs = False

    def show(self, output: CellOutput, look: Look) -> Callable[[], None]:
        """It is seen, and moves from now on; what is returned lets it move again after its end."""
        view = _View(output, look)
        self._move(view)
        return partial(self._move, view)

    def _move(self, view: _View) -> None:
        if view.look():
            return
        with self._turn:
            if view not in self._views:
                self._views.append(view)
                del self._views[:-MOST]
            if not self._runs:
                start_thread(self._run, "scattergather-live")
                self._runs = True

    def look(self) -> None:
        """All show how they stand."""
        for view in list(self._views):
            if view.look():
                with self._turn:
                    if view in self._views:
                        self._views.remove(view)

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            self.look()
            with self._turn:
                if not self._views:
                    self._runs = False
                    return


class _View:
    def __init__(self, output: CellOutput, look: Look) -> None:
        self._output = output
        self._look = look
        self._seen: dict[str, str] = {}
        self._turn = threading.RLock()

    def look(self) -> bool:
        """It is shown if it has changed; True when it will not change any more."""
        try:
            with self._turn:
                last, seen = self._look()
                if self._output.gone:
                    return True
                if seen != self._seen:
                    self._seen = seen
                    self._output.show(dict(seen))
                return last
        except Exception:
            return True  # what cannot be shown must not stop what else moves
