"""What one chunk costs a pool, in calls: they can be counted on a machine that is busy."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.pool import Pool

MOST = 20
"""Calls of Python functions for a chunk: it comes, is handed on, and its outcomes are reported."""


def calls_per_chunk(workers: int, queued: int) -> float:
    """The mean over a hundred chunks, of a pool that has so many workers and chunks besides."""
    pool, count, worker_of = Pool(workers), 0, dict[int, int]()

    def profile(_frame: FrameType, what: str, _arg: Any) -> None:
        nonlocal count
        count += what == "call"

    def handle(event: events.Event) -> None:
        sys.setprofile(profile)
        try:
            out = pool.handle(event, 1.0)
        finally:
            sys.setprofile(None)
        for action in out:
            if isinstance(action, actions.Tell) and isinstance(action.message, messages.Run):
                worker_of[action.message.chunk] = action.worker

    pool.handle(events.TenantJoined(tenant=1), 0.0)
    for number in range(1, workers + 1):
        pool.handle(events.WorkerSaid(worker=number, message=messages.Born(pid=number)), 0.0)
    body = blobs.pack([b""])
    for chunk in range(workers + queued + 100):
        if chunk == workers + queued:
            count = 0
        run = messages.Run(chunk=chunk, job=b"j", function="f", first=0, count=1)
        handle(events.MessageReceived(tenant=1, message=run, body=body))
        done = chunk - workers - queued
        if done >= 0:
            outcome = messages.Outcomes(chunk=done, first=0, kinds=b"\0")
            handle(events.WorkerSaid(worker=worker_of[done], message=outcome, body=body))
    return count / 100


@pytest.mark.parametrize("queued", [0, 1000])
@pytest.mark.parametrize("workers", [1, 100])
def test_a_chunk_costs_few_calls_whatever_else_is_there(workers: int, queued: int) -> None:
    assert calls_per_chunk(workers, queued) <= MOST
