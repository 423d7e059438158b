"""Which function a job runs: its own, the client's, the service of the urls, or of the hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen
from scattergather.errors import BadRequest, UnknownName
from scattergather.model.nearest import there_are
from scattergather.model.quoting import quoted
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.messages.shared import sendable

Function = Callable[..., Any] | str


def resolve(
    session: Session, function: Function | None, default: Function | None, shipment: Shipment
) -> Frozen:
    """The function as the wire names it, frozen into ``shipment``.

    Raises:
        BadRequest: none was given, and neither the urls nor who started the hosts named exactly one
            service; those there are are listed.
        UnknownName: a service that no host has.
        CannotPickle: it cannot travel.
    """
    chosen = function if function is not None else default
    if chosen is None:
        chosen = _service_of_urls(session) or _chosen_service(session)
    if isinstance(chosen, str):
        return _named(session, chosen)
    if not callable(chosen):
        raise BadRequest(
            f"function must be callable or the name of a service, not {quoted(chosen)}"
        )
    return session.shipper.freeze(chosen, shipment)


def _service_of_urls(session: Session) -> str | None:
    named = session.known.services_of_urls()
    if len(named) > 1:
        raise BadRequest(
            f"the urls name several services: {', '.join(named)}; say which one: "
            f"addJob(tasks, {named[0]!r})"
        )
    return named[0] if named else None


def _chosen_service(session: Session) -> str:
    """The one service that hosts were started for. What is merely installed is nobody's choice."""
    session.known.wait_go(None)
    chosen = session.known.chosen_services()
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise BadRequest(
            f"no function was given, and the hosts have several services: {', '.join(chosen)}; "
            f"say which one: addJob(tasks, {chosen[0]!r})"
        )
    services = sorted(session.known.services() or ())
    absent = session.known.snapshot().absent()
    raise BadRequest(
        "no function was given; give one: addJob(tasks, function)"
        + (f", or the name of a service: {', '.join(services)}" if services else "")
        + (f". {absent}" if absent else "")
    )


def _named(session: Session, wanted: str) -> Frozen:
    name = sendable(wanted.strip("/"))
    if not name or name.startswith("#"):
        raise BadRequest(f"{quoted(wanted)} is not the name of a service or of a pushed function")
    services = session.known.services()
    if not session.known.snapshot().workers:
        services = None  # the first host to come may have it
    pushed, sure = session.pushed.names()
    if services is not None and sure and name not in services and name not in pushed:
        known = there_are(sorted(services | pushed), name)
        raise UnknownName(f"no host has a service {quoted(name)}; {known}")
    return Frozen(name=name, title=name)
