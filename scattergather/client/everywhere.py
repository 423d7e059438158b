"""One call on every worker: their outcomes come one by one, and then the answer."""

from __future__ import annotations

from typing import Any

from scattergather.client import naming
from scattergather.client.jobs.reading import FAILURES, loader, not_rebuilt, read_error
from scattergather.client.pipe.outbox import distinct
from scattergather.client.seen.display import LINES, JobLines
from scattergather.client.seen.here import current_display
from scattergather.client.seen.printout import settled_lines
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.questions import Question
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import title_of
from scattergather.errors import CannotConnect, JobFailed
from scattergather.model.failure import Failure
from scattergather.model.outcome import Kind
from scattergather.model.snapshot import are, plural
from scattergather.wire.messages import page as messages


def call_everywhere(
    session: Session,
    function: naming.Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    on: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What the function returned on each worker, keyed ``host/process id``. Any thread.

    With ``on`` on each worker of these hosts, which are waited for.

    Raises:
        UnknownName: a host in ``on`` is not there.
        JobFailed: it raised somewhere; its ``results`` holds the pairs of key and result or error.
        CannotConnect: no host is up.
    """
    session.life.check()
    session.known.check_hosts(on)
    what = title_of(function) if callable(function) else function
    display = current_display()
    then = "Where it has begun it goes on."
    with Wait(session, lambda: _waiting(session, what, on), then):
        shipment = session.shipper.shipment()
        frozen = naming.resolve(session, function, None, shipment)
        # Held until every worker has called it: no job names the code.
        with session.shipper.holding():
            blob, needs, objects = session.shipper.pack_call(args, kwargs, shipment)
            session.shipper.send(shipment)
            session.draws.look(many=True)
            every = tuple(dict.fromkeys((*frozen.needs, *needs)))
            version = session.pushed.version
            question = session.questions.ask(
                lambda number: messages.RunEverywhere(
                    call=number,
                    function=frozen.name,
                    needs=every,
                    code_version=version,
                    objects=distinct(objects),
                    on=on,
                ),
                blob,
            )
        if not question.outcomes and (absent := session.known.snapshot().absent(on)):
            raise CannotConnect(f"no worker is there to call {frozen.title}: {absent}")
        _show_printed(question, display.lines(frozen.title, lambda: False))
        return _read(question, frozen.title)


def _waiting(session: Session, what: str, on: tuple[str, ...]) -> str:
    text = f"waiting for {what} on every worker"
    text += f" of {', '.join(on)}" if on else ""
    absent = session.known.snapshot().absent(on) if on else ""
    return text + (f", where {absent}" if absent else "")


def _show_printed(question: Question, place: JobLines) -> None:
    lines = [
        f"[{message.host}/{message.worker}] {line}"
        for message, _, _ in question.outcomes
        for line in settled_lines(message.printed)
    ]
    if (cut := len(lines) - LINES) > 0:
        lines[:-LINES] = [f"[{plural(cut, 'line')} before these {are(cut)} not shown]"]
    if lines:
        place.show(lines, 0, 0)


def _read(question: Question, title: str) -> dict[str, Any]:
    results: dict[str, Any] = {}
    failures = []
    for place, (message, body, large) in enumerate(question.outcomes):
        key = f"{message.host}/{message.worker}"
        if message.kind == Kind.RETURNED:
            try:
                results[key] = loader(body, large)(0, len(body))
                continue
            except FAILURES as error:
                results[key] = not_rebuilt(error, key)
        else:
            label = f"{title} everywhere"
            results[key] = read_error(message.kind, body, place, f"{label}, on {key}", label)
        failures.append(
            Failure(index=place, error=results[key], host=message.host, worker=message.worker)
        )
    if failures:
        where = ", ".join(f"{failure.host}/{failure.worker}" for failure in failures)
        raise JobFailed(
            f"{title} failed on {len(failures)} of {plural(len(results), 'worker')}: {where}",
            results=list(results.items()),
            failures=failures,
        )
    return results
