"""What stands on paper after a text was printed with the movements of a terminal's cursor.

Bars in a task (tqdm, pip, curl) draw themselves over and over: a carriage return and the same line
once more, and for a bar below another one a step down and up again. Where output is a record of
lines, only what stood there at last is of use, and not thousands of drawings.
"""

from __future__ import annotations

import re

_MOVES = re.compile(r"[\n\r\b]|\x1b\[([0-9;]*)[ -/]*([@-~])")
_MOVING = re.compile("[\r\b\x1b]")
_COLUMNS = 1000
"""No movement goes further to the right."""


def settled_lines(text: str) -> list[str]:
    """The lines of ``text``, each as it stood at last; colours stay."""
    if _MOVING.search(text) is None:
        return text.splitlines()
    return [line for each in _Paper().print(text) for line in each.splitlines() or [""]]


class _Paper:
    """Lines of characters, each with the colours that are set before it; and a cursor."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = [[]]
        self._row = 0
        self._column = 0
        self._colour = ""

    def print(self, text: str) -> list[str]:
        start = 0
        for found in _MOVES.finditer(text):
            self._write(text[start : found.start()])
            self._move(found)
            start = found.end()
        self._write(text[start:])
        self._end_colour()
        lines = ["".join(line).rstrip() for line in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _write(self, text: str) -> None:
        if not text:
            return
        line, column = self._lines[self._row], self._column
        line += " " * (column - len(line))
        line[column : column + len(text)] = text
        line[column] = self._colour + line[column]
        self._colour = ""
        self._column += len(text)

    def _end_colour(self) -> None:
        line = self._lines[self._row]
        if self._colour and 0 < self._column <= len(line):
            line[self._column - 1] += self._colour
            self._colour = ""

    def _move(self, found: re.Match[str]) -> None:
        count = int(found[1]) if found[1] and found[1].isdecimal() and len(found[1]) < 6 else 0
        line = self._lines[self._row]
        match found[2] or found[0]:
            case "\n":
                self._end_colour()
                self._row += 1
                self._column = 0
                if self._row == len(self._lines):
                    self._lines.append([])
            case "\r":
                self._end_colour()
                self._column = 0
            case "\b" | "D":
                self._column = max(0, self._column - (count or 1))
            case "C":
                self._column = min(_COLUMNS, self._column + (count or 1))
            case "G":
                self._column = min(_COLUMNS, max(0, count - 1))
            case "A":
                self._row = max(0, self._row - (count or 1))
            case "B":
                self._row = min(len(self._lines) - 1, self._row + (count or 1))
            case "K":
                first = 0 if count else self._column
                last = self._column if count == 1 else len(line)
                line[first:last] = " " * (last - first)
            case "m":
                self._colour += found[0]
            case _:
                return
