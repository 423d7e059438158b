"""``scattergather hosts``: the stored hosts."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import click

from scattergather.cli.main import Suggesting
from scattergather.errors import BadRequest
from scattergather.model.snapshot import plural
from scattergather.settings import private
from scattergather.settings.furl import Furl
from scattergather.settings.hosts import Hosts, check_name


@click.group("hosts", cls=Suggesting)
def command() -> None:
    """The hosts whose FURLs are stored, by name."""


@command.command("add")
@click.argument("name")
@click.argument("file", required=False)
def add(name: str, file: str | None) -> None:
    """Store the FURL of a host.

    It is read from FILE, or from standard input if FILE is - or missing; at a terminal it is asked
    for, and not shown.
    """
    stored = Hosts.load()
    if stored.add(name, Furl.parse(_read(name, file))):
        click.echo(f"{name}: stored ({stored.furl(name)}). Try it: scattergather hosts ping {name}")
    else:
        click.echo(f"{name}: stored already, as it is")


def _read(name: str, file: str | None) -> str:
    for word in (name, file or ""):
        if word.startswith(("pb://", "pbu://")):
            raise BadRequest(
                "a FURL is a secret, and every user of this machine can read a command line (and "
                "your shell keeps it). Leave it out and paste it when asked, or name a file. "
                "This one has been seen: if others use this machine, have the pool make a new one"
            )
    check_name(name)  # before the secret is asked for
    if file is None and sys.stdin.isatty():
        answer: str = click.prompt(f"FURL of {name}", hide_input=True)
        return answer
    if file is None or file == "-":
        return sys.stdin.read(10_000)
    data = private.read(Path(file).expanduser())
    if data is None:
        raise BadRequest(f"there is no file {file}")
    return data.decode(errors="replace")


@command.command("list")
def list_() -> None:
    """Show the stored hosts; never their secrets."""
    stored = Hosts.load()
    if not stored.names():
        click.echo(stored.known(), err=True)
    width = max(map(len, stored.names()), default=0)
    for name in stored.names():
        furl = stored.furl(name)
        click.echo(f"{name:{width}}  {furl.address}  {furl.tub[:6]}…")


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Forget a host."""
    Hosts.load().remove(name)
    click.echo(f"{name}: removed")


@command.command("ping")
@click.argument("names", nargs=-1)
def ping(names: tuple[str, ...]) -> None:
    """Ask hosts, or all of them, who they are. Exit code 1 if one does not answer."""
    stored = Hosts.load()
    asked = {name: stored.furl(name) for name in names or stored.names()}
    if not asked:
        raise BadRequest(stored.known())
    width = max(map(len, asked))
    failed = False
    for name, answer in _ask(asked).items():
        failed |= isinstance(answer, Exception)
        click.echo(f"{name:{width}}  {_shown(answer)}")
    if failed:
        sys.exit(1)


def _shown(answer: Any) -> str:
    if isinstance(answer, Exception):
        return f"no: {answer}"
    facts, seconds = answer
    services = f", services: {', '.join(facts.services)}" if facts.services else ""
    return (
        f"{plural(facts.workers, 'worker')}, python {facts.python}, scattergather {facts.version} "
        f"(protocol {facts.protocol}), {seconds * 1000:.1f} ms{services}"
    )


def _ask(furls: dict[str, Furl]) -> dict[str, Any]:
    """The answer of each host, or the exception why there is none."""
    # Half a second that only this command needs.
    from twisted.internet.defer import DeferredList  # noqa: PLC0415

    from scattergather.link.switchboard import Switchboard  # noqa: PLC0415
    from scattergather.reactor.monotonic import monotonic_reactor  # noqa: PLC0415

    reactor = monotonic_reactor()
    answers: dict[str, Any] = {}

    def begin() -> None:
        asking = []
        for name, furl in furls.items():
            answers[name] = BadRequest("interrupted")
            # With one Tub for all, a second FURL of the same pool would find the connection of
            # the first, wherever it says that the pool is.
            switchboard = Switchboard(reactor, controller="hosts ping")
            answer: Any = switchboard.ask(furl)
            answer.addErrback(lambda failure: failure.value)
            answer.addCallback(functools.partial(answers.__setitem__, name))
            asking.append(answer.addCallback(lambda _, board=switchboard: board.stop()))
        DeferredList(asking).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    return answers
