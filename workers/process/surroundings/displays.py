"""What a task displays (HTML, images, tables, figures), as it would stand under a cell at its end.

IPython's functions are meant for a shell, and there is none in a worker: they print. So they are
replaced where a task imports them, and so is ``show`` of matplotlib, which a backend without a
window ignores. What is displayed is kept until the task ends, and goes between the pieces of what
it printed; replaced and cleared is it here, so that a thousand pictures of an animation are one.

The text form of each is printed. It stands for it when the worker dies first, and tells the place.
"""

from __future__ import annotations

import builtins
import importlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from types import ModuleType
from typing import Any

from scattergather.model.snapshot import in_bytes
from scattergather.wire.values.bundle import Bundle, pack_bundle
from scattergather.workers.process.surroundings.capture import Capture

MOST = 64
"""How much a task may display; what is beyond is counted."""

MOST_BYTES = 16_000_000
"""Bytes of one thing displayed, and half of what all of a task may take."""

_WIDGET = "application/vnd.jupyter.widget-view+json"
"""Names a widget of the process that displays it, and here that is not the notebook's."""

_HEADLESS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template", "inline", "backend_inline")


@dataclass(slots=True, kw_only=True)
class _Shown:
    """``start`` and ``stop`` say where its text form was printed."""

    bundle: Bundle
    size: int
    start: int
    stop: int


class Displays:
    """What the task at work has displayed. Any thread of it.

    Args:
        capture: where its text forms are printed.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._turn = threading.RLock()
        self._shown: list[_Shown] = []
        self._left_out = 0
        self._cleared = 0
        """What was printed before this place is not shown."""
        self._clearing: tuple[int, int] | None = None
        """How much was printed and shown when the next thing was to take the place of it."""

    # ---- what a task does -----------------------------------------------------------------------

    def show(self, bundle: Bundle) -> None:
        """It is shown behind what was printed and shown so far, or in the place of its own id."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                continue  # the task's own stream, perhaps closed
        try:
            size = len(pack_bundle(bundle))
        except Exception as error:
            self._print(f"{bundle.text}\n[it cannot be shown otherwise: {error}]")
            return
        with self._turn:
            self._clear_if_due()
            before = self._find(bundle)
            held = sum(each.size for each in self._shown) - (before.size if before else 0)
            if size > MOST_BYTES:
                kinds = ", ".join(kind for kind in bundle.data if kind != "text/plain")
                limit = in_bytes(MOST_BYTES)
                why = f"{kinds} of {in_bytes(size)} is not shown: more than {limit}"
                self._print(f"{bundle.text[:4000]}\n[{why}; return it, or save it to a file]")
            elif before is not None and held + size <= 2 * MOST_BYTES:
                before.bundle = Bundle(
                    data=bundle.data,
                    metadata=bundle.metadata,
                    display_id=bundle.display_id,
                    update=before.bundle.update,
                )
                before.size = size
            elif len(self._shown) >= MOST or held + size > 2 * MOST_BYTES:
                self._left_out += 1
                self._print(bundle.text)
            else:
                start, stop = self._print(bundle.text)
                self._shown.append(_Shown(bundle=bundle, size=size, start=start, stop=stop))

    def _find(self, bundle: Bundle) -> _Shown | None:
        if not bundle.update:
            return None
        same = (each for each in self._shown if each.bundle.display_id == bundle.display_id)
        return next(same, None)

    def clear(self, wait: bool) -> None:
        """What the task printed and showed so far is not seen any more.

        Args:
            wait: only when there is something to take its place.
        """
        with self._turn:
            self._clearing = self._capture.output.size(), len(self._shown)
            if not wait:
                self._clear_if_due()

    def _clear_if_due(self) -> None:
        if self._clearing is not None:
            self._cleared, count = self._clearing
            del self._shown[:count]
            self._clearing = None

    def _print(self, text: str) -> tuple[int, int]:
        coded = (text + "\n").encode("utf-8", "backslashreplace")
        os.write(self._capture.output.fd, coded)
        stop = self._capture.output.size()
        return stop - len(coded), stop

    # ---- when it is over ------------------------------------------------------------------------

    def parts(self, printed: bytes, dropped: int) -> Iterator[tuple[bytes | Bundle, int]]:
        """What the task printed and showed, in order, and how many bytes are missing before each.

        Whatever comes next is the next task's. ``printed`` is the end of what was printed, behind
        ``dropped`` bytes.
        """
        with self._turn:
            if self._clearing is not None and self._clearing[0] < dropped + len(printed):
                self._clear_if_due()
            shown, self._shown = self._shown, []
            left_out, self._left_out = self._left_out, 0
            place, self._cleared = max(dropped, self._cleared), 0
            self._clearing = None
        missing = dropped if place == dropped else 0
        for each in shown:
            if text := printed[max(0, place - dropped) : max(0, each.start - dropped)]:
                yield text, missing
                missing = 0
            yield each.bundle, 0
            place = max(place, each.stop)
        if (text := printed[place - dropped :]) or missing:
            yield text, missing
        if left_out:
            said = f"[{left_out} more that it displayed are shown as text only: more than {MOST} "
            yield (said + f"or {in_bytes(2 * MOST_BYTES)}]\n").encode(), 0

    def tidy(self) -> None:
        """Figures that a task has left open are not the next one's."""
        helpers = sys.modules.get("matplotlib._pylab_helpers")
        if helpers is not None and helpers.Gcf.figs:
            try:
                helpers.Gcf.destroy_all()
            except Exception:
                return  # the task's own, by a callback at its closing

    # ---- where tasks find it --------------------------------------------------------------------

    def install(self) -> None:
        """Tasks that import what displays get what displays here."""
        patches: dict[str, Callable[[Any], None]] = {
            "IPython.core.display_functions": self._join_ipython,
            "matplotlib.pyplot": self._join_pyplot,
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
            self.show(
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
            self.clear(bool(wait))

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
                    self.show(Bundle(data={"text/plain": repr(figure), "image/png": png}))

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
