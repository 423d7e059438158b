"""Networks of their own for daemons: namespaces, each joined to this process by a pair of veth.

Nothing is forwarded: who is in one reaches this process and nobody else, until two are joined by a
pair of their own. Each lasts as long as a process that holds it, which ends with this one, so
whatever is killed, no network is left. It takes root, ``ip``, ``unshare`` and ``nsenter``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator

ALL = ipaddress.ip_network("198.18.0.0/15")
"""For tests of networks: nobody else has addresses there."""

PLACES = 8
"""How many networks a process may have; each takes four addresses."""


class Network:
    """A namespace.

    Attributes:
        address: what is in it listens there.
        within: what stands before a command that is to run in it.
    """

    def __init__(self, place: int) -> None:
        self._device = f"sg{place}-{os.getpid()}"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self._make(place)
        except BaseException:
            self.close()
            raise

    def _make(self, place: int) -> None:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write("it is there\n")
        self._holder.stdin.flush()
        if not self._holder.stdout.readline():
            raise OSError("unshare makes no network namespace here")
        pid = str(self._holder.pid)
        self.within = ("nsenter", "--target", pid, "--net")
        first = int(ALL.network_address) + 4 * (os.getpid() * PLACES + place) % ALL.num_addresses
        here, self.address = (str(ipaddress.ip_address(first + each)) for each in (1, 2))
        device = self._device
        _run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", pid)
        _run("ip", "address", "add", f"{here}/30", "dev", device)
        _run("ip", "link", "set", device, "up")
        self.run("ip", "address", "add", f"{self.address}/30", "dev", "eth0")
        for each in "lo", "eth0":
            self.run("ip", "link", "set", each, "up")

    def run(self, *command: str) -> None:
        """Run a command in it."""
        _run(*self.within, *command)

    def join(self, other: Network, rate: str = "") -> None:
        """What is in this one and what is in the other reach each other from now on.

        Args:
            other: the other one.
            rate: what passes at most each way, as ``tc`` writes it: ``100mbit``. All by default.
        """
        device, peer = f"to{other._holder.pid}", f"to{self._holder.pid}"
        there = ("netns", str(other._holder.pid))
        self.run("ip", "link", "add", device, "type", "veth", "peer", "name", peer, *there)
        for one, way, target in (self, device, other), (other, peer, self):
            if rate:
                limit = ("tbf", "rate", rate, "burst", "128kb", "latency", "100ms")
                one.run("tc", "qdisc", "add", "dev", way, "root", *limit)
            one.run("ip", "link", "set", way, "up")
            one.run("ip", "route", "add", target.address, "dev", way, "src", one.address)

    def part(self, other: Network) -> None:
        """They do not any more: whatever is under way is lost, and nobody is told."""
        for one, another in (self, other), (other, self):
            device = f"to{another._holder.pid}"
            one.run("tc", "qdisc", "replace", "dev", device, "root", "pfifo", "limit", "0")

    def close(self) -> None:
        """This process reaches nothing in it any more, and it is gone once nothing runs in it."""
        # By itself it goes with the namespace, some time later: the next one has its name.
        subprocess.run(["ip", "link", "delete", self._device], check=False, capture_output=True)
        self._holder.communicate()


@contextlib.contextmanager
def networks(count: int) -> Iterator[list[Network]]:
    """So many networks; eight at most."""
    assert count <= PLACES
    with contextlib.ExitStack() as stack:
        made = []
        for place in range(count):
            made.append(Network(place))
            stack.callback(made[-1].close)
        yield made


def why_none() -> str:
    """Why there can be no networks here; empty if there can."""
    if os.geteuid() != 0:
        return "networks of their own take root"
    for command in "ip", "unshare", "nsenter", "tc":
        if shutil.which(command) is None:
            return f"networks of their own take {command!r}, which is not installed"
    try:
        with networks(2) as (one, other):
            one.join(other, "100mbit")
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return f"no networks of their own can be made here: {said.strip()}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
