from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from scattergather.errors import BadRequest, UnknownName
from scattergather.settings import paths, private
from scattergather.settings.furl import Furl
from scattergather.settings.hosts import Hosts, own_pool
from scattergather.settings.urls import resolve
from scattergather.wire.messages.client import EmbeddedSpec, RemoteSpec

TUB = "abcdefghijklmnopqrstuvwxyz234567"
TUBS = {"beta": TUB[::-1], "gamma": "b" * 32}
NAME = "q" * 32


def furl(host: str, port: int, name: str = NAME) -> Furl:
    return Furl.parse(f"pb://{TUBS.get(host, TUB)}@tcp:{host}:{port}/{name}")


@pytest.fixture
def alpha() -> Furl:
    Hosts.load().add("alpha", furl("alpha.example", 12345))
    return furl("alpha.example", 12345)


def test_without_urls_it_is_this_machine():
    assert resolve() == (EmbeddedSpec(name="local"),)
    assert resolve(workers=3) == (EmbeddedSpec(name="local", workers=3),)


def test_each_form_is_understood(alpha, tmp_path):
    file = tmp_path / "furl"
    private.write(file, furl("beta", 7).text.encode() + b"\n")
    text = furl("gamma", 8).text
    got = resolve(["local:2", text, str(file), "alpha"])
    assert got == (
        EmbeddedSpec(name="local", workers=2),
        RemoteSpec(name="gamma:8", furl=text),
        RemoteSpec(name="beta:7", furl=furl("beta", 7).text),
        RemoteSpec(name="alpha", furl=alpha.text),
    )
    assert resolve(file) == resolve(str(file)) == resolve((str(file),)) == got[2:3]
    assert resolve("local") == (EmbeddedSpec(name="local"),)


def test_the_seeds_tuple_finds_its_key_by_address(alpha):
    expected = RemoteSpec(name="alpha", furl=alpha.text, workers=8, service="all_series")
    tuple_ = ("pb://alpha.example:", 12345, "/all_series", 8)
    assert resolve([tuple_]) == resolve(tuple_) == resolve([list(tuple_)]) == (expected,)


def test_the_seeds_tuple_finds_a_pool_of_this_machine_by_its_port():
    own = private.folder(paths.state()) / "pools" / "0"
    private.folder(own)
    private.write(own / "furl", furl("192.168.1.7", 12345).text.encode())
    (spec,) = resolve([("pb://localhost:", 12345, "/all_series", 2)])
    assert (spec.name, spec.workers) == ("localhost:12345", 2)
    assert own_pool(12346) is None


def test_loopback_has_many_names():
    Hosts.load().add("here", furl("127.0.0.1", 5))
    for host in ("localhost", "127.0.0.1", "LocalHost", "127.0.1.1", "[::1]"):
        assert resolve([(f"pb://{host}:", 5, "/x", 1)])[0].name == "here"


@pytest.mark.parametrize(
    ("urls", "culprit"),
    [
        (7, "urls is a int"),
        ({"a": 1}, "urls is a dict"),
        ([7], r"urls\[0\] is a int"),
        ([None], r"urls\[0\] is a NoneType"),
        (["local", "local"], "same pool"),
        ([furl("h", 1).text, furl("127.0.0.1", 1, "r" * 32).text], "same pool as 'h:1'"),
        ("local:0", "'local:0'"),
        ("local:many", "'local:many'"),
        ("local:1025", "N of 'local:1025' is 1025; it must be .* from 1 to 1024"),
        (["local:100000"], "from 1 to 1024"),
        ("pb://nonsense", "no @"),
        ("pbu://alpha:12345/x", "hosts add"),
        ("no/such/file", "no file no/such/file"),
        ([("pb://h:", 1, "/s")], "3 elements"),
        ([("h", 1, "/s", 2)], r"urls\[0\]\[0\] is 'h'"),
        ([(1, 1, "/s", 2)], r"urls\[0\]\[0\] is 1"),
        ([("pbu://h:", 1, "/s", 2)], "without a key.*hosts add"),
        ([("pb://h:", "1", "/s", 2)], r"\[1\] is '1'"),
        ([("pb://h:", 70000, "/s", 2)], r"\[1\] is 70000"),
        ([("pb://h:", 1, None, 2)], r"\[2\] is None"),
        ([("pb://h:", 1, "/s", 0)], r"\[3\] is 0"),
        ([("pb://h:", 1, "/s", True)], r"\[3\] is True"),
        ([("pb://h:", 1, "/s", 100_000)], r"\[3\] is 100000; .* from 1 to 1024"),
        ([("pb://h:", 1, "/s", 2)], "no key is stored for h:1.*hosts add"),
        ([("pb://localhost:", 9, "/s", 2)], "scattergather pool --port 9"),
    ],
)
def test_anything_else_is_named_with_the_cure(urls, culprit):
    with pytest.raises(BadRequest, match=culprit):
        resolve(urls)


def test_an_unknown_name_lists_the_known_ones(alpha):
    with pytest.raises(UnknownName, match="'beta'; known hosts: alpha"):
        resolve("beta")


def test_no_name_known_at_all_says_how_to_add_one():
    with pytest.raises(UnknownName, match="hosts add"):
        resolve("beta")


def test_workers_are_for_the_embedded_pool():
    with pytest.raises(BadRequest, match="'local:N'"):
        resolve("local", workers=2)
    for workers in (0, 1025):
        with pytest.raises(BadRequest, match=f"workers= is {workers}; .* from 1 to 1024"):
            resolve(workers=workers)


def test_a_furl_file_that_others_can_read_is_refused(tmp_path):
    file = tmp_path / "furl"
    private.write(file, furl("beta", 7).text.encode())
    file.chmod(0o644)
    with pytest.raises(private.NotPrivate, match="0644"):
        resolve(str(file))
    file.chmod(0o600)
    file.write_text("nonsense")
    with pytest.raises(BadRequest, match="holds no FURL"):
        resolve(str(file))


def test_hosts_are_kept_in_a_private_file(alpha):
    stored = Hosts.load()
    assert stored.add("alpha", alpha) is False
    assert stored.add("b.1", furl("beta", 2)) is True
    file = paths.config() / "hosts.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert Hosts.load().names() == ["alpha", "b.1"]
    assert Hosts.load().furl("b.1") == furl("beta", 2)
    Hosts.load().remove("alpha")
    assert Hosts.load().names() == ["b.1"]
    with pytest.raises(UnknownName, match="'alpha'"):
        Hosts.load().remove("alpha")


@pytest.mark.parametrize("name", ["local", "", "a/b", "a:1", "-x", "x.", 'a"b', "ä", "a" * 65])
def test_a_name_that_means_something_else_is_refused(name):
    with pytest.raises(BadRequest, match="name of a host"):
        Hosts.load().add(name, furl("h", 1))


@pytest.mark.parametrize("text", ["[", "hosts = 3", "[hosts.a]\n", '[hosts.a]\nfurl = "x"'])
def test_a_broken_file_of_hosts_is_named(text):
    file: Path = private.folder(paths.config()) / "hosts.toml"
    private.write(file, text.encode())
    with pytest.raises(BadRequest, match=r"hosts\.toml is not a list of hosts"):
        Hosts.load()


def test_hosts_that_several_store_at_once_are_all_stored():
    all_read = threading.Barrier(8)

    def store(number):
        stored = Hosts.load()
        all_read.wait()
        stored.add(f"h{number}", furl("10.0.0.1", 1 + number))

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Hosts.load().names() == [f"h{number}" for number in range(8)]


def test_a_host_that_another_has_removed_meanwhile_is_not_stored_again():
    Hosts.load().add("alpha", furl("alpha", 1))
    stored, other = Hosts.load(), Hosts.load()
    other.remove("alpha")
    stored.add("beta", furl("beta", 2))
    assert Hosts.load().names() == ["beta"]
    with pytest.raises(UnknownName, match="alpha"):
        stored.remove("alpha")


def test_what_is_stored_already_is_not_written_again():
    assert Hosts.load().add("alpha", furl("alpha", 1))
    file = paths.config() / "hosts.toml"
    before = file.stat().st_ino
    assert not Hosts.load().add("alpha", furl("alpha", 1))
    assert file.stat().st_ino == before
