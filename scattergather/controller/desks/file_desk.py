"""What the client asks of the files of hosts: passed on, and answered once by whatever happens."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.controller.roster import Roster
from scattergather.model.nearest import there_are
from scattergather.model.quoting import quoted
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined
from scattergather.wire.messages.files import FileReply, HostAway


class FileDesk:
    """Asks hosts for the client. Reactor thread only.

    A host answers in the order in which it was asked, and everything that it was asked: or it is
    lost, which is the answer then. Blocks of files are on their way through here, and none is kept.
    """

    def __init__(self, roster: Roster, send: Callable[[messages.ToClient, bytes], None]) -> None:
        self._roster = roster
        self._send = send
        self._open: dict[int, str] = {}
        """Which host is to answer a call, in the order in which they were asked."""

    # ---- what the client says -------------------------------------------------------------------

    def ask(self, message: messages.AskHost, body: bytes) -> None:
        """A request about the files of one host."""
        entry = self._roster.entries.get(message.host)
        if entry is None:
            known = there_are(self._roster.entries, message.host)
            self._answer(message.call, Declined(why=f"no host {quoted(message.host)}; {known}"))
        elif not entry.up:
            self._answer(message.call, HostAway(why=entry.why or "it has not answered yet"))
        else:
            self._open[message.call] = message.host
            asked = messages.AskFiles(call=message.call, request=message.request)
            self._roster.send(entry, asked, body)

    def taken(self, message: messages.FileTaken, body: bytes) -> None:
        """The client has taken a file that a task sent, or has not: the task hears it."""
        entry = self._roster.entries.get(message.host)
        if entry is not None:
            outcome = messages.NestedOutcome(
                worker=message.worker, ticket=message.ticket, kind=message.kind
            )
            self._roster.send(entry, outcome, body)

    # ---- what hosts say -------------------------------------------------------------------------

    def answered(self, host: str, message: messages.FilesAnswer, body: bytes) -> None:
        """A host has answered."""
        if self._open.get(message.call) == host:
            self._answer(message.call, message.reply, body)

    def sent(self, host: str, message: messages.SendFile) -> None:
        """A task on a host sends a file."""
        told = messages.FileSent(
            host=host,
            worker=message.worker,
            ticket=message.ticket,
            transfer=message.transfer,
            name=message.name,
            size=message.size,
            mode=message.mode,
        )
        self._send(told, b"")

    def awaits(self, host: str) -> bool:
        """Something that this host was asked is not answered."""
        return host in self._open.values()

    def host_left(self, host: str, reason: str) -> None:
        """A host is lost, and what it was asked is answered by that."""
        for call in [call for call, name in self._open.items() if name == host]:
            self._answer(call, HostAway(why=reason))

    def _answer(self, call: int, reply: FileReply, body: bytes = b"") -> None:
        self._open.pop(call, None)
        self._send(messages.HostAnswer(call=call, reply=reply), body)
