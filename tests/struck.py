"""What may come between a thread's steps, at each moment in turn: an interrupt, another thread."""

from __future__ import annotations

import contextlib
import dis
import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Struck(BaseException):
    """The interrupt. It may come in a finaliser, too, where it is reported and lost."""


def struck_everywhere(action: Callable[[], object]) -> Iterator[int]:
    """Do it again and again, and interrupt it one moment later each time.

    The interpreter looks for signals when a function begins, behind calls, and when it jumps back.
    Yields after each the number of that moment, until it ends without an interrupt.
    """
    with nobody_watches_the_collector():
        yield from _struck_everywhere(action)


@contextlib.contextmanager
def nobody_watches_the_collector() -> Iterator[None]:
    """What others have hung into the collector, as Hypothesis does, is not struck in our place.

    The collector runs whenever this Python likes, also in the middle of the action.
    """
    before = gc.callbacks[:]
    gc.callbacks.clear()
    try:
        yield
    finally:
        gc.callbacks[:] = before


def trace_instructions(function: Callable[[FrameType, str, Any], Any]) -> None:
    """``function`` is told of what this thread does, and of instructions in frames that want it.

    Python 3.12 looks when this begins whether any frame ever wanted that. So one does.
    """
    sys._getframe().f_trace_opcodes = True
    sys.settrace(function)


def _struck_everywhere(action: Callable[[], object]) -> Iterator[int]:
    last: dict[FrameType, str] = {}
    for number in itertools.count(1):
        left = number

        def strike(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            frame.f_trace_opcodes = True
            if event == "opcode":
                before, now = last.get(frame, ""), dis.opname[frame.f_code.co_code[frame.f_lasti]]
                last[frame] = now
                looks = before.startswith("CALL") or "JUMP_BACKWARD" in before
                # Behind a call that has raised it does not look before it is in the handler.
                looks = looks and now != "PUSH_EXC_INFO"
            else:
                looks = event == "call"
            left -= looks
            if looks and not left:
                sys.settrace(None)
                raise Struck
            return strike

        before = sys.gettrace()
        gc.disable()  # or the garbage of other tests, which has finalisers, is struck
        trace_instructions(strike)
        try:
            action()
        except Struck:
            pass
        finally:
            sys.settrace(before)
            gc.enable()
            last.clear()  # who has a frame has all that is in it
        if left > 0:
            return
        yield number


def overtaken_everywhere(
    action: Callable[[], object], other: Callable[[], object]
) -> Iterator[Any]:
    """Do it again and again, and have another thread do the other thing one step later each time.

    CPython 3.11 lets others run only where it looks for signals. Here they run between any two
    instructions, as they do where there is no lock around the interpreter. Yields after each what
    the action returned, until it is over before the other thing begins.
    """
    for number in itertools.count(1):
        left = number

        def step(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            frame.f_trace_opcodes = True
            left -= event == "opcode"
            if left or event != "opcode":
                return step
            sys.settrace(None)
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            return None

        before = sys.gettrace()
        trace_instructions(step)
        try:
            came = action()
        finally:
            sys.settrace(before)
        if left > 0:
            return
        yield came
