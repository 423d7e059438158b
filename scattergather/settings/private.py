"""Files and folders that nobody else can read, from their first byte on.

A secret is created with its final mode and never widened: a file that is opened first and
restricted afterwards is readable in between. It is written beside its place and renamed into it,
so a reader sees the old one or the new one, whole.

Who reads a file, and writes it anew by what he has read, does both while he is ``changing`` its
folder. Else two who do so at once would each leave out what the other one has written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from scattergather.errors import BadRequest

OTHERS = stat.S_IRWXG | stat.S_IRWXO
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LONGEST = 1 << 20

LOCK = ".changing"
"""The file in a folder that is locked by who changes something there."""

MARKS = (LOCK, "furl", "invited")
"""Whoever has one of these in a folder, and the folder for himself, has it for secrets of ours."""

SECRET = re.compile(rb"-----BEGIN |[^\n]*\n?\Z")
"""What a file of ours looks like: it holds a FURL or a key, or has one line."""

PATIENCE = 10.0
"""Seconds to wait for another process that changes something; that takes milliseconds."""


class NotPrivate(BadRequest):
    """A secret lies where others can read or replace it; nothing is started with it."""


def folder(path: Path) -> Path:
    """The folder exists, is ours, and others cannot enter it.

    Raises:
        NotPrivate: it is somebody else's, or open to others.
        BadRequest: it is no folder, or cannot be made.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
        facts = path.stat()
    except OSError as error:
        raise BadRequest(f"{path} cannot be a folder: {error.strerror or error}") from error
    if not stat.S_ISDIR(facts.st_mode):
        raise BadRequest(f"{path} is no folder")
    _check(facts, path, "folder", 0o700, ours=any((path / name).exists() for name in MARKS))
    return path


@contextlib.contextmanager
def changing(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Nobody else changes files of this folder meanwhile, in any process.

    The lock ends with its descriptor, so that nothing is left of a process that was killed.

    Args:
        folder: it is there.
        patience: for so many seconds another process is waited for.

    Raises:
        BadRequest: the folder cannot be written to, or another process holds the lock for long.
    """
    lock = folder / LOCK
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be changed: {error.strerror or error}") from error
    try:
        deadline = time.monotonic() + patience
        while not _locked(fd):
            if time.monotonic() > deadline:
                raise BadRequest(
                    f"another process changes {folder}, for {patience:g} s already. Try it again; "
                    f"'fuser {lock}' says which one"
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read(path: Path) -> bytes | None:
    """What the file holds, or None if there is none.

    Raises:
        NotPrivate: others can read it, it is not ours, or it is no plain file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotPrivate(f"{path} cannot be read: {error.strerror or error}") from error
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        raise NotPrivate(f"{path} is no plain file")
    with open(fd, "rb") as file:
        data = file.read(LONGEST)
    ours = b"pb://" in data or SECRET.match(data) is not None
    _check(facts, path, "file", 0o600, ours=ours)
    return data


def write(path: Path, data: bytes) -> None:
    """The file holds ``data``, with mode 0600; whoever read it before keeps the old one.

    Raises:
        BadRequest: there is no room, or the folder cannot be written to; the file is as it was.
    """
    with _beside(path, data) as beside:
        beside.rename(path)


def create(path: Path, data: bytes) -> None:
    """A file that was not there holds ``data``, with mode 0600.

    Raises:
        FileExistsError: it is; it stays as it was.
        BadRequest: there is no room, or the folder cannot be written to.
    """
    with _beside(path, data) as beside:
        path.hardlink_to(beside)


def remove(path: Path) -> None:
    """The file is gone, also after a power cut.

    Raises:
        FileNotFoundError: it was not there.
    """
    path.unlink()
    _sync(path.parent)


@contextlib.contextmanager
def _beside(path: Path, data: bytes) -> Iterator[Path]:
    """A whole and private file in the same folder, to be put in its place."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            fd = os.open(beside, NEW, 0o600)
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
        except OSError as error:
            why = error.strerror or error
            raise BadRequest(f"{path} cannot be written: {why}; it is as it was") from error
        yield beside
    finally:
        with contextlib.suppress(OSError):  # what cannot be written to has nothing of ours
            beside.unlink()
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """What was put in or taken out of the folder survives a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check(facts: os.stat_result, path: Path, kind: str, mode: int, *, ours: bool) -> None:
    """Nobody else can read it. What is not ours may be anything: it stays as it is."""
    if facts.st_uid != os.geteuid():
        raise NotPrivate(
            f"{path} belongs to another user (uid {facts.st_uid}), who could read what is secret "
            "there"
        )
    if not facts.st_mode & OTHERS:
        return
    now = stat.S_IMODE(facts.st_mode)
    begin = f"{path} is open to others (mode {now:04o}), and a {kind} for secrets has {mode:04o}. "
    if ours:
        raise NotPrivate(
            f"{begin}Close it: chmod {mode:03o} {shlex.quote(str(path))}. Whoever may have read a "
            "FURL there can use it until it is replaced: scattergather renew"
        )
    raise NotPrivate(
        f"{begin}It does not look like one of scattergather's. Name one that is not there yet, and "
        "it is made, for you alone"
        if kind == "folder"
        else f"{begin}It holds neither a FURL nor a key: is it the right one?"
    )


def hand_over(path: Path, furl: str) -> None:
    """The file holds this FURL, and nobody else can read it.

    Raises:
        BadRequest: as ``check_hand_over``.
    """
    check_hand_over(path)
    write(path, f"{furl}\n".encode())


def check_hand_over(path: Path) -> None:
    """A FURL can be handed over by this file, in a folder that is made if need be.

    It is asked before there is a FURL that is shown once only.

    Raises:
        BadRequest: the file holds something else, which stays; or it cannot be written.
    """
    if not path.parent.exists():
        folder(path.parent)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise BadRequest(f"{path} cannot be written: its folder is not yours to change")
    if path.exists() and (not path.is_file() or not _may_be_replaced(path)):
        raise BadRequest(f"{path} is there and holds no FURL: name another file, it stays as it is")


def _may_be_replaced(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(5)
    return begin in (b"", b"pb://")
