"""One remote host as a controller drives it.

::

                 the pool says Welcome
         Away ----------------------------> Joined
          ^                                   |   its connection breaks, and it is dialled again:
          |                                   |   the session goes on where each side stopped
          +-----------------------------------+
           the session is lost: without a connection for the whole grace, ended or forgotten by
           the pool, or nothing listens there any more

         Left: after ``stop``, from either

A host without a connection is dialled, at once at first and then every few seconds, for as long as
it is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.internet import defer
from twisted.logger import Logger

from scattergather.link import remote
from scattergather.link.blocks.courier import Courier
from scattergather.link.blocks.dialler import Dialler
from scattergather.link.pauses import Pauses
from scattergather.link.redial import Redial
from scattergather.link.seams import HostListener, ObjectStore, Traffic
from scattergather.link.sentences import Reason, explain
from scattergather.link.stream.line import Line
from scattergather.link.stream.stream import StreamStatistics
from scattergather.link.switchboard import Switchboard
from scattergather.model.ids import ObjectId
from scattergather.settings.furl import Furl
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 4.0
"""Seconds, and a quarter more or less by chance: five at most."""

MOST_WANTED = 1 << 20
"""Objects that are to leave for one host at a time."""


@dataclass(frozen=True, slots=True)
class _Away:
    """No session. ``told`` is why not, as the listener heard it last."""

    told: str = ""


@dataclass(slots=True)
class _Joined:
    """A session.

    ``pool`` is the reference that answered last. ``complaint`` says why the connection, which is
    broken, could not be made anew the last time it was tried.
    """

    line: Line
    pool: Any
    dialler: Dialler
    complaint: str = ""

    def traffic(self) -> Traffic:
        """What has passed in it so far."""
        said, courier = self.line.statistics(), self.dialler.courier
        messages = Traffic(sent=said.bytes_sent, received=said.bytes_received)
        return messages + courier.traffic


@dataclass(frozen=True, slots=True)
class _Left:
    """Not wanted any more."""


class RemoteHost:
    """A pool at the far end of a link; implements ``seams.Host``. Reactor thread only.

    Args:
        switchboard: reaches the pool.
        listener: hears of the host. It hears nothing more after ``stop``.
        objects: what is shipped to the host, and where its results go.
    """

    _log = Logger()

    def __init__(
        self,
        switchboard: Switchboard,
        spec: RemoteSpec,
        listener: HostListener,
        objects: ObjectStore,
    ) -> None:
        self.spec = spec
        self._switchboard = switchboard
        self._furl = Furl.parse(spec.furl)
        self._listener = listener
        self._objects = objects
        self._state: _Away | _Joined | _Left = _Away()
        self._passed = Traffic()
        """In sessions that are over."""
        self._pauses = Pauses(FIRST_PAUSE, LONGEST_PAUSE, switchboard.chance)
        self._pauses.short()
        self._redial = Redial(switchboard.reactor, self._pauses, self._attempt)

    def statistics(self) -> StreamStatistics | None:
        """What passed in this session, if there is one."""
        return self._state.line.statistics() if isinstance(self._state, _Joined) else None

    def traffic(self) -> Traffic:
        """What has passed so far, in all sessions."""
        return self._passed + (
            self._state.traffic() if isinstance(self._state, _Joined) else Traffic()
        )

    # ---- seams.Host ----

    def start(self) -> None:
        """Begin to join; the listener hears the rest."""
        self._redial.begin()

    def send(self, message: messages.ToPool, body: bytes = b"") -> None:
        """Pass a message to the pool; only between ``joined`` and ``left``."""
        if isinstance(self._state, _Joined):
            if isinstance(message, messages.Want):
                self._state.dialler.courier.expect(message.objects, asked=True)
            within = self._switchboard.about_to_send()
            self._state.line.offer(messages.encode(message), body, within=within)

    def ship(self, objects: tuple[ObjectId, ...]) -> None:
        """Bring these objects there, in this order; only between ``joined`` and ``left``."""
        if isinstance(self._state, _Joined):
            self._state.dialler.courier.ship(objects)

    def withdraw(self, objects: tuple[ObjectId, ...]) -> None:
        """Those of them that are not there yet are not wanted any more."""
        if isinstance(self._state, _Joined):
            self._state.dialler.courier.withdraw(objects)

    def resize(self, workers: int) -> None:
        """The pool works for us with at most so many workers, now and in sessions to come."""
        self.spec = msgspec.structs.replace(self.spec, workers=workers)
        self.send(messages.Resize(workers=workers))

    def stop(self) -> None:
        """Leave for good, and close the connection. The listener hears nothing more."""
        state, self._state = self._state, _Left()
        self._redial.stop()
        if isinstance(state, _Joined):
            _leave(state.line, state.pool)
            state.dialler.stop()
        self._switchboard.hang_up(self._furl)

    # ---- what concerns all hosts ----

    def room(self) -> None:
        """There may be room again for objects of results."""
        if isinstance(self._state, _Joined):
            self._state.dialler.courier.room()

    def ended(self, session: bytes, reason: str) -> None:
        """A pool says that this session is over; no effect if it is another host's."""
        state = self._state
        if isinstance(state, _Joined) and state.line.session == session:
            self._lose(state, reason)
            self._redial.later()

    # ---- an attempt ----

    @property
    def _line(self) -> Line | None:
        return self._state.line if isinstance(self._state, _Joined) else None

    async def _attempt(self) -> bool:
        """Resume the session if there is one, else begin one. True if there is a connection."""
        resumed = self._line
        line = resumed or self._new_line()
        pool = None
        try:
            pool = await self._switchboard.call(self._furl)
            begun = self._switchboard.reactor.seconds()
            wanted = self.spec.workers
            answer = await self._hello(pool, line, line.received if resumed else remote.NEW)
            round_trip = self._switchboard.reactor.seconds() - begun
        except defer.CancelledError:
            if pool is not None:  # by ``stop``, when the pool had begun a session, perhaps
                _leave(line, pool)
        except Exception as why:
            self._refuse(explain(why, self._furl))
        else:
            if self._line is not resumed or isinstance(self._state, _Left):
                _leave(line, pool)  # the grace ended, or we were stopped, while the pool answered
            elif isinstance(answer, remote.Refusal):
                self._turned_away(answer)
            else:
                self._welcomed(answer, line, pool, round_trip - answer.held)
                if self.spec.workers != wanted:  # that was said while the pool answered
                    self.send(messages.Resize(workers=self.spec.workers))
        if line is not self._line:
            line.close()
            return False
        return line.connected

    def _new_line(self) -> Line:
        return Line(
            self._switchboard.reactor,
            os.urandom(remote.SESSION_BYTES),
            self._received,
            self._line_lost,
            self._listener.measured,
        )

    async def _hello(self, pool: Any, line: Line, received: int) -> remote.Welcome | remote.Refusal:
        carrier = pool.tracker.broker
        line.expect(carrier)
        pool.notifyOnDisconnect(self._cut, line, carrier)
        try:
            return await self._switchboard.greet(
                pool, workers=self.spec.workers, session=line.session, received=received
            )
        except defer.TimeoutError:
            carrier.cut("hello was not answered")  # else the next attempt would find it again
            raise

    def _welcomed(self, answer: remote.Welcome, line: Line, pool: Any, round_trip: float) -> None:
        self._pauses.short()
        match self._state:
            case _Joined() as joined:
                joined.pool, joined.complaint = pool, ""
            case _:
                dialler = self._make_dialler(line.session, answer.ticket)
                self._state = _Joined(line, pool, dialler)
                self._listener.joined(answer.facts)
        line.attach(answer.received, round_trip)

    def _turned_away(self, answer: remote.Refusal) -> None:
        if isinstance(self._state, _Joined):
            anew = f"the pool was started anew ({answer.reason})"
            self._lose(self._state, anew if answer.unknown else answer.reason)
        if answer.unknown:
            self._pauses.at_once()
        else:
            self._refuse(Reason(f"{self._furl.address}: {answer.reason}"))

    def _refuse(self, reason: Reason) -> None:
        """The host cannot be reached for now; who was told so already hears it once only."""
        if reason.final and isinstance(self._state, _Joined):
            self._lose(self._state, reason.sentence)
        match self._state:
            case _Joined() as joined if joined.complaint != reason.sentence:
                joined.complaint = reason.sentence
                self._log.info("{host}: {why}", host=self.spec.name, why=reason.sentence)
            case _Away(told) if told != reason.sentence:
                self._state = _Away(reason.sentence)
                self._log.info("{host}: {why}", host=self.spec.name, why=reason.sentence)
                self._listener.refused(reason.sentence)

    # ---- a session ----

    def _make_dialler(self, session: bytes, ticket: bytes) -> Dialler:
        courier = Courier(
            self._objects,
            arrived=lambda name: self._try(lambda: self._listener.arrived((name,))),
            lost=lambda name, why: self._try(lambda: self._listener.lost((name,), why)),
            shipped=lambda name: self._try(lambda: self._listener.shipped((name,))),
            changed=lambda: dialler.look(),
            expects=True,
        )
        dialler = Dialler(
            self._switchboard.reactor,
            self._furl,
            session,
            ticket,
            courier,
            name=self.spec.name,
            trouble=self._listener.troubled,
            chance=self._switchboard.chance,
        )
        return dialler

    def _received(self, head: bytes, body: bytes) -> None:
        """A message came. It is acknowledged, so if it cannot be handled the session is given up.

        Else what it brought would be waited for, and the pool would not send it again.
        """
        self._try(lambda: self._handle(messages.read_from_pool(head), body))

    def _try(self, hear: Callable[[], None]) -> None:
        """Hear something of the host, or of its block stream; who says nonsense is thrown out."""
        try:
            hear()
        except msgspec.MsgspecError as error:
            self._give_up(f"the controller did not understand a message of it: {error}")
        except Exception:
            self._log.failure("{host}: a message could not be handled", host=self.spec.name)
            self._give_up("the controller failed on a message of it; its log says how")

    def _give_up(self, reason: str) -> None:
        self._line_lost(reason)

    def _handle(self, message: messages.FromPool, body: bytes) -> None:
        if isinstance(message, messages.Want) and isinstance(self._state, _Joined):
            leaving = self._state.dialler.courier.leaving + len(message.objects)
            if leaving > MOST_WANTED:
                raise msgspec.ValidationError(f"it wants {leaving:,} objects at a time")
        if (
            isinstance(message, messages.Outcomes | messages.EverywhereDone)
            and message.objects
            and isinstance(self._state, _Joined)
        ):
            self._state.dialler.courier.expect(extent.object for extent in message.objects)
        self._listener.received(message, body)

    def _cut(self, line: Line, carrier: Any) -> None:
        """A connection broke."""
        line.detach(carrier, "the connection broke")
        if line is self._line and not line.connected:
            self._redial.later()

    def _line_lost(self, reason: str) -> None:
        """The grace is over, the two ends disagree about what was sent, or we give it up.

        The pool is told, if it hears us: else it would keep what it has for us.
        """
        if isinstance(self._state, _Joined):
            line, pool = self._state.line, self._state.pool
            complaint = self._state.complaint
            self._lose(self._state, reason, told=complaint)
            if complaint and not isinstance(self._state, _Left):
                self._listener.refused(complaint)
            self._redial.later()
            pool.callRemoteOnly("goodbye", line.session, reason.encode(errors="replace")[:1000])

    def _lose(self, joined: _Joined, reason: str, *, told: str = "") -> None:
        self._state = _Away(told)
        self._passed += joined.traffic()
        joined.line.close()
        joined.dialler.stop()
        self._log.info("{host}: session lost: {reason}", host=self.spec.name, reason=reason)
        self._listener.left(reason)


def _leave(line: Line, pool: Any) -> None:
    """End a session of ours, and tell the pool."""
    line.close()
    pool.callRemoteOnly("goodbye", line.session, b"the controller left")
