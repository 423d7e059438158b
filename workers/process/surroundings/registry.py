"""Functions by name: services that ship with the host, and names that somebody pushed.

A service is named ``name=module:function`` to the zygote, or is an entry point of the group
``scattergather.services``. Those named to the zygote are loaded there, once for all workers; if
their module has a function ``preload`` it is called, which is the place to import what is large.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scattergather.errors import CannotImport, UnknownName

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "scattergather.services"

Function = Callable[..., Any]


class Services:
    """The services of a host. Made in the root zygote, forked with it."""

    def __init__(self) -> None:
        self._loaded: dict[str, Function] = {}
        self._installed: dict[str, EntryPoint] | None = None
        self._failed: dict[str, str] = {}

    def load(self, specifications: Iterable[str]) -> list[str]:
        """Load ``name`` or ``name=module:function``; returns a sentence for each that failed."""
        problems = []
        for specification in specifications:
            name, _, target = specification.partition("=")
            try:
                self._loaded[name] = _found(target) if target else self._entry_point(name)
                _preload(self._loaded[name])
            except BaseException as error:  # user code: even SystemExit must not end the zygote
                problem = f"The service {name!r} is not available: {_said(error)}."
                if name in self._loaded:
                    problem = f"The service {name!r} could not preload: {_said(error)}."
                else:
                    self._failed[name] = problem
                problems.append(problem)
        return problems

    def names(self) -> tuple[str, ...]:
        """The services that were loaded."""
        return tuple(sorted(self._loaded))

    def find(self, name: str, pushed: Mapping[str, Any]) -> Function:
        """The function called ``name``: a service, else a name that was pushed.

        Raises:
            UnknownName: there is none; the message lists the names that are known.
            CannotImport: the service is installed, and cannot be loaded.
        """
        found = self._loaded.get(name)
        if found is not None:
            return found
        if name in self._entry_points():
            try:
                found = self._loaded[name] = self._entry_point(name)
            except Exception as error:
                message = f"The service {name!r} cannot be loaded on this host: {_said(error)}."
                raise CannotImport(message, module=name) from error
            return found
        own: Function | None = pushed.get(name)
        if callable(own):
            return own
        if name in self._failed:
            raise CannotImport(self._failed[name], module=name)
        raise UnknownName(self._unknown(name, pushed))

    def _unknown(self, name: str, pushed: Mapping[str, Any]) -> str:
        services = sorted({*self._loaded, *self._entry_points()})
        names = sorted(
            each for each, value in pushed.items() if callable(value) and not each.startswith("_")
        )
        known = f"its services are {', '.join(services)}" if services else "it has no services"
        if names:
            known += f"; pushed are {', '.join(names[:50])}"
        return f"This host knows no function called {name!r}: {known}."

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._installed is None:
            # 20 ms that a host whose services are all named never spends.
            import importlib.metadata  # noqa: PLC0415

            found = importlib.metadata.entry_points(group=GROUP)
            self._installed = {each.name: each for each in found}
        return self._installed

    def _entry_point(self, name: str) -> Function:
        entry = self._entry_points().get(name)
        if entry is None:
            known = ", ".join(sorted(self._entry_points())) or "none"
            raise UnknownName(
                f"no installed package has a service of that name (installed: {known})"
            )
        return _callable(entry.load(), name)


def _found(target: str) -> Function:
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return _callable(found, target)


def _callable(found: Any, name: str) -> Function:
    if not callable(found):
        raise TypeError(f"{name} is no function")
    function: Function = found
    return function


def _preload(function: Function) -> None:
    module = importlib.import_module(function.__module__)
    preload = getattr(module, "preload", None)
    if callable(preload):
        preload()


def _said(error: BaseException) -> str:
    text = str(error).rstrip(".") or "no reason given"
    return f"{type(error).__name__}: {text}"
