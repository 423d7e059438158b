"""``scattergather invite | invited | renew | revoke``: who may use this machine's pool.

Each works whether the pool runs or not; one that runs follows within a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scattergather.errors import BadRequest
from scattergather.settings import private
from scattergather.settings.furl import Furl
from scattergather.settings.hosts import pool_folder
from scattergather.settings.invitations import OWNER, Invitations


def _of_pool(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say which pool is meant; ``function`` gets its ``Invitations``."""

    @click.option("--port", type=click.IntRange(1, 65535), help="The pool that listens there.")
    @click.option("--directory", type=click.Path(path_type=Path), help="The pool's folder.")
    def command(port: int | None, directory: Path | None, **options: Any) -> None:
        folder = directory.expanduser().absolute() if directory else pool_folder(port)
        if not folder.is_dir():
            raise BadRequest(f"there is no folder {folder}")
        function(Invitations(folder), **options)

    command.__doc__ = function.__doc__
    return command


_furl_file = click.option(
    "--furl-file", type=click.Path(path_type=Path), help="Write the FURL there, and print nothing."
)


@click.command("invite")
@click.argument("name")
@_furl_file
@_of_pool
def invite(invitations: Invitations, name: str, furl_file: Path | None) -> None:
    """Give one more user a FURL of his own.

    It is shown once. It opens this machine's pool until it is revoked, and tasks of whoever has
    it run as you: invite whom you would give this account.
    """
    file = _checked(furl_file)
    furl = invitations.invite(name)
    _hand_over(furl, file)
    click.echo(
        f"{name} is invited to {furl.address}; undo it: scattergather revoke {name}", err=True
    )
    if invitations.pool.name.partition(".")[0] == "0":
        click.echo(
            "warning: this pool takes another port each time it starts, and then the FURL leads "
            "nowhere; give it a lasting one: scattergather pool --port N",
            err=True,
        )


@click.command("invited")
@_of_pool
def invited(invitations: Invitations) -> None:
    """List who is invited, and since when; never the secrets."""
    guests = invitations.guests()
    if not guests:
        click.echo("nobody is invited; the owner has a FURL without that", err=True)
    width = max(map(len, guests), default=0)
    for name in guests:
        click.echo(f"{name:{width}}  since {invitations.since(name)}")


@click.command("renew")
@click.argument("name")
@_furl_file
@_of_pool
def renew(invitations: Invitations, name: str, furl_file: Path | None) -> None:
    """Give a user a new FURL in place of the one that he has.

    NAME is a guest, or 'owner' for your own. The old FURL is dead within a second, and what it
    had open ends. To change over without a gap, invite a second name first and revoke the old one
    afterwards.
    """
    file = _checked(furl_file)
    furl = invitations.renew(name)
    if name != OWNER or file is not None:
        _hand_over(furl, file)
    kept = f"; the new one is in {invitations.pool / 'furl'}" if name == OWNER else ""
    click.echo(f"{name}: the old FURL is dead, wherever it was copied to{kept}", err=True)


@click.command("revoke")
@click.argument("name")
@_of_pool
def revoke(invitations: Invitations, name: str) -> None:
    """Shut a guest out: his FURL opens nothing any more, and what he has open ends."""
    invitations.revoke(name)
    click.echo(
        f"{name}: revoked; a pool that runs closes what he has open within a second", err=True
    )


def _checked(file: Path | None) -> Path | None:
    """The file by which a FURL will be handed over, while nothing has been done yet."""
    if file is None:
        return None
    file = file.expanduser().absolute()
    private.check_hand_over(file)
    return file


def _hand_over(furl: Furl, file: Path | None) -> None:
    """The FURL goes to a private file, or once to standard output."""
    if file is None:
        click.echo(furl.text)
        return
    private.hand_over(file, furl.text)
