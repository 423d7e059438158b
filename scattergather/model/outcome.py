"""What can come of a task, and how it can be lost.

A kind is one byte a task, so that a batch of outcomes is judged by one scan.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Kind(IntEnum):
    """The kind of an outcome; its blob is read accordingly."""

    RETURNED = 0
    """The blob is the pickled result."""

    RAISED = 1
    """The blob is the packed exception that the function raised."""

    RETRYABLE = 2
    """Raised, and of a type that the job's ``retry_on`` names; never delivered as such."""

    LOST = 3
    """The blob is an encoded ``Loss``: something died under the task, or it could not be run."""

    INTERRUPTED = 4
    """A refresh ended it on purpose: run again at no charge. The blob is an encoded ``Loss``."""

    CANCELLED = 5
    """The user cancelled it while it ran; no blob."""

    EXCEEDED = 6
    """It exceeded a limit and did not stop when told; not run again, as it would exceed the same
    limit again. The blob is an encoded ``Loss``."""


OWN_KINDS = bytes([Kind.RETURNED, Kind.RAISED, Kind.RETRYABLE, Kind.CANCELLED])
"""What a worker may say of its own tasks; of all else its pool knows more than it does."""


class LossKind(StrEnum):
    """Why a task has no outcome of its own; on the wire it is the name of its error class."""

    LOST = "TaskLost"
    """For another reason than these, which is said in words."""

    KILLED_WORKER = "TaskKilledWorker"
    OUT_OF_MEMORY = "OutOfMemory"
    EXIT_CALLED = "ExitCalled"
    HOST_LOST = "HostLost"
    TIME_LIMIT = "TimeLimitExceeded"
    MEMORY_LIMIT = "MemoryLimitExceeded"

    REF_LOST = "RefLost"
    """What it takes is lost, and cannot be made again."""

    TOO_LARGE = "TooLarge"
    """It returned something that has no room where the result must go."""

    VERSION_MISMATCH = "VersionMismatch"
    """It never started: no host runs the Python that its code is made for."""


PATIENT_SECONDS = 0.05
"""The outcome of a task that took so long may wait a moment for others on its way."""

GATHER_SECONDS = 0.005
"""How long that moment is, on each stretch of the way."""


def can_wait(elapsed: float, tasks: int) -> bool:
    """True if outcomes of so many tasks, which took ``elapsed`` seconds together, may wait."""
    return elapsed > PATIENT_SECONDS * tasks
