"""Foolscap's own defaults, one by one: what each would do, and that it does not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from foolscap.api import Any as Anything
from foolscap.api import Referenceable, RemoteException, RemoteInterface
from foolscap.logging import log as flog
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from scattergather.link.tubs.tub import make_tub, new_certificate
from tests.system.linked import live, reactor, until

pytestmark = pytest.mark.system

SECRET = "what-the-user-computes"


class RIVictim(RemoteInterface):
    __remote_name__ = "RIVictim.test"

    def fail():
        return int

    def take(gift=Anything()):  # noqa: B008
        return int


class OurFault(Exception):
    pass


@implementer(RIVictim)
class Victim(Referenceable):
    def remote_fail(self) -> int:
        local = SECRET
        raise OurFault(local)

    def remote_take(self, gift: Any) -> int:
        return 1


class Ends:
    """Two Tubs with a listener each; ``victim`` is the reference that one has to the other's."""

    def __init__(self) -> None:
        self.tubs: list[Any] = []

    async def tub(self) -> Any:
        made = make_tub(new_certificate())
        made.startService()
        self.tubs.append(made)
        made.listenOn("tcp:0:interface=127.0.0.1")
        await until(lambda: made.getListeners()[0]._lp)
        made.setLocation(f"tcp:127.0.0.1:{self.port(made)}")
        return made

    @staticmethod
    def port(tub: Any) -> int:
        return int(tub.getListeners()[0].getPortnum())

    async def victim(self) -> Any:
        server, client = await self.tub(), await self.tub()
        return await client.getReference(server.registerReference(Victim()))


@contextlib.asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    both = Ends()
    try:
        yield both
    finally:
        for each in both.tubs:
            await each.stopService()


@live
async def test_awaiting_a_call_that_failed_remotely_raises_and_reveals_no_type():
    async with ends() as both:
        victim = await both.victim()
        with pytest.raises(RemoteException) as caught:
            await victim.callRemote("fail")
        assert not isinstance(caught.value, OurFault)


@live
async def test_no_traceback_of_ours_is_sent():
    async with ends() as both:
        victim = await both.victim()
        with pytest.raises(RemoteException) as caught:
            await victim.callRemote("fail")
        trace = caught.value.failure.getTraceback()
        assert "Traceback unavailable" in trace
        assert "remote_fail" not in trace
        assert __file__ not in trace


@live
async def test_no_failure_of_a_call_is_logged_neither_here_nor_there():
    said: list[str] = []

    def observe(event: Any) -> None:
        said.append(repr(event))

    async with ends() as both:
        victim = await both.victim()
        globalLogPublisher.addObserver(observe)
        flog.theLogger.addImmediateObserver(observe)
        usual = flog.theLogger.DEFAULT_THRESHOLD
        flog.theLogger.DEFAULT_THRESHOLD = flog.NOISY  # else it drops what it would log
        try:
            with pytest.raises(RemoteException):
                await victim.callRemote("fail")
        finally:
            flog.theLogger.DEFAULT_THRESHOLD = usual
            flog.theLogger.removeImmediateObserver(observe)
            globalLogPublisher.removeObserver(observe)
    assert not [text for text in said if SECRET in text or "callRemote" in text]


class Ear(Protocol):
    def connectionMade(self) -> None:
        self.factory.calls += 1


@live
async def test_nobody_is_made_to_connect_to_where_a_gift_points():
    trap = Factory.forProtocol(Ear)
    trap.calls = 0
    listening = reactor.listenTCP(0, trap, interface="127.0.0.1")
    async with ends() as both:
        victim = await both.victim()
        giver = both.tubs[1]
        third = await both.tub()
        gift = await giver.getReference(third.registerReference(Victim()))
        # A giver says where his gift is to be fetched.
        gift.tracker.url = gift.tracker.url.replace(
            f":{both.port(third)}", f":{listening.getHost().port}"
        )
        with pytest.raises(RemoteException) as caught:
            await victim.callRemote("take", gift)
    assert "gifts are prohibited" in caught.value.failure.getErrorMessage()
    await listening.stopListening()
    assert trap.calls == 0
