"""A bare TLS stream of the standard library: what passes between two processes at most.

``python -m benchmarks.tls receive`` prints its port, takes one connection and answers each stream
with a byte. ``... send PORT`` reads numbers from its stdin, sends as many bytes each time, and
prints a line when they are answered. Both block, and neither does anything else.
"""

from __future__ import annotations

import socket
import ssl
import sys
import tempfile

from scattergather.link.tubs.tub import new_certificate

PIECE = memoryview(bytes(1 << 18))
LENGTH = 8


def receive() -> None:
    """The end that listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as certificate:
        certificate.write(new_certificate())
        certificate.flush()
        context.load_cert_chain(certificate.name)
    with socket.create_server(("127.0.0.1", 0)) as door:
        print(door.getsockname()[1], flush=True)
        plain, _ = door.accept()
    buffer = bytearray(len(PIECE))
    with context.wrap_socket(plain, server_side=True) as link:
        while len(head := link.recv(LENGTH)) == LENGTH:  # a record of its own
            rest = int.from_bytes(head, "big")
            while rest:
                rest -= link.recv_into(buffer, min(rest, len(buffer)))
            link.sendall(b".")


def send(port: int) -> None:
    """The end that calls."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port))) as link:
        for line in sys.stdin:
            rest = int(line)
            link.sendall(rest.to_bytes(LENGTH, "big"))
            while rest:
                piece = PIECE[:rest]
                link.sendall(piece)
                rest -= len(piece)
            if not link.recv(1):
                raise ConnectionError("the other end is gone")
            print("answered", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive()
    else:
        send(int(sys.argv[2]))
