"""TLS from memory to memory: two ends, no socket."""

from __future__ import annotations

import random
import ssl
from pathlib import Path

import pytest

from scattergather.errors import BadRequest
from scattergather.link.blocks import tunnel
from scattergather.link.blocks.tunnel import Tunnel
from scattergather.link.tubs.tub import make_tub, new_certificate

CERTIFICATE = new_certificate()


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> Path:
    file: Path = tmp_path_factory.mktemp("identity") / "key"
    file.write_bytes(CERTIFICATE)
    return file


def carry(one: Tunnel, other: Tunnel) -> None:
    """All that one end has to say."""
    other.hear(one.leaving())


@pytest.fixture
def ends(key) -> tuple[Tunnel, Tunnel]:
    """A controller's end and a daemon's, after the handshake."""
    here = Tunnel(tunnel.controllers(), server=False)
    there = Tunnel(tunnel.daemons(key), server=True)
    assert not here.shake()
    carry(here, there)
    assert not there.shake()
    carry(there, here)
    assert here.shake()
    carry(here, there)
    assert there.shake()
    return here, there


def heard(end: Tunnel, most: int) -> bytes:
    """What can be decrypted now."""
    room, data = memoryview(bytearray(most)), b""
    while count := end.read(room):
        data += room[:count]
    return data


def test_a_controller_sees_the_tub_that_foolscap_names(ends):
    here, _ = ends
    assert here.tub() == make_tub(CERTIFICATE).getTubID()


@pytest.mark.parametrize("most", [1, 100, 16_384, 1 << 20])
def test_what_goes_in_comes_out_wherever_it_is_cut(ends, most):
    here, there = ends
    chance = random.Random(most)
    said = chance.randbytes(50_000 if most > 1 else 500)
    here.write(said[:300])
    here.write(said[300:])
    data, got, at = here.leaving(), b"", 0
    while at < len(data):
        count = chance.randrange(1, 20_000)
        there.hear(data[at : at + count])
        at += count
        got += heard(there, most)
    assert got == said
    there.write(b"and back")
    carry(there, here)
    assert heard(here, most) == b"and back"


def test_a_changed_byte_is_an_error_and_never_a_value(ends):
    here, there = ends
    here.write(b"whole" * 1000)
    data = bytearray(here.leaving())
    data[len(data) // 2] ^= 1
    there.hear(bytes(data))
    with pytest.raises(ssl.SSLError):
        heard(there, 100_000)


def test_who_says_that_he_is_through_is_an_error_and_fills_no_memory(ends):
    here, there = ends
    here.write(b"the last word")
    with pytest.raises(ssl.SSLWantReadError):
        here._tls.unwrap()
    carry(here, there)
    room = memoryview(bytearray(100))
    assert there.read(room) == len(b"the last word")
    with pytest.raises(ssl.SSLZeroReturnError):
        there.read(room)
    assert there.read(room[:0]) == 0


def test_who_speaks_no_tls_is_an_error(key):
    there = Tunnel(tunnel.daemons(key), server=True)
    there.hear(b"session and ticket, in the clear")
    with pytest.raises(ssl.SSLError):
        there.shake()


def test_who_speaks_an_older_tls_is_an_error(key):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    here, there = Tunnel(old, server=False), Tunnel(tunnel.daemons(key), server=True)
    assert not here.shake()
    carry(here, there)
    with pytest.raises(ssl.SSLError):
        there.shake()


def test_no_ticket_to_resume_with_is_given_out(ends):
    """One would be a key to a second connection, and a message that nobody asked for."""
    _, there = ends
    assert not there.leaving()


def test_a_key_that_is_none_is_told_at_once(tmp_path):
    (tmp_path / "key").write_bytes(b"nothing of the kind")
    with pytest.raises(
        BadRequest, match=r"/key holds no certificate with its key .* move key away"
    ):
        tunnel.daemons(tmp_path / "key")
