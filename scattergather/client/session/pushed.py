"""The code that was pushed into the ``__main__`` of every worker, in order."""

from __future__ import annotations

import ast
import threading

from scattergather.client.pipe.outbox import Outbox
from scattergather.wire.messages import page as messages
from scattergather.wire.pushed import is_empty


class PushedCode:
    """What one client has pushed. Any thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._sources: list[str] = []
        self._pushing = threading.Lock()
        self.version = 0
        """How often code was pushed: what a job that is added now will see."""

    def push(self, source: str) -> int:
        """It is sent to every present and future worker; returns its version."""
        with self._pushing:
            version = self.version + 1
            # Sent first: a job that another thread adds now must not name what is not there.
            self._outbox.send(messages.Resident(version=version, source=source))
            # In place of one that an interrupt has left without its number.
            self._sources[self.version :] = [source]
            self.version = version
        return version

    def names(self) -> tuple[set[str], bool]:
        """The names that the code defines, and whether those are surely all."""
        names: set[str] = set()
        sure = True
        for source in self._sources[: self.version]:
            if is_empty(source):
                names, sure = set(), True
            more, complete = defined(source)
            names |= more
            sure = sure and complete
        return names, sure


def defined(source: str) -> tuple[set[str], bool]:
    """The names that a piece of source defines at its top level, and if those are surely all."""
    names: set[str] = set()
    complete = True
    for statement in ast.parse(source).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name.split(".")[0] for alias in aliases}
            case ast.Assign() | ast.AnnAssign():
                names |= {
                    each.id
                    for each in ast.walk(statement)
                    if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                }
            case ast.Expr():
                pass
            case _:  # what an if or a loop defines is known only when it ran
                complete = False
    return names, complete and "*" not in names
