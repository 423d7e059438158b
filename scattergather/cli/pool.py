"""``scattergather pool``: this machine's pool, in the foreground."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import click

from scattergather.cli.occupant import occupant
from scattergather.errors import BadRequest
from scattergather.machine.addresses import addresses
from scattergather.machine.lossy import lossy
from scattergather.settings.hosts import is_loopback
from scattergather.settings.memory import default_size, read_size
from scattergather.settings.scratch import scratch_folder
from scattergather.settings.urls import MOST_WORKERS

SERVICE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(=[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)?")
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


@click.command("pool")
@click.option(
    "--workers", type=click.IntRange(1, MOST_WORKERS), help="How many; default: one a core."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="any free one")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME[=MODULE:FUNCTION]",
    help="A function that is resident here; may be repeated. Default: all that are installed.",
)
@click.option("--interface", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--advertise", default="", metavar="HOST:PORT", help="What the FURL is to name.")
@click.option("--furl-file", type=click.Path(path_type=Path), help="Write the FURL there, too.")
@click.option("--quiet", is_flag=True, help="Do not print the FURL.")
@click.option("--log-file", type=click.Path(path_type=Path), help="Log there and not to stderr.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="What large values may take here, such as 8G; default: a quarter of this machine's.",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    help="Where temporary files go, none of which has a name; default: TMPDIR, else /var/tmp.",
)
@click.option(
    "--scratch-size",
    metavar="SIZE",
    help="What they may take, such as 500G; default: all but a twentieth of the disk, or 10 GiB.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where files lie that are sent here; default: a folder beside key and FURL.",
)
@click.option(
    "--anywhere", is_flag=True, help="Files may be written and read outside of that folder, too."
)
@click.option("--directory", type=click.Path(path_type=Path), help="Where key and FURL are kept.")
@click.option(
    "--end-with-stdin", is_flag=True, help="End when standard input does, as whoever holds it ends."
)
def command(
    workers: int | None,
    port: int,
    services: tuple[str, ...],
    interface: str,
    advertise: str,
    furl_file: Path | None,
    quiet: bool,
    log_file: Path | None,
    memory: str | None,
    scratch: Path | None,
    scratch_size: str | None,
    data: Path | None,
    anywhere: bool,
    directory: Path | None,
    end_with_stdin: bool,
) -> None:
    """Run this machine's pool of workers, in the foreground.

    Its FURL, printed once and kept in a file that only you can read, is all that a notebook needs
    to use it. End it with Ctrl-C or SIGTERM.
    """
    if sys.stderr is sys.__stderr__ is not None:
        sys.stderr = lossy(2)  # a pool does not stop because nobody reads what it says
    for service in services:
        if not SERVICE.fullmatch(service):
            raise BadRequest(f"--service {service!r}: it must be NAME or NAME=MODULE:FUNCTION")
    _check_address(interface, advertise)
    room = default_size() if memory is None else read_size(memory)
    if os.geteuid() == 0:
        click.echo(
            "scattergather pool: warning: it runs as root, so whoever has its FURL is root here",
            err=True,
        )
    # Half a second that the other commands need not wait.
    from scattergather.workers.daemon.listen import Options, PortTaken, listen  # noqa: PLC0415

    options = Options(
        workers=workers or len(os.sched_getaffinity(0)),
        port=port,
        services=services,
        interface=interface,
        advertise=advertise,
        furl_file=furl_file,
        quiet=quiet,
        log_file=log_file,
        directory=directory,
        memory=room,
        scratch=_scratch(scratch),
        scratch_size=None if scratch_size is None else read_size(scratch_size, "--scratch-size"),
        data=data,
        anywhere=anywhere,
        end_with_stdin=end_with_stdin,
        words=tuple(sys.argv[1:]),
    )
    try:
        sys.exit(listen(options))
    except PortTaken as error:
        raise BadRequest(_why(error.number, str(error), interface, port)) from None


def _why(number: int, error: str, interface: str, port: int) -> str:
    """Why it cannot listen there, and what can be done."""
    if number == errno.EADDRINUSE and port:
        holder = occupant(port)
        return (
            f"port {port} of {interface} is taken{f' by {holder}' if holder else ''}. Use that one "
            "if it is a pool (its FURL is in its folder), or choose another port; --port 0 takes "
            "any free one"
        )
    if number == errno.EACCES and port < 1024:
        return f"port {port} is for root only, as all below 1024 are: choose another one"
    return (
        f"cannot listen on {interface}, port {port}: {error}. The addresses of this machine are "
        f"{', '.join(addresses())}; --interface takes one of them"
    )


def _scratch(folder: Path | None) -> str:
    if folder is None:
        return ""
    return scratch_folder(str(folder.expanduser().absolute()), "--scratch")


def _check_address(interface: str, advertise: str) -> None:
    if advertise:
        match = ADDRESS.fullmatch(advertise)
        if match is None or not 0 < int(match[2]) < 65536:
            raise BadRequest(f"--advertise {advertise!r}: it must be HOST:PORT")
    if is_loopback(interface):
        return
    if interface in ("0.0.0.0", "::", "") and not advertise:
        raise BadRequest(
            f"--interface {interface or repr('')} means every address of this machine, and the "
            "FURL has to name one that others can reach: add --advertise HOST:PORT, or say "
            "--interface ADDRESS"
        )
    click.echo(
        f"scattergather pool: warning: it listens on {interface}, for other machines, too. Only "
        "who has the FURL gets in; keep it as you would a password",
        err=True,
    )
