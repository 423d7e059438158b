"""Where no process can be had, the pool hears why, and it is tried again."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import UNFORKED
from scattergather.workers.daemon.nursery import Nursery
from scattergather.workers.daemon.zygotes import ZygoteLink
from scattergather.workers.pool.events import Harvest
from scattergather.workers.process import zygote
from scattergather.workers.process.surroundings.registry import Services

NONE_LEFT = BlockingIOError(11, "Resource temporarily unavailable")
CURE = "this user may have no more processes and threads; raise the limit with `ulimit -u`"


class Machine:
    """One thing cannot be had for so many tries."""

    memory_kills = SimpleNamespace(lately=lambda now: False)

    def __init__(self, what: str, tries: int) -> None:
        self.what, self.tries = what, tries
        self.forked: list[int] = []

    def may(self, what: str) -> None:
        if what == self.what and self.tries:
            self.tries -= 1
            raise NONE_LEFT

    def root(self, *_: Any) -> Any:
        self.may("root")
        return SimpleNamespace(pid=1, open=True, ended=lambda: True, open_session=self.session)

    def session(self, *_: Any) -> Any:
        self.may("session")
        fork = lambda worker: self.forked.append(worker.number)  # noqa: E731
        return SimpleNamespace(pid=2, open=True, fork=fork)

    def worker(self, number: int, *_: Any) -> Any:
        return SimpleNamespace(number=number, pid=0, bury=Harvest)


@pytest.mark.parametrize("what", ["root", "session"])
@pytest.mark.parametrize("hash_seed", [None, 5])
def test_workers_that_wait_for_a_zygote_are_buried_with_the_reason_and_others_live(what, hash_seed):
    clock, machine = Clock(), Machine(what, 3)
    buried: list[Any] = []
    numbers = iter(range(1, 100))
    nursery: Any

    def exited(_: object, event: Any) -> None:
        buried.append(event)
        nursery.fork(brood, next(numbers), lambda *_: None)  # as a pool does

    nursery = Nursery(
        clock,
        machine,  # type: ignore[arg-type]
        (),
        on_ready=lambda: None,
        on_bent=lambda *_: None,
        on_exit=exited,
    )
    nursery.start()
    brood = nursery.open(3, messages.TaskPlace(), hash_seed)
    nursery.fork(brood, next(numbers), lambda *_: None)
    clock.pump([0.2] * 5)
    assert machine.forked == [len(buried) + 1]
    assert buried
    assert all((each.status, CURE in each.why) == (UNFORKED, True) for each in buried)


def link() -> tuple[ZygoteLink, socket.socket, list[Any]]:
    heard: list[Any] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reactor: Any = SimpleNamespace(addReader=lambda _: None, removeReader=lambda _: None)
    return ZygoteLink(reactor, ours, heard.append, lambda: heard.append("end")), theirs, heard


def root(monkeypatch: pytest.MonkeyPatch) -> zygote.RootZygote:
    """A root zygote that can fork nobody."""

    def fork() -> int:
        raise NONE_LEFT

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(zygote.Zygote, "__init__", lambda *_: None)
    made = zygote.RootZygote(None, Services())  # type: ignore[arg-type]
    made._sessions = 0
    return made


@pytest.mark.parametrize("sends", [False, True])
def test_a_session_hears_why_its_zygote_was_never_forked_before_its_end(monkeypatch, sends):
    ours, theirs, heard = link()
    ours._channel.send(b"what nobody will read")
    with theirs:
        root(monkeypatch).handle(messages.OpenSession(session=1), [theirs.fileno(), 0])
    for _ in range(3):
        ours.settle(messages.TaskPlace()) if sends else ours.doRead()
    said, end = heard
    assert (said.worker, said.status, end) == (0, UNFORKED, "end")
    assert CURE in said.why
