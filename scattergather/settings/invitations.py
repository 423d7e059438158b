"""Who may use a pool: its owner and the guests, each with a secret of his own.

A pool's folder holds ``furl``, the owner's, and ``invited/``, with one file for each guest that is
named as he is and holds the version of this format and his secret name: ``1 q2x...``. One file a
guest makes every change a single step of the file system, so that two commands at once, or a
command and a power cut, leave no half of anything: a file is linked into its place to invite,
renamed over it to renew, unlinked to revoke. All that look first and change then do so under the
lock of the folder: a guest who is revoked and renewed at once is revoked, or was not there.

The daemon need not run for any of this, and need not be told: it looks at ``stamp`` twice a
second.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import AbstractContextManager
from pathlib import Path

from scattergather.errors import BadRequest, UnknownName
from scattergather.settings import private
from scattergather.settings.furl import Furl
from scattergather.settings.hosts import NAME
from scattergather.settings.identity import secret_name

OWNER = "owner"
VERSION = 1
LINE = re.compile(r"([0-9]{1,6}) ([A-Za-z0-9]{16,64})\n?")

Stamp = tuple[tuple[str, int, int, int], ...]


class Invitations:
    """The owner and the guests of one pool, as they are on disk; changes are written at once.

    Args:
        pool: the pool's folder.
    """

    def __init__(self, pool: Path) -> None:
        self.pool = pool
        self._furl_file = pool / "furl"
        self._folder = pool / "invited"

    def guests(self) -> list[str]:
        """The names of the guests, sorted."""
        try:
            found = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if NAME.fullmatch(name))

    def since(self, guest: str) -> str:
        """The day on which a guest got his FURL, as ``2026-01-31``."""
        changed = (self._folder / guest).stat().st_mtime
        return time.strftime("%Y-%m-%d", time.localtime(changed))

    def owner(self) -> Furl | None:
        """The owner's FURL, once the pool has run.

        Raises:
            NotPrivate: others can read it.
            BadRequest: the file holds none.
        """
        data = private.read(self._furl_file)
        if data is None:
            return None
        try:
            return Furl.parse(data.decode())
        except ValueError as error:
            raise BadRequest(f"{self._furl_file} holds no FURL: {error}") from None

    def secret(self, who: str) -> str | None:
        """The secret name of the owner or of a guest, if there is one.

        Raises:
            NotPrivate: others can read it.
            BadRequest: the file is broken, or of a later version.
        """
        if who == OWNER:
            owner = self.owner()
            return owner.name if owner else None
        file = self._folder / who
        data = private.read(file)
        if data is None:
            return None
        match = LINE.fullmatch(data.decode(errors="replace"))
        if match is None:
            raise BadRequest(f"{file} holds no invitation: {self._renewal(who)}")
        if int(match[1]) != VERSION:
            raise BadRequest(
                f"{file} has format {match[1]}, this scattergather knows {VERSION}: upgrade it, "
                f"or make the file anew: {self._renewal(who)}"
            )
        return match[2]

    def stamp(self) -> Stamp:
        """Something that is another whenever the owner's or a guest's file is another.

        Name, inode, mode and time of change of each file: inode and mode tell two changes apart
        that fall into one tick of the clock.
        """
        found = []
        for who in (OWNER, *self.guests()):
            file = self._furl_file if who == OWNER else self._folder / who
            try:
                facts = file.lstat()
            except FileNotFoundError:
                continue
            found.append((who, facts.st_ino, facts.st_mode, facts.st_ctime_ns))
        return tuple(found)

    def invite(self, name: str) -> Furl:
        """The FURL of one more guest.

        Raises:
            BadRequest: the name cannot be used, or is in use.
        """
        check(name)
        secret = secret_name()
        try:
            with self._changing():
                base = self._base()
                private.create(private.folder(self._folder) / name, self._line(secret))
        except FileExistsError:
            raise BadRequest(
                f"{name!r} is invited already, and a FURL is shown once only. For a new one in "
                f"place of the old: {self._renewal(name)}. For one more: invite another name"
            ) from None
        return Furl(base.tub, base.hints, secret)

    def renew(self, who: str) -> Furl:
        """A new FURL for the owner or a guest; the one that he had opens nothing any more.

        Raises:
            UnknownName: nobody of that name is invited.
        """
        with self._changing():
            base = self._base()
            furl = Furl(base.tub, base.hints, secret_name())
            if who == OWNER:
                return self._own(furl)
            self._check_known(who)
            private.write(self._folder / who, self._line(furl.name))
        return furl

    def publish(self, furl: Furl) -> Furl:
        """The owner's FURL says where the pool listens now; returns it.

        The secret of the file stays, if there is one: it may have been renewed a moment ago.
        """
        with self._changing():
            kept = self.owner()
            return self._own(Furl(furl.tub, furl.hints, kept.name if kept else furl.name))

    def _changing(self) -> AbstractContextManager[None]:
        return private.changing(private.folder(self.pool))

    def _own(self, furl: Furl) -> Furl:
        private.write(self._furl_file, f"{furl.text}\n".encode())
        return furl

    def revoke(self, name: str) -> None:
        """The guest's FURL opens nothing any more.

        Raises:
            UnknownName: nobody of that name is invited.
            BadRequest: the owner cannot be shut out.
        """
        if name == OWNER:
            raise BadRequest(
                "the owner cannot be shut out of his own pool. If his FURL is in the wrong hands, "
                f"make a new one: {self._renewal(OWNER)}"
            )
        with self._changing():
            self._check_known(name)
            private.remove(self._folder / name)

    def _check_known(self, name: str) -> None:
        guests = self.guests()
        if name not in guests:
            known = f"invited are: {', '.join(guests)}" if guests else "nobody is"
            raise UnknownName(f"nobody called {name!r} is invited to {self.pool}; {known}")

    def _base(self) -> Furl:
        """Where the pool listens, and what it is known by."""
        owner = self.owner()
        if owner is None:
            raise BadRequest(f"no pool has run with the folder {self.pool}, so it has no FURLs yet")
        return owner

    def _renewal(self, who: str) -> str:
        return f"scattergather renew {who} --directory {self.pool}"

    @staticmethod
    def _line(secret: str) -> bytes:
        return f"{VERSION} {secret}\n".encode()


def check(name: str) -> None:
    """Raises ``BadRequest`` if nobody can be invited under this name."""
    if name == OWNER:
        raise BadRequest(f"{OWNER!r} is who runs the pool: choose another name")
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:80]!r} cannot be the name of a guest: up to 64 letters, digits, dots, dashes "
            "and underscores, a letter or a digit at both ends"
        )
