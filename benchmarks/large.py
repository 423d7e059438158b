"""Cases of large values: numpy arrays of float64 that go to a task, and come back.

What counts as done
    A lap ends when every page of the result has been read in this process, so that a result
    that is mapped pays for its page faults as one that was copied pays for its copy. Each lap
    changes the array and checks the change in the result: nobody can answer from memory. The
    result of a lap is dropped before the next, as in ``x = f(x)``.

What counts as moved
    Rates count both ways, there and back. ``sent`` counts nobody's books but the kernel's: bytes
    that crossed the loopback interface.

What counts as held
    See ``memory.held``: private memory of every process of the system, and all shared memory of
    the machine, mapped by somebody or not.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from benchmarks import functions, memory
from benchmarks.scale import Scale
from benchmarks.system import Lacking, System

MEGABYTE = 1_000_000
LAPS = 40
"""How many laps at most."""
PERIOD = 0.005
"""Seconds between two looks at what is held: a lap of ours takes some 0.1 s."""


def array_of(size: int) -> Any:
    """An array of ``size`` bytes, every page of it written."""
    # Here, so that figures of small values are of systems without numpy.
    import numpy as np  # noqa: PLC0415

    return np.arange(size // 8, dtype=np.float64)


def read(array: Any) -> float:
    """Reads one number a page; returns their sum."""
    return float(array[:: 4096 // 8].sum())


def lap(system: System, function: Callable[[Any], Any], array: Any, mark: float) -> float:
    """Seconds of one call with the array, whose first number is ``mark`` this time."""
    array[0] = mark
    # Not in the time of a lap, and the caches are as warm for every system.
    expected = float(function(array[:1])[0])
    began = time.perf_counter()
    result = system.large(function, array)
    read(result)
    took = time.perf_counter() - began
    assert len(result) == len(array)
    assert result[0] == expected, (result[0], expected)
    assert result[-1] == function(array[-1:])[0]
    return took


def lapped(system: System, function: Callable[[Any], Any], scale: Scale) -> float:
    """Seconds of a call with the large array, the median of as many as patience allows."""
    array = array_of(scale.payload)
    for mark in range(3):
        lap(system, function, array, -1.0 - mark)  # memory that is recycled is there by then
    laps: list[float] = []
    until = time.perf_counter() + scale.large_patience
    while len(laps) < 3 or (len(laps) < LAPS and time.perf_counter() < until):
        laps.append(lap(system, function, array, 1.5 + len(laps)))
    return statistics.median(laps)


def echoed(system: System, scale: Scale) -> float:
    """Bytes a second, both ways, of one large array that comes back as it went."""
    return 2 * scale.payload / lapped(system, functions.noop, scale)


def replaced(system: System, scale: Scale) -> float:
    """The same of an array for which a new one comes back, so that both cross in any case."""
    return 2 * scale.payload / lapped(system, functions.copied, scale)


def computed(system: System, scale: Scale) -> float:
    """Seconds for ``x + 1`` of one large array."""
    return lapped(system, system.plus_one, scale)


Spread = Callable[[Callable[[Any], Any], list[Any]], list[Any]]
"""One of a system's own ways to call a function for each of many values."""


def _arrays_echoed(spread: Spread, scale: Scale) -> float:
    arrays = [array_of(MEGABYTE) for _ in range(scale.arrays)]
    laps: list[float] = []
    until = time.perf_counter() + scale.large_patience
    while len(laps) < 3 or (len(laps) < LAPS and time.perf_counter() < until):
        for place, array in enumerate(arrays):
            array[0] = place + 0.5 * len(laps)
        began = time.perf_counter()
        results = spread(functions.noop, arrays)
        for result in results:
            read(result)
        laps.append(time.perf_counter() - began)
        assert [result[0] for result in results] == [array[0] for array in arrays]
        results = result = None  # type: ignore[assignment]
    return 2 * MEGABYTE * scale.arrays / statistics.median(laps)


def arrays_echoed(system: System, scale: Scale) -> float:
    """Bytes a second, both ways, of many arrays of 1 MB, each its own task.

    By one map or one call each, whichever is better for the system.
    """
    ways = [system.submit_many] if system.static_chunks else [system.map_many, system.submit_many]
    rates: list[float] = []
    for spread in ways:
        with suppress(Lacking):
            rates.append(_arrays_echoed(spread, scale))
    if not rates:
        raise Lacking
    return max(rates)


def arrays_mapped(system: System, scale: Scale) -> float:
    """The same by the system's map, whose tasks may be chunks of many arrays each."""
    return _arrays_echoed(system.map_many, scale)


Share = Callable[[Callable[[Any, int], float], Any, int], list[float]]


def sharing(
    share: Share,
    array: Any,
    count: int,
    mark: float,
    function: Callable[[Any, int], float] = functions.few,
) -> float:
    """Seconds of one job whose tasks all take the array."""
    array[0] = mark
    expected = [function(array, place) for place in range(count)]
    began = time.perf_counter()
    results = share(function, array, count)
    took = time.perf_counter() - began
    assert results == expected
    return took


def _shared(
    share: Share, scale: Scale, function: Callable[[Any, int], float] = functions.few
) -> float:
    array = array_of(scale.payload)
    sharing(share, array, 2, -1.0, function)
    laps: list[float] = []
    until = time.perf_counter() + scale.large_patience
    while not laps or (len(laps) < LAPS and time.perf_counter() < until):
        laps.append(sharing(share, array, scale.sharers, 1.5 + len(laps), function))
    return statistics.median(laps)


def shared(system: System, scale: Scale) -> float:
    """Seconds until all of many tasks have read a few numbers of the same large array."""
    return _shared(system.share, scale)


def put(system: System, scale: Scale) -> float:
    """The same by a reference that the user asks for, where that is another way."""
    return _shared(system.put, scale)


def read_whole(system: System, scale: Scale) -> float:
    """Seconds until all of many tasks have read numbers from everywhere in the same large array."""
    return _shared(system.share, scale, functions.whole)


def put_read_whole(system: System, scale: Scale) -> float:
    """The same by a reference that the user asks for, where that is another way."""
    return _shared(system.put, scale, functions.whole)


def shared_sent(system: System, scale: Scale) -> float:
    """Bytes that cross the loopback interface in ``shared``, divided by those of the array."""
    if not system.over_loopback:
        raise Lacking
    array = array_of(scale.payload)
    sharing(system.share, array, 2, -1.0)
    before = memory.over_loopback()
    sharing(system.share, array, scale.sharers, 1.5)
    return (memory.over_loopback() - before) / scale.payload


_IDLE: dict[str, tuple[int, int]] = {}


def idle(system: System) -> tuple[int, int]:
    """Bytes held by the whole system, and by its middle, before its first large value.

    Taken once: what a system keeps in store for the next large value is held, too.
    """
    if system.name in _IDLE:
        return _IDLE[system.name]
    # Whatever imports what it needs has done so.
    for mark in range(8):
        lap(system, system.plus_one, array_of(512), 0.5 + mark)
    gc.collect()
    everybody = memory.settled(memory.everybody(), measure=memory.held)
    _IDLE[system.name] = everybody, memory.settled(system.keepers()[1:])
    return _IDLE[system.name]


def _peak(run: Callable[[Any], object], system: System, scale: Scale) -> float:
    """What is held at most while something runs on the caller's array, divided by its size.

    The array itself does not count.
    """
    before, _ = idle(system)
    array = array_of(scale.payload)
    watch = memory.Watch(memory.everybody(), period=PERIOD, with_shared=True)
    run(array)
    return (watch.peak() - before) / scale.payload - 1


def shared_held(system: System, scale: Scale) -> float:
    """The peak of what is held in ``shared``, in sizes of the array."""

    def run(array: Any) -> None:
        sharing(system.share, array, scale.sharers, 1.5)

    return _peak(run, system, scale)


def computed_held(system: System, scale: Scale) -> float:
    """The peak of what is held in ``x + 1``, in sizes of the array."""

    def run(array: Any) -> None:
        for mark in range(5):
            lap(system, system.plus_one, array, 1.5 + mark)

    return _peak(run, system, scale)


def middle_grown(system: System, scale: Scale) -> float:
    """Bytes by which what stands between client and workers peaks above idle in ``x + 1``."""
    middle = system.keepers()[1:]
    if not middle:
        raise Lacking
    _, before = idle(system)
    array = array_of(scale.payload)
    watch = memory.Watch(middle, period=PERIOD)
    for mark in range(5):
        lap(system, system.plus_one, array, 1.5 + mark)
    return max(watch.peak() - before, 0)
