"""``python -m scattergather``: the same as the command ``scattergather``."""

from scattergather.cli.main import main

main()
