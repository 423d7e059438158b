"""Hosts that come, change and go while the controller works.

::

                 drop                 nothing of it is left there
      (in use) --------> Leaving ------------------------------------> gone
         |                  |          or it is lost before
         +------------------+
          drop, while it is down: at once

A host that is added again while it is leaving comes again when it is gone.

A host that is leaving gets nothing more and gives back what it has not begun. It is left once all
that it was asked is answered, the calls that its tasks have submitted are through (where others can
run them: nobody waits for them any more), and what others need of what was made there has come
here. That charges nobody. Whoever does not want to wait for
its tasks has its workers ended, which is to their tasks what a refresh is. Where that takes too
long (a worker that the kernel does not let go, a machine that hardly moves) the host is left with
its tasks, as one that is lost.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from scattergather.controller.desks.hosts_desk import HostsDesk
from scattergather.controller.desks.surveys import Surveys
from scattergather.controller.jobs.driver import Driver
from scattergather.controller.roster import Entry, Leaving, Roster
from scattergather.controller.seams import HostBuilder
from scattergather.controller.values.arrivals import Arrivals
from scattergather.controller.values.objects import ObjectLedger
from scattergather.errors import BadRequest
from scattergather.model.nearest import there_are
from scattergather.model.quoting import quoted
from scattergather.model.snapshot import plural
from scattergather.reactor.seam import Clock
from scattergather.scheduler import events
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined, Done, EmbeddedSpec, HostSpec, RemoteSpec

LOOK_SECONDS = 0.05
"""How often is looked whether a host that has no tasks any more can be left."""

MOVES = "what others need of it is moved from there"

LEAVE_SECONDS = 15.0
"""What ends the workers of a host is not waited for longer. It kills them after two seconds, and
their zygote, if that stands still, after ten."""


class HostChanges:
    """Adds, drops and resizes hosts as the client says. Reactor thread only.

    Args:
        enter: makes what leads to a host, not started, for its entry.
    """

    def __init__(
        self,
        *,
        reactor: Clock,
        roster: Roster,
        driver: Driver,
        objects: ObjectLedger,
        surveys: Surveys,
        arrivals: Arrivals,
        desk: HostsDesk,
        builder: HostBuilder,
        enter: Callable[[Entry], None],
    ) -> None:
        self._reactor = reactor
        self._roster = roster
        self._driver = driver
        self._objects = objects
        self._surveys = surveys
        self._arrivals = arrivals
        self._desk = desk
        self._builder = builder
        self._enter = enter

    # ---- what the client asks -------------------------------------------------------------------

    def add(self, message: messages.AddHost) -> Done | Declined:
        """One host more is used, as soon as it has joined: one that is leaving, when it is left."""
        spec = message.spec
        there = self._roster.entries.get(spec.name)
        if there is not None and there.leaving is None:
            return Declined(why=f"a host {quoted(spec.name)} is there already")
        if isinstance(spec, EmbeddedSpec):
            self._builder.settle(message.place)
        if there is not None:
            there.successor = spec
            self._driver.handle(events.HostExpected(host=spec.name))
            return Done()
        return self._use(spec)

    def _use(self, spec: HostSpec) -> Done | Declined:
        entry = Entry(spec)
        try:
            self._enter(entry)
        except BadRequest as error:
            return Declined(why=f"{spec.name}: {error}")
        self._roster.entries[spec.name] = entry
        self._driver.handle(events.HostExpected(host=spec.name))
        self._desk.awaited()
        if entry.host is not None:
            entry.host.start()
        return Done()

    def drop(self, message: messages.DropHost) -> Done | Declined:
        """A host gets nothing more, and is left when it can be. What was said before still holds.

        One that was to be drained may yet be left at once.
        """
        entry = self._roster.entries.get(message.name)
        if entry is None:
            return self._unknown(message.name)
        if not entry.up or entry.successor is not None:
            self._driver.handle(events.HostDropped(host=message.name))
        entry.successor = None
        if not entry.up:
            self._leave(entry)
            return Done()
        if entry.leaving is Leaving.AT_ONCE or (entry.leaving is not None and not message.now):
            return Done()
        entry.leaving = Leaving.AT_ONCE if message.now else Leaving.DRAINED
        self._driver.handle(events.HostDraining(host=message.name, closed=message.now))
        self._surveys.hosts_changed()
        if message.now:
            self._roster.send(entry, messages.Leave())
            self._reactor.callLater(LEAVE_SECONDS, self._give_up, entry)
        return Done()

    def resize(self, message: messages.ResizeHost) -> Done | Declined:
        """A host works for us with more workers, or fewer, now and when it joins again."""
        name, workers = message.name, message.workers
        entry = self._roster.entries.get(name)
        if entry is None:
            return self._unknown(name)
        if entry.successor is not None:
            entry.successor = msgspec.structs.replace(entry.successor, workers=workers)
            return Done()
        if entry.leaving is not None:
            return Declined(
                why=f"{name} was dropped and takes nothing more; c.hosts.add(url) uses it again"
            )
        if isinstance(entry.spec, RemoteSpec) and entry.up and entry.facts is not None:
            most = entry.facts.workers
            if workers > most:
                return Declined(why=f"{name} has {plural(most, 'worker')}, not {workers:,}")
        entry.spec = msgspec.structs.replace(entry.spec, workers=workers)
        if entry.up:
            entry.workers = workers
        if entry.host is not None:
            entry.host.resize(workers)
        return Done()

    def _unknown(self, name: str) -> Declined:
        return Declined(
            why=f"no host is called {quoted(name)}; {there_are(self._roster.entries, name)}"
        )

    # ---- what happens ---------------------------------------------------------------------------

    def drained(self, name: str) -> None:
        """A host that is leaving has no tasks any more.

        It is left in a turn of its own: whoever found that out is in the middle of what it said.
        """
        self._reactor.callLater(0, self._look, self._roster.entries[name])

    def lost(self, entry: Entry) -> None:
        """The session with a host is over. One that was leaving is not dialled again.

        It is forgotten in a turn of its own: something may be about to be told to it in this one.
        """
        if entry.leaving is not None:
            self._reactor.callLater(0, self._end, entry)

    def _end(self, entry: Entry) -> None:
        if self._is_used(entry):
            self._leave(entry)

    def _give_up(self, entry: Entry) -> None:
        name = entry.spec.name
        if self._is_used(entry) and (self._driver.has_tasks(name) or self._surveys.awaits(name)):
            self._desk.notice(f"{name} did not end its workers in {LEAVE_SECONDS:g} s and is left")
            self._leave(entry)

    def _is_used(self, entry: Entry) -> bool:
        return self._roster.entries.get(entry.spec.name) is entry

    def _look(self, entry: Entry) -> None:
        name = entry.spec.name
        if not self._is_used(entry):
            return  # it was lost meanwhile
        if self._surveys.awaits(name) or self._has_calls(entry):
            self._reactor.callLater(LOOK_SECONDS, self._look, entry)
        elif not self._is_home(entry):
            entry.why = MOVES
            self._reactor.callLater(LOOK_SECONDS, self._look, entry)
        else:
            self._leave(entry)

    def _has_calls(self, entry: Entry) -> bool:
        patient = entry.leaving is Leaving.DRAINED and bool(self._roster.staying())
        return patient and self._driver.has_calls_of(entry.spec.name)

    def _is_home(self, entry: Entry) -> bool:
        """What others hold of what was made there lies elsewhere; what is not is moved now."""
        return self._objects.bring_home(entry)

    def _leave(self, entry: Entry) -> None:
        if entry.host is not None:
            entry.host.stop()
            self._builder.discard(entry.host)
        try:
            self._arrivals.left(entry)
        finally:
            del self._roster.entries[entry.spec.name]
            self._desk.dropped(entry)
            if entry.successor is not None:
                self._use(entry.successor)
