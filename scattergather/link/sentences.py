"""What went wrong with a host, as a sentence that says what to do."""

from __future__ import annotations

from dataclasses import dataclass

from foolscap.api import DeadReferenceError, RemoteException
from foolscap.tokens import BananaError, NegotiationError, RemoteNegotiationError
from twisted.internet import defer, error

import scattergather
from scattergather.link.gate.caller import GateClosed, NotAPool, PoolFull, Silent
from scattergather.link.remote import PeerVersions
from scattergather.settings.furl import Furl, redacted
from scattergather.settings.hosts import start_of
from scattergather.wire.messages import page as messages


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a host cannot be used. ``final``: a session that it had with us cannot live on."""

    sentence: str
    final: bool = False


def explain(why: BaseException, furl: Furl) -> Reason:
    """The sentence for a failed attempt to reach a host."""
    at = furl.address
    host, _ = furl.addresses[0]
    new_furl = "The pool was made anew? Store its FURL of today: scattergather hosts add NAME"
    match why:
        case error.ConnectionRefusedError():
            start = f"Start the pool there, with the options that it had: {start_of(furl)}"
            return Reason(f"nothing listens at {at} (connection refused). {start}", final=True)
        case error.DNSLookupError() | error.UnknownHostError():
            return Reason(f"no machine is called {host!r} as far as this one knows (DNS)")
        case GateClosed():
            return Reason(
                f"{at} refuses this FURL: its secret is not valid there. It was revoked or "
                "replaced: ask for a new one and store it: scattergather hosts add NAME",
                final=True,
            )
        case Silent():
            return Reason(
                f"{at} accepts the connection and says nothing: what listens there is stopped, or "
                "its machine is overloaded"
            )
        case NotAPool():
            return Reason(f"something answers at {at}, but it is no pool of scattergather: {why}")
        case PoolFull():
            return Reason(f"{at} does not take this connection: {why}")
        case RemoteNegotiationError() | NegotiationError() if "timeout" in str(why):
            return Reason(f"{at} accepts connections but does not answer")
        case RemoteException():
            return Reason(f"{at} failed to answer: {_first_line(why)}")
        case BananaError() | NegotiationError():
            return Reason(
                f"{at} answers, but is not the pool of this FURL: its identity changed "
                f"(expected {furl.tub[:6]}…). {new_furl}",
                final=True,
            )
        case error.TimeoutError() | error.TCPTimedOutError() | defer.TimeoutError():
            return Reason(f"{at} does not answer (timed out): is it down, or a firewall between?")
        case error.ConnectError():
            return Reason(f"{at} cannot be reached: {_first_line(why)}")
        case error.ConnectionLost() | error.ConnectionDone() | DeadReferenceError():
            return Reason(f"{at} hung up before it had answered")
        case _:
            pass
    return Reason(f"{at} cannot be joined: {type(why).__name__}: {_first_line(why)}")


def mismatch(theirs: PeerVersions, who: str, us: str) -> str:
    """Why two versions do not fit; both are named."""
    older = who if theirs.protocol < messages.PROTOCOL else us
    return (
        f"{who} runs scattergather {theirs.version} (protocol {theirs.protocol}), {us} runs "
        f"{scattergather.__version__} (protocol {messages.PROTOCOL}). Where {older} runs, "
        "in a folder with the newer one: pip install -U ."
    )


def _first_line(why: BaseException) -> str:
    text = redacted(str(why)).strip().splitlines()
    return text[0][:300] if text else type(why).__name__
