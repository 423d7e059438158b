"""Directory, module path and environment that the workers of a session see."""

from __future__ import annotations

import importlib
import os
import sys

from scattergather.wire.messages.zygote import OpenSession

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def one_thread_each() -> None:
    """Numeric libraries use one thread unless told otherwise: the workers share the cores.

    Has to run before the first of them is imported.
    """
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")


def settle(place: OpenSession) -> list[str]:
    """This process sees ``place``; returns a sentence for each part that cannot be had."""
    problems: list[str] = []
    os.environ.update(place.environment)
    if place.path:
        # Ours stay reachable behind the client's: scattergather itself may be found only there.
        sys.path[:] = [*place.path, *(each for each in sys.path if each not in place.path)]
        importlib.invalidate_caches()
    if place.directory:
        try:
            os.chdir(place.directory)
        except OSError as error:
            problems.append(
                f"The workers stay in {os.getcwd()}: {place.directory} cannot be entered "
                f"({error.strerror})."
            )
    return problems
