"""``c.send_file`` and ``c.fetch_file``: what was asked, checked, and then done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scattergather.client.files.fetching import Fetching
from scattergather.client.files.sending import Sending, Source
from scattergather.client.files.transfer import Transfer
from scattergather.client.session.session import Session
from scattergather.errors import BadRequest, CannotConnect, CannotTransfer, UnknownName
from scattergather.model.nearest import there_are
from scattergather.model.quoting import quoted


def send_file(session: Session, path: Any, to: Any, on: Any, progress: bool | None) -> str:
    """A file or folder of this machine lies on hosts; returns where, below their folders."""
    session.life.check()
    local = os.path.abspath(_text("path", path))
    if not os.path.exists(local):
        raise CannotTransfer(f"there is no file or folder {quoted(local)} here")
    name = os.path.basename(local) if to is None else _text("to", to)
    if to is not None and name.endswith("/"):
        name += os.path.basename(local)
    if not name.strip("/"):
        raise BadRequest(f"to must name what it is to be called there, not {quoted(to)}")
    hosts = _hosts(session, on)
    title = f"sending {os.path.basename(local) or local} to {', '.join(hosts)}"
    transfer = Transfer(session, title)

    def work() -> str:
        source = Source(local)
        transfer.total = source.size * len(hosts)
        for host in hosts:
            sending = Sending(source, os.fsencode(name), transfer.lane(host), transfer)
            transfer.patiently(host, sending.step)
        return name

    return transfer.run(work, progress=progress)


def fetch_file(session: Session, name: Any, on: Any, to: Any, progress: bool | None) -> Path:
    """A file or folder of a host lies here; returns where."""
    session.life.check()
    path = _text("name", name)
    hosts = _hosts(session, on)
    if len(hosts) > 1:
        raise BadRequest(
            f"on must name the host that has {quoted(path)}: one of {', '.join(hosts)}"
        )
    called = os.path.basename(path.rstrip("/"))
    if to is None and called in ("", ".", ".."):
        raise BadRequest(f"name {quoted(path)} does not say what it is called here; to=... does")
    target = os.path.abspath(called if to is None else _text("to", to))
    if to is not None and called and (str(to).endswith("/") or os.path.isdir(target)):
        target = os.path.join(target, called)
    transfer = Transfer(session, f"fetching {called or path} from {hosts[0]}")

    def work() -> Path:
        fetching = Fetching(os.fsencode(path), target, transfer.lane(hosts[0]), transfer)
        try:
            transfer.patiently(hosts[0], fetching.step)
        finally:
            fetching.stop()
        return Path(target)

    return transfer.run(work, progress=progress)


def _text(argument: str, path: Any) -> str:
    """A path as text."""
    try:
        text = os.fsdecode(path)
        os.fsencode(text)
    except (TypeError, UnicodeEncodeError):
        raise BadRequest(f"{argument} must be a path, not {quoted(path)}") from None
    if not text or "\0" in text:
        raise BadRequest(f"{argument} must be a path, not {quoted(path)}")
    return os.path.expanduser(text) if argument == "path" else text


def _hosts(session: Session, on: Any) -> list[str]:
    """The hosts that are meant; None are all that can be used."""
    if on is None:
        session.known.wait_go(None)
        views = session.known.snapshot().hosts
        names = [view.name for view in views if view.state == "up"]
        if not names:
            raise CannotConnect(f"no host is up: {session.known.snapshot().absent()}")
        for view in views:
            if view.state in ("down", "connecting"):
                why = view.why or "it has not answered"
                session.echo.notice(
                    f"{view.name} is left out: {why}; on={view.name!r} waits for it"
                )
        return names
    if isinstance(on, str) or not isinstance(on, Iterable):
        on = [on]
    known = [view.name for view in session.known.snapshot().hosts]
    asked = [getattr(each, "name", each) for each in on]
    for name in asked:
        if not isinstance(name, str):
            raise BadRequest(
                f"on must be the name of a host, or a list of these, not {quoted(name)}"
            )
        if name not in known:
            raise UnknownName(f"no host is called {quoted(name)}; {there_are(known, name)}")
    if not asked:
        raise BadRequest("on names no host; None means all of them")
    return list(dict.fromkeys(asked))
