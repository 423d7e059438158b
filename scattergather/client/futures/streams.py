"""All streams of a client: which one a call goes to, and which ones are ended.

A stream with nothing outstanding costs the controller little and the next call nothing, so a few
are kept; older ones are ended, so that a million lambdas leave nothing behind.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from scattergather.client import naming
from scattergather.client.futures.future import TaskFuture
from scattergather.client.futures.stream import CallStream
from scattergather.client.jobs import adding
from scattergather.client.options import JobOptions
from scattergather.client.seen.here import current_name
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.life import OPEN
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen, freeze_types
from scattergather.client.values.plain import is_plain, pack_plain
from scattergather.wire.code.origin import importable
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.memory.outside import Placed
from scattergather.wire.memory.slabs import LARGE

IDLE_STREAMS = 16


class CallStreams:
    """All streams of a client. Any thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._life = session.life
        self._outbox = session.outbox
        self._shipper = session.shipper
        self._pushed = session.pushed
        self._open: OrderedDict[tuple[Any, ...], CallStream] = OrderedDict()
        self._lock = threading.Lock()
        self._last: tuple[Frozen, JobOptions, int, str, bytes, CallStream] | None = None

    def submit(
        self,
        function: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: JobOptions,
        holder: object,
    ) -> TaskFuture:
        """Queue one call.

        Raises:
            CannotPickle: the function or an argument cannot travel; the message says which.
        """
        shipper = self._shipper
        shipment: Shipment | None = None
        if isinstance(function, str):
            frozen = naming.resolve(self._session, function, None, shipper.shipment())
        elif (unchanged := shipper.unchanged(function)) is not None:
            frozen = unchanged
        else:
            shipment = shipper.shipment()
            frozen = shipper.freeze(function, shipment)
            self._session.draws.look()
        # As with the arguments: what is to be retried is what the call raises, even after an edit.
        retry_on = b""
        if options.retry_on and not all(map(importable, options.retry_on)):
            shipment = shipment or shipper.shipment()
            retry_on = freeze_types(options.retry_on, shipment)

        if self._outbox.full:
            with self._waiting(options.name or frozen.title):
                self._outbox.make_room()
        plain = is_plain(args, kwargs)
        if plain and len(blob := pack_plain((args, kwargs))) < LARGE:
            future = self._add(frozen, options, shipment, retry_on, holder, blob)
        else:
            with shipper.holding():
                # For room, or for what the arguments do when they are packed.
                with self._waiting(options.name or frozen.title):
                    packed = shipper.pack_call(args, kwargs, shipment)
                future = self._add(frozen, options, shipment, retry_on, holder, *packed)
        if self._life.state is not OPEN:
            # It may have ended after the look: nobody else would tell this future.
            self._life.check_alive()
        return future

    def _waiting(self, title: str) -> Wait:
        then = "It was not added; submit it again."
        return Wait(self._session, lambda: f"submitting a call of {title}", then)

    def _add(
        self,
        function: Frozen,
        options: JobOptions,
        shipment: Shipment | None,
        retry_on: bytes,
        holder: object,
        blob: bytes,
        needs: tuple[bytes, ...] = (),
        objects: tuple[Placed, ...] = (),
    ) -> TaskFuture:
        while True:
            stream = self._stream(function, options, shipment, retry_on)
            future = TaskFuture(stream, holder)
            if stream.add(future, blob, needs, objects):
                return future
            self._life.check()

    def _stream(
        self, function: Frozen, options: JobOptions, shipment: Shipment | None, retry_on: bytes
    ) -> CallStream:
        version = self._pushed.version
        # Output belongs to the cell that submitted, so each cell has streams of its own.
        cell = current_name()
        last = self._last
        if (
            last is not None
            and last[0] is function
            and last[1] is options
            and last[2] == version
            and last[3] == cell
            and last[4] == retry_on
            and not last[5].ended
        ):
            return last[5]
        stream = self._find(function, options, shipment, retry_on, version, cell)
        self._last = (function, options, version, cell, retry_on, stream)
        return stream

    def _find(
        self,
        function: Frozen,
        options: JobOptions,
        shipment: Shipment | None,
        retry_on: bytes,
        version: int,
        cell: str,
    ) -> CallStream:
        key = (function.name, version, options, cell, retry_on)
        stream = self._open.get(key)
        if stream is not None and not stream.ended:
            return stream
        with self._lock:
            stream = self._open.get(key)
            if stream is not None and not stream.ended:
                self._open.move_to_end(key)
                return stream
            session = self._session
            stream = CallStream(session, function, options, self.trim)
            shipment = shipment or self._shipper.shipment()
            retry_on = retry_on or freeze_types(options.retry_on, shipment)
            adding.begin(
                session, stream, stream.title, function, options, shipment, retry_on, stream=True
            )
            self._open[key] = stream
        self.trim()
        return stream

    def trim(self) -> None:
        """Of too many streams the oldest that are idle are ended. Any thread."""
        if len(self._open) <= IDLE_STREAMS:
            return
        with self._lock:
            # A few each time: a thousand busy ones must not be asked for each new one.
            for _ in range(min(4, len(self._open) - IDLE_STREAMS)):
                key, stream = self._open.popitem(last=False)
                if not stream.end():
                    self._open[key] = stream

    def all(self) -> list[CallStream]:
        """The streams that are open."""
        with self._lock:
            return list(self._open.values())
