"""Which function a job runs: its own, the client's, the service of the urls, or the only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen
from scattergather.errors import BadRequest, UnknownName
from scattergather.wire.code.shipping import Shipment

Function = Callable[..., Any] | str


def resolve(
    session: Session, function: Function | None, default: Function | None, shipment: Shipment
) -> Frozen:
    """The function as the wire names it, frozen into ``shipment``.

    Raises:
        BadRequest: none was given and there is not exactly one service; those there are are listed.
        UnknownName: a service that no host has.
        CannotPickle: it cannot travel.
    """
    chosen = function if function is not None else default
    if chosen is None:
        chosen = _service_of_urls(session) or _only_service(session)
    if isinstance(chosen, str):
        return _named(session, chosen)
    if not callable(chosen):
        raise BadRequest(f"function must be callable or the name of a service, not {chosen!r}")
    return session.shipper.freeze(chosen, shipment)


def _service_of_urls(session: Session) -> str | None:
    named = session.known.services_of_urls()
    if len(named) > 1:
        raise BadRequest(
            f"the urls name several services: {', '.join(named)}; say which one: "
            f"addJob(tasks, {named[0]!r})"
        )
    return named[0] if named else None


def _only_service(session: Session) -> str:
    session.known.wait_go(None)
    services = sorted(session.known.services() or ())
    if len(services) == 1:
        return services[0]
    if not services:
        absent = session.known.snapshot().absent()
        raise BadRequest(
            "no function was given, and no host that is up has a service; "
            "give one: addJob(tasks, function)" + (f". {absent}" if absent else "")
        )
    raise BadRequest(
        f"no function was given, and the hosts have several services: {', '.join(services)}; "
        f"say which one: addJob(tasks, {services[0]!r})"
    )


def _named(session: Session, wanted: str) -> Frozen:
    name = wanted.strip("/")
    if not name or name.startswith("#"):
        raise BadRequest(f"{wanted!r} is not the name of a service or of a pushed function")
    services = session.known.services()
    if not session.known.snapshot().workers:
        services = None  # the first host to come may have it
    pushed, sure = session.pushed.names()
    if services is not None and sure and name not in services and name not in pushed:
        known = sorted(services | pushed)
        listed = f"there are: {', '.join(known)}" if known else "there is none"
        raise UnknownName(f"no host has a service {name!r}; {listed}")
    return Frozen(name=name, title=name)
