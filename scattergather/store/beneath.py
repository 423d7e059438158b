"""Files beneath one folder, opened so that nothing outside of it is read or written.

A path is taken apart, and each part is opened in the folder before it, never through a link: so it
makes no difference who puts a link into its place meanwhile. What arrives has no name until it is
complete, and gets it at once. Each call blocks as long as the disk does; none waits for anybody, as
opening a pipe would.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from scattergather.model.quoting import quoted
from scattergather.model.snapshot import in_bytes
from scattergather.wire.frame import Bytes

MOST_PATH = 4096
"""Bytes of a path: Linux has no longer ones."""

MODE = 0o700
"""What stays of a file's mode: it is its owner's alone."""

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


class Barred(Exception):
    """A file, or a path, that is not to be had: a sentence that names it and says why."""


class Existing(Barred):
    """There is a file of that name already, which is not to be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file or a folder beneath a folder; ``path`` leads there from it."""

    path: bytes
    folder: bool
    size: int
    mode: int


@contextmanager
def _told(path: bytes) -> Iterator[None]:
    """An error of the system on the way to this path becomes a sentence."""
    try:
        yield
    except OSError as error:
        raise Barred(why(path, error)) from error


def why(path: bytes, error: OSError) -> str:
    """The sentence for an error of the system that concerns this path."""
    shown = quoted(os.fsdecode(path))
    match error.errno:
        case errno.ENOENT:
            return f"there is no file or folder {shown}"
        case errno.ELOOP:
            return f"{shown} is a link, and links are not followed here"
        case errno.ENOTDIR:
            return f"{shown} leads through a link, or through something that is no folder"
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk is full: there is no room for {shown}"
        case errno.ENAMETOOLONG:
            return f"the name is too long: {shown}"
        case errno.EISDIR:
            return f"{shown} is a folder"
        case _:
            return f"{shown}: {error.strerror or error}"


def parts_of(path: bytes) -> tuple[bytes, ...]:
    """The parts of a path that leads from a folder to something beneath it; none for itself.

    Raises:
        Barred: it may lead out.
    """
    shown = quoted(os.fsdecode(path))
    if path.startswith(b"/"):
        raise Barred(
            f"{shown} is a path from the root, and only what is below the folder may be had"
        )
    if len(path) > MOST_PATH or b"\0" in path:
        raise Barred(f"{shown} is no path")
    parts = tuple(part for part in path.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise Barred(f"{shown} leads out by '..'")
    return parts


class Beneath:
    """What lies beneath one folder.

    Args:
        root: the folder. It may be a link itself: whoever names it means what it leads to.
        anywhere: paths from the root of the file system lead there, through links too.
        make: the folder is made when it is first needed.
    """

    def __init__(self, root: bytes, *, anywhere: bool = False, make: bool = True) -> None:
        self.root = root
        self._make = make
        self._anywhere = anywhere

    # ---- what is there --------------------------------------------------------------------------

    def look(self, path: bytes) -> Found:
        """What lies at this path. Raises Barred if it is neither a file nor a folder."""
        parts = self._parts(path)
        with _told(path):
            if not parts:
                os.close(self._open_root())
                return Found(path=path, folder=True, size=0, mode=MODE)
            with self._folder(parts[:-1]) as folder:
                return _found(folder, parts[-1], path)

    def entries(self, path: bytes) -> Iterator[Found]:
        """All files and folders below a folder, each folder before what it holds.

        Raises:
            Barred: one of them is neither, as a link or a pipe.
        """
        parts = self._parts(path)
        waiting = [(parts, b"")]
        while waiting:
            parts, below = waiting.pop()
            shown = b"/".join((path, below)) if below else path
            with _told(shown), self._folder(parts) as folder:
                names = sorted(os.listdir(folder))
                for name in map(os.fsencode, names):
                    if name.startswith(TEMPORARY):
                        continue
                    inner = b"/".join((below, name)) if below else name
                    found = _found(folder, name, inner)
                    if found.folder:
                        waiting.append(((*parts, name), inner))
                    yield found

    def open(self, path: bytes) -> Departing:
        """The file at this path, to be read.

        Raises:
            Barred: it is not a regular file, or cannot be read.
        """
        parts = self._parts(path)
        with _told(path):
            if not parts:
                raise IsADirectoryError(errno.EISDIR, "")
            with self._folder(parts[:-1]) as folder:
                _check_regular(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), path)
                fd = os.open(parts[-1], _READ | os.O_NOFOLLOW, dir_fd=folder)
            try:
                return Departing(fd, path)
            except BaseException:
                os.close(fd)
                raise

    # ---- what arrives ---------------------------------------------------------------------------

    def make_folder(self, path: bytes) -> None:
        """There is a folder at this path."""
        parts = self._parts(path)
        with _told(path), self._folder(parts, make=True):
            pass

    def begin(self, path: bytes, size: int) -> Arriving:
        """A file that is to lie at this path when it is complete.

        Raises:
            Barred: it cannot.
        """
        parts = self._parts(path)
        with _told(path):
            if not parts:
                raise IsADirectoryError(errno.EISDIR, "")
            with self._folder(parts[:-1], make=True) as folder:
                _check_target(folder, parts[-1], path)
                return Arriving(os.dup(folder), parts[-1], path, size)

    # ---- the way --------------------------------------------------------------------------------

    def _parts(self, path: bytes) -> tuple[bytes, ...]:
        if self._anywhere and path.startswith(b"/"):
            if b"\0" in path or len(path) > MOST_PATH:
                raise Barred(f"{quoted(os.fsdecode(path))} is no path")
            real = os.path.realpath(path)
            return (b"/", *(part for part in real.split(b"/") if part))
        return parts_of(path)

    def _open_root(self) -> int:
        if self._make:
            os.makedirs(self.root, mode=MODE, exist_ok=True)
        return os.open(self.root, _FOLDER)

    @contextmanager
    def _folder(self, parts: tuple[bytes, ...], *, make: bool = False) -> Iterator[int]:
        """The descriptor of a folder, closed behind the block."""
        if parts[:1] == (b"/",):
            folder, parts = os.open(b"/", _FOLDER), parts[1:]
        else:
            folder = self._open_root()
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, MODE, dir_fd=folder)
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


def _found(folder: int, name: bytes, path: bytes) -> Found:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder:
        _check_regular(status, path)
    return Found(path=path, folder=is_folder, size=status.st_size, mode=status.st_mode & MODE)


def _check_regular(status: os.stat_result, path: bytes) -> None:
    mode, shown = status.st_mode, quoted(os.fsdecode(path))
    if stat.S_ISREG(mode):
        return
    if stat.S_ISLNK(mode):
        raise Barred(f"{shown} is a link, and links are not followed here")
    if stat.S_ISDIR(mode):
        raise Barred(f"{shown} is a folder")
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((word for test, word in kinds if test(mode)), "a device")
    raise Barred(f"{shown} is {kind}, not a file")


def _check_target(folder: int, name: bytes, path: bytes) -> None:
    """What is there already, if anything, may be replaced by a file."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise Barred(f"{quoted(os.fsdecode(path))} is a folder, which no file replaces")


class Departing:
    """A file that is read in blocks, with a checksum of what was read in sequence.

    Args:
        fd: it is this object's from now on, unless it raises.
        path: how messages name it.
    """

    def __init__(self, fd: int, path: bytes) -> None:
        self.path = path
        self._begun = status = os.fstat(fd)
        _check_regular(status, path)
        self.size, self.mode = status.st_size, status.st_mode & MODE
        self._sum = hashlib.sha256()
        self._summed = 0
        self._fd = fd

    def read(self, offset: int, count: int) -> bytes:
        """So many bytes from there. Raises Barred if they cannot be read, or are not there."""
        try:
            data = os.pread(self._fd, count, offset)
        except OSError as error:
            raise Barred(why(self.path, error)) from error
        if len(data) < min(count, self.size - offset):
            raise Barred(self.changed())
        if offset <= self._summed < offset + len(data):
            self._sum.update(memoryview(data)[self._summed - offset :])
            self._summed = offset + len(data)
        return data

    def digest(self) -> bytes:
        """The checksum of all of it. Raises Barred if it was changed since it was opened."""
        now, then = os.fstat(self._fd), self._begun
        if (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            raise Barred(self.changed())
        if self._summed != self.size:
            raise Barred(f"{quoted(os.fsdecode(self.path))} was not read to its end")
        return self._sum.digest()

    def changed(self) -> str:
        """The sentence that it was changed meanwhile."""
        return f"{quoted(os.fsdecode(self.path))} was changed while it was sent; send it again"

    def close(self) -> None:
        """Its descriptor is closed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


TEMPORARY = b".scattergather-"
"""How the names begin that files have for an instant, where nothing else can be done."""


class Arriving:
    """A file that is written in sequence and gets its name when it is complete.

    Args:
        folder: descriptor of where it is to lie; it is this object's.
        name: what it is to be called there.
        path: how messages name it.
        size: bytes that it will have.
    """

    def __init__(self, folder: int, name: bytes, path: bytes, size: int) -> None:
        self.path, self.size = path, size
        self.offset = 0
        self._folder, self._name = folder, name
        self._sum = hashlib.sha256()
        self._temporary = b""
        self._fd = -1
        try:
            self._fd = self._create()
            disk = os.fstatvfs(self._fd)
            free = disk.f_bavail * disk.f_frsize
            if size > free:
                raise Barred(
                    f"there is no room for {quoted(os.fsdecode(path))}: it has {in_bytes(size)}, "
                    f"and its disk {in_bytes(free)} left"
                )
        except BaseException:
            self.close()
            raise

    def _create(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC
        nameless = getattr(os, "O_TMPFILE", 0)  # Linux only
        try:
            if nameless:
                return os.open(b".", flags | nameless, 0o600, dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
        self._temporary = _temporary()
        flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(self._temporary, flags, 0o600, dir_fd=self._folder)

    def write(self, offset: int, data: Bytes) -> None:
        """The next bytes are kept. Raises Barred if they are not the next, or cannot be kept."""
        if offset != self.offset or offset + len(data) > self.size:
            raise Barred(f"bytes of {quoted(os.fsdecode(self.path))} came out of order")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.pwrite(self._fd, rest, offset + len(data) - len(rest)) :]
        except OSError as error:
            raise Barred(why(self.path, error)) from error
        self._sum.update(data)
        self.offset += len(data)

    def digest(self) -> bytes:
        """The checksum of what has come so far."""
        return self._sum.digest()

    def place(self, digest: bytes, mode: int, *, replace: bool = True) -> None:
        """It is complete, and lies where it is to be, in one step.

        Raises:
            Barred: its bytes are not those that were sent, or it cannot be put there.
            Existing: something is there already that is not to be replaced.
        """
        shown = quoted(os.fsdecode(self.path))
        if self.offset != self.size or digest != self.digest():
            raise Barred(
                f"what came of {shown} is not what was sent: it was changed meanwhile, or damaged "
                "on its way; send it again"
            )
        try:
            os.fchmod(self._fd, mode & MODE)
            if (replace and self._temporary) or not self._link(self._name):
                if not replace:
                    raise Existing(f"there is a file {shown} already, which is not replaced")
                if not self._temporary:
                    name = _temporary()
                    self._link(name)
                    self._temporary = name
                os.rename(
                    self._temporary,
                    self._name,
                    src_dir_fd=self._folder,
                    dst_dir_fd=self._folder,
                )
                self._temporary = b""
        except OSError as error:
            raise Barred(why(self.path, error)) from error
        finally:
            self.close()

    def _link(self, name: bytes) -> bool:
        """It has this name, too; False where there is such a thing already."""
        source: str | bytes = self._temporary or f"/proc/self/fd/{self._fd}"
        from_folder = self._folder if self._temporary else None
        try:
            os.link(
                source,
                name,
                src_dir_fd=from_folder,
                dst_dir_fd=self._folder,
                follow_symlinks=not self._temporary,
            )
        except FileExistsError:
            return False
        return True

    def close(self) -> None:
        """What is not in its place by now is gone."""
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)
            self._temporary = b""
        for fd in (self._fd, self._folder):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder = -1


def _temporary() -> bytes:
    return TEMPORARY + secrets.token_hex(8).encode()
