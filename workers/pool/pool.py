"""The pool's one door: ``handle(event, now) -> list[Action]``.

It sorts events to the modules beside it, each of which opens with its rules, and keeps the
sessions. Two rules are here:

- A worker that waits for a nested result lends its slot, and another is forked if none is idle.
- A session that closes takes its workers along; nothing more is reported to it.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions, events, objects
from scattergather.workers.pool.chunks import cancelling, feeding, leases, roll_calls
from scattergather.workers.pool.crew import SPARE_SECONDS, Crew, report, report_slots
from scattergather.workers.pool.losses import deaths, watching
from scattergather.workers.pool.tenant import Queued, Tenant
from scattergather.workers.pool.worker import PoolWorker


class Pool:
    """Sessions and workers of one host, behind a door."""

    def __init__(self, slots: int) -> None:
        self._crew = crew = Crew(slots)
        self.slots = slots
        self.sessions = crew.sessions
        self.workers = crew.workers

    @property
    def wake_at(self) -> float | None:
        """When it wants to be ticked."""
        return self._crew.wake_at

    def handle(self, event: events.Event, now: float) -> list[actions.Action]:
        """Take in what happened; returns what is to be done about it, in order."""
        out: list[actions.Action] = []
        match event:
            case events.WorkerSaid():
                worker = self.workers.get(event.worker)
                if worker is not None:
                    self._worker_said(worker, event.message, event.body, now, out)
            case events.MessageReceived():
                session = self.sessions.get(event.session)
                if session is not None:
                    self._received(session, event, now, out)
            case events.ObjectsArrived():
                session = self.sessions.get(event.session)
                if session is not None:
                    objects.arrived(self._crew, session, event.objects, now, out)
            case events.ObjectsLost():
                session = self.sessions.get(event.session)
                if session is not None:
                    objects.lost(session, event.objects, event.reason, out)
            case events.RoomWanted():
                session = self.sessions.get(event.session)
                if session is not None:
                    session.pressed = True
            case events.WorkerExited():
                deaths.worker_exited(self._crew, event, now, out)
            case events.SessionOpened():
                limit = min(event.workers or self.slots, self.slots)
                session = Tenant(event.session, limit)
                self.sessions[event.session] = session
                self._crew.fork(session, now, out)
            case events.SessionClosed():
                self._session_closed(event, now, out)
            case events.Sampled():
                watching.sampled(self._crew, event, now, out)
            case events.ChunkRecalled():
                holder = self.workers.get(event.worker)
                session = self.sessions.get(holder.session) if holder is not None else None
                if holder is not None and session is not None:
                    leases.recalled(self._crew, session, holder, event.chunk, out)
            case events.FoundStopped():
                watching.found_stopped(self._crew, event, now, out)
            case events.Ticked():
                self._ticked(now, out)
            case _:
                assert_never(event)
        for session in self.sessions.values():
            if session.pressed:
                objects.make_room(self._crew, session, now, out)
        return out

    def limited(self) -> list[int]:
        """The workers whose running chunk has limits: their memory is sampled too."""
        return watching.limited(self._crew)

    def _received(
        self,
        session: Tenant,
        event: events.MessageReceived,
        now: float,
        out: list[actions.Action],
    ) -> None:
        message, body = event.message, event.body
        match message:
            case messages.Run() if event.refused:
                objects.lose(session, message, event.refused, out)
            case messages.Everywhere() if event.refused:
                roll_calls.failed(session, message.call, event.refused, out)
            case messages.Run() if event.missing:
                objects.wait(session, Queued(message, body, set(event.missing)), out)
            case messages.Run():
                session.queue[message.chunk] = Queued(message, body)
                feeding.feed(self._crew, now, out)
            case messages.Drop():
                objects.drop(session, message.objects, out)
            case messages.Code():
                session.code[message.digest] = (message, body)
            case messages.Forget():
                feeding.forget(session, message.digests, out)
            case messages.Resident():
                session.residents.append(message)
                out += [
                    actions.Tell(worker=worker.number, message=message)
                    for worker in session.workers.values()
                    if worker.born and worker.doom is None
                ]
            case messages.TakeBack():
                leases.take_back(session, message.count, out)
            case messages.Cancel():
                for chunk in message.chunks:
                    cancelling.cancel(self._crew, session, chunk, now, out)
            case messages.Refresh():
                roll_calls.refresh(self._crew, session, message.call, now, out)
            case messages.Everywhere() if event.missing:
                objects.postpone(session, message, body, event.missing, out)
            case messages.Everywhere():
                roll_calls.everywhere(self._crew, session, message, body, now, out)
            case messages.NestedOutcome() if event.refused:
                objects.withhold(session, message, event.refused, out)
            case messages.NestedOutcome() if event.missing:
                objects.postpone(session, message, body, event.missing, out)
            case messages.NestedOutcome():
                objects.give(session, message, body, out)
            case messages.Want():
                pass  # the link sees to it
            case _:
                assert_never(message)

    def _worker_said(
        self,
        worker: PoolWorker,
        message: messages.FromWorker,
        body: bytes,
        now: float,
        out: list[actions.Action],
    ) -> None:
        session = self.sessions.get(worker.session)
        if session is None:
            return
        match message:
            case messages.Outcomes():
                leases.arrived(self._crew, session, worker, message, body, now, out)
            case messages.Output():
                report(session, message, out, body)
            case messages.Born():
                self._born(session, worker, message.pid, now, out)
            case messages.GaveBack():
                leases.gave_back(self._crew, session, worker, message, now, out)
            case messages.EverywhereDone():
                roll_calls.answered(session, worker, message, body, out)
            case messages.NestedSubmit():
                submit = msgspec.structs.replace(message, worker=worker.number)
                report(session, submit, out, body)
            case messages.Code():
                session.code[message.digest] = (message, body)
                report(session, message, out, body)
            case messages.Kept():
                objects.keep(session, worker, message.objects)
            case messages.LetGo():
                objects.let_go(session, worker, message.objects, out)
            case messages.Release():
                objects.given_back(session, worker, message.objects, out)
            case messages.Slab() | messages.SlabGone():
                pass  # the service has taken what they bring
            case messages.Waiting():
                self._waiting(session, worker, now, out)
            case messages.Resumed():
                if worker.blocked:
                    worker.blocked = False
                    session.running += bool(worker.leases)
                    report_slots(session, out)
            case _:
                assert_never(message)

    def _born(
        self, session: Tenant, worker: PoolWorker, pid: int, now: float, out: list[actions.Action]
    ) -> None:
        worker.born, worker.pid = True, pid
        if worker.doom is not None:
            return
        paused = session.restarts.pause
        session.restarts.lived()
        if paused:
            self._crew.fork(session, now, out)
        out += [actions.Tell(worker=worker.number, message=each) for each in session.residents]
        roll_calls.catch_up(session, worker, out)
        self._crew.idle(session, worker, now)
        session.idle.move_to_end(worker.number, last=False)  # nothing of it is warm
        report_slots(session, out)
        roll_calls.settled(session, worker, now, out)
        feeding.feed(self._crew, now, out)

    def _waiting(
        self, session: Tenant, worker: PoolWorker, now: float, out: list[actions.Action]
    ) -> None:
        if worker.blocked:
            return
        worker.blocked = True
        session.running -= bool(worker.leases)
        if not session.idle and session.alive < session.limit + session.blocked:
            self._crew.fork(session, now, out)
        report_slots(session, out)
        feeding.feed(self._crew, now, out)

    def _session_closed(
        self, event: events.SessionClosed, now: float, out: list[actions.Action]
    ) -> None:
        """Forget the session and its workers: the driver closes their zygote, which ends them."""
        session = self.sessions.pop(event.session, None)
        if session is not None:
            for number in session.workers:
                del self.workers[number]
            feeding.feed(self._crew, now, out)

    def _ticked(self, now: float, out: list[actions.Action]) -> None:
        self._crew.wake_at = None
        for worker in self.workers.values():
            cancelling.escalate(self._crew, worker, now, out)
        for session in self.sessions.values():
            if session.restarts.pause:
                if now >= session.restarts.until:
                    self._crew.fork(session, now, out)
                else:
                    self._crew.wake(session.restarts.until)
            self._crew.retire_spares(session, now, SPARE_SECONDS, out)
        feeding.feed(self._crew, now, out)
