"""Where the tasks of a job may run."""

from __future__ import annotations

import msgspec


class Placement(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Where the tasks of a job may run: ``on`` the hosts of these names; with none, on any.

    One that is not up is waited for.
    """

    on: tuple[str, ...] = ()
