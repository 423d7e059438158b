"""Starts the root zygote.

It is exec'd, never forked from a process that has a reactor, and this module imports nothing of
Twisted: the embedded pool's zygote loads its own imports while the controller still loads Twisted.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from scattergather.machine import environment

DESCRIPTORS, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
"""How many this process could have when it was started, and workers can."""


HASH_SEED = environment.hash_seed({b"PYTHONHASHSEED": b"0"} | os.environb)
"""What a pool makes ``hash(text)`` of, unless a client wants another; None: chance."""


@dataclass(frozen=True, slots=True)
class Root:
    """A root zygote that was started: its process and our end of its socket."""

    process: subprocess.Popen[bytes]
    channel: socket.socket


def launch(services: Sequence[str] = (), hash_seed: int | None = None) -> Root:
    """Start a root zygote that preloads ``services`` (names, or ``name=module:function``).

    All workers of a pool agree on ``hash(text)``, those that come after its death, too: it starts
    with ``hash_seed``, else with that of this process's environment, else with 0.

    Raises:
        OSError: there is no process or no descriptor to be had.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, "-P", "-m", "scattergather.workers.process.zygote", str(number)]
        command += ["--descriptors", str(DESCRIPTORS)]
        for service in services:
            command += ["--service", service]
        variables = {b"PYTHONHASHSEED": b"0"} | os.environb
        if hash_seed is not None:
            variables[b"PYTHONHASHSEED"] = str(hash_seed).encode()
        try:
            process = subprocess.Popen(
                command,
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=variables,
            )
        except BaseException:
            ours.close()
            raise
    return Root(process, ours)
