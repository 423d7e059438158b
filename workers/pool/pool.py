"""The pool's one door: ``handle(event, now) -> list[Action]``.

Rules, and why:

- A worker gets a chunk when it is idle, and a second one only when both are brief: then it need not
  wait for us in between. Everything else stays queued here, where it can be cancelled or given
  back without asking a worker.
- At most ``slots`` workers run at a time, whichever session they belong to. A free slot goes to the
  session that runs least; one that got none for a second is given a worker beyond the slots.
- A worker that waits for a nested result lends its slot, and another is forked if none is idle.
- What waits behind a task that turns out to be long is given back: chunks are of brief tasks.
- When a worker dies, what it finished is in its socket or its journal and counts. The task it was
  in is lost (or interrupted, or cancelled, by the pool's own doing), everything behind that is
  given back. So only the task that ran is charged.
- A task that goes beyond a limit is told so by an exception, and has a grace to end. Whether it
  does or its worker is ended, it is not tried again: it would go beyond the same limit.
- A worker that a signal stopped is replaced after ten seconds, and the task in it is charged: it
  may have stopped itself, and would do so for ever. One that computes for hours is not stopped.
- A refresh forks the replacements before the old ones are dead: nothing waits for funerals.
"""

from __future__ import annotations

import signal
from typing import assert_never

import msgspec

from scattergather.model.outcome import Kind
from scattergather.wire import blobs, messages
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.session import Queued, Round, Session
from scattergather.workers.pool.verdict import loss_of, signal_name
from scattergather.workers.pool.worker import Doom, Lease, Worker

TERM_AFTER = 1.0
KILL_AFTER = 2.0
"""Seconds from the interrupt of a cancelled task to SIGTERM and to SIGKILL."""

LIMIT_GRACE = 2.0
"""Seconds that a task has, after the exception of a limit, before its worker is replaced."""

FAR_OVER = 2
"""A task that takes so many times the memory that it may has no such grace."""

STOPPED_AFTER = 10.0
"""Seconds after which a worker that was stopped by a signal is replaced."""

STUCK_AFTER = 0.2
"""Seconds after which nothing more waits behind a task: it is no brief one."""

HUNGRY_AFTER = 1.0
SPARE_SECONDS = 5.0
"""How long an idle worker beyond the limit (it had a lent slot) is kept."""


_KINDS: dict[Doom | None, Kind] = {
    Doom.REFRESH: Kind.INTERRUPTED,
    Doom.TIME: Kind.EXCEEDED,
    Doom.MEMORY: Kind.EXCEEDED,
}
"""What comes of the task in a worker that the pool itself ended; else it is lost."""


class Pool:
    """Sessions and workers of one host. ``wake_at`` is when it wants to be ticked, or None."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.sessions: dict[int, Session] = {}
        self.workers: dict[int, Worker] = {}
        self.wake_at: float | None = None
        self._count = 0

    def handle(self, event: events.Event, now: float) -> list[actions.Action]:
        """Take in what happened; returns what is to be done about it, in order."""
        out: list[actions.Action] = []
        match event:
            case events.WorkerSaid():
                worker = self.workers.get(event.worker)
                if worker is not None:
                    self._worker_said(worker, event.message, event.body, now, out)
            case events.Received():
                session = self.sessions.get(event.session)
                if session is not None:
                    self._received(session, event.message, event.body, now, out)
            case events.WorkerExited():
                self._worker_exited(event, now, out)
            case events.SessionOpened():
                limit = min(event.workers or self.slots, self.slots)
                session = Session(event.session, limit)
                self.sessions[event.session] = session
                self._fork(session, now, out)
            case events.SessionClosed():
                self._session_closed(event, now, out)
            case events.Sampled():
                self._sampled(event, now, out)
            case events.FoundStopped():
                self._found_stopped(event, now, out)
            case events.Ticked():
                self._ticked(now, out)
            case _:
                assert_never(event)
        return out

    def limited(self) -> list[int]:
        """The workers whose running chunk has limits: their memory is sampled too."""
        return [
            worker.number
            for worker in self.workers.values()
            if worker.leases and worker.leases[0].run.limits != messages.Limits()
        ]

    def _wake(self, at: float) -> None:
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    # ---- from controllers ----

    def _received(
        self,
        session: Session,
        message: messages.ToPool,
        body: bytes,
        now: float,
        out: list[actions.Action],
    ) -> None:
        match message:
            case messages.Run():
                session.queue[message.chunk] = Queued(message, body)
                self._feed(now, out)
            case messages.Code():
                session.code[message.digest] = (message, body)
            case messages.Forget():
                self._forget(session, message.digests, out)
            case messages.Resident():
                session.residents.append(message)
                out += [
                    actions.Tell(worker=worker.number, message=message)
                    for worker in session.workers.values()
                    if worker.born and worker.doom is None
                ]
            case messages.TakeBack():
                self._take_back(session, message.count, out)
            case messages.Cancel():
                for chunk in message.chunks:
                    self._cancel(session, chunk, now, out)
            case messages.Refresh():
                self._refresh(session, message.call, now, out)
            case messages.Everywhere():
                self._retire_spares(session, now, 0.0, out)
                self._fork(session, now, out)  # the doomed are replaced at their exit, too late
                self._everywhere(session, message, body, out)
            case messages.NestedOutcome():
                if message.worker in session.workers:
                    out.append(actions.Tell(worker=message.worker, message=message, body=body))
            case _:
                assert_never(message)

    def _forget(
        self, session: Session, digests: tuple[bytes, ...], out: list[actions.Action]
    ) -> None:
        for digest in digests:
            session.code.pop(digest, None)
        for worker in session.workers.values():
            known = tuple(digest for digest in digests if digest in worker.known)
            if known:
                worker.known.difference_update(known)
                forget = messages.Forget(digests=known)
                out.append(actions.Tell(worker=worker.number, message=forget))

    def _take_back(self, session: Session, count: int, out: list[actions.Action]) -> None:
        while count > 0 and session.queue:
            chunk, queued = session.queue.popitem()
            count -= queued.run.count
            self._report(session, messages.GaveBack(chunk=chunk, first=queued.run.first), out)

    def _cancel(self, session: Session, chunk: int, now: float, out: list[actions.Action]) -> None:
        queued = session.queue.pop(chunk, None)
        if queued is not None:
            self._report(session, messages.CancelDone(chunk=chunk, first=queued.run.first), out)
            return
        for worker in session.workers.values():
            for lease in worker.leases:
                if lease.run.chunk == chunk:
                    lease.cancelled = True
                    if lease is worker.leases[0]:
                        self._interrupt(worker, now, out)
                    return

    def _interrupt(self, worker: Worker, now: float, out: list[actions.Action]) -> None:
        """SIGINT now; SIGTERM and SIGKILL follow unless the chunk ends before."""
        if worker.doom is None:
            out.append(
                actions.InterruptChunk(worker=worker.number, chunk=worker.leases[0].run.chunk)
            )
            worker.escalation = [
                (now + TERM_AFTER, signal.SIGTERM),
                (now + KILL_AFTER, signal.SIGKILL),
            ]
            self._wake(now + TERM_AFTER)

    def _refresh(self, session: Session, call: int, now: float, out: list[actions.Action]) -> None:
        running = sum(bool(worker.leases) for worker in session.workers.values())
        self._end_refresh(session, now, out)
        for worker in session.workers.values():
            self._doom(worker, Doom.REFRESH, out)
        session.idle.clear()
        session.restarts.lived()  # or so we hope: it is given a fresh start
        forked = self._fork(session, now, out)
        session.refresh = Round(call, set(forked), begun=now, interrupted=running)

    def _end_refresh(self, session: Session, now: float, out: list[actions.Action]) -> None:
        refresh, session.refresh = session.refresh, None
        if refresh is not None:
            self._report(
                session,
                messages.Refreshed(
                    call=refresh.call,
                    workers=session.alive,
                    interrupted=refresh.interrupted,
                    seconds=now - refresh.begun,
                ),
                out,
            )

    def _everywhere(
        self,
        session: Session,
        message: messages.Everywhere,
        body: bytes,
        out: list[actions.Action],
    ) -> None:
        targets = [worker for worker in session.workers.values() if worker.doom is None]
        if not targets:
            loss = messages.Loss(
                kind="TaskLost",
                reason="no worker lives there: those that were forked died before they were ready",
            )
            none = messages.EverywhereDone(call=message.call, worker=0, kind=Kind.LOST, last=True)
            self._report(session, none, out, messages.encode(loss))
            return
        session.everywhere[message.call] = (
            message,
            body,
            Round(message.call, {worker.number for worker in targets}),
        )
        for worker in targets:
            if worker.born:
                self._tell_everywhere(session, worker, message, body, out)

    def _tell_everywhere(
        self,
        session: Session,
        worker: Worker,
        message: messages.Everywhere,
        body: bytes,
        out: list[actions.Action],
    ) -> None:
        self._teach(session, worker, message.function, message.needs, out)
        out.append(actions.Tell(worker=worker.number, message=message, body=body))

    # ---- from workers ----

    def _worker_said(
        self,
        worker: Worker,
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
                self._outcomes(session, worker, message, body, now, out)
            case messages.Output():
                self._report(session, message, out, body)
            case messages.Born():
                self._born(session, worker, message.pid, now, out)
            case messages.GaveBack():
                self._gave_back(session, worker, message, now, out)
            case messages.EverywhereDone():
                self._everywhere_done(session, worker, message, body, out)
            case messages.NestedSubmit():
                self._report(session, _with_worker(message, worker.number), out, body)
            case messages.Code():
                session.code[message.digest] = (message, body)
                self._report(session, message, out, body)
            case messages.Waiting():
                if not worker.blocked:
                    worker.blocked = True
                    session.running -= bool(worker.leases)
                    if not session.idle and session.alive < session.limit + session.blocked:
                        self._fork(session, now, out)
                    self._report_slots(session, out)
                    self._feed(now, out)
            case messages.Resumed():
                if worker.blocked:
                    worker.blocked = False
                    session.running += bool(worker.leases)
                    self._report_slots(session, out)
            case _:
                assert_never(message)

    def _born(
        self, session: Session, worker: Worker, pid: int, now: float, out: list[actions.Action]
    ) -> None:
        worker.born, worker.pid = True, pid
        if worker.doom is not None:
            return
        paused = session.restarts.pause
        session.restarts.lived()
        if paused:
            self._fork(session, now, out)
        out += [actions.Tell(worker=worker.number, message=each) for each in session.residents]
        for message, body, round_ in session.everywhere.values():
            if worker.number in round_.waiting:
                self._tell_everywhere(session, worker, message, body, out)
        self._idle(session, worker, now)
        self._report_slots(session, out)
        if session.refresh is not None:
            session.refresh.waiting.discard(worker.number)
            if not session.refresh.waiting:
                self._end_refresh(session, now, out)
        self._feed(now, out)

    def _outcomes(
        self,
        session: Session,
        worker: Worker,
        message: messages.Outcomes,
        body: bytes,
        now: float,
        out: list[actions.Action],
    ) -> None:
        lease = worker.leases[0] if worker.leases else None
        if lease is None or lease.run.chunk != message.chunk:
            return
        known = lease.next - message.first
        if not 0 <= known < len(message.kinds):
            return
        if known:
            message, body = _behind(message, body, known)
        lease.next += len(message.kinds)
        if lease.next >= lease.stop:
            # First the next chunk: the worker waits for it, and the report takes its time.
            self._lease_ended(session, worker, now, out)
        self._report(session, message, out, body)

    def _lease_ended(
        self, session: Session, worker: Worker, now: float, out: list[actions.Action]
    ) -> None:
        worker.leases.popleft()
        worker.escalation.clear()
        worker.stuck = None
        if not worker.leases:
            session.running -= not worker.blocked
            if worker.blocked:
                worker.blocked = False
                self._report_slots(session, out)
            if worker.over_since is None:
                self._idle(session, worker, now)
            else:  # what it leaves behind would count as the next task's
                self._retire(worker, out)
                self._fork(session, now, out)
        elif worker.leases[0].cancelled:
            self._interrupt(worker, now, out)
        self._feed(now, out)

    def _gave_back(
        self,
        session: Session,
        worker: Worker,
        message: messages.GaveBack,
        now: float,
        out: list[actions.Action],
    ) -> None:
        for lease in worker.leases:
            if lease.run.chunk == message.chunk:
                self._free(session, lease, message.first, out)
                if lease is worker.leases[0]:
                    self._lease_ended(session, worker, now, out)
                else:
                    worker.leases.remove(lease)
                return

    def _free(self, session: Session, lease: Lease, first: int, out: list[actions.Action]) -> None:
        """Tell the controller that the rest of a chunk is free, or gone if it was cancelled."""
        if first < lease.stop:
            kind = messages.CancelDone if lease.cancelled else messages.GaveBack
            self._report(session, kind(chunk=lease.run.chunk, first=first), out)

    def _everywhere_done(
        self,
        session: Session,
        worker: Worker,
        message: messages.EverywhereDone,
        body: bytes,
        out: list[actions.Action],
    ) -> None:
        entry = session.everywhere.get(message.call)
        if entry is None:
            return
        waiting = entry[2].waiting
        waiting.discard(worker.number)
        if not waiting:
            del session.everywhere[message.call]
        self._report(
            session,
            messages.EverywhereDone(
                call=message.call, worker=worker.pid, kind=message.kind, last=not waiting
            ),
            out,
            body,
        )

    # ---- deaths ----

    def _worker_exited(
        self, event: events.WorkerExited, now: float, out: list[actions.Action]
    ) -> None:
        worker = self.workers.pop(event.worker, None)
        if worker is None:
            return
        session = self.sessions.get(worker.session)
        if session is None:
            return
        del session.workers[worker.number]
        session.idle.pop(worker.number, None)
        session.running -= worker.busy
        if worker.blocked:
            self._report_slots(session, out)
        self._settle_leases(session, worker, event, out)
        for message, _, round_ in list(session.everywhere.values()):
            if worker.number in round_.waiting:
                loss = loss_of(worker, event)
                done = messages.EverywhereDone(call=message.call, worker=worker.pid, kind=Kind.LOST)
                self._everywhere_done(session, worker, done, messages.encode(loss), out)
        if not worker.born and worker.doom is None:
            self._died_early(session, event, now, out)
        elif worker.doom is not Doom.RETIRED:
            self._fork(session, now, out)
        if session.refresh is not None:
            session.refresh.waiting.discard(worker.number)
            if not session.refresh.waiting:
                self._end_refresh(session, now, out)
        self._feed(now, out)

    def _settle_leases(
        self,
        session: Session,
        worker: Worker,
        event: events.WorkerExited,
        out: list[actions.Action],
    ) -> None:
        """Every task of the dead worker's chunks gets its due: outcome, loss, or freedom."""
        if not worker.leases:
            return
        lease, harvest = worker.leases[0], event.harvest
        for index, kind, blob in harvest.outcomes if harvest.chunk == lease.run.chunk else ():
            if index == lease.next:
                lease.next += 1
                self._outcome(session, worker, lease, index, kind, blob, out)
        began = harvest.chunk == lease.run.chunk and harvest.running == lease.next
        # A chunk that ends its worker before the first task begins (it is too large, or our code
        # fails on it) would circle for ever if nothing were charged. Kills are nobody's fault.
        killed = event.signal == signal.SIGKILL and not event.out_of_memory
        blameless = killed or worker.doom is not None or event.status == messages.SPENT
        charged = began or (lease.next == lease.run.first and not blameless)
        if charged and lease.next < lease.stop:
            index = lease.next
            lease.next += 1
            if worker.doom is Doom.CANCEL or lease.cancelled:
                kind, blob = Kind.CANCELLED, b""
            else:
                loss = loss_of(worker, event, lease.run.limits)
                kind = _KINDS.get(worker.doom, Kind.LOST)
                blob = messages.encode(loss)
            self._outcome(session, worker, lease, index, kind, blob, out)
        for each in worker.leases:
            self._free(session, each, each.next, out)

    def _outcome(
        self,
        session: Session,
        worker: Worker,
        lease: Lease,
        index: int,
        kind: int,
        blob: bytes,
        out: list[actions.Action],
    ) -> None:
        message = messages.Outcomes(
            chunk=lease.run.chunk, first=index, kinds=bytes([kind]), worker=worker.pid
        )
        self._report(session, message, out, blobs.pack([blob]))

    def _died_early(
        self,
        session: Session,
        event: events.WorkerExited,
        now: float,
        out: list[actions.Action],
    ) -> None:
        restarts = session.restarts
        if not restarts.died(now):
            self._fork(session, now, out)
            return
        self._wake(restarts.until)
        how = signal_name(event.signal) if event.signal else f"exit status {event.status}"
        why = (
            f"{restarts.count} workers in a row died before they were ready, the last with "
            f"{how}; the next is tried in {restarts.pause:.0f} s"
        )
        if event.harvest.output:
            why += f"; it printed: {event.harvest.output[-2000:]}"
        self._report(
            session,
            messages.WorkersChanged(workers=session.alive, alive=session.alive, why=why),
            out,
        )

    def _doom(self, worker: Worker, doom: Doom, out: list[actions.Action]) -> None:
        if worker.doom is None:
            worker.doom = doom
            out.append(actions.KillWorker(worker=worker.number, signal=signal.SIGKILL, group=True))

    def _session_closed(
        self, event: events.SessionClosed, now: float, out: list[actions.Action]
    ) -> None:
        """Forget the session and its workers: the driver closes their zygote, which ends them."""
        session = self.sessions.pop(event.session, None)
        if session is not None:
            for number in session.workers:
                del self.workers[number]
            self._feed(now, out)

    # ---- time ----

    def _sampled(self, event: events.Sampled, now: float, out: list[actions.Action]) -> None:
        worker = self.workers.get(event.worker)
        session = self.sessions.get(worker.session) if worker is not None else None
        if worker is None or session is None or not worker.leases or worker.doom is not None:
            return
        lease = worker.leases[0]
        if lease.run.chunk != event.chunk:
            return
        limits = lease.run.limits
        worker.peak = max(worker.peak, event.memory)
        worker.stopped_since = None
        if limits.memory is not None and event.memory > limits.memory:
            self._over_memory(worker, event, limits.memory, now, out)
        elif limits.time is not None and now - event.started > limits.time + LIMIT_GRACE:
            self._doom(worker, Doom.TIME, out)
        elif now - event.started > STUCK_AFTER:
            self._unload(session, worker, event.index, out)

    def _over_memory(
        self,
        worker: Worker,
        event: events.Sampled,
        limit: int,
        now: float,
        out: list[actions.Action],
    ) -> None:
        """At first sight the task is told, by an exception; if that does not help, it is ended."""
        if worker.over_since is None:
            worker.over_since = now
            out.append(actions.StopWorker(worker=worker.number, chunk=event.chunk))
            out.append(
                actions.WarnWorker(worker=worker.number, chunk=event.chunk, index=event.index)
            )
        elif now > worker.over_since + LIMIT_GRACE or event.memory > FAR_OVER * limit:
            self._doom(worker, Doom.MEMORY, out)

    def _found_stopped(
        self, event: events.FoundStopped, now: float, out: list[actions.Action]
    ) -> None:
        worker = self.workers.get(event.worker)
        if worker is not None:
            if worker.stopped_since is None:
                worker.stopped_since = now
            elif now >= worker.stopped_since + STOPPED_AFTER:
                self._doom(worker, Doom.STOPPED, out)

    def _unload(
        self, session: Session, worker: Worker, index: int, out: list[actions.Action]
    ) -> None:
        """Free what waits behind a task that takes long, in two looks.

        At the first the worker is told to begin nothing more. If at the next it is in the same task
        still, it will find that when it comes out, whenever we free the rest.
        """
        lease = worker.leases[0]
        if worker.stuck is None:
            if lease.stop > index + 1 or len(worker.leases) > 1:
                worker.stuck = index
                last = worker.leases[-1].run.chunk
                out.append(actions.StopWorker(worker=worker.number, chunk=last))
        elif worker.stuck == index:
            self._free(session, lease, index + 1, out)
            lease.stop = index + 1
            while len(worker.leases) > 1:
                behind = worker.leases.pop()
                self._free(session, behind, behind.next, out)

    def _ticked(self, now: float, out: list[actions.Action]) -> None:
        self.wake_at = None
        for worker in self.workers.values():
            self._escalate(worker, now, out)
        for session in self.sessions.values():
            if session.restarts.pause:
                if now >= session.restarts.until:
                    self._fork(session, now, out)
                else:
                    self._wake(session.restarts.until)
            self._retire_spares(session, now, SPARE_SECONDS, out)
        self._feed(now, out)

    def _escalate(self, worker: Worker, now: float, out: list[actions.Action]) -> None:
        while worker.escalation and worker.escalation[0][0] <= now:
            _, number = worker.escalation.pop(0)
            if number == signal.SIGKILL:
                self._doom(worker, Doom.CANCEL, out)
            else:
                out.append(actions.KillWorker(worker=worker.number, signal=number, group=True))
        if worker.escalation:
            self._wake(worker.escalation[0][0])

    def _retire_spares(
        self, session: Session, now: float, kept: float, out: list[actions.Action]
    ) -> None:
        """End workers beyond the limit that were idle for ``kept`` seconds."""
        surplus = session.alive - session.limit - session.blocked
        for worker in list(session.idle.values())[: max(0, surplus)]:
            if now >= worker.since + kept:  # as it is woken: `now - since` may round down
                del session.idle[worker.number]
                self._retire(worker, out)
            else:
                self._wake(worker.since + kept)

    def _retire(self, worker: Worker, out: list[actions.Action]) -> None:
        worker.doom = Doom.RETIRED
        out.append(actions.RetireWorker(worker=worker.number))

    def _report_slots(self, session: Session, out: list[actions.Action]) -> None:
        """Tell the controller how many chunks can be worked on, lent slots included."""
        slots = session.limit + session.blocked
        self._report(session, messages.WorkersChanged(workers=slots, alive=session.alive), out)

    # ---- feeding ----

    def _fork(self, session: Session, now: float, out: list[actions.Action]) -> list[int]:
        """Fork workers until the session has what it may have; returns their numbers."""
        forked: list[int] = []
        wanted = session.limit + session.blocked - session.alive
        if session.restarts.pause:  # one at a time, until one lives
            wanted = int(now >= session.restarts.until and wanted > 0 and not session.unborn)
        for _ in range(wanted):
            self._count += 1
            worker = Worker(self._count, session.number)
            self.workers[worker.number] = session.workers[worker.number] = worker
            forked.append(worker.number)
            out.append(actions.ForkWorker(session=session.number, worker=worker.number))
        return forked

    def _idle(self, session: Session, worker: Worker, now: float) -> None:
        if worker.doom is None:
            worker.since = now
            worker.stopped_since = None
            session.idle[worker.number] = worker
            # The first is cheap and nearly always settles it.
            if (
                len(session.workers) > session.limit
                and session.alive > session.limit + session.blocked
            ):
                self._wake(now + SPARE_SECONDS)

    def _feed(self, now: float, out: list[actions.Action]) -> None:
        """Give queued chunks to idle workers, then brief ones to workers that will soon be idle."""
        if len(self.sessions) == 1:
            (session,) = self.sessions.values()
            while session.queue and session.idle and session.running < self.slots:
                self._assign(session, session.idle.popitem(last=False)[1], out)
        else:
            self._feed_fairly(now, out)
        for session in self.sessions.values():
            self._feed_ahead(session, out)

    def _feed_fairly(self, now: float, out: list[actions.Action]) -> None:
        ready = [each for each in self.sessions.values() if each.queue and each.idle]
        free = self.slots - sum(each.running for each in self.sessions.values())
        while ready and free > 0:
            session = min(ready, key=lambda each: each.running)
            self._assign(session, session.idle.popitem(last=False)[1], out)
            free -= 1
            if not (session.queue and session.idle):
                ready.remove(session)
        for session in self.sessions.values():
            if session.running or not session.queue:
                session.hungry_since = None
            elif session.hungry_since is None:
                session.hungry_since = now
                self._wake(now + HUNGRY_AFTER)
            elif now < session.hungry_since + HUNGRY_AFTER:
                self._wake(session.hungry_since + HUNGRY_AFTER)
            elif session.idle:  # else the first worker that is idle brings us here again
                session.hungry_since = None
                self._assign(session, session.idle.popitem(last=False)[1], out)

    def _feed_ahead(self, session: Session, out: list[actions.Action]) -> None:
        if not session.queue or len(self.sessions) > 1:
            return
        for worker in session.workers.values():
            if not session.queue:
                return
            head = next(iter(session.queue.values()))
            if not head.run.brief:
                return
            if (
                len(worker.leases) == 1
                and worker.leases[0].run.brief
                and worker.stuck is None
                and not worker.blocked
                and worker.doom is None
            ):
                self._assign(session, worker, out)

    def _assign(self, session: Session, worker: Worker, out: list[actions.Action]) -> None:
        _, queued = session.queue.popitem(last=False)
        run = queued.run
        self._teach(session, worker, run.function, run.needs, out)
        if run.retry_on:
            self._teach_digest(session, worker, run.retry_on, out)
        if not worker.leases:
            session.running += 1
        worker.leases.append(Lease(run, run.first, run.first + run.count))
        out.append(actions.Tell(worker=worker.number, message=run, body=queued.body))

    def _teach(
        self,
        session: Session,
        worker: Worker,
        function: str,
        needs: tuple[bytes, ...],
        out: list[actions.Action],
    ) -> None:
        digest = messages.digest_of(function)
        if digest is not None:
            self._teach_digest(session, worker, digest, out)
        for need in needs:
            self._teach_digest(session, worker, need, out)

    def _teach_digest(
        self, session: Session, worker: Worker, digest: bytes, out: list[actions.Action]
    ) -> None:
        if digest in worker.known:
            return
        for each in session.missing(digest, worker.known):
            code, blob = session.code[each]
            worker.known.add(each)
            out.append(actions.Tell(worker=worker.number, message=code, body=blob))

    def _report(
        self,
        session: Session,
        message: messages.FromPool,
        out: list[actions.Action],
        body: bytes = b"",
    ) -> None:
        out.append(actions.Report(session=session.number, message=message, body=body))


def _with_worker(message: messages.NestedSubmit, worker: int) -> messages.NestedSubmit:
    return messages.NestedSubmit(
        ticket=message.ticket,
        function=message.function,
        needs=message.needs,
        chunk=message.chunk,
        worker=worker,
    )


def _behind(message: messages.Outcomes, body: bytes, known: int) -> tuple[messages.Outcomes, bytes]:
    """Outcomes without the first ``known``, which were read from the journal before."""
    count = len(message.kinds)
    rest = msgspec.structs.replace(
        message, first=message.first + known, kinds=message.kinds[known:]
    )
    return rest, blobs.part(body, count, known, count)
