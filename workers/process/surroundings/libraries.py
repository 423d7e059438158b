"""Libraries that are other ones here than elsewhere, from the moment that a task imports them.

IPython's functions are meant for a shell, and there is none in a worker: they print. So they are
replaced, and so is ``show`` of matplotlib, which a backend without a window ignores. Processes that
multiprocessing starts find the notebook's functions (``spawned``).
"""

from __future__ import annotations

import builtins
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any

from scattergather.wire.values.bundle import Bundle
from scattergather.workers.process.surroundings import spawned
from scattergather.workers.process.surroundings.displays import Displays

_WIDGET = "application/vnd.jupyter.widget-view+json"
"""Names a widget of the process that displays it, and here that is not the notebook's."""

_HEADLESS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template", "inline", "backend_inline")


class Libraries:
    """IPython, matplotlib and multiprocessing, as tasks find them.

    Args:
        displays: takes what they display.
    """

    def __init__(self, displays: Displays) -> None:
        self._displays = displays

    def join(self) -> None:
        """Tasks that import one of them get what works here."""
        patches: dict[str, Callable[[Any], None]] = {
            "IPython.core.display_functions": self._join_ipython,
            "matplotlib.pyplot": self._join_pyplot,
            "multiprocessing.spawn": spawned.join,
        }
        for name, patch in patches.items():
            if (module := sys.modules.get(name)) is not None:
                patch(module)
        sys.meta_path.insert(0, _Watch(patches))
        builtins.display = _display  # type: ignore[attr-defined]

    def _join_ipython(self, module: Any) -> None:
        formatter: list[Any] = []

        def format_of(thing: Any, include: Any, exclude: Any) -> tuple[Any, Any]:
            if not formatter:
                from IPython.core.formatters import DisplayFormatter  # noqa: PLC0415  (slow)

                made = DisplayFormatter()
                made.formatters["image/png"].for_type_by_name(
                    "matplotlib.figure", "Figure", _png_of
                )
                formatter.append(made)
            return formatter[0].format(thing, include=include, exclude=exclude)  # type: ignore[no-any-return]

        @wraps(module.publish_display_data)
        def publish_display_data(
            data: Any, metadata: Any = None, *, transient: Any = None, **options: Any
        ) -> None:
            kept = {kind: form for kind, form in dict(data).items() if kind != _WIDGET}
            named = (transient or {}).get("display_id")
            self._displays.show(
                Bundle(
                    data=kept,
                    metadata=dict(metadata or {}),
                    display_id=None if named is None else str(named),
                    update=bool(options.get("update")),
                )
            )

        @wraps(module.display)
        def display(
            *things: Any,
            include: Any = None,
            exclude: Any = None,
            metadata: Any = None,
            transient: Any = None,
            display_id: Any = None,
            raw: bool = False,
            clear: bool = False,
            **options: Any,
        ) -> Any:
            transient = dict(transient or {})
            if display_id:
                named = os.urandom(16).hex() if display_id is True else display_id
                transient["display_id"] = display_id = named
            if options.get("update") and "display_id" not in transient:
                raise TypeError("display_id required for update_display")
            if not things and display_id:
                things, raw = ({},), True
            if clear:
                clear_output(wait=True)
            forms: Any
            facts: Any
            for thing in things:
                if raw:
                    forms, facts = thing, {}
                else:
                    forms, facts = format_of(thing, include, exclude)
                    if not forms:
                        continue  # it has displayed itself
                facts = {**facts, **(metadata or {})}
                publish_display_data(forms, facts, transient=transient, **options)
            return module.DisplayHandle(display_id) if display_id else None

        @wraps(module.clear_output)
        def clear_output(wait: bool = False) -> None:
            self._displays.clear(bool(wait))

        for function in (publish_display_data, display, clear_output):
            name = function.__name__
            for each in (
                module,
                *map(sys.modules.get, ("IPython.display", "IPython.core.display")),
            ):
                if each is not None and hasattr(each, name):
                    setattr(each, name, function)

    def _join_pyplot(self, pyplot: Any) -> None:
        def show_figures(figures: Iterable[Any]) -> None:
            for figure in figures:
                if (png := _png_of(figure)) is not None:
                    self._displays.show(Bundle(data={"text/plain": repr(figure), "image/png": png}))

        original = pyplot.show

        @wraps(original)
        def show(*args: Any, **kwargs: Any) -> Any:
            backend = str(pyplot.get_backend()).lower().rpartition(".")[2]
            if backend not in _HEADLESS:
                return original(*args, **kwargs)
            managers = sys.modules["matplotlib._pylab_helpers"].Gcf.get_all_fig_managers()
            try:
                show_figures(manager.canvas.figure for manager in managers)
            finally:
                if managers:
                    pyplot.close("all")
            return None

        def show_this(figure: Any, warn: bool = True) -> None:
            show_figures([figure])

        pyplot.show = show
        pyplot.Figure.show = show_this

    def tidy(self) -> None:
        """Figures that a task has left open are not the next one's."""
        helpers = sys.modules.get("matplotlib._pylab_helpers")
        if helpers is not None and helpers.Gcf.figs:
            try:
                helpers.Gcf.destroy_all()
            except Exception:
                return  # the task's own, by a callback at its closing


class _Watch:
    """Stands before the finders of modules, and hears when one of a few is imported."""

    def __init__(self, patches: dict[str, Callable[[Any], None]]) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The module as others find it, patched when it is there. None: not one of those."""
        patch = self._patches.get(name)
        if patch is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                _follow(spec.loader, name, patch)
                return spec
        return None


def _follow(loader: Any, name: str, patch: Callable[[Any], None]) -> None:
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        execute(module)
        if module.__name__ == name:
            try:
                patch(module)
            except Exception:
                return  # another version of it: what it displays is text

    try:
        loader.exec_module = exec_module
    except (AttributeError, TypeError):
        return


def _png_of(figure: Any) -> bytes | None:
    """A figure as the inline backend of notebooks draws it; None of an empty one."""
    if not figure.axes and not figure.lines:
        return None
    drawn = io.BytesIO()
    figure.canvas.print_figure(
        drawn,
        format="png",
        facecolor=figure.get_facecolor(),
        edgecolor=figure.get_edgecolor(),
        dpi=figure.dpi,
        bbox_inches="tight",
    )
    return drawn.getvalue()


def _display(*things: Any, **options: Any) -> Any:
    """What a notebook has without an import: IPython's ``display``."""
    try:
        module: Any = importlib.import_module("IPython.display")
    except ImportError:
        print(*things)  # noqa: T201  (as IPython does without a shell)
        return None
    return module.display(*things, **options)
