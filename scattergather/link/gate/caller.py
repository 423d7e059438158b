"""The gate as Twisted sees it, on the side that calls.

Foolscap's own word for "how do I reach this hint" is a connection-hint handler. Ours understands
``gate:<key id>:<host>:<port>``, for the key ids that it was told, and gives Foolscap an endpoint
that has passed the gate by the time its protocol is connected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foolscap.ipb import IConnectionHintHandler, InvalidHintError
from twisted.internet import defer, endpoints, interfaces, protocol
from zope.interface import implementer

from scattergather.link.gate import gate
from scattergather.link.gate.doorkeeper import insist
from scattergather.reactor.seam import Reactor, Timer, call_off
from scattergather.settings.furl import Furl

HINT = "gate"
SECONDS_TO_ANSWER = 5.0

AGAIN_SECONDS = 0.25
MOST_CALLS = 4
"""A call that was not heard is made again so often. Where strangers press, the queue of those who
call is often full; the system itself tries again after 1 s, 3 s and 7 s."""


class Silent(Exception):
    """Something listens there, and says nothing."""


class NotAPool(Exception):
    """Something listens there, and does not greet as a pool does."""


class GateClosed(Exception):
    """The pool there does not know the key of this FURL."""


class PoolFull(Exception):
    """The pool there takes nobody now, or has no time, or does not have that plane."""


@implementer(IConnectionHintHandler)
class HintHandler:
    """Hands Foolscap endpoints that pass the gate with the key of a FURL."""

    def __init__(self) -> None:
        self._keys: dict[str, gate.Key] = {}

    def gated(self, furl: Furl) -> str:
        """The FURL as Foolscap is to call it: the same tub and name, through the gate."""
        key = gate.Key.of(furl.name)
        self._keys[key.id.hex()] = key
        hints = []
        for host, port in furl.addresses:
            shown = f"[{host}]" if ":" in host else host
            hints.append(f"{HINT}:{key.id.hex()}:{shown}:{port}")
        return f"pb://{furl.tub}@{','.join(hints)}/{furl.name}"

    def hint_to_endpoint(self, hint: str, reactor: Reactor, update_status: Any) -> tuple[Any, str]:
        """Called by Foolscap: the endpoint, and the host's name."""
        kind, key_id, address = hint.split(":", 2)
        key = self._keys.get(key_id)
        if kind != HINT or key is None:
            raise InvalidHintError("no key for this hint")
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        inner = endpoints.HostnameEndpoint(reactor, host, int(port))
        return GatedEndpoint(reactor, inner, key), host

    def describe(self) -> str:
        """Called by Foolscap, for its status."""
        return HINT


@implementer(interfaces.IStreamClientEndpoint)
class GatedEndpoint:
    """Connects, passes the gate, and only then builds the protocol."""

    def __init__(
        self, reactor: Reactor, inner: Any, key: gate.Key, plane: bytes = gate.CONTROL
    ) -> None:
        self._reactor = reactor
        self._inner = inner
        self._key = key
        self._plane = plane

    def connect(self, factory: Any) -> Any:
        """The Deferred fires with the protocol, or fails with one of this module's errors."""
        knock = protocol.Factory.forProtocol(
            lambda: _Knocking(self._reactor, self._key, self._plane, factory)
        )
        knock.noisy = False
        calling = _Calling(self._reactor, lambda: self._inner.connect(knock))
        calling.first.addCallback(lambda knocking: knocking.passed)
        return calling.first


class _Calling:
    """Calls until one call is heard; the others are called off, whatever becomes of the first.

    Attributes:
        first: fires with what came of the first call that came to an end.

    Args:
        call: makes one call.
    """

    def __init__(self, reactor: Reactor, call: Callable[[], defer.Deferred[Any]]) -> None:
        self.first: defer.Deferred[Any] = defer.Deferred(lambda _: self._end())
        self._reactor = reactor
        self._call = call
        self._calls: list[defer.Deferred[Any]] = []
        self._timer: Timer | None = None
        self._over = False
        self._again()

    def _again(self) -> None:
        if len(self._calls) + 1 < MOST_CALLS:
            self._timer = self._reactor.callLater(AGAIN_SECONDS, self._again)
        made = self._call()
        self._calls.append(made)
        made.addBoth(self._heard)

    def _heard(self, outcome: Any) -> None:
        if self._over:  # called off
            return
        self._end()
        self.first.callback(outcome)  # a Failure, too

    def _end(self) -> None:
        self._over = True
        call_off(self._timer)
        for made in self._calls:
            made.cancel()


class _Knocking(protocol.Protocol):
    """Answers the greeting and waits for the verdict; passes everything on afterwards."""

    transport: Any

    def __init__(self, reactor: Reactor, key: gate.Key, plane: bytes, factory: Any) -> None:
        self.passed: Any = defer.Deferred(lambda _: self.transport.abortConnection())
        self._reactor = reactor
        self._key = key
        self._plane = plane
        self._factory = factory
        self._heard = b""
        self._answered = False
        self._inner: Any = None
        self._timer: Timer | None = None

    def connectionMade(self) -> None:
        insist(self.transport)
        self._timer = self._reactor.callLater(SECONDS_TO_ANSWER, self._fail, Silent())

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._heard += data
        begin = self._heard[: len(gate.GREETING)]
        if not self._answered and begin != gate.GREETING[: len(begin)]:
            self._fail(NotAPool("it does not greet as a pool does"))
        if not self._answered and len(self._heard) >= len(gate.GREETING) + gate.NONCE_BYTES:
            nonce = self._heard[len(gate.GREETING) : len(gate.GREETING) + gate.NONCE_BYTES]
            self._heard = self._heard[len(gate.GREETING) + gate.NONCE_BYTES :]
            self._answered = True
            self.transport.write(self._key.preface(nonce, self._plane))
        if self._answered and self._heard:
            verdict, rest = self._heard[:1], self._heard[1:]
            self._heard = b""
            self._judge(verdict, rest)

    def _judge(self, verdict: bytes, rest: bytes) -> None:
        if verdict == gate.NO_SUCH_PLANE:
            self._fail(PoolFull("it has no plane of that kind"))
        elif verdict == gate.FULL:
            self._fail(PoolFull("it takes nobody now"))
        elif verdict == gate.WRONG_KEY:
            self._fail(GateClosed("it does not know the key"))
        elif verdict != gate.WELCOME:
            self._fail(NotAPool("it does not answer as a pool does"))
        elif self.passed is not None:
            call_off(self._timer)
            self._inner = self._factory.buildProtocol(self.transport.getPeer())
            passed, self.passed = self.passed, None
            self._inner.makeConnection(self.transport)
            passed.callback(self._inner)
            if rest:
                self._inner.dataReceived(rest)

    def _fail(self, why: Exception) -> None:
        call_off(self._timer)
        passed, self.passed = self.passed, None
        self.transport.abortConnection()
        if passed is not None:
            passed.errback(why)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif self._answered:
            self._fail(PoolFull("it hung up before it had looked at the key"))
        else:
            self._fail(NotAPool("it hung up without a greeting"))
