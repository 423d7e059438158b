"""What tasks see of this process on the same machine: directory, module path, environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from scattergather.machine import environment
from scattergather.wire.messages.shared import TaskPlace


def here() -> TaskPlace:
    """The place where this process is now."""
    directory = environment.current_directory()
    withheld = {
        name for name, value in os.environb.items() if environment.is_ours_alone(name, value)
    }
    return TaskPlace(
        directory=directory,
        path=tuple(_found(sys.path, directory)),
        environment={name: value for name, value in os.environb.items() if name not in withheld},
        withheld=tuple(sorted(withheld)),
    )


def hash_seed() -> int | None:
    """What ``hash(text)`` of this process is made of; None: nobody else can have the same."""
    return None if sys.flags.ignore_environment else environment.hash_seed(os.environb)


def _found(path: Iterable[object], directory: bytes) -> Iterable[bytes]:
    """The entries of ``path`` in full. Python itself passes over what is no text."""
    for entry in path:
        if not isinstance(entry, str):
            continue
        try:
            place = os.path.join(directory, os.fsencode(entry))
        except UnicodeEncodeError:  # there can be no such folder
            continue
        if os.path.isabs(place):
            yield os.path.normpath(place)
