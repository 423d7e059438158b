"""How much of everything the cases take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything."""

    #: Seconds that a measurement at a rate may take, about.
    patience: float
    #: The same for large values, of which a few laps tell enough.
    large_patience: float
    roundtrips: int
    mapped: int
    submitted: int
    seeds: int
    naps: int
    refreshes: int
    #: Bytes of the one large array.
    payload: int
    #: How many arrays of 1 MB.
    arrays: int
    #: How many tasks take the same large array.
    sharers: int
    #: Daemons, workers of each, and tasks of each of these.
    hosts: int
    host_workers: int
    host_rounds: int
    #: Hosts that are added, one after the other.
    added: int
    #: Small results that are kept.
    kept: int
    #: Each of so many tasks makes a part for each of as many; and the bytes of a part.
    exchanged: int
    part: int


FULL = Scale(
    patience=3.0, large_patience=1.0, roundtrips=500,
    mapped=100_000, submitted=20_000, seeds=10_000, naps=400,
    refreshes=5, payload=100_000_000, arrays=200, sharers=64,
    hosts=24, host_workers=8, host_rounds=30,
    added=10, kept=10_000, exchanged=8, part=4_000_000,
)  # fmt: skip
SHORT = Scale(
    patience=1.0, large_patience=1.0, roundtrips=200,
    mapped=100_000, submitted=5_000, seeds=2_000, naps=100,
    refreshes=3, payload=4_000_000, arrays=8, sharers=16,
    hosts=3, host_workers=4, host_rounds=5,
    added=3, kept=2_000, exchanged=4, part=400_000,
)  # fmt: skip
