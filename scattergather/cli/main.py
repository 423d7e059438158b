"""The commands, and how their errors are shown."""

from __future__ import annotations

import pkgutil
import sys
from typing import Any

import click

import scattergather
from scattergather.errors import ScatterGatherError
from scattergather.model.nearest import nearest

COMMANDS = {
    "demo": ("scattergather.cli.demo:command", "A pool on this machine, and a first job on it."),
    "hosts": ("scattergather.cli.hosts:command", "The hosts whose FURLs are stored."),
    "invite": ("scattergather.cli.guests:invite", "Give one more user a FURL for this pool."),
    "invited": ("scattergather.cli.guests:invited", "Who has a FURL for this pool."),
    "pool": ("scattergather.cli.pool:command", "Run this machine's pool, in the foreground."),
    "renew": ("scattergather.cli.guests:renew", "A new FURL in place of a user's old one."),
    "revoke": ("scattergather.cli.guests:revoke", "Shut a user out of this pool."),
    "version": ("scattergather.cli.version:command", "What is installed, and which versions."),
}


class Suggesting(click.Group):
    """Names the nearest command for one that is unknown."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; refuses an unknown command with the nearest known one."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = nearest(args[0], known)
            hint = f"Did you mean '{near}'?" if near else f"There are: {', '.join(known)}."
            ctx.fail(f"No such command '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)


class Lazy(Suggesting):
    """Loads the module of a command when it is used: ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(COMMANDS[cmd_name][0])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(scattergather.__version__, message="scattergather %(version)s")
def cli() -> None:
    """scattergather: the notebook's own cluster."""


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the command ``scattergather``; ends the process."""
    try:
        cli.main(args=arguments, prog_name="scattergather")
    except ScatterGatherError as error:
        why = str(error)
    except OSError as error:
        named = error.filename is not None and error.strerror
        why = f"{error.filename}: {error.strerror}" if named else str(error)
    click.echo(f"scattergather: {why}", err=True)
    sys.exit(1)
