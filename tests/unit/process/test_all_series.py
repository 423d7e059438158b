from __future__ import annotations

import numpy
import pytest

from scattergather.errors import BadRequest
from scattergather.workers.services.all_series import all_series


def test_it_counts_every_number_once() -> None:
    counts, edges = all_series(1000, distribution="normal", loc=1, scale=1, bins=10)
    assert counts.sum() == 1000
    assert len(counts) == 10
    assert len(edges) == 11


@pytest.mark.parametrize(
    ("distribution", "center"),
    [
        ("normal", 100.0),
        ("laplace", 100.0),
        ("logistic", 100.0),
        ("standard_normal", 100.0),
        ("uniform", 101.0),
        ("random", 101.0),
        ("exponential", 102.0),
        ("standard_exponential", 102.0),
        ("gumbel", 100.0 + 2.0 * 0.5772),
        ("rayleigh", 100.0 + 2.0 * 1.2533),
    ],
)
def test_location_and_scale_mean_the_same_everywhere(distribution: str, center: float) -> None:
    counts, edges = all_series(20_000, distribution, 100, 2, 200)
    middles = (edges[1:] + edges[:-1]) / 2
    assert numpy.average(middles, weights=counts) == pytest.approx(center, abs=0.2)


def test_the_heavy_tailed_one_works_too() -> None:
    counts, _ = all_series(1000, "standard_cauchy", 5, 1, 10)
    assert counts.sum() == 1000


def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"'nromal'.*laplace.*normal.*uniform") as caught:
        all_series(10, "nromal")
    assert isinstance(caught.value, BadRequest)
