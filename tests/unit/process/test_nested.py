"""Nested calls, as a task sees them, on a line that the test plays."""

from __future__ import annotations

import contextlib
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from scattergather.model.outcome import Kind
from scattergather.wire.messages import page as messages
from scattergather.workers.process.task import nested
from scattergather.workers.process.task.nested import Nested


def test_a_task_that_looks_and_always_finds_its_answers_says_that_it_has_read_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nested, "CONFIRMED", 1 << 14)
    sent: list[Any] = []

    def read_until(done: Any, *_: Any) -> bool:
        answer = messages.NestedOutcome(worker=1, ticket=ticket, kind=Kind.RETURNED)
        assert calls.sort(answer, bytes(1 << 12))
        return bool(done())

    line: Any = SimpleNamespace(send=sent.append, inbox=deque(), read_until=read_until)
    chunks: Any = SimpleNamespace(flush=lambda: None)
    interrupts: Any = SimpleNamespace(
        wanted=None, exposed=lambda wait: wait, shielded=contextlib.nullcontext
    )
    large: Any = SimpleNamespace(
        answers=SimpleNamespace(settle=lambda: None, hold=lambda objects: ())
    )
    calls = Nested(line, chunks, SimpleNamespace(), interrupts, large)  # type: ignore[arg-type]
    for ticket in range(5):
        calls._open.add(ticket)
        assert calls.settled(ticket, 0.0)
    assert sent == [messages.Waiting(), messages.Resumed()]
