"""Which variables look like secrets, and what a program can be started with."""

from __future__ import annotations

import subprocess

import pytest

from scattergather.machine import environment


@pytest.mark.parametrize("name", [
    "MY_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "POOL_FURL", "OPENAI_API_KEY", "MYSQL_PWD",
    "SSH_AUTH_SOCK", "API_TOKENS", "key1", "GOOGLE_APPLICATION_CREDENTIALS", "npm_config__auth",
])  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    assert environment.looks_secret(name.encode(), b"x")


@pytest.mark.parametrize("name", [
    "TOKENIZERS_PARALLELISM", "GIT_AUTHOR_NAME", "KEYBOARD", "XAUTHORITY", "PWD", "OLDPWD", "PATH",
])  # fmt: skip
def test_names_that_merely_sound_like_secrets_are_none(name: str) -> None:
    assert not environment.looks_secret(name.encode(), b"x")


def test_a_value_with_a_password_or_a_furl_is_a_secret_whatever_its_name() -> None:
    assert environment.looks_secret(b"DATABASE", b"postgres://me:secret@host/db")
    assert environment.looks_secret(b"DATABASE", b"there: pb://tub@host:1/name")
    assert not environment.looks_secret(b"DATABASE", b"postgres://host/db")


def test_a_program_starts_whatever_the_environment_has_grown_to() -> None:
    grown = {
        b"PATH": b"/bin",
        b"ONE": b"x" * (1 << 18),
        b"JPY_SESSION": b"mine",
        b"bytes\xff": b"gr\xfc\xdfe",
        b"PYTHONHASHSEED": b"none",
    }
    grown |= {b"MANY%d" % number: b"y" * 50 for number in range(20_000)}
    given = environment.for_a_program(grown)
    assert given[b"PATH"] == b"/bin"
    assert given[b"bytes\xff"] == b"gr\xfc\xdfe"
    assert not given.keys() & {b"ONE", b"JPY_SESSION", b"PYTHONHASHSEED"}
    command = ["/bin/sh", "-c", "ulimit -s 128; exec /bin/true"]
    assert subprocess.run(command, env=given, check=False).returncode == 0


@pytest.mark.parametrize(
    ("said", "seed"),
    [("0", 0), ("7", 7), ("4294967295", 4294967295), ("4294967296", None), ("random", None),
     ("", None), ("-1", None), ("7 ", None), ("9" * 400, None)],
)  # fmt: skip
def test_a_hash_seed_is_what_python_takes_for_one(said: str, seed: int | None) -> None:
    assert environment.hash_seed({b"PYTHONHASHSEED": said.encode()}) == seed
