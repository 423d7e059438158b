"""What can come of a task: one byte a task, so that a batch of outcomes is judged by one scan."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """The kind of an outcome; its blob is read accordingly."""

    RETURNED = 0
    """The blob is the pickled result."""

    RAISED = 1
    """The blob is the packed exception that the function raised."""

    RETRYABLE = 2
    """Raised, and of a type that the job's ``retry_on`` names; never delivered as such."""

    LOST = 3
    """The blob is an encoded ``messages.Loss``: something died under the task."""

    INTERRUPTED = 4
    """A refresh ended it on purpose: run again at no charge. The blob is an encoded ``Loss``."""

    CANCELLED = 5
    """The user cancelled it while it ran; no blob."""

    EXCEEDED = 6
    """It exceeded a limit and did not stop when told; not run again, as it would exceed the same
    limit again. The blob is an encoded ``Loss``."""


RETURNED_BYTE = bytes([Kind.RETURNED])
