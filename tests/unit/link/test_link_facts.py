from __future__ import annotations

import ast
import io
import subprocess
import sys
from pathlib import Path

from twisted.logger import Logger, LogPublisher

import scattergather
from scattergather.link.logs import MOST_SHOWN, in_one_line, observer


def test_what_decides_and_what_is_shared_does_not_import_foolscap():
    code = (
        "from scattergather.link import logs, seams; "
        "from scattergather.link.gate import budget, doors, gate, porch; "
        "from scattergather.link.stream import inbox, line, outbox, piece, stream; "
        "from scattergather.link.tubs import inspector; "
        "import sys; print('foolscap' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_what_could_unpickle_is_not_even_loaded_in_a_daemon_or_a_controller():
    code = (
        "import scattergather.controller.service, scattergather.workers.daemon.listen, sys; "
        "print([name for name in ('dill', 'scattergather.wire.values.payload', "
        "'scattergather.wire.code.shipping', 'scattergather.wire.values.picklers', "
        "'scattergather.wire.code.codebook', 'scattergather.wire.code.rebuild') "
        "if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_nothing_in_daemon_controller_or_link_names_pickle():
    root = Path(scattergather.__file__).parent
    folders = ("controller", "link", "scheduler", "settings", "workers/daemon", "workers/pool")
    for folder in folders:
        for file in (root / folder).rglob("*.py"):
            tree = ast.parse(file.read_text())
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            modules = {
                name
                for node in ast.walk(tree)
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in (getattr(node, "module", None), *(each.name for each in node.names))
            }
            forbidden = {"pickle", "dill", "marshal", "shelve", "eval", "exec", "loads"}
            assert not (names | modules) & forbidden, file


def test_a_tub_is_not_made_under_python_minus_o():
    code = "from scattergather.link.tubs import tub; tub.make_tub(tub.new_certificate())"
    out = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert out.returncode == 1
    assert "does not run under python -O" in out.stderr


def test_no_furl_gets_into_a_log_not_even_in_a_traceback():
    file, secret = io.StringIO(), "q" * 32
    furl = f"pb://abcdefghijklmnopqrstuvwxyz234567@tcp:h:1/{secret}"
    publisher = LogPublisher(observer(file))
    log = Logger(observer=publisher)
    log.info("joining {furl}", furl=furl)
    try:
        raise ValueError(furl)
    except ValueError:
        log.failure("it failed")
    assert "abcdef…" in file.getvalue()
    assert "Traceback" in file.getvalue()
    assert secret not in file.getvalue()


def test_what_somebody_else_calls_himself_is_one_line_of_a_log() -> None:
    said = in_one_line("mallory\n2030-01-01 session 7 opened\x1b[2J" + "x" * 1000)
    assert said.isprintable()
    assert said.startswith("mallory 2030-01-01 session 7 opened [2J")
    assert len(said) == MOST_SHOWN
