"""Where the tasks of a job may run."""

from __future__ import annotations

import msgspec


class Placement(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Where the tasks of a job may run: on every host that can run them.

    It has no fields yet. What the user says of it will be one each: ``on``, the hosts that may take
    the tasks, and ``per_host``, how many of them one host may run at a time.
    """
