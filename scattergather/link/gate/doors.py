"""Keeps a pool open to whom its folder says, while the pool runs.

The commands ``invite``, ``renew`` and ``revoke`` change files (``settings.invitations``) and need
nothing of the daemon; the daemon looks for itself, twice a second. A look is a ``stat`` for each
guest: 0.05 ms for ten of them. It works the same for a change by hand or from a backup, where a
signal needs the right process and inotify the right file system.

What cannot be read, or others can read, opens nothing, and what it had opened is closed; the log
says why, and mending it lets the user in again.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scattergather.errors import BadRequest
from scattergather.reactor.seam import Clock, for_twisted
from scattergather.settings.invitations import OWNER, Invitations, Stamp

SECONDS = 0.5


class House(Protocol):
    """What has doors; ``LinkServer`` is one."""

    def let_in(self, who: str, name: str) -> None:
        """Who knows this secret name may come in."""

    def shut_out(self, who: str) -> None:
        """This user may not come in any more, and what he has open ends."""


class Doors:
    """Who may come in now. Reactor thread only."""

    _log = Logger()

    def __init__(self, clock: Clock, invitations: Invitations, house: House) -> None:
        self._invitations = invitations
        self._house = house
        self._open: dict[str, str] = {}
        self._stamp: Stamp = ()
        self._complaint = ""
        self._looking = LoopingCall(self._look)
        self._looking.clock = for_twisted(clock)

    def start(self, secrets: dict[str, str]) -> None:
        """Open to these users and to the guests, and look for changes from now on.

        Raises:
            BadRequest: an invitation is broken or open to others. Nobody is let in then.
        """
        self._stamp = self._invitations.stamp()
        guests = self._invitations.guests()
        invited = {name: self._invitations.secret(name) or "" for name in guests}
        self._follow({**invited, **secrets})
        self._looking.start(SECONDS, now=False)

    def stop(self) -> None:
        """Do not look for changes any more; whoever may come in still may."""
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        try:
            stamp = self._invitations.stamp()
            if stamp != self._stamp:
                self._stamp = self._reread(stamp)
        except OSError as error:  # no descriptor left, perhaps: everything stays until the next
            self._complain(f"who is invited cannot be read: {error}")

    def _reread(self, stamp: Stamp) -> Stamp:
        """Do as the files say; the stamp to compare with, empty if one has to be read again."""
        wanted: dict[str, str] = {}
        complaints = []
        for who in (OWNER, *self._invitations.guests()):
            try:
                wanted[who] = self._invitations.secret(who) or self._without_a_file(who)
            except BadRequest as error:
                complaints.append(f"{who} is shut out: {error}")
        self._follow(wanted)
        self._complain("; ".join(complaints))
        return () if complaints else stamp

    def _without_a_file(self, who: str) -> str:
        """A guest is revoked; the owner's file is written by the daemon, when it is ready."""
        return self._open.get(who, "") if who == OWNER else ""

    def _follow(self, wanted: dict[str, str]) -> None:
        for who, secret in list(self._open.items()):
            if wanted.get(who) != secret:
                del self._open[who]
                self._house.shut_out(who)
                self._log.info("{who}: the FURL that opened this pool is dead", who=who)
        for who, secret in wanted.items():
            if secret and who not in self._open:
                self._open[who] = secret
                self._house.let_in(who, secret)
                self._log.info("{who}: may come in", who=who)

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            if complaint:
                self._log.warn("{complaint}", complaint=complaint)
