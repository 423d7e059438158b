"""What a client asks of the files of a host is answered once, whatever becomes of the host."""

from __future__ import annotations

from scattergather.model.outcome import Kind
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined, Done
from scattergather.wire.messages.files import HostAway, StopFile
from tests.unit.controller.near import Near

T = b"t" * 16


def ask(near: Near, call: int, host: str) -> None:
    near.ask(messages.AskHost(call=call, host=host, request=StopFile(transfer=T)), b"body")


def answers(near: Near) -> list[messages.HostAnswer]:
    return near.take(messages.HostAnswer)


def test_what_a_host_answers_reaches_the_client_once() -> None:
    near = Near(hosts=2, workers=1)
    first, second = near.hosts
    ask(near, 1, "host0")
    (asked,) = first.take(messages.AskFiles)
    assert asked.request == StopFile(transfer=T)
    second.say(messages.FilesAnswer(call=1, reply=Done()), b"another's")
    assert answers(near) == []
    for _ in range(2):
        first.say(messages.FilesAnswer(call=1, reply=Done()), b"data")
    assert answers(near) == [messages.HostAnswer(call=1, reply=Done())]


def test_a_host_that_is_lost_or_away_has_answered_by_that() -> None:
    near = Near(hosts=2, workers=1)
    first = near.hosts[0]
    for call in (1, 2):
        ask(near, call, "host0")
    ask(near, 3, "host1")
    first.listener.left("it is gone")
    ask(near, 4, "host0")
    ask(near, 5, "nobody")
    told = answers(near)
    assert [each.call for each in told] == [1, 2, 4, 5]
    assert [type(each.reply) for each in told] == [HostAway, HostAway, HostAway, Declined]


def test_a_task_hears_what_came_of_the_file_that_it_sent() -> None:
    near = Near(hosts=1, workers=1)
    (host,) = near.hosts
    host.say(messages.SendFile(worker=3, ticket=7, transfer=T, name=b"n", size=1, mode=0o600), b"")
    (sent,) = near.take(messages.FileSent)
    assert (sent.host, sent.worker, sent.ticket) == ("host0", 3, 7)
    near.ask(messages.FileTaken(host=sent.host, worker=3, ticket=7, kind=Kind.RETURNED), b"blob")
    (outcome,) = host.take(messages.NestedOutcome)
    assert (outcome.worker, outcome.ticket, outcome.kind) == (3, 7, Kind.RETURNED)
