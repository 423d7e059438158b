"""What a running task may call: ``from scattergather import inside``.

``submit`` and ``map`` run further calls on the same cluster; a task that waits for them lends its
place to others, so that nested calls never starve. ``where`` says where the task runs. ``data`` is
the folder of the files that were sent to this host, ``send_file`` sends one home, and
``create_file`` makes one that stays there as the result of its task.

Everything here works inside a task only, from any of its threads. The worker joins it to itself by
``join``; at home the same import works and each call says why it cannot.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from scattergather.errors import CannotTransfer, RequestError, in_protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a task runs: ``worker`` is the process id, ``index`` its place in ``job``."""

    host: str
    worker: int
    job: str
    index: int
    attempt: int


class Hook(Protocol):
    """The worker, as a task sees it."""

    def where(self) -> Where:
        """Where the task now running runs; RequestError if there is none."""

    def submit(self, function: Callable[..., Any] | str, args: Any, kwargs: Any) -> int:
        """Send a call; returns its ticket."""

    def settled(self, ticket: int, timeout: float | None) -> bool:
        """True once the outcome is here; waits so many seconds for it, for ever with None."""

    def outcome(self, ticket: int) -> tuple[Any, BaseException | None]:
        """Result or error of a settled ticket, which is forgotten."""

    def running(self) -> bool:
        """True while a task runs."""

    def create_file(self) -> BinaryIO:
        """An empty file without a name on this host."""

    def data(self) -> str:
        """The folder of the files that were sent to this host; RequestError if it has none."""

    def send_file(self, fd: int, name: bytes) -> int:
        """Send the file that is open there; returns the ticket of what comes of it."""


AT_HOME = (
    "scattergather.inside works in a running task only; "
    "in the notebook use the client that spawnScatterGather returned."
)
IN_COPY = (
    "scattergather.inside works in the process that runs the task only, "
    "not in one that the task has forked: return what is to be submitted to the task."
)

_hook: Hook | None = None
_refusal = AT_HOME


def join(hook: Hook | None, refusal: str = AT_HOME) -> None:
    """This process is a worker, and ``hook`` is how its tasks reach it; ``refusal`` else."""
    global _hook, _refusal
    _hook, _refusal = hook, refusal


def _joined() -> Hook:
    if _hook is None or not _hook.running():
        raise RequestError(_refusal)
    return _hook


class NestedFuture:
    """A call that a task submitted. Its outcome is delivered to this task only."""

    def __init__(self, ticket: int) -> None:
        self._ticket = ticket
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._asking = threading.Lock()

    def result(self, timeout: float | None = None) -> Any:
        """What the call returned, or raises what it raised.

        Raises:
            TimeoutError: it took longer than ``timeout`` seconds; it goes on.
        """
        value, error = self._settled(timeout)
        if error is not None:
            raise error
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None.

        Raises:
            TimeoutError: it took longer than ``timeout`` seconds; it goes on.
        """
        return self._settled(timeout)[1]

    def done(self) -> bool:
        """True once the outcome is here; does not wait."""
        return self._outcome is not None or _joined().settled(self._ticket, 0.0)

    def _settled(self, timeout: float | None) -> tuple[Any, BaseException | None]:
        if self._outcome is not None:
            return self._outcome
        late = TimeoutError(f"The nested call has no result after {timeout} s; it goes on.")
        if not self._asking.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise late
        try:
            if self._outcome is None:
                hook = _joined()
                if not hook.settled(self._ticket, timeout):
                    raise late
                self._outcome = hook.outcome(self._ticket)
            return self._outcome
        finally:
            self._asking.release()

    def __reduce__(self) -> Any:
        raise TypeError("A NestedFuture belongs to its task: return its result() instead.")

    def __repr__(self) -> str:
        state = "waiting" if self._outcome is None else "done"
        return f"<NestedFuture {self._ticket} {state}>"


def submit(function: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> NestedFuture:
    """Call ``function(*args, **kwargs)`` somewhere on the cluster; a string names a service."""
    return NestedFuture(_joined().submit(function, args, kwargs))


def map(function: Callable[..., Any] | str, iterable: Iterable[Any]) -> Iterator[Any]:
    """Call ``function`` on each element on the cluster; results come in order.

    All calls are submitted at once; the first one that raised raises here, at its place.
    """
    futures = [submit(function, each) for each in iterable]
    return _results(futures)


def _results(futures: list[NestedFuture]) -> Iterator[Any]:
    for future in futures:
        error = future.exception()
        if error is not None:
            raise in_protocol(error)
        yield future.result()


def where() -> Where:
    """Where this task runs."""
    return _joined().where()


def create_file() -> BinaryIO:
    """An empty binary file without a name on this host, to be written and read.

    As the result of its task, in a job with ``keep=True``, it stays on its host: the result is a
    ``Ref``, and a task that takes that gets the file, open for reading while it runs. What nobody
    has any more is gone. It lies in the folder for temporary files and takes no memory.

    Raises:
        OSError: no file can be had there; the folder is named.
    """
    return _joined().create_file()


def send_file(path: str | os.PathLike[str], to: str | None = None) -> str:
    """Send a file to the notebook; returns where it lies there, when all of it has come.

    It lies below the folder ``received`` of the client (``spawnScatterGather(received=...)``), and
    replaces nothing: what is there already must have the same content, as when a task is run again.

    Args:
        path: of the file, as this task sees it.
        to: what it is to be called there. None keeps a path that leads down from the directory of
            the task, or from ``inside.data``, and else the last part of it.

    Raises:
        OSError: there is no such file here, or it is none.
        CannotTransfer: it cannot be put there; the message says why.
    """
    hook = _joined()
    path = os.fspath(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise CannotTransfer(f"{path!r} is no file; of a folder send each file")
        ticket = hook.send_file(fd, os.fsencode(_name(path) if to is None else to))
    finally:
        os.close(fd)
    where: str = NestedFuture(ticket).result()
    return where


def _name(path: str) -> str:
    """What a file is called at home that has this path here."""
    if os.path.isabs(path):
        try:
            folder = _joined().data()
        except RequestError:
            folder = ""
        below = os.path.relpath(path, folder) if folder else ".."
        return os.path.basename(path) if below.split("/")[0] == ".." else below
    path = os.path.normpath(path)
    return os.path.basename(path) if path.split("/")[0] == ".." else path


if TYPE_CHECKING:
    data: Path
    """The folder of the files that clients have sent to this host."""


def __getattr__(name: str) -> Any:
    if name == "data":
        if _hook is None:
            raise RequestError(_refusal)
        folder = Path(_hook.data())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def running() -> bool:
    """True in a task, False at home."""
    return _hook is not None and _hook.running()
