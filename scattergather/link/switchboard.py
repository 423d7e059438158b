"""How a controller reaches pools: one Tub for all of them, and what is said first."""

from __future__ import annotations

import platform
import random
from collections.abc import Callable
from typing import Any

from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from zope.interface import implementer

import scattergather
from scattergather.errors import CannotConnect, VersionMismatch
from scattergather.link import remote
from scattergather.link.gate.caller import HINT, HintHandler
from scattergather.link.seams import PoolFacts
from scattergather.link.sentences import explain, mismatch
from scattergather.link.tubs.tub import CONNECT_SECONDS, make_tub, new_certificate
from scattergather.reactor.hearing import Hearing
from scattergather.reactor.seam import Reactor, for_twisted
from scattergather.settings.furl import Furl
from scattergather.wire.messages import page as messages

STOP_SECONDS = 1.0


@implementer(remote.RIController)
class Back(Referenceable):
    """What a pool may call on a controller."""

    def __init__(self, ended: Callable[[bytes, str], None]) -> None:
        self._ended = ended

    def remote_goodbye(self, session: bytes, reason: bytes) -> None:
        """A pool has ended this session."""
        self._ended(session, reason.decode(errors="replace"))


class Switchboard:
    """Calls the pools that FURLs name. Reactor thread only.

    Args:
        controller: a name for this controller, for the logs of the daemons.
        hash_seed: what the pools are asked to make ``hash(text)`` of.
        ended: hears which session a pool has ended, and why.
        chance: spreads the attempts to reach many hosts.
        can_wait: says whether what pools say may be heard a moment later.
        heard: called when all pools were heard that had said something.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        controller: str = "",
        hash_seed: int | None = None,
        ended: Callable[[bytes, str], None] = lambda _session, _reason: None,
        chance: random.Random | None = None,
        can_wait: Callable[[], bool] = lambda: False,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self.reactor = reactor
        self._hearing = Hearing(reactor, can_wait, heard)
        self.controller = controller[:100]
        self.hash_seed = hash_seed
        self.chance = chance or random.Random()
        self.back = Back(ended)
        self._handler = HintHandler()
        self._tub = make_tub(new_certificate())
        self._tub.adopt = self._hearing.adopt
        self._tub.removeAllConnectionHintHandlers()
        self._tub.addConnectionHintHandler(HINT, self._handler)
        self._tub.startService()

    def about_to_send(self) -> float | None:
        """A message to a pool is sent, and an answer may come: how long may it wait for others?

        None: not at all. 0.0: until all is heard that pools have said meanwhile.
        """
        if self._hearing.gathers:
            return 0.0
        self._hearing.hurry()
        return None

    async def call(self, furl: Furl) -> Any:
        """A reference to the pool of this FURL; fails within ten seconds."""
        gated = self._handler.gated(furl)
        self._tub.unwanted.discard(furl.tub)
        return await self.in_time(self._tub.getReference(gated))

    def hang_up(self, furl: Furl) -> None:
        """Close the connection to the pool of this FURL, once what was sent has left.

        One that is being made is closed when it is there, unless the pool is called again by then.
        """
        self._tub.hang_up(furl.tub)

    async def greet(self, pool: Any, **said: Any) -> remote.Welcome | remote.Refusal:
        """The pool's answer to a hello; fails within ten seconds."""
        greeting = remote.Greeting(
            protocol=messages.PROTOCOL,
            version=scattergather.__version__,
            python=platform.python_version(),
            controller=self.controller,
            hash_seed=self.hash_seed,
            **said,
        )
        answer = await self.in_time(pool.callRemote("hello", remote.encode(greeting), self.back))
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
            pool = await self.call(furl)
            await self.greet(pool)
            begin = self.reactor.seconds()
            answer = await self.greet(pool)
            seconds = self.reactor.seconds() - begin
        except Exception as why:
            raise CannotConnect(explain(why, furl).sentence) from None
        if isinstance(answer, remote.Refusal):
            raise VersionMismatch(answer.reason)
        return answer.facts, seconds

    def in_time(self, waiting: Any) -> Any:
        """The same Deferred, which fails when it has not fired in ten seconds."""
        return waiting.addTimeout(CONNECT_SECONDS, for_twisted(self.reactor))

    def stop(self) -> Deferred[None]:
        """Close all connections; fires when they are closed, a second later at the latest."""
        stopping: Deferred[Any] = self._tub.stopService()
        return stopping.addTimeout(STOP_SECONDS, for_twisted(self.reactor)).addBoth(lambda _: None)
