"""How a pool that is down is started again, as far as it is known here."""

from __future__ import annotations

import pytest

from scattergather.machine.addresses import addresses
from scattergather.settings import paths, private
from scattergather.settings.furl import Furl
from scattergather.settings.hosts import STARTS, own_folder, remember_start, start_of

TUB = "abcdefghijklmnopqrstuvwxyz234567"


def furl(address: str, tub: str = TUB) -> Furl:
    return Furl.parse(f"pb://{tub}@tcp:{address}/{'q' * 32}")


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("127.0.0.1:7", "scattergather pool --port 7"),
        ("localhost:7", "scattergather pool --port 7"),
        ("192.168.1.7:70", "scattergather pool --port 70 --interface 192.168.1.7"),
        ("[fd00::7]:70", "scattergather pool --port 70 --interface fd00::7"),
        ("alpha.example:70", "scattergather pool --port 70 --interface alpha.example"),
    ],
)
def test_of_a_pool_of_another_machine_the_furl_tells_port_and_interface(address, command):
    assert start_of(furl(address)) == command


def test_of_ones_own_pool_every_option_is_known_as_long_as_it_is_where_the_furl_leads():
    words = ["pool", "--interface", "192.168.1.7", "--log-file", "a log", "--port", "70"]
    remember_start(furl("192.168.1.7:70"), words)
    command = "scattergather pool --interface 192.168.1.7 --log-file 'a log' --port 70"
    assert start_of(furl("192.168.1.7:70")) == command
    assert start_of(furl("192.168.1.7:71")).endswith("--port 71 --interface 192.168.1.7")
    assert start_of(furl("192.168.1.7:70", TUB[::-1])).endswith("--interface 192.168.1.7")
    remember_start(furl("192.168.1.7:71"), ["pool", "--port", "71"])
    assert start_of(furl("192.168.1.7:71")) == "scattergather pool --port 71"
    assert len([*(paths.pools() / STARTS).iterdir()]) == 1


def test_a_pool_of_any_port_that_is_asked_for_by_its_last_one_is_the_same():
    for name, port in (("0", 4711), ("0.2", 4712), ("4712", 4712)):
        private.write(
            private.folder(paths.pools() / name) / "furl", furl(f"h:{port}").text.encode()
        )
    assert own_folder(4711) == paths.pools() / "0"
    assert own_folder(4712) == paths.pools() / "4712"
    assert own_folder(4713) == paths.pools() / "4713"


def test_this_machine_can_be_reached_at_its_loopback_address():
    assert "127.0.0.1" in addresses()
