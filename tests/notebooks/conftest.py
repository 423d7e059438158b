"""A real kernel to type cells into, as a notebook's front end does it.

``kernel.run(source)`` gives a ``Reply``: what the cell printed, showed and raised. Each kernel is
a process of its own with the test's folder as its working directory; it is ended with the test,
and the check in ``tests/conftest.py`` then looks for what it left behind.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from tests.system.kernels import manager_of


@dataclass(slots=True)
class Reply:
    """What came of a cell."""

    stdout: str = ""
    stderr: str = ""
    #: Mime bundles as they stand at the end, in order: displays, and last the value of the cell's
    #: last expression.
    shown: list[dict[str, Any]] = field(default_factory=list)
    #: The name and text of the exception that ended the cell, and its traceback.
    error: str | None = None
    message: str = ""
    traceback: str = ""
    seconds: float = 0.0

    @property
    def value(self) -> str:
        """The last thing shown, as text."""
        return str(self.shown[-1]["text/plain"]) if self.shown else ""


class Kernel:
    """One kernel. Everything runs on the test's thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager = manager_of(KernelManager)
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    @property
    def pid(self) -> int:
        """The kernel's process."""
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr]

    def start(self, source: str) -> str:
        """Begins a cell and returns its id at once."""
        return str(self.client.execute(source, allow_stdin=False))

    def finish(self, cell: str, timeout: float = 60.0) -> Reply:
        """What came of a cell that was begun, once it is over.

        Raises:
            TimeoutError: it is not over after as many seconds; it goes on.
        """
        reply, began = Reply(), time.monotonic()
        replaceable: dict[str, int] = {}
        until = began + timeout
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=max(until - time.monotonic(), 0.001))
            except queue.Empty:
                raise TimeoutError(f"the cell is not over after {timeout} s: {reply}") from None
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    if content["name"] == "stdout":
                        reply.stdout += content["text"]
                    else:
                        reply.stderr += content["text"]
                case "display_data" | "execute_result":
                    name = content.get("transient", {}).get("display_id")
                    if name is not None:
                        replaceable[name] = len(reply.shown)
                    reply.shown.append(content["data"])
                case "update_display_data":
                    # What stands under earlier cells is replaced under the one that runs.
                    place = replaceable.get(content["transient"]["display_id"])
                    if place is not None:
                        reply.shown[place] = content["data"]
                case "error":
                    reply.error, reply.message = content["ename"], content["evalue"]
                    reply.traceback = "\n".join(content["traceback"])
                case "status" if content["execution_state"] == "idle":
                    reply.seconds = time.monotonic() - began
                    return reply

    def run(self, source: str, timeout: float = 60.0) -> Reply:
        """What came of a cell."""
        return self.finish(self.start(source), timeout)

    def good(self, source: str, timeout: float = 60.0) -> Reply:
        """What came of a cell that must not raise."""
        reply = self.run(source, timeout)
        assert reply.error is None, reply.traceback
        return reply

    def interrupt(self) -> None:
        """The stop button."""
        self.manager.interrupt_kernel()

    def restart(self) -> None:
        """The restart button."""
        self.manager.restart_kernel(now=False)
        self.client.wait_for_ready(timeout=60)

    def close(self) -> None:
        """Ends the kernel as a front end does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


@pytest.fixture
def own_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connection files, histories and settings of nobody else."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture
def kernel(own_jupyter: None, tmp_path: Path) -> Iterator[Kernel]:
    """A fresh kernel for this test."""
    folder = tmp_path / "cells"
    folder.mkdir()
    kernel = Kernel(folder)
    yield kernel
    kernel.close()
