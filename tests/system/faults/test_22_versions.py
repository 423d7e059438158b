"""Scenario 22: the other side speaks another protocol, or runs another Python."""

from __future__ import annotations

import time

import pytest

from scattergather.errors import VersionMismatch
from scattergather.wire.messages import page as messages
from tests.conftest import calls
from tests.pace import Promise
from tests.system.daemons import OTHER_PYTHON

pytestmark = pytest.mark.system

PROMPT = 2.0
"""Seconds until it is told."""


def speaking(protocol: int) -> str:
    return (
        f"from scattergather.wire.messages import page as messages; messages.PROTOCOL = {protocol}"
    )


@pytest.mark.parametrize("step", [-1, 1])
def test_the_next_and_the_last_protocol_are_refused_with_both_numbers(spawn, start, tmp_path, step):
    other = messages.PROTOCOL + step
    fitting, daemon = start(), start("--directory", str(tmp_path), shim=speaking(other))
    began = time.monotonic()
    spawn(fitting.furl().text).waitForResult()
    usual = time.monotonic() - began
    promise = Promise(usual + PROMPT)
    c = spawn(daemon.furl().text)
    (host,) = c.waitForResult().hosts
    assert not promise.broken()
    assert f"(protocol {other})" in host.why
    assert f"(protocol {messages.PROTOCOL})" in host.why
    assert daemon.process.poll() is None
    c.command("die")
    assert daemon.end() == 0


@pytest.mark.parametrize("step", [-1, 1])
def test_a_controller_of_the_next_or_last_protocol_is_refused_with_both_numbers(
    spawn, monkeypatch, step
):
    installed = messages.PROTOCOL
    monkeypatch.setattr(messages, "PROTOCOL", installed + step)
    promise = Promise(PROMPT)
    c = spawn(workers=1)
    with pytest.raises(VersionMismatch, match=rf"\(protocol {installed + step}\)") as caught:
        c.waitForResult()
    assert not promise.broken()
    assert f"(protocol {installed})" in str(caught.value)


def test_byte_code_of_this_python_goes_to_no_other_and_what_is_installed_goes_everywhere(
    spawn, start
):
    daemon = start(shim=OTHER_PYTHON)
    c = spawn(daemon.furl().text)
    c.waitForResult()
    promise = Promise(PROMPT)
    (error,) = c.addJob(calls(1), lambda n: n).results(errors="return")
    assert not promise.broken()
    assert isinstance(error, VersionMismatch)
    assert "runs 3.99" in str(error)
    assert c.addJob(calls(-1), abs).results() == [1]
    assert daemon.process.poll() is None
