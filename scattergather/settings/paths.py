"""Where settings and state live.

``SCATTERGATHER_HOME`` overrides both; else the folders of the platform are used.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

NAME = "scattergather"


def home() -> Path | None:
    """The folder that ``SCATTERGATHER_HOME`` names, if it does."""
    named = os.environ.get("SCATTERGATHER_HOME", "")
    return Path(named).expanduser().absolute() if named else None


def config() -> Path:
    """The folder of what the user has set."""
    return home() or platformdirs.user_config_path(NAME)


def state() -> Path:
    """The folder of what has to survive a restart."""
    return home() or platformdirs.user_state_path(NAME)


def pools() -> Path:
    """The folder with one folder for each pool of this machine."""
    return state() / "pools"
