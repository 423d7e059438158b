"""A kernel's shell and the front end behind it, in memory."""

from __future__ import annotations

import contextvars
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from scattergather.client.seen import here


class Shell:
    """IPython's shell in a kernel, and a front end: what it takes stands under the cell that ran.

    Args:
        threads: it can tell for one thread which cell runs, as ipykernel can from 7.4 on.
        late: the front end takes what comes under a cell that has ended; else it drops that.
    """

    kernel = object()

    def __init__(self, threads: bool, late: bool) -> None:
        self._now: contextvars.ContextVar[Any] = contextvars.ContextVar("running")
        self._late = late
        self._running: list[str] = []
        self._latest: Any = {}
        self._under: dict[str, dict[str, Any]] = {}
        self._written: dict[str, str] = {}
        self._hooks: list[Callable[[Any], Any]] = []
        self._told: dict[str, list[Callable[[], None]]] = {}
        self.events = types.SimpleNamespace(
            register=lambda name, call: self._told.setdefault(name, []).append(call)
        )
        self.display_pub = types.SimpleNamespace(register_hook=self._hooks.append)
        if threads:
            self.set_thread_parent = self._now.set
            self.reset_thread_parent = self._now.reset
        self.begin("cell 1")

    def begin(self, cell: str) -> None:
        """This cell runs from now on."""
        metadata = {"cellId": cell} if self._late else {}
        self._latest = {"header": {"msg_id": cell}, "metadata": metadata}
        self._now.set(self._latest)
        self._running.append(cell)
        self._tell("pre_run_cell")

    def end(self) -> None:
        """The cell that began last has ended."""
        self._tell("post_run_cell")
        self._running.pop()

    def _tell(self, name: str) -> None:
        for call in self._told.get(name, ()):
            call()

    def get_parent(self) -> Any:
        return self._now.get(self._latest)

    @property
    def cell(self) -> str:
        """Under which cell something shown here and now stands."""
        return str(self.get_parent()["header"]["msg_id"])

    def display(
        self, bundle: Any, *, raw: bool, metadata: Any, display_id: str, update: bool
    ) -> None:
        assert raw
        if not self._late and self.cell not in self._running:
            return
        for outputs in self._under.values():
            if display_id in outputs:
                outputs[display_id] = bundle
        if not update:
            self._under.setdefault(self.cell, {})[display_id] = bundle

    def clear(self) -> None:
        """The cell that runs clears what stands under it."""
        self._under.pop(self.cell, None)
        for hook in self._hooks:
            hook({"header": {"msg_type": "clear_output"}, "parent_header": {"msg_id": self.cell}})

    def write(self, text: str) -> None:
        if self._late or self.cell in self._running:
            self._written[self.cell] = self._written.get(self.cell, "") + text

    def flush(self) -> None:
        pass

    def bundles(self, cell: str) -> list[Any]:
        return list(self._under.get(cell, {}).values())

    def seen(self, cell: str) -> str:
        outputs = [bundle["text/plain"] + "\n" for bundle in self.bundles(cell)]
        return "".join(outputs) + self._written.get(cell, "")


Patch = pytest.MonkeyPatch


def in_a_kernel(patch: Patch, *, threads: bool = True, late: bool = True) -> Shell:
    shell: Any = Shell(threads, late)
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    ipython.display = types.SimpleNamespace(display=shell.display)
    patch.setitem(sys.modules, "IPython", ipython)
    patch.setattr(here, "_kernels", [])
    patch.setattr(sys, "stderr", shell)
    return shell
