"""Where a process is: its directory, and its variables, of which some look like secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

Environment = Mapping[bytes, bytes]
"""As in ``os.environb``: none of it has to be text."""

_SECRET = re.compile(
    rb"SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|FURL|(KEY|TOKEN|AUTH|COOKIE|PWD)S?(_|[0-9]|$)",
    re.IGNORECASE,
)
_NO_SECRET = frozenset({b"PWD", b"OLDPWD"})
_USER_AND_PASSWORD = re.compile(rb"://[^/@]*:[^/@]*@")
_FURL = b"pb://"
_KERNEL = b"JPY_"

_VITAL = re.compile(rb"^(PATH|HOME|USER|LANG|TMPDIR|VIRTUAL_ENV|(LD|LC|PYTHON|XDG|CONDA)_?.*)$")
_ROOM = 96 << 10
"""Bytes of environment and arguments that the kernel takes however small the stack's limit is are
128 kB; the arguments of ours are short."""


def current_directory() -> bytes:
    """The working directory, empty when it was deleted under us."""
    try:
        return os.getcwdb()
    except OSError:
        return b""


def looks_secret(name: bytes, value: bytes) -> bool:
    """True for what is named like a secret, or holds a password or a FURL."""
    if name in _NO_SECRET:
        return False
    return bool(_SECRET.search(name) or _USER_AND_PASSWORD.search(value) or _FURL in value)


def is_ours_alone(name: bytes, value: bytes) -> bool:
    """True for what even the same user's workers do not get: the kernel's own, and FURLs."""
    return name.startswith(_KERNEL) or _FURL in value


def for_a_program(environment: Environment) -> dict[bytes, bytes]:
    """What of ``environment`` a program of ours is started with: no secrets, and not too much.

    The kernel refuses to start a program with an environment that is too large for it, which one
    that grew in a running process easily is. Then the largest variables are left out first, and
    those last that a program itself needs. Python refuses to start with a hash seed that is none.
    """
    left, found = _ROOM, {}
    sizes = sorted((_VITAL.match(name) is None, len(name) + len(value), name)
                   for name, value in environment.items()
                   if not looks_secret(name, value) and not is_ours_alone(name, value))  # fmt: skip
    for _, size, name in sizes:
        left -= size + 10  # an end, and a pointer
        if left < 0:
            break
        found[name] = environment[name]
    if not _starts_python(found.get(b"PYTHONHASHSEED", b"")):
        del found[b"PYTHONHASHSEED"]
    return found


def hash_seed(environment: Environment) -> int | None:
    """The seed of ``hash(text)`` in a Python started with this; None: another each time."""
    seed = environment.get(b"PYTHONHASHSEED", b"")
    return int(seed) if seed.isdigit() and _starts_python(seed) else None


def _starts_python(seed: bytes) -> bool:
    return seed in (b"", b"random") or (seed.isdigit() and len(seed) < 20 and int(seed) < 1 << 32)
