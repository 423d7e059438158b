"""A docstring lists only what is there: arguments and attributes by the names of the code."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "scattergather"
Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def files() -> list[Path]:
    found = os.walk(PACKAGE, followlinks=True)
    return sorted(Path(folder, name) for folder, _, names in found for name in names)


def listed(docstring: str, section: str) -> set[str]:
    """The names that a section of a docstring explains."""
    found = re.search(rf"^{section}:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    lines = re.findall(r"^    (\S.*?): ", found[1] if found else "", re.MULTILINE)
    return {name.lstrip("*") for line in lines for name in line.split(", ")}


def arguments(node: ast.AST) -> Iterator[str]:
    """Those of a function; of a class, those that make one."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        every = node.args
        known = (*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg)
        yield from (each.arg for each in known if each is not None)
    elif isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__new__"):
                yield from arguments(part)
        yield from attributes(node)


def attributes(node: ast.AST) -> Iterator[str]:
    """What a class declares, sets and computes."""
    for part in ast.walk(node):
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id
        elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
            yield part.attr
        elif isinstance(part, ast.FunctionDef):
            yield part.name


def docstrings() -> Iterator[tuple[str, ast.AST, str]]:
    """Where each is, of what, and the docstring."""
    for file in files():
        if file.suffix == ".py":
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, Documented):
                    where = f"{file.relative_to(PACKAGE)}, {node.name}"
                    yield where, node, ast.get_docstring(node) or ""


def test_a_docstring_lists_only_what_is_there() -> None:
    for where, node, said in docstrings():
        assert listed(said, "Args") <= set(arguments(node)), where
        assert listed(said, "Attributes") <= set(attributes(node)), where


def test_no_docstring_sends_its_reader_elsewhere_for_what_it_means() -> None:
    for where, _, said in docstrings():
        assert not re.match(r"See [:`]|See the module", said), where
