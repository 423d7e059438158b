"""``c.hosts``: the hosts of a client by name, and what the user may do with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scattergather.client import place
from scattergather.client.calling import names_its_arguments
from scattergather.client.homebound import Homebound, Named
from scattergather.client.options import check_flag
from scattergather.client.seen import showing
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.questions import Numbered
from scattergather.client.session.session import Session
from scattergather.errors import BadRequest, RequestError, UnknownName
from scattergather.model.nearest import there_are
from scattergather.model.quoting import quoted
from scattergather.model.snapshot import HostView, plural
from scattergather.settings.urls import check_workers, pool_of, resolve
from scattergather.wire.code.origin import workers_see
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec, HostSpec
from scattergather.wire.messages.shared import TaskPlace


class HostsInUse(Named, Homebound, Mapping[str, "HostInUse"]):
    """The hosts that work for a client, by name, as the controller last knew them. Any thread.

    Hosts are added and dropped at any time, also while jobs run.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __scattergather_refuse__(self) -> str:
        return (
            "The hosts of a client cannot travel; pass what the task needs of them as an argument"
        )

    # ---- a mapping ------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> HostInUse:
        _find(self._session, name)
        return HostInUse(self._session, name)

    def get(self, name: object, default: Any = None) -> Any:
        """The host of this name, or ``default`` where there is none."""
        return HostInUse(self._session, str(name)) if name in self else default

    def __iter__(self) -> Iterator[str]:
        return iter([view.name for view in _views(self._session)])

    def __len__(self) -> int:
        return len(_views(self._session))

    def __contains__(self, name: object) -> bool:
        return any(view.name == name for view in _views(self._session))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    # ---- what may be done -----------------------------------------------------------------------

    @names_its_arguments
    def add(self, url: Any) -> None:
        """Use one host more, or several; returns at once, and jobs use it as soon as it has joined.

        Args:
            url: as for ``spawnScatterGather``: a FURL ``pb://...``; ``local`` or ``local:N``; the
                path of a FURL file; ``("pb://host:", port, "/service", workers)``; the name of a
                host in the settings; or a list of these.

        Raises:
            BadRequest: it is none of these, or is there already. One that is leaving comes again
                when it is gone.
            UnknownName: no host of that name is stored.
            Closed, ControllerLost: there is no controller.
        """
        session = self._session
        session.life.check()
        if url is None:
            raise BadRequest("url is None; this machine is 'local', or 'local:2'")
        specs = resolve(url, called="url")
        for spec in specs:
            _check_new(session, spec)
        for spec in specs:
            seen = TaskPlace()
            if isinstance(spec, EmbeddedSpec):
                seen = place.here()
                workers_see(map(os.fsdecode, seen.path))
            _ask(session, lambda call: messages.AddHost(call=call, spec=spec, place=seen))  # noqa: B023
            session.known.added(spec)

    @names_its_arguments
    def drop(self, name: str, *, now: bool = False) -> None:
        """Use a host no more; returns at once.

        It gets nothing more, and what has not begun there runs elsewhere. It is left when what runs
        there is through: until then it is ``leaving``. No task is lost or charged for it.

        Args:
            name: which one.
            now: what runs there is not waited for but interrupted, as by ``c.command("refresh")``:
                it runs again elsewhere and is not charged, but with ``retries=0`` it is lost.

        Raises:
            UnknownName: there is no such host.
            Closed, ControllerLost: there is no controller.
        """
        session = self._session
        now = check_flag("now", now)
        session.life.check()
        _find(session, name)
        _ask(session, lambda call: messages.DropHost(call=call, name=name, now=now), name)

    # ---- how it looks ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        return self._shown()["text/plain"]

    def _repr_html_(self) -> str:
        return self._shown()["text/html"]

    def _shown(self) -> dict[str, str]:
        closed = self._session.life.closed
        return (
            showing.closed_bundle("closed")
            if closed
            else showing.hosts_bundle(_views(self._session))
        )


class HostInUse(Named, Homebound):
    """One host that works for a client, as the controller last knew it. Any thread.

    ``workers`` may be set: how many of its workers work for this client.
    """

    def __init__(self, session: Session, name: str) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "name", name)

    def __scattergather_refuse__(self) -> str:
        return "A host cannot travel; pass its name"

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute != "workers":
            raise AttributeError(f"{attribute} of a host cannot be set; its workers can")
        _resize(self._session, self.name, value)

    name: str
    _session: Session

    @property
    def view(self) -> HostView:
        """What is known of it.

        Raises:
            UnknownName: it was dropped and is gone.
        """
        return _find(self._session, self.name)

    @property
    def state(self) -> str:
        """``connecting``, ``up``, ``leaving`` or ``down``."""
        return self.view.state

    @property
    def why(self) -> str:
        """Why it is down, or less than it should be; else empty."""
        return self.view.why

    @property
    def workers(self) -> int:
        """How many of its workers work for this client.

        It may be set, also while jobs run: workers that are too many end when they are idle.
        """
        return self.view.workers

    @property
    def busy(self) -> int:
        """How many tasks are at work there."""
        return self.view.busy

    @property
    def jobs(self) -> tuple[str, ...]:
        """The names of the jobs whose tasks are at work there; ten of them at most."""
        return self.view.jobs

    @property
    def python(self) -> str:
        """Which minor version of Python its workers run; empty before it has joined."""
        return self.view.python

    @property
    def platform(self) -> str:
        """Which system it is, as ``Linux 6.1 x86_64``; empty before it has joined."""
        return self.view.platform

    @property
    def cpus(self) -> int:
        """How many processors the pool may use; 0 before it has joined."""
        return self.view.cpus

    @property
    def load(self) -> float:
        """How many processes ran there on average within a minute.

        This, and what is free, the host says when it joins, and six seconds at most after a change.
        """
        return self.view.load

    @property
    def free_memory(self) -> int:
        """Bytes of memory that are free there, to two digits."""
        return self.view.free_memory

    @property
    def free_disk(self) -> int:
        """Bytes that are free in the folder for temporary files there, to two digits."""
        return self.view.free_disk

    @property
    def sent(self) -> int:
        """Bytes that have gone there, messages and large values; 0 on this machine."""
        return self.view.sent

    @property
    def received(self) -> int:
        """Bytes that have come from there, messages and large values; 0 on this machine."""
        return self.view.received

    @property
    def held(self) -> int:
        """Bytes of large values there."""
        return self.view.memory

    @property
    def round_trip(self) -> float:
        """Seconds for a word there and back, as measured last; 0.0 on this machine."""
        return self.view.round_trip

    def __repr__(self) -> str:
        return showing.host_bundle(self.view)["text/plain"]

    def _repr_html_(self) -> str:
        return showing.host_bundle(self.view)["text/html"]


def _views(session: Session) -> tuple[HostView, ...]:
    return session.known.snapshot().hosts


def _find(session: Session, name: Any) -> HostView:
    views = _views(session)
    for view in views:
        if view.name == name:
            return view
    known = there_are([view.name for view in views], name)
    raise UnknownName(f"no host is called {quoted(name)}; {known}")


def _check_new(session: Session, spec: HostSpec) -> None:
    states = {view.name: view.state for view in _views(session)}
    for other in session.known.hosts():
        if states.get(other.name) == "leaving" and spec.name == other.name:
            continue
        if spec.name == other.name or pool_of(spec) == pool_of(other):
            also = "" if spec.name == other.name else f" is the same pool as {other.name!r}, and"
            if states.get(other.name) == "leaving":
                raise BadRequest(
                    f"{spec.name!r}{also} has not left yet; wait until it is not in c.hosts"
                )
            raise BadRequest(
                f"{spec.name!r}{also} is there already; c.hosts[{other.name!r}].workers = N says "
                "how many workers it has for you"
            )


def _resize(session: Session, name: str, value: Any) -> None:
    workers = check_workers(value, f"workers of {name!r}")
    session.life.check()
    view = _find(session, name)
    if view.state == "up" and 0 < view.most < workers:
        raise BadRequest(
            f"workers of {name!r} is {workers}; that host has {plural(view.most, 'worker')}: "
            "scattergather pool --workers N gives it more"
        )
    _ask(session, lambda call: messages.ResizeHost(call=call, name=name, workers=workers), name)


def _ask(session: Session, make: Callable[[int], Numbered], name: str = "") -> None:
    """The controller has done this, with the host of this name if it concerns one.

    Raises:
        UnknownName: the host is gone by now.
    """
    refused = None
    with Wait(session, lambda: "waiting for the controller's answer", "It does what it was told."):
        try:
            session.questions.ask(make)
        except RequestError as error:
            refused = error
    if refused is not None:
        if name:
            _find(session, name)
        raise refused
