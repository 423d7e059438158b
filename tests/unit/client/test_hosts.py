"""What a user may do with hosts, and hears when the controller knows better."""

from __future__ import annotations

import os
import threading

import pytest

from scattergather.errors import RequestError, UnknownName
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined
from tests.unit.client.fake import HOST, until


@pytest.mark.parametrize("gone", [True, False])
def test_a_host_that_has_just_gone_is_unknown_also_to_whom_the_controller_has_to_tell_it(
    c, fake, gone
) -> None:
    fake.push_status()
    until(lambda: len(c.hosts) == 1)

    def refuse() -> None:
        until(lambda: fake.of(messages.DropHost))
        hosts = () if gone else (fake.host(),)
        fake.send(messages.Status(hosts=hosts, jobs=(), controller_pid=os.getpid()))
        call = fake.of(messages.DropHost)[0].call
        fake.send(messages.Answer(call=call, value=Declined(why="it cannot be")))

    thread = threading.Thread(target=refuse)
    thread.start()
    with pytest.raises(RequestError) as raised:
        c.hosts.drop(HOST)
    thread.join()
    assert isinstance(raised.value, UnknownName) == gone
    assert raised.value.__context__ is None
