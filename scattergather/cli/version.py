"""``scattergather version``."""

from __future__ import annotations

import importlib.metadata
import platform

import click

import scattergather
from scattergather.wire.messages import page as messages


@click.command("version")
def command() -> None:
    """What is installed, and which versions."""
    click.echo(f"scattergather {scattergather.__version__}")
    click.echo(f"protocol {messages.PROTOCOL}")
    click.echo(f"python {platform.python_version()}")
    for name in ("twisted", "foolscap", "dill"):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        click.echo(f"{name} {found}")
