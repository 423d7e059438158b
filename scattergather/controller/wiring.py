"""Wires the parts of a controller: the one page that shows all of them and who tells whom.

::

    client --> ClientDesk --> Driver <--> Scheduler            Board --> client
                   |            | ^
                   v            v |
                Surveys       hosts --> Arrivals --> HostsDesk --> Driver, Surveys, ObjectLedger
              HostChanges       |           ^
                                v           |
                      block streams --> Landing --> Store

What comes of one call may come at once: a host in this process answers before the call returns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from scattergather.controller.desks.board import Board
from scattergather.controller.desks.changes import HostChanges
from scattergather.controller.desks.client_desk import ClientDesk
from scattergather.controller.desks.file_desk import FileDesk
from scattergather.controller.desks.hosts_desk import HostsDesk
from scattergather.controller.desks.surveys import Surveys
from scattergather.controller.jobs.driver import Driver
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.seams import ClientEnd, HostBuilder
from scattergather.controller.values.arrivals import Arrivals
from scattergather.controller.values.landing import Landing
from scattergather.controller.values.objects import ObjectLedger
from scattergather.controller.values.shown import ShownSlabs
from scattergather.reactor.seam import Clock
from scattergather.scheduler.scheduler import Scheduler
from scattergather.store.store import Store
from scattergather.wire.messages.client import HostSpec


class _Listener:
    """Hears one host, and says which one it was; implements ``link.seams.HostListener``."""

    def __init__(
        self,
        entry: Entry,
        arrivals: Arrivals,
        objects: ObjectLedger,
        desk: HostsDesk,
        changes: HostChanges,
    ) -> None:
        self._entry = entry
        self._arrivals = arrivals
        self._desk = desk
        self._changes = changes
        self.joined = partial(desk.joined, entry)
        self.received = partial(arrivals.said, entry)
        self.arrived = partial(arrivals.arrived, entry)
        self.lost = partial(arrivals.lost, entry)
        self.shipped = partial(objects.shipped, entry)
        self.measured = partial(desk.measured, entry)
        self.refused = partial(desk.refused, entry)
        self.troubled = desk.notice

    def left(self, reason: str) -> None:
        try:
            self._arrivals.left(self._entry)
        finally:  # whatever it has brought about, its leases run elsewhere
            try:
                self._desk.left(self._entry, reason)
            finally:
                self._changes.lost(self._entry)


class Wiring:
    """The parts of one controller. Reactor thread only.

    Args:
        reactor: Twisted's, or one of a simulation.
        specs: the hosts to use.
        store: where everything large lies.
        client: who all this is for.
        builder: makes the hosts.
        die: ends the process.
        scheduler: decides what runs where; a simulation looks over its shoulder.
    """

    def __init__(
        self,
        *,
        reactor: Clock,
        specs: tuple[HostSpec, ...],
        store: Store,
        client: ClientEnd,
        builder: HostBuilder,
        die: Callable[[], None],
        scheduler: Scheduler | None = None,
    ) -> None:
        self.scheduler = scheduler or Scheduler()
        self.roster = Roster(specs)
        self.landing = Landing(reactor, store, builder.room)
        self.shown = ShownSlabs(store, client.bring, client.send)
        self.objects = ObjectLedger(
            reactor, store, self.roster, self.shown, client.send, self.landing.drop
        )
        self.driver = Driver(reactor, self.scheduler, self.roster, self.objects, client)
        self.surveys = Surveys(self.roster, self.objects, client.send)
        self.board = Board(reactor, self.roster, self.driver, store, client.send)
        self.files = FileDesk(self.roster, client.send)
        self.hosts_desk = HostsDesk(
            reactor=reactor,
            roster=self.roster,
            driver=self.driver,
            objects=self.objects,
            surveys=self.surveys,
            board=self.board,
            files=self.files,
            send=client.send,
        )
        self.arrivals = Arrivals(store, self.objects.fetched, self.hosts_desk.said)
        self.changes = HostChanges(
            reactor=reactor,
            roster=self.roster,
            driver=self.driver,
            objects=self.objects,
            surveys=self.surveys,
            arrivals=self.arrivals,
            desk=self.hosts_desk,
            builder=builder,
            enter=self._enter,
        )
        self.client_desk = ClientDesk(
            roster=self.roster,
            driver=self.driver,
            objects=self.objects,
            store=store,
            surveys=self.surveys,
            changes=self.changes,
            board=self.board,
            files=self.files,
            client=client,
            settle=builder.settle,
            die=die,
        )

        store.spills = True  # what finds no room in memory lands on disk
        store.room.append(builder.room)
        store.slab_gone.append(self.shown.slab_gone)
        self.roster.code_users += [self.driver.used_code, self.surveys.used_code]
        self.driver.drained = self.changes.drained
        self._builder = builder
        builder.can_wait = self.driver.can_wait
        builder.heard = client.send_gathered
        for entry in self.roster.entries.values():
            self._enter(entry)

    def _enter(self, entry: Entry) -> None:
        """There is what leads to this host, not started."""
        listener = _Listener(entry, self.arrivals, self.objects, self.hosts_desk, self.changes)
        entry.host = self._builder.build(entry.spec, listener, self.landing)

    def start(self) -> None:
        """The hosts begin to join."""
        self.hosts_desk.start()
        self.board.start()
        for entry in self.roster.entries.values():
            if entry.host is not None:
                entry.host.start()

    def stop(self) -> None:
        """Leave all hosts; none of them is heard any more."""
        for entry in self.roster.entries.values():
            if entry.host is not None:
                entry.host.stop()
