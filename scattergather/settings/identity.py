"""The key and the secret name of a pool: the same after every restart, so its FURL is.

A pool's folder holds ``key`` (certificate and private key, PEM), ``furl`` (one line, the secret
name in it) and ``lock`` (held while the pool runs: two pools with one key would pass for one).
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scattergather.errors import BadRequest
from scattergather.settings import private
from scattergather.settings.furl import Furl

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
NAME_LENGTH = 32
"""160 bits."""


class Taken(BadRequest):
    """Another pool runs with this folder."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a pool is known by. ``key`` and ``name`` are secrets."""

    folder: Path
    key: bytes = field(repr=False)
    name: str = field(repr=False)
    lock: int = -1

    @property
    def key_file(self) -> Path:
        """Where the key is kept."""
        return self.folder / "key"

    @property
    def furl_file(self) -> Path:
        """Where the FURL of the pool is kept."""
        return self.folder / "furl"

    def release(self) -> None:
        """Another process may claim this identity now, as it may when this process has ended."""
        os.close(self.lock)


def secret_name() -> str:
    """A new name that nobody can guess."""
    return "".join(secrets.choice(ALPHABET) for _ in range(NAME_LENGTH))


def claim(folder: Path, new_key: Callable[[], bytes]) -> Identity:
    """The identity kept in ``folder``, made now if there is none; ours until this process ends.

    Raises:
        NotPrivate: others can read what is there.
        Taken: a running pool has it.
    """
    private.folder(folder)
    lock = _lock(folder)
    try:
        key = private.read(folder / "key")
        kept = private.read(folder / "furl")
        if key is None:
            key, kept = new_key(), None
            private.write(folder / "key", key)
        name = _name_in(kept, folder / "furl") if kept else secret_name()
    except BaseException:
        os.close(lock)
        raise
    return Identity(folder, key, name, lock)


def _name_in(kept: bytes, file: Path) -> str:
    try:
        return Furl.parse(kept.decode()).name
    except ValueError as error:
        raise BadRequest(f"{file} holds no FURL: {error}. {elsewhere(file)}") from error


def elsewhere(file: Path) -> str:
    """What to do about a file in a pool's folder that is not a pool's: it may be anybody's."""
    return (
        f"If {file.parent} is not the folder of a pool, give the pool a --directory of its own. If "
        f"it is, move {file.name} away; the pool makes a new one, and its FURL is another one then"
    )


def claim_any(folder: Path, new_key: Callable[[], bytes]) -> Identity:
    """An identity that no running pool has, ours until this process ends.

    It is kept in the first folder of ``folder``, ``folder.2``, ``folder.3``, ... that is free.

    Raises:
        NotPrivate: others can read what is there.
        Taken: running pools have a thousand of them.
    """
    for number in range(1, 1000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}.{number}")
        try:
            return claim(candidate, new_key)
        except Taken:
            continue
    raise Taken(f"a thousand pools run in {folder.parent}")


def _lock(folder: Path) -> int:
    """A descriptor that holds the lock for as long as it is open."""
    file = folder / "lock"
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadRequest(f"{file} cannot be opened: {error.strerror}. {elsewhere(file)}") from error
    if not re.fullmatch(rb"[0-9]*", os.pread(fd, 100, 0)):
        os.close(fd)
        raise BadRequest(f"{file} is no lock of a pool. {elsewhere(file)}")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 20).decode(errors="replace")
        os.close(fd)
        known = f" (process {holder})" if re.fullmatch("[0-9]+", holder) else ""
        raise Taken(
            f"a pool{known} already runs with the folder {folder}: use that one (its FURL is in "
            "there), or give this one a --directory of its own"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d" % os.getpid(), 0)
    return fd
