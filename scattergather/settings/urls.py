"""What a user's ``urls`` mean.

None is the embedded pool. Otherwise one, or a list, of:

- ``local`` or ``local:N``: the embedded pool, with N workers
- ``pb://...``: a FURL
- anything else with a ``/``: the path of a file that holds a FURL
- ``("pb://host:", 12345, "/all_series", 8)``: host, port, service, how many workers; the key is
  found by host and port among the stored hosts and the pools of this machine
- anything else: the name of a stored host

An empty list is no host: they are added later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scattergather.errors import BadRequest, UnknownName
from scattergather.model.nearest import nearest
from scattergather.model.numeric import is_whole
from scattergather.model.quoting import quoted
from scattergather.settings import private
from scattergather.settings.furl import UNAUTHENTICATED, Furl, redacted
from scattergather.settings.hosts import Hosts, is_loopback, own_pool
from scattergather.wire.messages.client import EmbeddedSpec, HostSpec, RemoteSpec

LOCAL = "local"
MOST_WORKERS = 1024
"""Of one pool. Beyond it is a slip: that many processes would take a machine down."""

SEED_HOST = re.compile(r"(pbu?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):?")
SEED = '("pb://host:", 12345, "/all_series", 8)'
FORMS = f"a FURL, 'local', the path of a FURL file, the name of a stored host, or a tuple {SEED}"


def resolve(urls: Any = None, *, workers: Any = None, called: str = "urls") -> tuple[HostSpec, ...]:
    """The hosts that ``urls`` name, in their order.

    Args:
        urls: one of the forms that this module's docstring lists, or a list of them; or None.
        workers: for the embedded pool, and only without ``urls``; None means one a core.
        called: what the argument is called, where it is complained of.

    Raises:
        BadRequest: something in ``urls`` is none of the forms; it is named, with the cure.
        UnknownName: no host of that name is stored; the known ones are listed.
    """
    if workers is not None:
        if urls is not None:
            raise BadRequest("workers= is for the embedded pool: with urls, say 'local:N' there")
        workers = check_workers(workers, "workers=")
    if urls is None:
        return (EmbeddedSpec(name=LOCAL, workers=workers or 0),)
    specs: list[HostSpec] = []
    for place, url in _each(urls, called):
        spec = _resolve_one(url, place)
        for other in specs:
            if pool_of(spec) == pool_of(other):
                raise BadRequest(
                    f"{place}: {spec.name!r} is the same pool as {other.name!r}; name it once, "
                    "with the sum of the workers"
                )
            if spec.name == other.name:
                raise BadRequest(f"{place}: two hosts are called {spec.name!r}")
        specs.append(spec)
    return tuple(specs)


def pool_of(spec: HostSpec) -> str:
    """What two FURLs of one pool have in common; empty for the embedded pool."""
    return Furl.parse(spec.furl).tub if isinstance(spec, RemoteSpec) else ""


def _each(urls: Any, called: str) -> Iterator[tuple[str, Any]]:
    if isinstance(urls, str | Path) or _is_seed(urls):
        yield called, urls
        return
    if isinstance(urls, dict | bytes) or not isinstance(urls, Iterable):
        raise BadRequest(
            f"{called} is a {type(urls).__name__}; it must be one or a list of: {FORMS}"
        )
    for number, url in enumerate(urls):
        yield f"{called}[{number}]", url


def _is_seed(urls: Any) -> bool:
    """A tuple that begins with ``pb://host:`` and a number is one host, not several."""
    return (
        isinstance(urls, tuple)
        and len(urls) > 1
        and isinstance(urls[0], str)
        and isinstance(urls[1], int)
    )


def _resolve_one(url: Any, place: str) -> HostSpec:
    if isinstance(url, tuple | list):
        return _seed_tuple(tuple(url), place)
    if isinstance(url, Path):
        return _furl_file(url, place)
    if not isinstance(url, str):
        raise BadRequest(f"{place} is a {type(url).__name__}; it must be {FORMS}")
    if url.startswith(("pb://", "pbu://")):
        try:
            furl = Furl.parse(url)
        except BadRequest as error:
            raise BadRequest(f"{place}: {error}") from None
        return RemoteSpec(name=furl.address, furl=furl.text)
    if url == LOCAL or url.startswith(LOCAL + ":"):
        return _local(url, place)
    if "/" in url:
        return _furl_file(Path(url), place)
    try:
        furl = Hosts.load().furl(url)
    except UnknownName as error:
        if not nearest(url, [LOCAL]) and not is_loopback(url.partition(":")[0]):
            raise
        raise UnknownName(f"{error}. This machine is {LOCAL!r}, or '{LOCAL}:2'") from None
    return RemoteSpec(name=url, furl=furl.text)


def _local(url: str, place: str) -> HostSpec:
    if url == LOCAL:
        return EmbeddedSpec(name=LOCAL)
    count = url[len(LOCAL) + 1 :]
    number = int(count) if re.fullmatch("[0-9]{1,9}", count) else count
    return EmbeddedSpec(name=LOCAL, workers=check_workers(number, f"{place}: N of {quoted(url)}"))


def check_workers(count: Any, place: str) -> int:
    """A number of workers as the user may give one; ``place`` says where it stands.

    Raises:
        BadRequest: it is none, or none that can be meant.
    """
    if not is_whole(count) or not 1 <= count <= MOST_WORKERS:
        raise BadRequest(
            f"{place} is {quoted(count)}; it must be a number of workers, from 1 to {MOST_WORKERS}"
        )
    return int(count)


def _furl_file(path: Path, place: str) -> HostSpec:
    path = path.expanduser()
    data = private.read(path)
    if data is None:
        raise BadRequest(f"{place}: there is no file {redacted(str(path))}; expected {FORMS}")
    try:
        furl = Furl.parse(data.decode())
    except (BadRequest, UnicodeDecodeError) as error:
        raise BadRequest(f"{place}: the file {path} holds no FURL: {error}") from None
    return RemoteSpec(name=furl.address, furl=furl.text)


def _seed_tuple(url: tuple[Any, ...], place: str) -> HostSpec:
    if len(url) != 4:
        raise BadRequest(f"{place} has {len(url)} elements; such a tuple has 4: {SEED}")
    host, port, service, workers = url
    match = SEED_HOST.fullmatch(host) if isinstance(host, str) else None
    if match is None:
        shown = redacted(repr(host)[:80])
        raise BadRequest(f"{place}[0] is {shown}; it must be 'pb://host:', as in {SEED}")
    if match[1] == "pbu":
        raise BadRequest(f"{place}[0]: {UNAUTHENTICATED}")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise BadRequest(f"{place}[1] is {quoted(port)}; it must be a port, from 1 to 65535")
    if not isinstance(service, str):
        raise BadRequest(
            f"{place}[2] is {quoted(service)}; it must be a service, such as '/all_series'"
        )
    workers = check_workers(workers, f"{place}[3]")
    name, furl = _key_of(match[2].strip("[]"), port, place)
    return RemoteSpec(name=name, furl=furl.text, workers=workers, service=service.strip("/"))


def _key_of(host: str, port: int, place: str) -> tuple[str, Furl]:
    stored = Hosts.load()
    found = stored.by_address(host, port)
    if found is not None:
        return found
    own = own_pool(port) if is_loopback(host) else None
    if own is not None:
        return f"{host}:{port}", own
    here = f"; or start it here: scattergather pool --port {port}" if is_loopback(host) else ""
    raise BadRequest(
        f"{place}: no key is stored for {host}:{port}. Get the FURL of that pool and store it: "
        f"scattergather hosts add NAME{here}; {stored.known()}"
    )
