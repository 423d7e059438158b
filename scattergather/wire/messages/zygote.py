"""What a pool daemon and a zygote say to each other, one message a SOCK_SEQPACKET datagram."""

from __future__ import annotations

from scattergather.wire.messages.shared import Message


class OpenSession(Message, frozen=True, kw_only=True):
    """Fork a session zygote. Descriptors passed along: its socket, a file with a ``TaskPlace``.

    In a file, because an environment may be larger than any datagram. ``session`` is the number by
    which the pool's log calls it.
    """

    session: int = 0


class Settle(Message, frozen=True, kw_only=True):
    """The workers that a session's zygote forks from now on see the ``TaskPlace`` in this file."""


class Fork(Message, frozen=True, kw_only=True):
    """Fork a worker. Descriptors passed along: its socket, its journal, its output file."""

    worker: int


class Kill(Message, frozen=True, kw_only=True):
    """Signal a worker, and with ``group`` all that it started. Ignored if it is gone."""

    worker: int
    signal: int
    group: bool = False


class ZygoteReady(Message, frozen=True, kw_only=True):
    """A zygote has imported what every worker needs; ``problems`` says which services failed."""

    pid: int
    services: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Forked(Message, frozen=True, kw_only=True):
    """A worker lives; from a root zygote: the zygote of the session that was opened as this one."""

    worker: int
    pid: int


SPENT = 75
"""Exit status of a worker that ends because a task bent its process for good. Whatever it had not
begun is free."""


BENT = 76
"""Exit status of a worker that ends because something wrote, or read, where only it may. The last
line that it printed says what."""


UNFORKED = 71
"""Exit status of a worker that could not be forked (``EX_OSERR``)."""


class Exited(Message, frozen=True, kw_only=True):
    """A worker ended: exit ``status`` or ``signal``; ``peak`` is its largest memory, in bytes.

    ``why`` says why it could not be forked. Worker 0 stands for the zygote of a session, of which
    the root says so.
    """

    worker: int
    pid: int
    status: int = 0
    signal: int = 0
    peak: int = 0
    why: str = ""
