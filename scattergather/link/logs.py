"""Where a process of ours logs to. No FURL ever gets there, whoever wrote the message."""

from __future__ import annotations

from typing import Any, TextIO

from twisted.logger import FileLogObserver, LogEvent, formatEventAsClassicLogText, globalLogBeginner

from scattergather.settings.furl import redacted

MOST_SHOWN = 200


def in_one_line(text: str) -> str:
    """What somebody else has said, as a log can quote it: nobody writes lines of his own there."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:MOST_SHOWN])


def observer(file: TextIO) -> Any:
    """Writes events to ``file``, tracebacks included, with every FURL in them cut short."""

    def line(event: LogEvent) -> str | None:
        text = formatEventAsClassicLogText(event)
        return redacted(text) if text else None

    return FileLogObserver(file, line)


def log_to(file: TextIO) -> None:
    """Everything that is logged in this process goes to ``file``."""
    globalLogBeginner.beginLoggingTo([observer(file)], redirectStandardIO=False)
