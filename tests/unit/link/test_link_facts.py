from __future__ import annotations

import io
import subprocess
import sys

from twisted.logger import Logger, LogPublisher

from scattergather.link.logs import observer


def test_what_decides_and_what_is_shared_does_not_import_foolscap():
    modules = "gate, inbox, line, logs, outbox, piece, seams, stream"
    code = f"from scattergather.link import {modules}; import sys; print('foolscap' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_tub_is_not_made_under_python_minus_o():
    code = "from scattergather.link import tub; tub.make_tub(tub.new_certificate())"
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
