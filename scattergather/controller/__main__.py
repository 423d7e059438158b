"""Starts a controller: ``python -P -m scattergather.controller DESCRIPTOR CLIENT``.

The arguments are the descriptor of the pipe and the client's process id.

The order matters for the time to the first result: the client's first message is read and the root
zygote is started before Twisted is imported, so that workers come up meanwhile. A client that was
killed meanwhile is looked for between these steps, each of which takes long on a busy machine; the
end of the pipe alone would not tell, since a process that the notebook forked may hold it too.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from typing import Any

import scattergather
from scattergather.controller.watch import POLL_SECONDS, has_left
from scattergather.machine.kernel import allow_descriptors, die_with_parent, dump_no_core
from scattergather.machine.lossy import lossy
from scattergather.reactor.heartbeat import Heartbeat
from scattergather.wire.frame import LENGTHS, frame
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec
from scattergather.workers.daemon.launch import launch


def _read_exactly(connection: socket.socket, client: int, size: int) -> bytes:
    pieces = bytearray()
    connection.settimeout(POLL_SECONDS)
    while len(pieces) < size:
        try:
            piece = connection.recv(size - len(pieces))
        except TimeoutError:
            _serve_the_living(connection, client)
            continue
        if not piece:
            sys.exit(0)
        pieces += piece
    return bytes(pieces)


def _serve_the_living(connection: socket.socket, client: int) -> None:
    if has_left(connection, client):
        sys.exit(0)


def _read_spawn(connection: socket.socket, client: int) -> messages.Spawn:
    head, body = LENGTHS.unpack(_read_exactly(connection, client, LENGTHS.size))
    said = _read_exactly(connection, client, head)
    _read_exactly(connection, client, body)
    theirs = messages.read_versions(said)
    if theirs.protocol != messages.PROTOCOL:
        ours = messages.Refused(protocol=messages.PROTOCOL, version=scattergather.__version__)
        connection.sendall(b"".join(frame(messages.encode(ours))))
        sys.exit(f"the client speaks protocol {theirs.protocol}, we speak {messages.PROTOCOL}")
    message = messages.read_to_controller(said)
    if not isinstance(message, messages.Spawn):
        sys.exit(f"the client's first message was {type(message).__name__}, not Spawn")
    return message


def main() -> None:
    """Serve one client until it leaves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stderr = lossy(2)
    # If we are stopped when the client dies, this lets us go on and see it; else it does nothing.
    die_with_parent(os.getppid(), signal.SIGCONT)
    dump_no_core()
    allow_descriptors()
    descriptor, client = map(int, sys.argv[1:])
    connection = socket.socket(fileno=descriptor)
    os.set_inheritable(connection.fileno(), False)
    spawn = _read_spawn(connection, client)
    _serve_the_living(connection, client)
    embedded = [spec for spec in spawn.hosts if isinstance(spec, EmbeddedSpec)]
    root = None
    if embedded:
        with contextlib.suppress(OSError):  # it is tried again, and the client hears why
            root = launch()
    heartbeat = Heartbeat(sys.stderr, client)

    # Only now: see above.
    from twisted.logger import globalLogBeginner, textFileLogObserver  # noqa: PLC0415

    from scattergather.controller.service import Controller  # noqa: PLC0415
    from scattergather.reactor.monotonic import monotonic_reactor  # noqa: PLC0415

    _serve_the_living(connection, client)
    reactor = monotonic_reactor()
    observer: Any = textFileLogObserver(sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    controller = Controller(reactor, connection, spawn, root)
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(controller.stop))
    # What was imported stays; collecting it again and again would cost every task some time.
    gc.freeze()
    reactor.callWhenRunning(heartbeat.beat, reactor)
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
