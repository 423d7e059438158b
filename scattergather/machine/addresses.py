"""The addresses of this machine, as far as its system tells."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct

_SIOCGIFADDR = 0x8915
_LINK_LOCAL = "20"


def addresses() -> list[str]:
    """Each one, IPv4 first; those that are good on one cable only are left out."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                asked = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, asked)
                found.append(socket.inet_ntoa(answer[20:24]))
    with contextlib.suppress(OSError), open("/proc/net/if_inet6", encoding="ascii") as lines:
        for line in lines:
            digits, _, _, scope, *_ = line.split()
            if scope != _LINK_LOCAL:
                found.append(str(ipaddress.IPv6Address(int(digits, 16))))
    return found
