"""The named hosts of this user, and the pools of this machine.

``hosts.toml`` in the settings folder, readable by its owner only::

    [hosts.alpha]
    furl = "pb://..."
"""

from __future__ import annotations

import contextlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from scattergather.errors import BadRequest, UnknownName
from scattergather.model.nearest import nearest
from scattergather.model.quoting import quoted
from scattergather.settings import paths, private
from scattergather.settings.furl import Furl

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
STARTS = "starts"
"""The folder, beside those of pools, with a command for each that was started."""

LOOPBACK = frozenset({"localhost", "::1", "ip6-localhost"})


class Hosts:
    """Names and FURLs, as they are on disk; ``add`` and ``remove`` write at once."""

    def __init__(self, file: Path, furls: dict[str, Furl]) -> None:
        self._file = file
        self._furls = furls

    @classmethod
    def load(cls, file: Path | None = None) -> Hosts:
        """The hosts stored on this machine.

        Raises:
            NotPrivate: others can read the file.
            BadRequest: the file is broken.
        """
        file = file or paths.config() / "hosts.toml"
        return cls(file, _stored(file))

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._furls)

    def furl(self, name: str) -> Furl:
        """The FURL of a host.

        Raises:
            UnknownName: there is none of that name; the known ones are listed.
        """
        try:
            return self._furls[name]
        except KeyError:
            near = nearest(name, self._furls)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise UnknownName(f"no host is called {quoted(name)}{hint}; {self.known()}") from None

    def known(self) -> str:
        """The names in a phrase, with the command that adds one."""
        if not self._furls:
            return "no host is stored yet: scattergather hosts add NAME"
        return "known hosts: " + ", ".join(self.names())

    def by_address(self, host: str, port: int) -> tuple[str, Furl] | None:
        """Name and FURL of the host stored with this address; all loopback names are one."""
        for name in self.names():
            if listens_at(self._furls[name], host, port):
                return name, self._furls[name]
        return None

    def add(self, name: str, furl: Furl) -> bool:
        """Store a host, in place of an older one of that name; False if it was there as it is."""
        check_name(name)
        with self._changing() as furls:
            known = furls.get(name) == furl
            furls[name] = furl
        return not known

    def remove(self, name: str) -> None:
        """Forget a host.

        Raises:
            UnknownName: there is none of that name.
        """
        with self._changing() as furls:
            self.furl(name)
            del furls[name]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Furl]]:
        """What is stored now, to be changed and then stored while nobody else does the same."""
        with private.changing(private.folder(self._file.parent)):
            self._furls = _stored(self._file)
            furls = dict(self._furls)
            yield furls
            if furls != self._furls:
                parts = [
                    f'[hosts."{name}"]\nfurl = "{furls[name].text}"\n' for name in sorted(furls)
                ]
                private.write(self._file, "\n".join(parts).encode())
                self._furls = furls


def check_name(name: str) -> None:
    """A host may be called so.

    Raises:
        BadRequest: it may not.
    """
    if not NAME.fullmatch(name) or name == "local":
        shown = repr(name) if len(name) < 80 else f"{name[:60]!r}..."
        raise BadRequest(
            f"{shown} cannot be the name of a host: 1 to 64 letters, digits, dots, dashes, "
            "not 'local', which means this machine"
        )


def _stored(file: Path) -> dict[str, Furl]:
    data = private.read(file)
    if data is None:
        return {}
    try:
        entries = tomllib.loads(data.decode()).get("hosts", {})
        return {str(name): Furl.parse(entry["furl"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = error if isinstance(error, BadRequest | tomllib.TOMLDecodeError) else "no furl"
        raise BadRequest(f"{file} is not a list of hosts: {what}") from error


def listens_at(furl: Furl, host: str, port: int) -> bool:
    """True if one of the FURL's hints is this address."""
    return (_plain(host), port) in {(_plain(each), number) for each, number in furl.addresses}


def is_loopback(host: str) -> bool:
    """True for the names and addresses by which this machine calls itself."""
    return _plain(host) == "127.0.0.1"


def own_pools() -> Iterator[tuple[Path, Furl]]:
    """The FURL files of the pools that this user has run on this machine.

    What cannot be read is left out: it is not ours, or being written.
    """
    folder = paths.pools()
    for file in sorted(folder.glob("*/furl")):
        try:
            data = private.read(file)
            if data is not None:
                yield file, Furl.parse(data.decode())
        except (BadRequest, UnicodeDecodeError):
            continue


def own_folder(port: int) -> Path:
    """The folder of this user's pool of this port: of the one that was there last, if any."""
    usual = paths.pools() / str(port)
    last = [file.parent for file, furl in own_pools() if furl.addresses[0][1] == port]
    return usual if usual.exists() or not last else last[0]


def own_pool(port: int) -> Furl | None:
    """The FURL of this user's pool that listens at this port of this machine."""
    for _, furl in own_pools():
        if any(number == port for _, number in furl.addresses):
            return furl
    return None


def remember_start(furl: Furl, words: Sequence[str]) -> None:
    """By these words after ``scattergather`` the pool of this FURL is started again.

    Nothing happens where that cannot be kept: it is for a sentence only.
    """
    line = f"scattergather {shlex.join(words)}\n"
    with contextlib.suppress(BadRequest, OSError):
        folder = private.folder(paths.pools() / STARTS)
        for older in folder.glob(f"{furl.tub}@*"):
            older.unlink()
        private.write(folder / f"{furl.tub}@{furl.address}", line.encode())


def start_of(furl: Furl) -> str:
    """The command that starts the pool of this FURL where it leads, as far as is known here.

    Of a pool that this user has run on this machine it is the one that has started it; of others
    only what the FURL tells.
    """
    with contextlib.suppress(BadRequest):
        if kept := private.read(paths.pools() / STARTS / f"{furl.tub}@{furl.address}"):
            return kept.decode(errors="replace").strip()
    host, port = furl.addresses[0]
    where = "" if is_loopback(host) else f" --interface {host}"
    return f"scattergather pool --port {port}{where}"


def pool_folder(port: int | None = None) -> Path:
    """The folder of this user's pool that listens at this port, or of the only one there is.

    Raises:
        UnknownName: there is none, or there are several and no port was named.
    """
    found = {
        file.parent: furl.address
        for file, furl in own_pools()
        if port is None
        or file.parent.name == str(port)
        or any(number == port for _, number in furl.addresses)
    }
    if len(found) == 1:
        return next(iter(found))
    if found:
        choices = "\n".join(f"  --directory {path}  ({at})" for path, at in found.items())
        raise UnknownName(f"several pools have run here; say which one:\n{choices}")
    which = "" if port is None else f" at port {port}"
    start = "scattergather pool" if port is None else f"scattergather pool --port {port}"
    raise UnknownName(
        f"no pool of yours has run on this machine{which}; start it: {start}, or name its "
        "--directory"
    )


def _plain(host: str) -> str:
    host = host.lower().rstrip(".").strip("[]")
    return "127.0.0.1" if host in LOOPBACK or host.startswith("127.") else host
