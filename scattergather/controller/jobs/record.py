"""A job as the controller keeps it: how to run it, the inputs of its tasks, and how many ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from scattergather.controller.values.inputs import Inputs
from scattergather.model.ids import JobId
from scattergather.wire.messages import page as messages


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStatistics:
    """One unfinished job; ``held`` are the bytes of its inputs, ``begun`` is the reactor's time.

    ``failed`` and ``cancelled`` are among the ``finished`` tasks.
    """

    job: JobId
    name: str
    begun: float
    finished: int
    failed: int
    cancelled: int
    held: int


@dataclass(slots=True)
class Record:
    """One unfinished job, and the inputs of those of its tasks that have no outcome.

    ``submits``: a task of it has submitted a call.
    """

    spec: messages.AddJob
    begun: float
    inputs: Inputs = field(default_factory=Inputs)
    added: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    submits: bool = False

    def statistics(self) -> RecordStatistics:
        """What is known of it."""
        return RecordStatistics(
            job=self.spec.job,
            name=self.spec.name,
            begun=self.begun,
            finished=self.finished,
            failed=self.failed,
            cancelled=self.cancelled,
            held=self.inputs.size,
        )
