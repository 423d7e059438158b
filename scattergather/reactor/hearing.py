"""Readers that may be heard together, a moment later.

What a process does when it wakes up takes several times as long as the same a moment later: memory
is nearer by then. A process that is woken once for what several others have said does it in less
time than one that is woken for each.

The readers have an epoll of their own, which the reactor sees as one reader. They are heard at once
as long as nothing was heard for a moment. After that, whoever owns them may say that they can wait:
then the reactor hears nothing of them until ``GATHER_SECONDS`` have passed, and all that was said
meanwhile is read in one turn.

::

             something was read, and the rest can wait
    Heard ----------------------------------------------> Resting    for GATHER_SECONDS
      ^                                                      |
      +------------------------------------------------------+
        nothing was said meanwhile, or it can wait no more, or ``hurry``
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from scattergather.model.outcome import GATHER_SECONDS
from scattergather.reactor.seam import Reactor, Reader, Timer, Writer, call_off


class Hearing:
    """Stands in for the reactor of transports that are read from. Reactor thread only.

    Args:
        can_wait: asked when something was read: may what comes next wait for a moment?
        heard: called when all were heard that had something to say.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        can_wait: Callable[[], bool],
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._can_wait = can_wait
        self._heard = heard
        self._readers: dict[int, Reader] = {}
        self._poll: Any = None
        self._rest: Timer | None = None
        self._watched = False
        self.gathers = False
        """What is heard now had waited, and so may what is said because of it until the end."""

    def adopt(self, transport: Any) -> None:
        """This transport of Twisted's is heard with the others from now on."""
        transport.stopReading()
        transport.reactor = self
        transport.startReading()

    def hurry(self) -> None:
        """What the readers have to say is waited for from now on."""
        if self._rest is not None:
            self._end_rest()
            self._watch()

    # ---- the reactor of a transport -------------------------------------------------------------

    def addReader(self, reader: Reader) -> None:
        """Called by a transport: it is heard with the others."""
        descriptor = reader.fileno()
        if self._readers.get(descriptor) is reader:
            return
        if self._poll is None:
            self._poll = select.epoll()
            self._watch()
        self._poll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader

    def removeReader(self, reader: Reader) -> None:
        """Called by a transport, before its socket is closed: it is heard no more."""
        descriptor = reader.fileno()
        if self._readers.get(descriptor) is not reader:
            return
        del self._readers[descriptor]
        self._poll.unregister(descriptor)
        if not self._readers:
            self._end_rest()
            self._leave()
            self._poll.close()
            self._poll = None

    def addWriter(self, writer: Writer) -> None:
        """Called by a transport: writing is not put off."""
        self._reactor.addWriter(writer)

    def removeWriter(self, writer: Writer) -> None:
        """Called by a transport."""
        self._reactor.removeWriter(writer)

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> Timer:
        """Called by a transport."""
        return self._reactor.callLater(delay, call, *args)

    def seconds(self) -> float:
        """Called by Twisted, for a delay of a transport."""
        return self._reactor.seconds()

    # ---- what the reactor calls -----------------------------------------------------------------

    def fileno(self) -> int:
        """The epoll's: it is readable when one of the readers is."""
        return -1 if self._poll is None else self._poll.fileno()

    def doRead(self) -> None:
        """Hear all that have something to say."""
        if self._hear() and self._may_rest():
            self._leave()
            self._begin_rest()

    def logPrefix(self) -> str:
        """Called by Twisted."""
        return "Hearing"

    def connectionLost(self, reason: Failure) -> None:
        """Called by Twisted: the reactor ends, and does not know of the readers."""
        for reader in list(self._readers.values()):
            reader.connectionLost(reason)

    # ---- hearing --------------------------------------------------------------------------------

    def _look(self) -> None:
        """The moment is over."""
        self._rest = None
        self.gathers = True
        heard = self._hear()
        self.gathers = False
        if heard and self._may_rest():
            self._begin_rest()
        elif self._poll is not None:
            self._watch()

    def _may_rest(self) -> bool:
        """There are readers, and they can wait; a fault of whoever is asked makes nobody wait."""
        try:
            return self._poll is not None and self._can_wait()
        except Exception:
            self._log.failure("it is not known whether hosts can wait")
            return False

    def _hear(self) -> bool:
        """All that have something to say were heard; False if nobody had."""
        ready = self._poll.poll(0)
        for descriptor, _ in ready:
            reader = self._readers.get(descriptor)
            if reader is not None:  # else it is gone because of what another one said
                self._read(reader)
        if not ready:
            return False
        try:
            self._heard()
        except Exception:
            self._log.failure("what was heard could not be passed on")
        return True

    def _read(self, reader: Reader) -> None:
        try:
            end: Any = reader.doRead()
        except Exception as error:
            self._log.failure("what was read could not be handled")
            end = error
        if end is not None:
            self.removeReader(reader)
            reader.connectionLost(Failure(end))

    # ---- the reactor looks after us, or a timer does --------------------------------------------

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._reactor.addReader(self)

    def _leave(self) -> None:
        if self._watched:
            self._watched = False
            self._reactor.removeReader(self)

    def _begin_rest(self) -> None:
        if self._rest is None:
            self._rest = self._reactor.callLater(GATHER_SECONDS, self._look)

    def _end_rest(self) -> None:
        call_off(self._rest)
        self._rest = None
