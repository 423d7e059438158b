"""Zygotes: processes that only fork.

::

    daemon ── exec ──▶ root zygote ── fork ──▶ session zygote ── fork ──▶ worker
                       OpenSession              Fork, Kill

The root zygote imports what every worker needs; a session zygote adds the place that one
controller's tasks see. Both have one thread, compute nothing, and serve one socket each. So a fork
costs about a millisecond, and shares all that was loaded.

Who ends whom. A zygote whose socket ends (its daemon died, or is done with it) kills its children
and all that they left, and ends. A session zygote gets SIGTERM when the root dies and does the
same; a worker gets SIGKILL when its session zygote dies. Parent-death signals are right here, and
only here: they are bound to the parent's forking *thread*, and zygotes have no other.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType, ModuleType
from typing import Never

from scattergather.machine import kernel, loading, proc
from scattergather.machine.lossy import lossy
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import UNFORKED
from scattergather.workers.process import worker
from scattergather.workers.process.channel import Channel
from scattergather.workers.process.children import Children
from scattergather.workers.process.surroundings import place
from scattergather.workers.process.surroundings.place import Surroundings
from scattergather.workers.process.surroundings.registry import Services


class Zygote:
    """What root and session zygotes have in common: a socket, children, and a loop for both."""

    def __init__(self, channel: Channel, services: Services) -> None:
        self.channel = channel
        self.services = services
        self.children = Children()
        self._stopped = False
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        kernel.adopt_orphans()

    def serve(self) -> Never:
        """Serve the socket until it ends; then nothing that came from here is left."""
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        try:
            while not self._stopped:
                ready = {fd for fd, _ in poll.poll()}
                if self._wake_reader in ready:
                    os.read(self._wake_reader, 4096)
                    self._reap()
                if self.channel.fileno() in ready and not self._serve_one():
                    break
        except BaseException:
            traceback.print_exc()
        finally:
            self.channel.close()
            self.children.end_all()
            os._exit(0)

    def _serve_one(self) -> bool:
        received = self.channel.receive()
        if received is None:
            return False
        message, descriptors = received
        self.handle(message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def handle(self, message: messages.ToZygote, descriptors: Sequence[int]) -> None:
        """Do what the daemon asks; ``descriptors`` are closed by the caller."""
        raise NotImplementedError

    def leave(self) -> None:
        """In a forked child: nothing of the zygote is left open or handled."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._wake_reader)
        os.close(self._wake_writer)
        self.channel.close()

    def _reap(self) -> None:
        for ended in self.children.reap():
            self.reaped(
                messages.Exited(
                    worker=ended.number,
                    pid=ended.pid,
                    status=ended.status,
                    signal=ended.signal,
                    peak=ended.peak,
                )
            )

    def reaped(self, message: messages.Exited) -> None:
        """A child that has a number, a worker or a session zygote, ended and was reaped."""
        raise NotImplementedError

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True


class RootZygote(Zygote):
    """Forks session zygotes."""

    def __init__(self, channel: Channel, services: Services) -> None:
        super().__init__(channel, services)
        self._surroundings = Surroundings()
        self._sessions = 0

    def handle(self, message: messages.ToZygote, descriptors: Sequence[int]) -> None:
        """Fork the zygote of a session."""
        if not isinstance(message, messages.OpenSession) or len(descriptors) != 2:
            return
        self._sessions += 1
        root = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            # It is heard before the end of this socket, which only the daemon has then.
            unborn = Channel(os.dup(descriptors[0]))
            unborn.send(_unforked(0, error))
            unborn.close()
            return
        if pid:
            self.children.enter(self._sessions, pid)
            # It may be stopped before it can say who it is.
            self.channel.send(messages.Forked(worker=self._sessions, pid=pid))
            return
        try:
            self.leave()
            channel = Channel(os.dup(descriptors[0]))
            session = SessionZygote(channel, self.services, self._surroundings, message.session)
            kernel.name_process(
                f"sg-session-{message.session}",
                f"scattergather: zygote of session {message.session}",
            )
            problems = session.settle(descriptors[1])
            for descriptor in descriptors:
                os.close(descriptor)
            kernel.die_with_parent(root, signal.SIGTERM)
            gc.freeze()
            session.say_ready(problems)
            session.serve()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)

    def reaped(self, message: messages.Exited) -> None:
        """A session zygote ended: the daemon sees the end of its socket."""


class SessionZygote(Zygote):
    """Forks the workers of one controller."""

    def __init__(
        self, channel: Channel, services: Services, surroundings: Surroundings, session: int
    ) -> None:
        super().__init__(channel, services)
        self._session = session
        self._surroundings = surroundings

    def settle(self, descriptor: int) -> list[str]:
        """Workers see the place in this file; returns a sentence for what cannot be had of it."""
        return self._surroundings.settle(place.read(descriptor))

    def say_ready(self, problems: Sequence[str]) -> None:
        """The daemon hears that workers see their place now, and what of it cannot be had."""
        self.channel.send(messages.ZygoteReady(pid=os.getpid(), problems=tuple(problems)))

    def handle(self, message: messages.ToZygote, descriptors: Sequence[int]) -> None:
        """Fork a worker, signal one, or let those that are still to come see another place."""
        match message:
            case messages.Fork() if len(descriptors) == 3:
                self._fork(message.worker, descriptors)
            case messages.Settle() if len(descriptors) == 1:
                self.say_ready(self.settle(descriptors[0]))
            case messages.Kill():
                self.children.signal(message.worker, message.signal, group=message.group)
            case _:
                pass

    def _fork(self, number: int, descriptors: Sequence[int]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no process or no memory left: as if it had died at once
            self.channel.send(_unforked(number, error))
            return
        if pid:
            self.children.enter(number, pid)
            self.channel.send(messages.Forked(worker=number, pid=pid))
            return
        try:
            self.leave()
            kernel.name_process(
                f"sg-worker-{number}/{self._session}",
                f"scattergather: worker {number} of session {self._session}",
            )
            worker.live(parent, descriptors, self.services, self._surroundings)
        finally:
            # Whatever happens in a worker, it never comes back into the zygote's loop.
            os._exit(70)

    def reaped(self, message: messages.Exited) -> None:
        """The daemon hears that a worker ended."""
        self.channel.send(message)


def _unforked(number: int, error: OSError) -> messages.Exited:
    return messages.Exited(worker=number, pid=0, status=UNFORKED, why=kernel.no_process(error))


def _wake(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD: the byte that Python wrote into the pipe says it all."""


def main(arguments: Sequence[str]) -> Never:
    """Be the root zygote; returns never."""
    parser = argparse.ArgumentParser(prog="scattergather.workers.process.zygote")
    parser.add_argument("channel", type=int)
    parser.add_argument("--service", action="append", default=[], metavar="NAME[=MODULE:FUNCTION]")
    parser.add_argument("--descriptors", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.descriptors:
        kernel.limit_descriptors(options.descriptors)
    sys.stdout, sys.stderr = lossy(1), lossy(2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If we are stopped when the daemon dies, this lets us go on and end; else it does nothing.
    kernel.die_with_parent(os.getppid(), signal.SIGCONT)
    kernel.name_process("sg-zygote", "scattergather: root zygote, which forks those of sessions")
    place.one_thread_each()
    # Tasks must not find the zygote under this name.
    sys.modules["__main__"] = ModuleType("__main__")
    # What a worker cannot pickle otherwise goes through dill: 8 ms here, or in every worker.
    importlib.import_module("scattergather.wire.values.by_dill")
    loading.become(loading.Role.ZYGOTE)
    services = Services()
    born = os.getpid()
    problems = services.load(options.service)
    if os.getpid() != born:  # a service has forked, and does not know when its copy is to end
        os._exit(0)
    if proc.thread_count() > 1:
        problems.append(
            "Loading the services started threads, which do not survive a fork: "
            "tasks may hang. Load those libraries inside the functions instead."
        )
    zygote = RootZygote(Channel(options.channel), services)
    gc.collect()
    gc.freeze()
    zygote.channel.send(
        messages.ZygoteReady(pid=os.getpid(), services=services.names(), problems=tuple(problems))
    )
    zygote.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
