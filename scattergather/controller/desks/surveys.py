"""Numbered calls that several hosts answer: a refresh, and a call on every worker.

A call is answered once no host that it was sent to is awaited any more: each has said that it is
done, or has left. A call on every worker that comes before all hosts have answered or failed is put
off until then, as it would leave out those that are about to join. One that names hosts waits until
all of these are up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scattergather.controller.jobs import losses
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.objects import ObjectLedger
from scattergather.model.ids import Digest, code_of
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined, HostsAnswered
from scattergather.wire.messages.shared import Extent

_Postponed = tuple[messages.RunEverywhere, bytes, tuple[Digest, ...]]


@dataclass(slots=True)
class Survey:
    """One call: which hosts have not answered yet, and what the others said.

    ``code`` are the digests that it names, ``objects`` what its arguments take.
    """

    waiting: set[str]
    code: tuple[Digest, ...] = ()
    objects: tuple[Extent, ...] = ()
    workers: int = 0
    interrupted: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Surveys:
    """Asks the hosts, and answers the client when all have answered. Reactor thread only."""

    def __init__(
        self,
        roster: Roster,
        objects: ObjectLedger,
        send: Callable[[messages.ToClient, bytes], None],
    ) -> None:
        self._roster = roster
        self._objects = objects
        self._send = send
        self._open: dict[int, Survey] = {}
        self._postponed: list[_Postponed] | None = []
        self._bound: list[_Postponed] = []
        """What waits for the hosts that it names."""

    # ---- what the client asks -------------------------------------------------------------------

    def refresh(self, call: int) -> None:
        """Every worker of every host is to be replaced."""
        self._ask(self._roster.staying(), call, messages.Refresh(call=call))

    def run_everywhere(self, message: messages.RunEverywhere, body: bytes) -> None:
        """Every worker of every host, or of those that it names, is to run this call."""
        code = code_of(message.function, message.needs)
        self._objects.hold_for_tasks(message.objects)
        if message.on:
            self._bound.append((message, body, code))
            self.hosts_changed()
        elif self._postponed is None:
            self._run_everywhere(message, body, code)
        else:
            self._postponed.append((message, body, code))

    def hosts_changed(self) -> None:
        """A host has joined, or was dropped: what has waited for hosts is asked when all are up."""
        entries = self._roster.entries
        for call in list(self._bound):
            message = call[0]
            gone = [
                name
                for name in message.on
                if (entry := entries.get(name)) is None or entry.leaving is not None
            ]
            if gone:
                self._bound.remove(call)
                self._decline(message, f"{', '.join(gone)} was dropped before it could be called")
            elif all(entries[name].up for name in message.on):
                self._bound.remove(call)
                self._run_everywhere(*call)

    def _decline(self, message: messages.RunEverywhere, why: str) -> None:
        self._send(messages.Answer(call=message.call, value=Declined(why=why)), b"")
        self._objects.release_from_tasks(message.objects)

    def _run_everywhere(
        self, message: messages.RunEverywhere, body: bytes, code: tuple[Digest, ...]
    ) -> None:
        bound = self._roster.shelf.python_of(code)
        asked = [
            each
            for each in self._roster.staying()
            if not message.on or each.spec.name in message.on
        ]
        unfit = [entry for entry in asked if bound and not entry.runs(bound)]
        if unfit:
            names = ", ".join(entry.spec.name for entry in unfit)
            why = f"the function is byte code of Python {bound}, which {names} cannot run"
            self._decline(message, why)
            return
        everywhere = messages.Everywhere(
            call=message.call,
            function=message.function,
            needs=message.needs,
            code_version=message.code_version,
            objects=message.objects,
            away=self._objects.away(message.objects),
        )
        self._ask(asked, message.call, everywhere, body, code, message.objects)

    def _ask(
        self,
        hosts: list[Entry],
        call: int,
        message: messages.ToPool,
        body: bytes = b"",
        code: tuple[Digest, ...] = (),
        objects: tuple[Extent, ...] = (),
    ) -> None:
        self._open[call] = Survey({entry.spec.name for entry in hosts}, code, objects)
        for entry in hosts:
            self._roster.teach(entry, code)
            self._roster.send(entry, message, body)
        self._answer()

    def used_code(self) -> Iterator[Digest]:
        """The digests that unanswered calls name, some more than once."""
        for survey in self._open.values():
            yield from survey.code
        for _, _, code in (*(self._postponed or ()), *self._bound):
            yield from code

    # ---- what hosts say -------------------------------------------------------------------------

    def hosts_awaited(self) -> None:
        """Hosts are about to join: what is asked of every worker is put off until then."""
        if self._postponed is None:
            self._postponed = []

    def awaits(self, host: str) -> bool:
        """Something that this host was asked is not answered."""
        return any(host in survey.waiting for survey in self._open.values())

    def hosts_settled(self) -> None:
        """Every host has answered or failed: what was put off is asked now."""
        postponed, self._postponed = self._postponed, None
        for message, body, code in postponed or ():
            self._run_everywhere(message, body, code)

    def refreshed(self, host: str, message: messages.RefreshDone) -> None:
        """A host has replaced its workers."""
        survey = self._open.get(message.call)
        if survey is not None and host in survey.waiting:
            survey.waiting.discard(host)
            survey.workers += message.workers
            survey.interrupted += message.interrupted
            survey.seconds = max(survey.seconds, message.seconds)
            self._answer()

    def ran(self, host: str, message: messages.EverywhereDone, body: bytes) -> None:
        """A worker of a host has run the call."""
        survey = self._open.get(message.call)
        if survey is None or host not in survey.waiting:
            self._objects.drop_unheard(self._roster.entries[host], message.objects)
            return
        known = self._objects.needs(message.borrowed)
        if not known or not self._objects.are_new(message.objects):
            self._objects.drop_unheard(self._roster.entries[host], message.objects)
            what = "has the name of another" if known else "is not known"
            reason = f"a large part of what it returned {what}"
            message, body = losses.everywhere_lost(message, reason)
        survey.workers += 1
        self._send(
            messages.EverywhereOutcome(
                call=message.call,
                host=host,
                worker=message.worker,
                kind=message.kind,
                objects=self._objects.hold_for_client(message.objects, message.borrowed),
                printed=message.printed,
            ),
            body,
        )
        if message.last:
            survey.waiting.discard(host)
            self._answer()

    def host_left(self, host: str, reason: str) -> None:
        """A host is lost, and whatever it was asked."""
        for survey in self._open.values():
            if host in survey.waiting:
                survey.waiting.discard(host)
                survey.problems.append(f"{host}: {reason}")
        self._answer()

    def _answer(self) -> None:
        for call, survey in list(self._open.items()):
            if not survey.waiting:
                del self._open[call]
                self._objects.release_from_tasks(survey.objects)
                value = HostsAnswered(
                    workers=survey.workers,
                    interrupted=survey.interrupted,
                    seconds=survey.seconds,
                    problems=tuple(survey.problems),
                )
                self._send(messages.Answer(call=call, value=value), b"")
