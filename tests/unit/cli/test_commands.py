from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import scattergather
from scattergather.cli import demo
from scattergather.cli.main import COMMANDS, cli, main
from scattergather.errors import BadRequest, UnknownName
from scattergather.settings import private
from scattergather.settings.hosts import Hosts
from scattergather.settings.invitations import Invitations

FURL = "pb://abcdefghijklmnopqrstuvwxyz234567@tcp:alpha:1/" + "q" * 32


def run(*arguments: str, said: str = ""):
    return CliRunner().invoke(cli, arguments, input=said)


def test_hosts_are_added_from_a_file_or_standard_input_and_listed_without_secrets(tmp_path):
    file = tmp_path / "furl"
    private.write(file, FURL.encode())
    assert run("hosts", "add", "alpha", str(file)).exit_code == 0
    assert run("hosts", "add", "beta", said=FURL.replace("alpha:1", "beta:2") + "\n").exit_code == 0
    assert run("hosts", "add", "gamma", "-", said=FURL.replace(":1/", ":3/")).exit_code == 0
    listed = run("hosts", "list").stdout.splitlines()
    assert listed == [
        "alpha  alpha:1  abcdef…",
        "beta   beta:2  abcdef…",
        "gamma  alpha:3  abcdef…",
    ]
    again = run("hosts", "add", "alpha", str(file))
    assert "stored already" in again.output
    assert "q" * 32 not in again.output
    assert run("hosts", "remove", "alpha").exit_code == 0
    assert Hosts.load().names() == ["beta", "gamma"]


@pytest.mark.parametrize("words", [["alpha", FURL], [FURL], ["pbu://alpha:1/x"]])
def test_a_furl_on_the_command_line_is_refused_with_the_reason_and_not_repeated(words):
    result = run("hosts", "add", *words)
    assert isinstance(result.exception, BadRequest)
    assert "every user of this machine can read" in str(result.exception)
    assert "q" * 32 not in str(result.exception) + result.output
    assert Hosts.load().names() == []


@pytest.mark.parametrize(
    ("said", "fault"), [("pbu://alpha:1/x", "hosts add"), ("", "pb://"), ("x", "pb://")]
)
def test_what_is_no_furl_is_not_stored(said, fault):
    result = run("hosts", "add", "alpha", said=said)
    assert isinstance(result.exception, BadRequest)
    assert fault in str(result.exception)


def test_an_unknown_host_is_answered_with_the_known_ones():
    run("hosts", "add", "alpha", said=FURL)
    for command in ("remove", "ping"):
        result = run("hosts", command, "alfa")
        assert isinstance(result.exception, UnknownName)
        assert "known hosts: alpha" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["pol"], "Did you mean 'pool'?"),
        (["xyzzy"], f"There are: {', '.join(sorted(COMMANDS))}."),
        (["hosts", "pong"], "Did you mean 'ping'?"),
        (["pool", "--prot", "1"], "Did you mean '--port'?"),
        (["pool", "--port", "70000"], "70000 is not in the range"),
        (["pool", "--workers", "0"], "0 is not in the range"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest(words, hint):
    result = run(*words)
    assert result.exit_code == 2
    assert hint in result.output


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["--service", "a=b"], "'a=b'"),
        (["--service", "-x"], "'-x'"),
        (["--advertise", "alpha"], "'alpha'"),
        (["--advertise", "alpha:0"], "'alpha:0'"),
        (["--interface", "0.0.0.0"], "--advertise HOST:PORT"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(words, culprit):
    result = run("pool", *words)
    assert isinstance(result.exception, BadRequest)
    assert culprit in str(result.exception)


def test_our_errors_are_shown_as_a_sentence_with_exit_code_1(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["hosts", "remove", "alpha"])
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("scattergather: no host is called 'alpha'")


def test_a_name_that_no_host_may_have_is_refused_before_the_secret_is_asked_for():
    result = run("hosts", "add", "al pha")
    assert "'al pha' cannot be the name of a host" in str(result.exception)


def test_a_file_that_cannot_be_used_is_a_sentence_without_a_number(tmp_path):
    # A pool changes its process: umask, limits, the reactor's clock.
    words = ["pool", "--log-file", str(tmp_path), "--directory", str(tmp_path / "pool")]
    command = [sys.executable, "-m", "scattergather", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(f"scattergather: {tmp_path}: Is a directory\n")


def test_version_names_what_matters_and_help_imports_no_twisted():
    assert run("--version").stdout == f"scattergather {scattergather.__version__}\n"
    words = [line.split()[0] for line in run("version").stdout.splitlines()]
    assert words == ["scattergather", "protocol", "python", "twisted", "foolscap", "dill"]
    code = (
        "import sys; from scattergather.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('twisted' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "False"


def test_nobody_is_invited_or_renewed_by_a_furl_that_cannot_be_handed_over(tmp_path):
    pool, taken = tmp_path / "pool", tmp_path / "notes"
    private.write(private.folder(pool) / "furl", FURL.encode())
    taken.write_text("mine\n")
    invited = Invitations(pool)
    bob = invited.invite("bob").name
    for words in (["invite", "anna"], ["renew", "bob"], ["renew", "owner"]):
        for file in (tmp_path, taken):
            result = run(*words, "--furl-file", str(file), "--directory", str(pool))
            assert "name another file, it stays as it is" in str(result.exception)
    assert (invited.guests(), invited.secret("bob"), invited.secret("owner")) == (
        ["bob"],
        bob,
        "q" * 32,
    )
    run("invite", "anna", "--furl-file", str(tmp_path / "new" / "furl"), "--directory", str(pool))
    assert (tmp_path / "new" / "furl").read_text().startswith("pb://")


@pytest.mark.parametrize(
    ("there", "searched", "said"),
    [
        (True, True, "scattergather"),
        (True, False, "{folder}/scattergather"),
        (False, False, "{folder}/python -m scattergather"),
    ],
)
def test_the_demo_says_how_the_command_is_called_here(tmp_path, monkeypatch, there, searched, said):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path) if searched else "/nowhere")
    if there:
        (tmp_path / "scattergather").touch(0o755)
    assert demo.own_command() == said.format(folder=tmp_path)


def test_no_sentence_advises_what_no_index_has():
    folder = Path(scattergather.__file__).parent
    for path in [*folder.rglob("*.py"), *folder.with_name("workers").rglob("*.py")]:
        assert not re.search(r"\bscattergather\[\w|install (-U )?scattergather\b", path.read_text())
