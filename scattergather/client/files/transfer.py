"""One transfer that the user waits for: a thread does it, and the waiting one shows a bar.

So an interrupt ends the wait and nothing else; the thread hears of it, and leaves nothing half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from scattergather.client.files.lane import Away, Lane, Stopped
from scattergather.client.pipe.waiting import Bell, start_thread
from scattergather.client.seen.progress import Progress, on_main_thread
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.session import Session
from scattergather.errors import CannotTransfer
from scattergather.model.snapshot import TransferView
from scattergather.store.beneath import Barred

AGAIN_SECONDS = 0.25
"""How often a host that is away is asked again."""

TOLD = 4
"""How many of these it takes until the user is told that it is waited for."""

T = TypeVar("T")


class Transfer:
    """How far a transfer is. Its methods are its thread's, but ``run``."""

    def __init__(self, session: Session, title: str) -> None:
        self._session = session
        self._title = title
        self._bell = Bell()
        self._stopped = False
        self._over = False
        self.total = 0
        self.done = 0

    def count(self, size: int) -> None:
        """So many bytes more have arrived."""
        self.done += size

    def lane(self, host: str) -> Lane:
        """The way to one host."""
        return Lane(self._session.files, host, lambda: self._stopped, self._bell)

    def run(self, work: Callable[[], T], *, progress: bool | None) -> T:
        """What ``work`` returned, which ran on a thread of its own.

        Raises:
            CannotTransfer: it could not be done.
            KeyboardInterrupt: the wait was interrupted, and the work ends.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def do() -> None:
            try:
                results.append(work())
            except Stopped:
                pass
            except Barred as error:
                errors.append(CannotTransfer(str(error)))
            except BaseException as error:
                errors.append(error)
            finally:
                self._over = True
                self._bell.ring()

        welcome = progress if on_main_thread() or progress else False
        then = "What is complete stays; nothing is left half."
        with Wait(self._session, lambda: self._title, then):
            start_thread(do, "scattergather-files")
            bar = Progress(self._view, welcome)
            try:
                while not self._bell.wait(lambda: self._over, bar.seconds()):
                    bar.step()
            finally:
                self._stopped = True
                self._bell.ring()
                bar.close()
        if errors:
            # Its frames are those of the thread, of which the user knows nothing.
            raise errors[0].with_traceback(None)
        return results[0]

    def patiently(self, host: str, step: Callable[[], None]) -> None:
        """``step`` is done, and again after each time that the host was away meanwhile.

        Raises:
            Stopped: nobody waits any more.
            CannotTransfer: it cannot be done.
        """
        tries = 0
        while True:
            before = self.done
            try:
                return step()
            except Away as error:
                tries = 0 if self.done > before else tries + 1
                if tries == TOLD:
                    self._session.echo.notice(f"{host} is away ({error}): {self._title} waits")
                if self._bell.wait(lambda: self._stopped, AGAIN_SECONDS):
                    raise Stopped from None

    def _view(self) -> TransferView:
        return TransferView(name=self._title, total=self.total, done=min(self.done, self.total))
