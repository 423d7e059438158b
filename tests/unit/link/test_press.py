"""What is written now leaves in order, whatever the socket takes."""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL

from scattergather.link.tubs.press import MOST, write_now


class Encryption:
    """Turns what is written to capitals; stands in for OpenSSL."""

    def __init__(self) -> None:
        self.out = b""
        self.broken = False

    def send(self, data: bytes) -> int:
        if self.broken:
            raise SSL.Error
        self.out += data.upper()
        return len(data)

    def bio_read(self, most: int) -> bytes:
        data, self.out = self.out[:most], self.out[most:]
        return data


class Connection:
    """Twisted's transport, its TLS and its socket, as much of them as is used."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.arrived = b""
        self.disconnecting = self._lostTLSConnection = False
        self.connected = self._handshakeDone = True
        self._appSendBuffer: list[bytes] = []
        self._buffer: list[bytes] = []
        self._tempDataLen = self.offset = 0
        self.dataBuffer = b""
        self._tlsConnection = Encryption()
        self.protocol = self.socket = self._aggregator = self
        self.transport: Any = type("Bypass", (), {"write": lambda _, data: self.wait(data)})()

    def send(self, encrypted: bytes) -> int:
        taken, self.room = encrypted[: self.room], max(self.room - len(encrypted), 0)
        if not taken:
            raise BlockingIOError
        self.arrived += taken
        return len(taken)

    def wait(self, encrypted: bytes) -> None:
        self.dataBuffer += encrypted

    def write(self, data: bytes) -> None:
        self._buffer.append(data)

    def flush(self) -> None:
        self.wait(b"".join(self._buffer).upper())
        self._buffer.clear()

    def doWrite(self) -> None:
        """The reactor's, later: the socket takes more."""


@pytest.mark.parametrize("room", [0, 1, 4, 5, 8, 100])
def test_what_the_socket_does_not_take_waits_and_nothing_overtakes_it(room: int) -> None:
    connection = Connection(room)
    for word in (b"some", b"more", b"words"):
        write_now(connection, word)
    assert connection.arrived + connection.dataBuffer == b"SOMEMOREWORDS"
    assert connection.arrived == b"SOMEMOREWORDS"[:room]


@pytest.mark.parametrize(
    "name", ["disconnecting", "_lostTLSConnection", "_appSendBuffer", "_tempDataLen"]
)
def test_where_something_waits_or_ends_twisted_does_it(name: str) -> None:
    connection = Connection(100)
    setattr(connection, name, [b"x"] if name == "_appSendBuffer" else 1)
    write_now(connection, b"word")
    assert connection.arrived == b""
    assert connection.dataBuffer == b"WORD" or connection._buffer == [b"word"]


def test_more_than_a_record_and_what_cannot_be_encrypted_are_twisteds() -> None:
    connection = Connection(100)
    write_now(connection, bytes(MOST + 1))
    assert (connection.arrived, len(connection.dataBuffer)) == (b"", MOST + 1)
    connection = Connection(100)
    connection._tlsConnection.broken = True
    write_now(connection, b"word")
    assert (connection.arrived, connection._buffer) == (b"", [b"word"])


def test_a_twisted_that_we_do_not_know_writes_by_itself() -> None:
    connection = Connection(100)
    del connection._appSendBuffer
    write_now(connection, b"word")
    assert (connection.arrived, connection.dataBuffer) == (b"", b"WORD")
