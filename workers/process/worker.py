"""A worker, from the fork to its end: wires its parts, then reads messages and acts on them.

One task at a time, on the main thread. What it is given when it is forked: a socket, a journal and
an output file. It ends when its socket ends, or when its zygote or its pool says so.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Never, assert_never

from scattergather import inside
from scattergather.machine import kernel, loading
from scattergather.model.outcome import Kind
from scattergather.wire.memory.outside import Outside
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import BENT, SPENT
from scattergather.workers.process.descriptors import raised_descriptor
from scattergather.workers.process.line import LineLost, WorkerLine
from scattergather.workers.process.surroundings.capture import Capture, OutputFile
from scattergather.workers.process.surroundings.displays import Displays
from scattergather.workers.process.surroundings.libraries import Libraries
from scattergather.workers.process.surroundings.mending import Spent
from scattergather.workers.process.surroundings.place import Surroundings
from scattergather.workers.process.surroundings.registry import Services
from scattergather.workers.process.surroundings.reseed import reseed
from scattergather.workers.process.task import copies
from scattergather.workers.process.task.call import Call, Calls
from scattergather.workers.process.task.chunk import Chunks
from scattergather.workers.process.task.interrupts import Interrupts
from scattergather.workers.process.task.journal import Contradiction, Journal
from scattergather.workers.process.task.nested import Nested
from scattergather.workers.process.task.outcomes import Circumstances, ResultPickler
from scattergather.workers.process.values.large import TaskValues

BROKEN = 70
"""Exit status of a worker that failed by our own fault; its output says how."""


def live(
    parent: int, descriptors: Sequence[int], services: Services, surroundings: Surroundings
) -> Never:
    """Be a worker until the end. Called right after the fork.

    Args:
        parent: process id of the zygote.
        descriptors: socket, journal and output file; closed here.
        services: what the zygote has loaded.
        surroundings: what the zygote has made this process see.
    """
    status = BROKEN
    try:
        connection, journal, output = descriptors
        _stand_alone(parent)
        loading.become(loading.Role.WORKER)
        capture = Capture(OutputFile(raised_descriptor(output)))
        faulthandler.enable(file=2)
        memory = Journal.attach(journal)
        os.close(journal)
        reseed()
        line = WorkerLine(socket.socket(fileno=raised_descriptor(connection)))
        circumstances = Circumstances(socket.gethostname(), surroundings.advice)
        Worker(line, memory, capture, services, circumstances, surroundings.files).serve()
    except LineLost:
        status = 0
    except Spent as why:
        print(why, file=sys.__stderr__)
        status = SPENT
    except Contradiction as why:
        print(why, file=sys.__stderr__)
        status = BENT
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _stand_alone(parent: int) -> None:
    """This process leads a session of its own and dies with its zygote.

    It is the first to be killed when memory runs out, keeps its own orphans, dumps no core and
    sleeps no longer than it is told to.
    """
    os.setsid()
    kernel.die_with_parent(parent)
    kernel.adopt_orphans()
    kernel.dump_no_core()
    kernel.heed_barriers()
    kernel.wake_in_time()
    try:
        # Python's own open() costs a freshly forked process 1.4 ms.
        adjustment = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(adjustment, b"800")
        os.close(adjustment)
    except OSError:
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Worker:
    """Reads messages from the pool and acts on them."""

    def __init__(
        self,
        line: WorkerLine,
        journal: Journal,
        capture: Capture,
        services: Services,
        circumstances: Circumstances,
        files: bytes = b"",
    ) -> None:
        self._line = line
        self._calls = Calls(services)
        self._circumstances = circumstances
        interrupts = Interrupts(journal)
        self._large = TaskValues(line, interrupts)
        self._outside = Outside(self._large.returns)
        self._results = ResultPickler(self._outside)
        displays = Displays(capture, journal.hold)
        libraries = Libraries(displays)
        libraries.join()
        self._chunks = Chunks(
            line=line,
            journal=journal,
            capture=capture,
            interrupts=interrupts,
            calls=self._calls,
            circumstances=self._circumstances,
            large=self._large,
            displays=displays,
            libraries=libraries,
        )
        self._nested = Nested(line, self._chunks, self._calls, interrupts, self._large, files)
        inside.join(self._nested)
        copies.watch(partial(self._withdraw, journal, interrupts), self._large.copied)
        line.sort = lambda message, body: (
            self._large.sort(message) or self._nested.sort(message, body)
        )

    def _withdraw(self, journal: Journal, interrupts: Interrupts) -> None:
        """In a copy of this process: what is the worker's is out of its reach."""
        self._line.close()
        journal.detach()
        interrupts.withdraw()
        self._large.returns.allow(0, 0)
        inside.join(None, inside.IN_COPY)
        kernel.name_process("sg-copy", "scattergather: forked by a task")

    def serve(self) -> Never:
        """Say that this worker is ready, then do what is asked.

        Raises:
            LineLost: the socket ended, and so does the worker.
            Spent: a task bent this process for good.
        """
        self._line.send(messages.Born(pid=os.getpid()))
        while True:
            received = self._line.receive(self._large.patience)
            if received is None:
                self._large.rest()
                continue
            message, body = received
            match message:
                case messages.Run():
                    self._chunks.perform(message, body)
                    self._nested.forget()
                    self._chunks.mend()
                case messages.Resident():
                    self._calls.residents.push(message.version, message.source)
                case messages.Everywhere():
                    self._everywhere(message, body)
                case messages.Code() | messages.Forget() | messages.NestedOutcome():
                    pass  # the line has sorted these
                case (
                    messages.Slab()
                    | messages.SlabGone()
                    | messages.Recycle()
                    | messages.Allowance()
                ):
                    pass  # and these
                case _:
                    assert_never(message)

    def _everywhere(self, message: messages.Everywhere, body: bytes) -> None:
        call: Call | None = None
        arguments = value = None
        try:
            call = self._calls.prepare(message.function, message.code_version, needs=message.needs)
            self._large.arguments.open(message.objects, message.away)
            arguments = self._large.arguments.load(memoryview(body))
            value = call.function(*arguments[0], **arguments[1])
            copies.leave()
            kind, blob = int(Kind.RETURNED), self._results.carefully(value, call.name)
        except BaseException as error:
            copies.leave(error)
            self._results.clear()
            kind, blob = self._circumstances.raised(
                error, call=call, label="run_everywhere", index=0, attempt=1, arguments=arguments
            )
        arguments = value = None
        self._large.arguments.open(())
        self._large.arguments.settle()
        self._chunks.accept_surroundings()
        objects, borrowed = self._large.returns.announce(self._outside.take())
        self._line.send(
            messages.EverywhereDone(
                call=message.call,
                worker=os.getpid(),
                kind=kind,
                objects=objects,
                borrowed=borrowed,
                printed=self._chunks.take_printed(),
            ),
            blob,
        )
