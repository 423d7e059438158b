"""What is asked of hosts about files, and what they answer."""

from __future__ import annotations

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.waiting import Bell
from scattergather.client.session.life import Life
from scattergather.wire.frame import Bytes
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.files import FileReply, FileRequest


class Asked:
    """One request, and what has come of it: ``reply`` is None until then."""

    __slots__ = ("bell", "body", "reply")

    def __init__(self, bell: Bell) -> None:
        self.bell = bell
        self.reply: FileReply | None = None
        self.body: Bytes = b""


class FileCalls:
    """The requests of all threads that are not answered yet. Any thread, but where it is said."""

    def __init__(self, outbox: Outbox, life: Life) -> None:
        self.life = life
        self._outbox = outbox
        self._open: dict[int, Asked] = {}
        self._numbers = iter(range(1, 1 << 62))

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, host: str, request: FileRequest, body: Bytes, bell: Bell) -> Asked:
        """The request is on its way; ``bell`` is rung when it is answered.

        Raises:
            Closed, ControllerLost: there is no controller.
        """
        self.life.check_alive()
        asked = Asked(bell)
        number = next(self._numbers)
        self._open[number] = asked
        self._outbox.send(messages.AskHost(call=number, host=host, request=request), body)
        return asked

    def tell(self, message: messages.FileTaken, body: bytes) -> None:
        """A task hears what came of the file that it sent."""
        self._outbox.send(message, body)

    def answered(self, message: messages.HostAnswer, body: Bytes) -> None:
        """A host has answered, or is away. Reader thread."""
        asked = self._open.pop(message.call, None)
        if asked is not None:
            asked.body = body
            asked.reply = message.reply
            asked.bell.ring()

    def lose(self) -> None:
        """The controller is gone, and life has ended: whoever waits looks again. Reader thread."""
        for asked in list(self._open.values()):
            asked.bell.ring()
