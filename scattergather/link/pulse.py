"""When an end of a connection has to say something, and when the other end counts as gone. Pure.

Each end says something every ``SPEAK_SECONDS`` at least, if only that it is there, and gives a
connection up over which not a byte has come for ``SILENCE_SECONDS``. That holds in every state: one
waits for the other, a frame is half there, nothing is to be done, or much. What counts is bytes and
not frames, so patience follows the speed of the way: one of 30 kB/s brings bytes every second,
however many are queued before the end of a frame. Nothing is asked, so nothing waits for an answer
behind that queue. The floor is what TLS gives away at once: 16 kB within the silence, 3 kB/s.

A way that is shut in one direction only is found as well: who hears nothing cuts the connection,
and if not even that gets through, the other end hears nothing either from then on.

Who stood still itself (stopped, suspended, starved of a processor) has not listened. What came
meanwhile waits in its socket, so it listens for ``SPEAK_SECONDS`` once more before it judges.
"""

from __future__ import annotations

from enum import Enum

SPEAK_SECONDS = 2.0
SILENCE_SECONDS = 6.0
"""A session without a link has four seconds of grace, so after ten the work of a frozen host is
elsewhere."""

STOOD_STILL = 1.0
"""Who looks so much later than it was to has stood still."""


class Duty(Enum):
    """What is to be done about a connection now."""

    REST = "rest"
    SPEAK = "speak"
    GIVE_UP = "give up"


class Pulse:
    """One end of one connection.

    Args:
        now: monotonic time.

    Attributes:
        due: when :meth:`look` is to be called next.
    """

    __slots__ = ("_forgiven", "_heard", "_said", "due")

    def __init__(self, now: float) -> None:
        self._heard = self._said = now
        self._forgiven = False
        self.due = now + SPEAK_SECONDS

    def heard(self, now: float) -> None:
        """Bytes came."""
        self._heard = now
        self._forgiven = False

    def said(self, now: float) -> None:
        """Bytes left."""
        self._said = now

    def silent(self, now: float) -> float:
        """For how many seconds nothing has come."""
        return now - self._heard

    def look(self, now: float) -> Duty:
        """What is to be done; whoever is to speak counts as having spoken."""
        if now > self.due + STOOD_STILL and not self._forgiven:
            self._forgiven = True  # once in a silence: some machines are late every time
            self._heard = max(self._heard, now + SPEAK_SECONDS - SILENCE_SECONDS)
        duty = Duty.REST
        if now >= self._heard + SILENCE_SECONDS:
            return Duty.GIVE_UP
        if now >= self._said + SPEAK_SECONDS:
            self._said = now
            duty = Duty.SPEAK
        self.due = min(self._said + SPEAK_SECONDS, self._heard + SILENCE_SECONDS)
        return duty
