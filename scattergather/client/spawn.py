"""``spawnScatterGather``: starts a controller. The one page where all parts are joined."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Any

import scattergather
from scattergather.client import place
from scattergather.client.calling import names_its_arguments
from scattergather.client.client import ScatterGather
from scattergather.client.ending import end, heed_interrupts
from scattergather.client.naming import Function
from scattergather.client.pipe import process
from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.pipe import Pipe
from scattergather.client.seen import here
from scattergather.client.session.session import Session
from scattergather.errors import BadRequest
from scattergather.machine.kernel import check_files, no_process, occupy_standard_descriptors
from scattergather.machine.loading import check_may_spawn
from scattergather.model.quoting import quoted
from scattergather.settings.memory import default_size, read_size
from scattergather.settings.scratch import scratch_folder
from scattergather.settings.urls import resolve
from scattergather.wire.code.origin import workers_see
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostSpec

_sessions: list[weakref.ref[Session]] = []
"""All sessions of this process, for its end, and for a copy of it.

Not a set of weak references: an interrupt that hits one of its callbacks is swallowed.
"""


@names_its_arguments
def spawnScatterGather(
    urls: Any = None,
    function: Function | None = None,
    *,
    logFile: Any = None,
    workers: int | None = None,
    memory: int | str | None = None,
    received: Any = "received",
    scratch: Any = None,
) -> ScatterGather:
    """Start a controller; returns at once, hosts join when they answer.

    A script that ends regularly finishes what is outstanding first, but for jobs of iterators, and
    says so if that takes long. After an exception or an interrupt, and at the end of a notebook's
    kernel, all is cancelled, and one line counts it.

    Args:
        urls: None for workers on this machine; or one or a list of: a FURL ``pb://...``; ``local``
            or ``local:N``; a path of a FURL file; ``("pb://host:", port, "/service", workers)``;
            the name of a host in the settings.
        function: what jobs run that name none: a callable, or the name of a service.
        logFile: where the controller writes its log: a path or an open file; None keeps it in
            memory for the message of ``ControllerLost``.
        workers: how many workers on this machine; only without urls.
        memory: how many bytes large values may take on this machine, half of it arguments, half
            results; those of other hosts take as much as that half again, and beyond it temporary
            files. A number, or text like ``"8G"``. None is a quarter of what there is.
        received: the folder for what tasks send by ``inside.send_file``, made with the first file.
            Nothing that is there is ever replaced.
        scratch: the folder on this machine for temporary files; None is ``TMPDIR``, else
            ``/var/tmp``. None of them has a name, so nothing is left there however this ends.

    Raises:
        BadRequest, UnknownName: urls that cannot be meant, or this is a worker that loads a
            module; nothing was started.
    """
    check_may_spawn()
    if function is not None and not callable(function) and not isinstance(function, str):
        raise BadRequest(
            f"function must be callable or the name of a service, not {quoted(function)}"
        )
    hosts = resolve(urls, workers=workers)
    check_files()
    occupy_standard_descriptors()
    room = default_size() if memory is None else read_size(memory)
    folder = _folder("received", received)
    disk = "" if scratch is None else scratch_folder(_folder("scratch", scratch), "scratch")
    log = process.Log(logFile)

    def pipe(outbox: Outbox, session: Session) -> Pipe:
        return Pipe(outbox, lambda: process.start(log), session)

    session = Session(hosts, pipe, log, room // 2, folder)
    # Functions of C, which neither another thread nor an interrupt can come between.
    _sessions.append(weakref.ref(session, _sessions.remove))
    first = first_message(hosts, room, disk)
    workers_see(map(os.fsdecode, first.place.path))
    try:
        session.open(first)
    except (BlockingIOError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "start new thread" not in str(error):
            raise
        raise BadRequest(f"the controller could not be started: {no_process(error)}") from error
    _end_with_a_child()
    return ScatterGather(session, function)


def _folder(name: str, path: Any) -> str:
    try:
        return os.path.abspath(os.path.expanduser(os.fsdecode(path)))
    except TypeError:
        raise BadRequest(f"{name} must be a path, not {quoted(path)}") from None


def first_message(
    hosts: tuple[HostSpec, ...], memory: int = 0, scratch: str = ""
) -> messages.Spawn:
    """What the controller must know of this process."""
    return messages.Spawn(
        protocol=messages.PROTOCOL,
        version=scattergather.__version__,
        python=".".join(map(str, sys.version_info[:3])),
        hosts=hosts,
        client_pid=os.getpid(),
        place=place.here(),
        hash_seed=place.hash_seed(),
        memory=memory,
        scratch=os.fsencode(scratch),
    )


def _alive() -> list[Session]:
    return [session for each in tuple(_sessions) if (session := each()) is not None]


@atexit.register
def _exit() -> None:
    # Whoever runs the functions of ``atexit`` by hand, or ends a child, stands above us.
    end(_alive(), finalizing=sys._getframe().f_back is None)
    here.end()


heed_interrupts()


def _end_with_a_child() -> None:
    """A process of ``multiprocessing`` ends without ``atexit``, but calls this."""
    parent = sys.modules.get("multiprocessing.process")
    if parent is not None and parent.parent_process() is not None:
        sys.modules["multiprocessing.util"].Finalize(None, _exit, exitpriority=0)


def _copy() -> None:
    for session in _alive():
        session.large.inherited.begin()


def _was_copied() -> None:
    for session in _alive():
        session.large.copied()


def _copied() -> None:
    for session in _alive():
        session.abandon()
        session.large.inherited.abandon()


os.register_at_fork(before=_copy, after_in_parent=_was_copied, after_in_child=_copied)
