from __future__ import annotations

import random

from scattergather.scheduler.chunking import CHUNK_SECONDS, Estimate, chunk_size, read_ahead


def size(estimate: Estimate, queued: int = 10**6, slots: int = 2, proven: int = 10**6) -> int:
    return chunk_size(estimate, queued=queued, slots=slots, proven=proven, mean_bytes=20)


def learned(*seconds: float) -> Estimate:
    estimate = Estimate()
    for each in seconds:
        estimate.learn(1, each)
    return estimate


def test_short_steady_tasks_fill_a_chunk() -> None:
    assert size(learned(*[1e-5] * 10)) == round(CHUNK_SECONDS / 1e-5)


def test_tasks_as_long_as_a_chunk_travel_alone() -> None:
    assert size(learned(CHUNK_SECONDS)) == 1


def test_a_preempted_batch_does_not_shrink_the_chunks_of_short_tasks_much() -> None:
    estimate = Estimate()
    for elapsed in [0.008] * 10 + [0.012] + [0.008] * 3:
        estimate.learn(800, elapsed)
    assert size(estimate) > 400


def test_heavy_tailed_tasks_travel_nearly_alone_though_their_mean_is_short() -> None:
    chance = random.Random(1)
    estimate = Estimate()
    for _ in range(200):
        estimate.learn(1, 0.4 if chance.random() < 0.01 else 0.001)
    estimate.learn(1, 0.4)
    assert size(estimate) == 1
    assert not estimate.brief


def test_the_end_of_a_job_is_shared_out() -> None:
    assert size(learned(1e-5), queued=20, slots=5) == 2


def test_large_arguments_make_small_chunks() -> None:
    estimate = learned(1e-5)
    assert chunk_size(estimate, queued=10**6, slots=1, proven=10**6, mean_bytes=1 << 18) == 4


def test_nothing_is_read_ahead_of_unknown_or_very_long_tasks() -> None:
    assert read_ahead(Estimate(), slots=4, round_trip=0.001) == 0
    assert read_ahead(learned(5.0), slots=4, round_trip=0.001) == 0


def test_a_distant_host_holds_more() -> None:
    near = read_ahead(learned(1e-5), slots=4, round_trip=0.0002)
    far = read_ahead(learned(1e-5), slots=4, round_trip=0.05)
    assert far > near >= 4


def test_every_worker_of_a_host_has_the_next_one_there_while_tasks_take_less_than_a_second() -> (
    None
):
    for seconds in (0.01, 0.3, 0.9):
        near = read_ahead(learned(seconds), slots=8, round_trip=0.0002)
        far = read_ahead(learned(seconds), slots=8, round_trip=0.2)
        assert 8 < near <= 10
        assert far >= near + 2


def test_short_tasks_may_wait_in_a_worker_and_long_or_unknown_ones_may_not() -> None:
    assert learned(0.09).ahead
    assert not learned(0.11).ahead
    assert not Estimate().ahead
