"""A pool behind a link: what ``scattergather pool`` runs, in the foreground.

The one page that wires a daemon. It runs until SIGTERM or SIGINT.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from scattergather.errors import ScatterGatherError
from scattergather.link.logs import log_to
from scattergather.link.server import LinkServer
from scattergather.link.tubs.tub import new_certificate
from scattergather.machine.kernel import (
    adopts_orphans,
    allow_descriptors,
    check_files,
    dump_no_core,
    occupy_standard_descriptors,
    reap,
)
from scattergather.machine.lossy import lossy
from scattergather.model.snapshot import plural
from scattergather.reactor.heartbeat import Heartbeat
from scattergather.reactor.monotonic import monotonic_reactor
from scattergather.reactor.seam import Reactor
from scattergather.settings import identity, paths, private
from scattergather.settings.furl import Furl
from scattergather.settings.hosts import own_folder, remember_start
from scattergather.settings.invitations import Invitations
from scattergather.store.store import Store
from scattergather.wire.memory import scratch
from scattergather.workers.daemon.files import HostFiles
from scattergather.workers.daemon.service import PoolService
from scattergather.workers.daemon.this_machine import ThisMachine
from scattergather.workers.pool.pool import MOST_HELD, Pool

log = Logger()

REAP_SECONDS = 2.0
"""How often a daemon that adopts orphans looks for those that have ended."""

EXIT_SECONDS = 1.8
"""After this the process ends, whatever still closes; its workers die with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; ``port`` 0 takes any that is free.

    ``memory`` are the bytes that large values may take, half for arguments and half for results.
    ``data`` is the folder for files that are sent here, if not the pool's own; with ``anywhere``
    they may lie outside of it. Temporary files go to ``scratch``, if not to the usual folder, and
    take ``scratch_size`` bytes at most.
    ``words`` are those of the command line, as they were.
    """

    workers: int
    port: int = 0
    services: tuple[str, ...] = ()
    interface: str = "127.0.0.1"
    advertise: str = ""
    furl_file: Path | None = None
    quiet: bool = False
    log_file: Path | None = None
    directory: Path | None = None
    memory: int = 0
    scratch: str = ""
    scratch_size: int | None = None
    data: Path | None = None
    anywhere: bool = False
    end_with_stdin: bool = False
    words: tuple[str, ...] = ()


class PortTaken(Exception):
    """It cannot listen there; ``number`` is the error of the system."""

    def __init__(self, error: CannotListenError) -> None:
        super().__init__(getattr(error.socketError, "strerror", "") or str(error.socketError))
        self.number = getattr(error.socketError, "errno", 0)


def listen(options: Options) -> int:
    """Run a pool and let controllers join it; returns the exit code when it was told to end.

    Raises:
        PortTaken: it cannot listen there.
        BadRequest: files may not have what workers need;
            key or FURL are where others can read them, or in use by another pool.
    """
    os.umask(0o077)
    dump_no_core()
    check_files()
    occupy_standard_descriptors()
    allow_descriptors()
    reactor = monotonic_reactor()
    with _log_of(options) as file:
        log_to(file)
        heartbeat = Heartbeat(file)
        known = _identity(options)
        scratch.use(options.scratch)
        store = Store(options.memory // 2)
        store.disk_bound = options.scratch_size
        most = max(MOST_HELD, options.memory)
        pool = PoolService(
            reactor,
            Pool(options.workers, most),
            ThisMachine(reactor, most=most),
            services=options.services,
            store=store,
            memory=options.memory // 2,
            files=HostFiles(reactor, _data(options, known), anywhere=options.anywhere),
        )
        server = LinkServer(
            reactor,
            pool,
            known,
            interface=options.interface,
            port=options.port,
            advertise=options.advertise,
        )
        store.room.append(server.room)
        try:
            server.start()
        except CannotListenError as error:
            raise PortTaken(error) from None
        daemon = _Daemon(
            reactor, pool, server, lambda: _ready(pool, server.furl, known.furl_file, options)
        )
        reactor.callWhenRunning(heartbeat.beat, reactor)
        reactor.callWhenRunning(daemon.begin)
        if options.end_with_stdin:
            reactor.addReader(_Input(reactor, lambda: daemon.end(0)))
        reactor.run(installSignalHandlers=False)
        return daemon.code


class _Daemon:
    """Pool and server, from the first turn of the reactor to the last."""

    def __init__(
        self, reactor: Reactor, pool: PoolService, server: LinkServer, ready: Callable[[], bool]
    ) -> None:
        self.code = 0
        self._reactor = reactor
        self._ready = ready
        self._pool = pool
        self._server = server
        self._ending = False

    def begin(self) -> None:
        """Start the workers; from now on signals end it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.end, 0))
        if adopts_orphans():
            self._reap()
        starting: Deferred[Any] = self._pool.start()
        starting.addCallback(self._started).addErrback(self._failed)

    def end(self, code: int) -> None:
        """Tell the controllers, end the workers, stop."""
        if self._ending:
            return
        self._ending = True
        self.code = code
        log.info("the pool stops")
        self._reactor.callLater(EXIT_SECONDS, self._reactor.stop)
        stopping: Deferred[Any] = self._server.stop()
        stopping.addBoth(lambda _: self._pool.stop())
        stopping.addBoth(lambda _: self._reactor.stop())
        stopping.addErrback(lambda _: None)  # it had stopped by itself

    def _reap(self) -> None:
        """Nobody but us will ask for the orphans of a container whose first process this is."""
        reap()
        self._reactor.callLater(REAP_SECONDS, self._reap)

    def _started(self, _: Any) -> None:
        if not self._ending and not self._ready():
            self.end(1)

    def _failed(self, failure: Any) -> None:
        if failure.check(ScatterGatherError, OSError):
            sys.stderr.write(f"scattergather pool: {failure.getErrorMessage()}\n")
        else:
            log.failure("the pool cannot start", failure)
        self.end(1)


class _Input:
    """Standard input, of which only the end counts."""

    def __init__(self, reactor: Reactor, on_end: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_end = on_end

    def fileno(self) -> int:
        """For the reactor."""
        return 0

    def doRead(self) -> None:
        """For the reactor: something was said, or will be no more."""
        with contextlib.suppress(OSError):
            if os.read(0, 1 << 16):
                return
        self._reactor.removeReader(self)
        self._on_end()

    def connectionLost(self, reason: Any) -> None:
        """For the reactor: nobody holds the other end, or the reactor ends itself."""
        self._on_end()

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "stdin"


def _data(options: Options, known: identity.Identity) -> Path:
    if options.data is not None:
        return options.data.expanduser().absolute()
    return known.furl_file.parent / "data"


def _identity(options: Options) -> identity.Identity:
    if options.directory is not None:
        return identity.claim(options.directory.expanduser().absolute(), new_certificate)
    if options.port:
        return identity.claim(own_folder(options.port), new_certificate)
    return identity.claim_any(paths.pools() / "0", new_certificate)


def _ready(pool: PoolService, furl: Furl, file: Path, options: Options) -> bool:
    """Say where the pool is; False if a service that was asked for is not there."""
    problems = pool.facts().problems if options.services else ()
    for problem in problems:
        sys.stderr.write(f"scattergather pool: {problem}\n")
    if problems:
        return False
    # The FURL goes to its files, and once to standard output; never to a log.
    furl = Invitations(file.parent).publish(furl)
    _remember(furl, file.parent, options)
    if options.furl_file is not None:
        private.hand_over(options.furl_file.expanduser().absolute(), furl.text)
    log.info(
        "{workers} at {address}; the FURL is in {file}",
        workers=plural(options.workers, "worker"),
        address=furl.address,
        file=str(file),
    )
    if not options.quiet:
        sys.stdout.write(furl.text + "\n")
        sys.stdout.flush()
    return True


def _remember(furl: Furl, folder: Path, options: Options) -> None:
    """Who finds nobody at this address can tell how to start the same pool there again."""
    words = [*options.words]
    if not options.port and not options.advertise:
        words += ["--port", str(furl.addresses[0][1])]
    if folder != (options.directory or paths.pools() / str(options.port or "one of its own")):
        words += ["--directory", str(folder)]
    if options.words:
        remember_start(furl, words)


@contextlib.contextmanager
def _log_of(options: Options) -> Iterator[TextIO]:
    if options.log_file is None:
        yield lossy(2)
    else:
        with options.log_file.expanduser().open("a", encoding="utf-8") as file:
            yield lossy(file.fileno())
