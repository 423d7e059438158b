"""Between hosts. ``--only between`` takes all of these cases."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import memory
from benchmarks.scale import Scale
from benchmarks.system import Hosts, System

GROUP = "between"
"""The names of the cases begin with this and a hyphen."""


def added(system: System, scale: Scale) -> float:
    """Seconds from the call that adds a host to the first line of a task there, the longest."""
    return max(system.added(laps=scale.added))


def kept_small(system: System, scale: Scale) -> float:
    """Time for small results that are kept over that for such as come home, one after the other.

    The median of the ratios: what else the machine does changes from one second to the next.
    """
    laps = [
        system.small_results(scale.kept, keep=True) / system.small_results(scale.kept, keep=False)
        for _ in range(KEPT_LAPS + WARM_LAPS)
    ]
    return statistics.median(laps[WARM_LAPS:])


KEPT_LAPS, WARM_LAPS = 15, 3


HANDED_LAPS = 5
EXCHANGE_HOSTS = 4
PAGE = 4096


def took(hosts: Hosts, wanted: Sequence[tuple[int, Sequence[Any]]], sums: Sequence[float]) -> float:
    """Seconds until tasks have read what others have made on other hosts."""
    began = time.perf_counter()
    found = hosts.take(wanted)
    seconds = time.perf_counter() - began
    assert found == list(sums), (found, sums)
    return seconds


def pages(size: int) -> int:
    """How many there are, a part of one too."""
    return -(-size // PAGE)


def _hands(hosts: Hosts, size: int, mark: int) -> float:
    made = hosts.make([(0, size, mark)])
    return took(hosts, [(1, made)], [float(mark * pages(size))])


def handed(system: System, scale: Scale) -> float:
    """Bytes a second of a large array, from the task that made it to one on another host."""
    with system.between(2) as hosts:
        laps = [_hands(hosts, scale.payload, 1 + mark) for mark in range(1 + HANDED_LAPS)]
    return scale.payload / statistics.median(laps[1:])


def handed_passed(system: System, scale: Scale) -> float:
    """Bytes that pass the middle for one such array, made and taken."""
    with system.between(2) as hosts:
        _hands(hosts, scale.payload, 1)
        before = hosts.passed()
        _hands(hosts, scale.payload, 2)
        return hosts.passed() - before


def _exchanges(hosts: Hosts, scale: Scale, mark: int) -> float:
    """Each of so many tasks has made a part for each of as many others."""
    sides = range(scale.exchanged)
    parts = [
        hosts.make([(maker % EXCHANGE_HOSTS, scale.part, mark + maker) for _ in sides])
        for maker in sides
    ]
    wanted = [(taker % EXCHANGE_HOSTS, [row[taker] for row in parts]) for taker in sides]
    total = float(pages(scale.part) * sum(mark + maker for maker in sides))
    return took(hosts, wanted, [total for _ in sides])


def exchanged(system: System, scale: Scale) -> float:
    """Seconds of an exchange of parts between all tasks on several hosts, once they are made."""
    with system.between(EXCHANGE_HOSTS) as hosts:
        laps = [_exchanges(hosts, scale, 1 + mark) for mark in range(4)]
    return statistics.median(laps[1:])


def exchanged_grown(system: System, scale: Scale) -> float:
    """Bytes by which that process grows that grows most meanwhile, without shared memory."""
    with system.between(EXCHANGE_HOSTS) as hosts:
        _exchanges(hosts, scale, 1)
        watch = memory.Watch(hosts.processes(), period=0.02, each=True)
        for mark in range(2, 5):
            _exchanges(hosts, scale, mark)
        return watch.peak()
