"""A real kernel, driven from outside, for tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections import defaultdict
from pathlib import Path
from typing import Any, TypeVar

import psutil
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.pace import Promise

ROOT = Path(__file__).parents[2]
SPAWN = "from scattergather import spawnScatterGather\nc = spawnScatterGather(workers=2)"


M = TypeVar("M", bound=KernelManager)


def manager_of(kind: type[M]) -> M:
    """A manager of a kernel of this interpreter, not of whichever is registered under the name.

    Its sockets are files: of ports, it picks some that are free, and by the time that the kernel
    listens there another process may have been given one of them.
    """
    # Not in the test's own folder, whose name may be too long for a socket's.
    folder = tempfile.mkdtemp(prefix="scattergather-")
    made = kind(transport="ipc", ip=f"{folder}/kernel")
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    made.kernel_spec.argv[0] = sys.executable
    return made


class Kernel:
    """A kernel whose messages are sorted by the cell that owns them, as JupyterLab does it.

    What replaces something displayed stands in its place, whichever cell's message that is.
    """

    def __init__(self) -> None:
        self.manager = manager_of(KernelManager)
        self.manager.start_kernel(cwd=str(ROOT))
        self._connect()

    def _connect(self) -> None:
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.outputs: dict[str, list[Any]] = defaultdict(list)
        self._busy: set[str] = set()
        self._displays: dict[str, list[tuple[str, int]]] = defaultdict(list)

    def start(self, code: str, cell_id: str = "") -> str:
        """Run a cell, which is another one if it has other code or ``cell_id``; returns at once."""
        content = {"code": code, "silent": False, "store_history": True, "stop_on_error": False}
        session, metadata = self.client.session, {"cellId": cell_id or code}
        message = session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        cell = str(message["header"]["msg_id"])
        self._busy.add(cell)
        return cell

    def run(self, code: str, timeout: float = 30, cell_id: str = "") -> str:
        """Run a cell to its end."""
        cell = self.start(code, cell_id)
        self.listen(timeout, lambda: cell not in self._busy)
        return cell

    def listen(self, timeout: float, enough: Any) -> None:
        promise = Promise(timeout)
        while not enough():
            assert not promise.broken(), dict(self.outputs)
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except Exception:
                continue
            cell = message["parent_header"].get("msg_id", "")
            content = message["content"]
            match message["msg_type"]:
                case "status":
                    if content["execution_state"] == "idle":
                        self._busy.discard(cell)
                case "stream":
                    self.outputs[cell].append(content["text"])
                case "execute_result" | "display_data" | "update_display_data" as kind:
                    name = content.get("transient", {}).get("display_id")
                    for owner, place in self._displays.get(name, ()):
                        self.outputs[owner][place] = content["data"]
                    if kind != "update_display_data":
                        if name is not None:
                            self._displays[name].append((cell, len(self.outputs[cell])))
                        self.outputs[cell].append(content["data"])
                case "error":
                    self.outputs[cell].append(content)

    def text(self, cell: str) -> str:
        """All that a cell shows, as text."""
        return "\n".join(str(output) for output in self.outputs[cell])

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.manager.provisioner.pid).children(recursive=True)

    def restart(self) -> None:
        """As the button does: asked to end, and started anew."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        self._connect()

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
