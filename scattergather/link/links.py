"""The links of one controller, one to each of its remote hosts."""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred

from scattergather.link.host import RemoteHost
from scattergather.link.seams import Host, HostListener, NoObjectStore, ObjectStore
from scattergather.link.switchboard import Switchboard
from scattergather.reactor.seam import Reactor
from scattergather.wire.messages.client import RemoteSpec


class Links:
    """Makes the remote hosts of a controller, and tells them what concerns all. Reactor thread.

    Args:
        controller: a name for this controller, for the logs of the daemons.
        objects: what is shipped to the hosts, and where their results go.
        hash_seed: the one with which their workers are to agree on ``hash(text)``.
        chance: spreads the attempts to reach many hosts.
        can_wait: says whether what hosts say may be heard a moment later.
        heard: called when all hosts were heard that had said something.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        controller: str = "",
        objects: ObjectStore | None = None,
        hash_seed: int | None = None,
        chance: random.Random | None = None,
        can_wait: Callable[[], bool] = lambda: False,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self.hosts: list[RemoteHost] = []
        self.switchboard = Switchboard(
            reactor,
            controller=controller,
            hash_seed=hash_seed,
            ended=self.ended,
            chance=chance,
            can_wait=can_wait,
            heard=heard,
        )
        self._objects: ObjectStore = NoObjectStore() if objects is None else objects

    def host(self, spec: RemoteSpec, listener: HostListener) -> RemoteHost:
        """A host of this controller, not started.

        Raises:
            BadRequest: the spec's FURL is none.
        """
        host = RemoteHost(self.switchboard, spec, listener, self._objects)
        self.hosts.append(host)
        return host

    def discard(self, host: Host) -> None:
        """A host that was stopped is told nothing more."""
        self.hosts = [each for each in self.hosts if each is not host]

    def room(self) -> None:
        """There may be room again for objects of results: each host may take some, in turn."""
        for host in self.hosts:
            host.room()
        self.hosts = [*self.hosts[1:], *self.hosts[:1]]  # else the first would get all of it

    def ended(self, session: bytes, reason: str) -> None:
        """A pool has ended this session."""
        for host in self.hosts:
            host.ended(session, reason)

    def stop(self) -> Deferred[None]:
        """Leave all hosts; fires when the connections are closed, a second later at the latest."""
        for host in self.hosts:
            host.stop()
        return self.switchboard.stop()
