"""Gives a controller's courier a connection while it needs one.

It dials when something is to leave or to arrive, at once at first and then every few seconds; the
delay grows until an object has made it. A connection that was not needed for a minute is closed: it
takes one of the daemon's places and some 100 kB, and dialling again costs a few round trips, which
nobody notices after a minute. Reactor thread only.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet import endpoints
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from scattergather.link.blocks.carriage import calling
from scattergather.link.blocks.courier import Courier
from scattergather.link.gate import gate
from scattergather.link.gate.caller import GatedEndpoint
from scattergather.link.pauses import Pauses
from scattergather.link.redial import Redial
from scattergather.reactor.seam import Reactor, Timer, call_off, for_twisted, planned
from scattergather.settings.furl import Furl

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
TELLING = 4
"""Attempts in a row that fail, or connections that end before any object has made it, before the
user is told: some seconds."""


class Dialler:
    """Dials for one session.

    Args:
        furl: the daemon's.
        session: the id of the session, and ``ticket`` what opens its block stream.
        courier: whom the connection is for; ``look`` is to hear whenever it ``changed``.
        name: the host's, for the log.
        trouble: hears a sentence when large values do not get through for a while.
        chance: spreads the delays of many hosts.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        furl: Furl,
        session: bytes,
        ticket: bytes,
        courier: Courier,
        *,
        name: str,
        trouble: Callable[[str], None],
        chance: random.Random,
    ) -> None:
        self._reactor = reactor
        self._furl = furl
        self.courier = courier
        self._name = name
        self._trouble = trouble
        self._failures = 0
        self._key = gate.Key.of(furl.name)
        self._factory = calling(reactor, furl.tub, session, ticket, courier)
        self._attempts = 0
        self._settled = 0
        self._connected = False
        self._idle: Timer | None = None
        self._pauses = Pauses(FIRST_PAUSE, LONGEST_PAUSE, chance)
        self._redial = Redial(reactor, self._pauses, self._attempt)

    def look(self) -> None:
        """The courier may need a connection now, or none any more."""
        if self.courier.settled != self._settled:
            self._settled, self._failures = self.courier.settled, 0
            self._pauses.at_once()
        elif self._connected and not self.courier.connected and self.courier.outstanding:
            self._failed(self.courier.ended)
        self._connected = self.courier.connected
        if not self.courier.outstanding:
            if self.courier.connected and not planned(self._idle):
                self._idle = self._reactor.callLater(IDLE_SECONDS, self.courier.hang_up)
            return
        call_off(self._idle)
        if not self.courier.connected:
            self._redial.later()

    def stop(self) -> None:
        """The session ended: dial no more."""
        self._redial.stop()
        call_off(self._idle)
        self.courier.close()

    async def _attempt(self) -> bool:
        """Dial once. True if there is a connection now, or nothing more for which one is needed."""
        addresses = self._furl.addresses
        host, port = addresses[self._attempts % len(addresses)]
        self._attempts += 1
        inner = endpoints.HostnameEndpoint(self._reactor, host, port)
        gated = GatedEndpoint(self._reactor, inner, self._key, gate.DATA)
        dialling: Deferred[Any] = gated.connect(self._factory)
        dialling.addCallback(lambda carriage: carriage.begun)
        try:
            await dialling.addTimeout(CONNECT_SECONDS, for_twisted(self._reactor))
        except CancelledError:
            pass  # by ``stop``
        except Exception as why:
            self._failed(str(why))
        self.look()
        return self.courier.connected or not self.courier.outstanding

    def _failed(self, why: str) -> None:
        self._log.info("{host}: no block stream: {why}", host=self._name, why=why)
        self._failures += 1
        if self._failures == TELLING:
            self._trouble(
                f"{self._name}: large values do not get through ({why}); tasks that take or "
                "return them wait there, and it is tried again"
            )
