"""Who holds a port of this machine, as far as /proc tells."""

from __future__ import annotations

from pathlib import Path

LISTENING = "0A"


def occupant(port: int) -> str:
    """``process 812 (python -m scattergather pool)``, or an empty string."""
    inodes = _listeners(port)
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for fd in (process / "fd").iterdir():
                if str(fd.readlink()) in inodes:
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    shown = b" ".join(words).decode(errors="replace").strip()
                    return f"process {process.name} ({shown[:120]})"
        except OSError:
            continue  # it ended, or is not ours to look at
    return "a process of another user"


def _listeners(port: int) -> set[str]:
    """The sockets that listen at this port, as they are linked to in /proc/<pid>/fd."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == LISTENING:
                found.add(f"socket:[{fields[9]}]")
    return found
