"""What comes from the controller, and to whom it goes: each message of ``ToClient``.

A job's messages go to its receiver until nothing more will come of it; then the controller may
forget the job, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import scattergather
from scattergather.client.files.calls import FileCalls
from scattergather.client.files.receiving import Receiving
from scattergather.client.pipe.outbox import Outbox
from scattergather.client.seen.echo import Echo
from scattergather.client.session.known import Known
from scattergather.client.session.life import Life
from scattergather.client.session.questions import Questions
from scattergather.client.session.receiver import Receiver, Receivers, Refusal
from scattergather.client.values.large import LargeValues
from scattergather.errors import VersionMismatch
from scattergather.model.ids import JobId
from scattergather.model.outcome import Kind
from scattergather.wire.descriptors import ReceivedDescriptors
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Brought


class ClientInbox:
    """Sorts what one controller says. Reader thread, but where it is said."""

    def __init__(
        self,
        outbox: Outbox,
        descriptors: ReceivedDescriptors,
        receivers: Receivers,
        questions: Questions,
        life: Life,
        known: Known,
        large: LargeValues,
        files: FileCalls,
        receiving: Receiving,
        echo: Echo,
        look_around: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._descriptors = descriptors
        self._receivers = receivers
        self._questions = questions
        self._life = life
        self._known = known
        self._large = large
        self._files = files
        self._receiving = receiving
        self._echo = echo
        self._look_around = look_around
        self.returned = 0
        """Tasks whose results have come."""
        self.failed = 0
        """Tasks that had another outcome."""
        self.unheard = 0
        """Those of them whose jobs were cancelled, or dropped, before."""

    def sort(self, head: bytes, body: bytes) -> None:
        """A frame has come."""
        message = messages.read_to_client(head)
        match message:
            case messages.TaskOutcomes():
                returned = message.kinds.count(Kind.RETURNED)
                self.returned += returned
                self.failed += len(message.kinds) - returned
                large = self._large.hold(message.objects) if message.objects else ()
                if message.kept:
                    large += self._large.keep(message.kept)
                if (receiver := self._receivers.find(message.job)) is not None:
                    self._receivers.delivering = True
                    receiver.outcomes(message, body, large)
                    self._heard(receiver)
                else:
                    self.unheard += len(message.kinds) - returned
            case messages.TasksPlaced():
                if (receiver := self._receivers.find(message.job)) is not None:
                    receiver.placed(message.first, message.count)
            case messages.TasksCancelled():
                if (receiver := self._receivers.find(message.job)) is not None:
                    self._receivers.delivering = True
                    receiver.dropped(message.first, message.count)
                    self._heard(receiver)
            case messages.TaskOutput():
                if (receiver := self._receivers.find(message.job)) is not None:
                    receiver.printed(message, body)
            case messages.Status():
                self._known.status = message
                self._look_around()
            case messages.GoReady():
                self._known.learn_go(message)
            case messages.EverywhereOutcome():
                self._questions.outcome(message, body, self._large.hold(message.objects))
            case messages.Answer():
                value = message.value
                brought = (value.extent,) if isinstance(value, Brought) else ()
                self._questions.answered(message, self._large.hold(brought))
            case messages.Notice():
                self._echo.notice(message.text)
            case messages.Freed():
                self._large.freed(message.objects)
            case messages.Slab():
                self._large.adopt(message.slab, message.size, self._descriptors.take())
            case messages.SlabGone():
                self._large.abandon(message.slab)
            case messages.HostAnswer():
                self._files.answered(message, body)
            case messages.FileSent():
                self._receiving.sent(message)
            case messages.Refused():
                self._life.refuse(_mismatch(message))
            case _:
                assert_never(message)

    def _heard(self, receiver: Receiver) -> None:
        """Outcomes went to this one: perhaps they were the last."""
        self._receivers.delivering = False
        if receiver.done:
            self.forget(receiver.job)
        elif self._life.draining and not receiver.busy:
            self._life.end_if_idle()

    def settle(self, job: JobId) -> None:
        """Forget a job if nothing more will come of it. Any thread."""
        receiver = self._receivers.find(job)
        if receiver is not None and receiver.done:
            self.forget(job)

    def forget(self, job: JobId) -> None:
        """Nothing more of a job is needed. Any thread."""
        if self._receivers.remove(job) and not self._life.ended:
            self._outbox.send(messages.ForgetJob(job=job))
        self._life.end_if_idle()


def _mismatch(theirs: messages.Refused) -> Refusal:
    return lambda: VersionMismatch(
        f"this process has loaded scattergather {scattergather.__version__} (protocol "
        f"{messages.PROTOCOL}), but what is installed now is {theirs.version} (protocol "
        f"{theirs.protocol}), which its controller runs. Restart the kernel, or this process"
    )
