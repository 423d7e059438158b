"""Interrupts of what a thread does: at each moment at which one can come, one after the other."""

from __future__ import annotations

import dis
import itertools
import sys
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
        sys.settrace(strike)
        try:
            action()
        except Struck:
            pass
        finally:
            sys.settrace(before)
            last.clear()  # who has a frame has all that is in it
        if left > 0:
            return
        yield number
