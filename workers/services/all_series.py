"""A histogram of random numbers: the job that the first of our ancestors was made for.

Every distribution of numpy's ``Generator`` that a location and a scale describe:

- those with ``loc`` and ``scale``: normal, laplace, logistic, gumbel;
- uniform on [loc, loc + scale);
- exponential and rayleigh with their ``scale``, moved by ``loc``;
- the standard ones (standard_normal, standard_exponential, standard_cauchy, random), scaled, then
  moved.

numpy is imported by the first call, or by ``preload`` in the zygote, for all workers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_draws: dict[str, Callable[[int, float, float], Any]] = {}
_histogram: Callable[..., Any] | None = None


def all_series(
    sizeSeries: int, distribution: str = "normal", loc: float = 1, scale: float = 1, bins: int = 50
) -> Any:
    """Histogram of ``sizeSeries`` random numbers: their counts in ``bins`` bins, and the edges.

    Raises:
        BadRequest: there is no such distribution; the message lists those there are.
        CannotImport: this host has no numpy.
    """
    if _histogram is None:
        preload()
    draw = _draws.get(distribution)
    if draw is None:
        raise _unknown(distribution)
    return _histogram(draw(sizeSeries, loc, scale), bins)  # type: ignore[misc]


def preload() -> None:
    """Load numpy, with a generator that no other process shares.

    Raises:
        CannotImport: this host has no numpy.
    """
    global _histogram
    try:
        import numpy  # noqa: PLC0415  (optional, and slow to load)
    except ImportError as error:
        from scattergather.errors import CannotImport  # noqa: PLC0415

        raise CannotImport(
            f"all_series needs numpy on this host: {sys.executable} -m pip install numpy",
            module="numpy",
        ) from error
    _seed()
    _histogram = numpy.histogram


def _seed() -> None:
    import numpy  # noqa: PLC0415

    generator = numpy.random.default_rng()
    normal, laplace = generator.normal, generator.laplace
    logistic, gumbel = generator.logistic, generator.gumbel
    uniform, exponential, rayleigh = generator.uniform, generator.exponential, generator.rayleigh
    _draws.update(
        normal=lambda size, loc, scale: normal(loc, scale, size),
        laplace=lambda size, loc, scale: laplace(loc, scale, size),
        logistic=lambda size, loc, scale: logistic(loc, scale, size),
        gumbel=lambda size, loc, scale: gumbel(loc, scale, size),
        uniform=lambda size, loc, scale: uniform(loc, loc + scale, size),
        exponential=lambda size, loc, scale: loc + exponential(scale, size),
        rayleigh=lambda size, loc, scale: loc + rayleigh(scale, size),
    )
    for name in ("standard_normal", "standard_exponential", "standard_cauchy", "random"):
        _draws[name] = _standard(getattr(generator, name))


def _standard(draw: Callable[[int], Any]) -> Callable[[int, float, float], Any]:
    return lambda size, loc, scale: loc + scale * draw(size)


def _unknown(distribution: str) -> Exception:
    from scattergather.errors import BadRequest  # noqa: PLC0415

    return BadRequest(
        f"all_series knows no distribution {distribution!r}; it knows {', '.join(sorted(_draws))}."
    )


def _after_fork() -> None:
    if _histogram is not None:
        _seed()


os.register_at_fork(after_in_child=_after_fork)
