"""CPython's own tests of ``concurrent.futures``, wherever this machine has them.

They are taken from the folder where Debian's package puts them, as a module of its own, since an
interpreter that was built without its tests has a package ``test`` that lacks this one. The folder
goes to the end of ``sys.path``: workers get that, and import the functions from there.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

APT = "apt install libpython3.11-testsuite libpython3.11-stdlib"
PLACES = (os.environ.get("SCATTERGATHER_TESTSUITE", ""), "/usr/lib/python3.11/test")


def load() -> ModuleType | None:
    """CPython 3.11's ``test_concurrent_futures``, or None where it is missing."""
    if sys.version_info[:2] != (3, 11):
        return None
    for place in PLACES:
        if os.path.exists(os.path.join(place, "test_concurrent_futures.py")):
            sys.path.append(place)
            try:
                import test_concurrent_futures  # noqa: PLC0415  (missing on most machines)
            except ImportError:  # without test.support, a part of libpython3.11-stdlib
                return None
            return test_concurrent_futures
    return None


def part(module: ModuleType | None, name: str) -> Any:
    """One of its classes, or an empty one so that what is built on it can be collected."""
    return type(name, (), {}) if module is None else getattr(module, name)
