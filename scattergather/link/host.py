"""A controller's view of remote hosts.

``Links`` owns the one Tub of a controller and makes a ``RemoteHost`` for each. A ``RemoteHost``
dials, says hello, and dials again whenever the link breaks: at once at first, then every few
seconds, for as long as it is wanted. Within the grace a session is resumed where each side stopped;
after it, or when the daemon does not know it any more, it is lost and a new one begins.
"""

from __future__ import annotations

import os
import platform
import random
from typing import Any

from foolscap.api import Referenceable
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from zope.interface import implementer

import scattergather
from scattergather.errors import CannotConnect, VersionMismatch
from scattergather.link import remote
from scattergather.link.blocks.courier import Courier
from scattergather.link.blocks.dialler import Dialler
from scattergather.link.gate.caller import HINT, HintHandler
from scattergather.link.seams import HostListener, NoObjectStore, ObjectStore, PoolFacts
from scattergather.link.sentences import Reason, explain, mismatch
from scattergather.link.stream.line import Line
from scattergather.link.stream.stream import StreamStatistics
from scattergather.link.tubs.tub import CONNECT_SECONDS, make_tub, new_certificate
from scattergather.model.ids import ObjectId
from scattergather.reactor.seam import Reactor, for_twisted
from scattergather.settings.furl import Furl
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec

FIRST_DELAY = 0.25
LONGEST_DELAY = 4.0
"""Seconds, and a quarter more or less by chance: five at most."""

GROWTH = 1.7
STOP_SECONDS = 1.0


class Links:
    """The links of one controller. Reactor thread only.

    Args:
        controller: a name for this controller, for the logs of the daemons.
        objects: what is shipped to the hosts, and where their results go.
        chance: spreads the delays of many hosts.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        controller: str = "",
        objects: ObjectStore | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.reactor = reactor
        self.controller = controller[:100]
        self.objects: ObjectStore = NoObjectStore() if objects is None else objects
        self.chance = chance or random.Random()
        self.hosts: list[RemoteHost] = []
        self._handler = HintHandler()
        self._tub = make_tub(new_certificate())
        self._tub.removeAllConnectionHintHandlers()
        self._tub.addConnectionHintHandler(HINT, self._handler)
        self._tub.startService()

    def host(self, spec: RemoteSpec, listener: HostListener) -> RemoteHost:
        """A host of this controller, not started.

        Raises:
            BadRequest: the spec's FURL is none.
        """
        host = RemoteHost(self, spec, listener)
        self.hosts.append(host)
        return host

    def room(self) -> None:
        """There may be room again for objects of results."""
        for host in self.hosts:
            host.room()
        self.hosts = [*self.hosts[1:], *self.hosts[:1]]  # else the first would get all of it

    async def call(self, furl: Furl) -> Any:
        """A reference to the pool of this FURL; fails within ten seconds."""
        gated = self._handler.gated(furl)
        return await self.in_time(self._tub.getReference(gated))

    async def greet(self, pool: Any, back: Any, **said: Any) -> remote.Welcome | remote.Refusal:
        """The pool's answer to a hello."""
        greeting = remote.Greeting(
            protocol=messages.PROTOCOL,
            version=scattergather.__version__,
            python=platform.python_version(),
            controller=self.controller,
            **said,
        )
        answer = await self.in_time(pool.callRemote("hello", remote.encode(greeting), back))
        theirs = remote.read_versions(answer)
        if theirs.protocol != messages.PROTOCOL:
            return remote.Refusal(
                protocol=theirs.protocol,
                version=theirs.version,
                reason=mismatch(theirs, "that pool", "this controller"),
            )
        read: remote.Welcome | remote.Refusal = remote.read_answer(answer)
        return read

    def ask(self, furl: Furl) -> Deferred[tuple[PoolFacts, float]]:
        """What a pool says of itself, and the round trip in seconds; opens no session.

        The Deferred fails with ``CannotConnect`` or ``VersionMismatch``.
        """
        return Deferred.fromCoroutine(self._ask(furl))

    async def _ask(self, furl: Furl) -> tuple[PoolFacts, float]:
        try:
            pool, back = await self.call(furl), _Back(self)
            await self.greet(pool, back)
            begin = self.reactor.seconds()
            answer = await self.greet(pool, back)
            seconds = self.reactor.seconds() - begin
        except Exception as why:
            raise CannotConnect(explain(why, furl).sentence) from None
        if isinstance(answer, remote.Refusal):
            raise VersionMismatch(answer.reason)
        return answer.facts, seconds

    def in_time(self, waiting: Any) -> Any:
        """The same Deferred, which fails when it has not fired in ten seconds."""
        return waiting.addTimeout(CONNECT_SECONDS, for_twisted(self.reactor))

    def ended(self, session: bytes, reason: str) -> None:
        """A pool has ended a session."""
        for host in self.hosts:
            host.ended(session, reason)

    def stop(self) -> Deferred[None]:
        """Leave all hosts; fires when the connections are closed, a second later at the latest."""
        for host in self.hosts:
            host.stop()
        stopping: Deferred[Any] = self._tub.stopService()
        return stopping.addTimeout(STOP_SECONDS, for_twisted(self.reactor)).addBoth(lambda _: None)


@implementer(remote.RIController)
class _Back(Referenceable):
    """What a pool may call on us."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def remote_goodbye(self, session: bytes, reason: bytes) -> None:
        self._links.ended(session, reason.decode(errors="replace"))


class RemoteHost:
    """One remote host as a controller drives it; implements ``seams.Host``."""

    _log = Logger()

    def __init__(self, links: Links, spec: RemoteSpec, listener: HostListener) -> None:
        self.spec = spec
        self._links = links
        self._furl = Furl.parse(spec.furl)
        self._listener = listener
        self._line: Line | None = None
        self._dialler: Dialler | None = None
        self._pool: Any = None
        self._back = _Back(links)
        self._refusal = ""
        self._delay = FIRST_DELAY
        self._dialing: Deferred[None] | None = None
        self._timer: Any = None
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Bytes sent that the daemon has not acknowledged: what credit is measured by."""
        return self._line.waiting if self._line else 0

    def statistics(self) -> StreamStatistics | None:
        """What passed in this session, if there is one."""
        return self._line.statistics() if self._line else None

    def start(self) -> None:
        """Begin to join; the listener hears the rest."""
        self._dial()

    def send(self, message: messages.ToPool, body: bytes = b"") -> None:
        """Pass a message to the pool; only between ``joined`` and ``left``."""
        if self._line is not None:
            if isinstance(message, messages.Want) and self._dialler is not None:
                self._dialler.courier.expect(message.objects, asked=True)
            self._line.offer(messages.encode(message), body)

    def ship(self, objects: tuple[ObjectId, ...]) -> None:
        """Bring these objects there, in this order; only between ``joined`` and ``left``."""
        if self._dialler is not None:
            self._dialler.courier.ship(objects)

    def withdraw(self, objects: tuple[ObjectId, ...]) -> None:
        """Those of them that are not there yet are not wanted any more."""
        if self._dialler is not None:
            self._dialler.courier.withdraw(objects)

    def room(self) -> None:
        """There may be room again for objects of results."""
        if self._dialler is not None:
            self._dialler.courier.room()

    def stop(self) -> None:
        """Leave for good. The listener hears nothing more."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._dialing is not None:
            self._dialing.cancel()
        if self._line is not None:
            self._leave(self._line)
            self._line = None
        self._stop_dialling()

    def ended(self, session: bytes, reason: str) -> None:
        """The pool says that this session is over."""
        if self._line is not None and self._line.session == session:
            self._line.close()
            self._lost(reason)
            self._dial_later()

    def _dial(self) -> None:
        if self._dialing is None and not self._stopped:
            dialing = self._dialing = Deferred.fromCoroutine(self._join())
            dialing.addBoth(self._dialed)

    def _dialed(self, outcome: Any) -> None:
        self._dialing = None
        if not self._stopped and (self._line is None or not self._line.connected):
            self._dial_later()

    def _dial_later(self) -> None:
        if self._stopped or (self._timer is not None and self._timer.active()):
            return
        delay = self._delay * (0.75 + 0.5 * self._links.chance.random())
        self._delay = min(max(self._delay * GROWTH, FIRST_DELAY), LONGEST_DELAY)
        self._timer = self._links.reactor.callLater(delay, self._dial)

    async def _join(self) -> None:
        """One attempt: resume the session if there is one, else begin one."""
        resumed = self._line
        line = resumed or Line(
            self._links.reactor,
            os.urandom(16),
            self._received,
            self._line_lost,
            self._listener.measured,
        )
        carrier, joined = None, False
        try:
            pool = await self._links.call(self._furl)
            carrier = pool.tracker.broker
            line.expect(carrier)
            pool.notifyOnDisconnect(self._cut, line, carrier)
            begun = self._links.reactor.seconds()
            answer = await self._links.greet(
                pool,
                self._back,
                workers=self.spec.workers,
                session=line.session,
                received=line.received if resumed else remote.NEW,
            )
            round_trip = self._links.reactor.seconds() - begun
            joined = self._judge(answer, line, resumed, pool, round_trip)
        except CancelledError:
            pass
        except Exception as why:
            if carrier is not None and isinstance(why, TimeoutError):
                carrier.cut("hello was not answered")  # else the next attempt would find it again
            self._refuse(explain(why, self._furl))
        finally:
            if not joined and line is not self._line:
                line.close()

    def _judge(
        self,
        answer: remote.Welcome | remote.Refusal,
        line: Line,
        resumed: Line | None,
        pool: Any,
        round_trip: float,
    ) -> bool:
        if self._line is not resumed or self._stopped:
            self._pool = pool
            self._leave(line)  # The grace ended, or we were stopped, while the pool answered.
            return False
        if isinstance(answer, remote.Refusal):
            if resumed is not None:
                resumed.close()
                self._lost(
                    f"the pool was started anew ({answer.reason})"
                    if answer.unknown
                    else answer.reason
                )
            if answer.unknown:
                self._delay = 0.0
            else:
                self._refuse(Reason(f"{self._furl.address}: {answer.reason}"))
            return False
        self._pool, self._line = pool, line
        self._delay, self._refusal = FIRST_DELAY, ""
        if resumed is None:
            self._dialler = self._make_dialler(line.session, answer.ticket)
            self._listener.joined(answer.facts)
        line.attach(answer.received, round_trip)
        return True

    def _make_dialler(self, session: bytes, ticket: bytes) -> Dialler:
        courier = Courier(
            self._links.objects,
            arrived=lambda name: self._listener.arrived((name,)),
            lost=lambda name, reason: self._listener.lost((name,), reason),
            shipped=lambda _: None,
            changed=lambda: dialler.look(),
            expects=True,
        )
        dialler = Dialler(
            self._links.reactor,
            self._furl,
            session,
            ticket,
            courier,
            name=self.spec.name,
            trouble=self._listener.troubled,
            chance=self._links.chance,
        )
        return dialler

    def _stop_dialling(self) -> None:
        dialler, self._dialler = self._dialler, None
        if dialler is not None:
            dialler.stop()

    def _received(self, head: bytes, body: bytes) -> None:
        message = messages.read_from_pool(head)
        if (
            isinstance(message, messages.Outcomes | messages.EverywhereDone)
            and message.objects
            and self._dialler is not None
        ):
            self._dialler.courier.expect(extent.object for extent in message.objects)
        self._listener.received(message, body)

    def _refuse(self, reason: Reason) -> None:
        if reason.final and self._line is not None:
            self._line.close()
            self._lost(reason.sentence)
        if reason.sentence != self._refusal:
            self._refusal = reason.sentence
            self._log.info("{host}: {reason}", host=self.spec.name, reason=reason.sentence)
            if self._line is None:
                self._listener.refused(reason.sentence)

    def _cut(self, line: Line, carrier: Any) -> None:
        """The connection of a session broke."""
        line.detach(carrier, "the connection broke")
        if line is self._line and not line.connected:
            self._dial_later()

    def _line_lost(self, reason: str) -> None:
        self._lost(reason)
        if self._refusal and not self._stopped:
            self._listener.refused(self._refusal)
        self._dial_later()

    def _lost(self, reason: str) -> None:
        self._line = None
        self._stop_dialling()
        if not self._stopped:
            self._log.info("{host}: session lost: {reason}", host=self.spec.name, reason=reason)
            self._listener.left(reason)

    def _leave(self, line: Line) -> None:
        line.close()
        if self._pool is not None:
            self._pool.callRemoteOnly("goodbye", line.session, b"the controller left")
