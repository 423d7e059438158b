"""What a task displays (HTML, images, tables, figures), as it would stand under a cell at its end.

What is displayed is kept until the task ends, and goes between the pieces of what it printed;
replaced and cleared is it here, so that a thousand pictures of an animation are one.

The text form of each is printed. It stands for it when the worker dies first, and tells the place.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scattergather.model.snapshot import in_bytes
from scattergather.wire.values.bundle import Bundle, pack_bundle
from scattergather.workers.process.surroundings.capture import Capture

MOST = 64
"""How much a task may display; what is beyond is counted."""

MOST_BYTES = 16_000_000
"""Bytes of one thing displayed, and half of what all of a task may take."""


@dataclass(slots=True, kw_only=True)
class _Shown:
    """``start`` and ``stop`` say where its text form was printed."""

    bundle: Bundle
    size: int
    start: int
    stop: int


class Displays:
    """What the task at work has displayed. Any thread of it.

    Args:
        capture: where its text forms are printed.
        hold: is told how much the task has printed, when there is more to it than that: what it
            prints from then on comes at its end.
    """

    def __init__(self, capture: Capture, hold: Callable[[int], None]) -> None:
        self._capture = capture
        self._hold = hold
        self._turn = threading.RLock()
        self._shown: list[_Shown] = []
        self._left_out = 0
        self._cleared = 0
        """What was printed before this place is not shown."""
        self._clearing: tuple[int, int] | None = None
        """How much was printed and shown when the next thing was to take the place of it."""

    # ---- what a task does -----------------------------------------------------------------------

    def show(self, bundle: Bundle) -> None:
        """It is shown behind what was printed and shown so far, or in the place of its own id."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                continue  # the task's own stream, perhaps closed
        try:
            size = len(pack_bundle(bundle))
        except Exception as error:
            self._print(f"{bundle.text}\n[it cannot be shown otherwise: {error}]")
            return
        with self._turn:
            self._hold(self._capture.output.size())
            self._clear_if_due()
            before = self._find(bundle)
            held = sum(each.size for each in self._shown) - (before.size if before else 0)
            if size > MOST_BYTES:
                kinds = ", ".join(kind for kind in bundle.data if kind != "text/plain")
                limit = in_bytes(MOST_BYTES)
                why = f"{kinds} of {in_bytes(size)} is not shown: more than {limit}"
                self._print(f"{bundle.text[:4000]}\n[{why}; return it, or save it to a file]")
            elif before is not None and held + size <= 2 * MOST_BYTES:
                before.bundle = Bundle(
                    data=bundle.data,
                    metadata=bundle.metadata,
                    display_id=bundle.display_id,
                    update=before.bundle.update,
                )
                before.size = size
            elif len(self._shown) >= MOST or held + size > 2 * MOST_BYTES:
                self._left_out += 1
                self._print(bundle.text)
            else:
                start, stop = self._print(bundle.text)
                self._shown.append(_Shown(bundle=bundle, size=size, start=start, stop=stop))

    def _find(self, bundle: Bundle) -> _Shown | None:
        if not bundle.update:
            return None
        same = (each for each in self._shown if each.bundle.display_id == bundle.display_id)
        return next(same, None)

    def clear(self, wait: bool) -> None:
        """What the task printed and showed so far is not seen any more.

        Args:
            wait: only when there is something to take its place.
        """
        with self._turn:
            self._hold(self._capture.output.size())
            self._clearing = self._capture.output.size(), len(self._shown)
            if not wait:
                self._clear_if_due()

    def _clear_if_due(self) -> None:
        if self._clearing is not None:
            self._cleared, count = self._clearing
            del self._shown[:count]
            self._clearing = None

    def _print(self, text: str) -> tuple[int, int]:
        coded = (text + "\n").encode("utf-8", "backslashreplace")
        os.write(self._capture.output.fd, coded)
        stop = self._capture.output.size()
        return stop - len(coded), stop

    # ---- when it is over ------------------------------------------------------------------------

    def parts(self, printed: bytes, dropped: int) -> Iterator[tuple[bytes | Bundle, int, int]]:
        """What the task printed and showed, in order; how many bytes are missing before each.

        Of what was printed the third is where it begins: behind so many bytes of all.

        Whatever comes next is the next task's. ``printed`` is the end of what was printed, behind
        ``dropped`` bytes.
        """
        with self._turn:
            if self._clearing is not None and self._clearing[0] < dropped + len(printed):
                self._clear_if_due()
            shown, self._shown = self._shown, []
            left_out, self._left_out = self._left_out, 0
            place, self._cleared = max(dropped, self._cleared), 0
            self._clearing = None
        missing = dropped if place == dropped else 0
        for each in shown:
            if text := printed[max(0, place - dropped) : max(0, each.start - dropped)]:
                yield text, missing, place
                missing = 0
            yield each.bundle, 0, 0
            place = max(place, each.stop)
        if (text := printed[place - dropped :]) or missing:
            yield text, missing, place
        if left_out:
            said = f"[{left_out} more that it displayed are shown as text only: more than {MOST} "
            said += f"or {in_bytes(2 * MOST_BYTES)}]\n"
            yield said.encode(), 0, dropped + len(printed)
