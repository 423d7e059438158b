"""Copying within memory, by several processors where the object is large."""

from __future__ import annotations

import _thread
import ctypes
import itertools
import os
import threading

from scattergather.wire.memory.owned import address_of

PART_BYTES = 4 << 20
"""What one processor copies at least: less is not worth a thread."""

COPIERS = min(4, os.cpu_count() or 1)
"""Processors that copy one object at most: a few take all that memory gives."""
_memmove = ctypes.PyDLL(None).memmove
"""Keeps the interpreter: to get it back from another thread may take longer than a short copy."""

_memmove.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_memmove.restype = ctypes.c_void_p


def copy(target: int, data: memoryview) -> None:
    """Copy ``data`` to an address whose pages are there; by several processors if it is large.

    A third of the time of ``slabs.write``, in which the kernel lets one thread a file do the work.
    """
    source, size = address_of(data), data.nbytes
    parts = min(COPIERS, size // PART_BYTES)
    if parts < 2:
        _memmove(target, source, size)
        return
    step = size // parts
    work: list[tuple[threading.Lock, int, int, int]] = []
    for at in range(step, step * parts, step):
        busy = threading.Lock()
        busy.acquire()
        count = size - at if at == step * (parts - 1) else step
        work.append((busy, target + at, source + at, count))
    helpers: list[int] = []
    interrupt: BaseException | None = None
    try:
        # One call of C, so that it is known of each whether it runs; threads of ``threading`` that
        # an interrupt finds as they begin seem not to.
        helpers.extend(map(_thread.start_new_thread, itertools.repeat(_copy_part), work))
        ctypes.memmove(target, source, step)
    finally:
        # Whatever interrupts this, too, nobody writes any more when it returns. Not in a function
        # of its own, which could be interrupted as it begins.
        waiting = True
        while waiting:
            try:
                for busy, *_ in work[: len(helpers)]:
                    with busy:
                        pass
                waiting = False
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def _copy_part(busy: threading.Lock, target: int, source: int, count: int) -> None:
    try:
        ctypes.memmove(target, source, count)
    finally:
        busy.release()
