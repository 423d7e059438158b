"""Twisted's reactor of this process, with a clock that does not jump."""

from __future__ import annotations

import time
from typing import cast

from twisted.internet import reactor as installed

from scattergather.reactor.seam import Reactor


def monotonic_reactor() -> Reactor:
    """The reactor of this process; its clock is monotonic from the first call on.

    Twisted's own clock follows the wall clock: a step of that would fire timers early, or hours
    late. So this is called before any timer is planned.
    """
    # Twisted's types name zope's interfaces, and to mypy no class of ours is one of those.
    reactor = cast(Reactor, installed)
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    return reactor
