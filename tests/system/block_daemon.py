"""A daemon that sends every object back as a result; prints its FURL, ends with its input."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from scattergather.link.seams import Peer
from scattergather.model.ids import ObjectId
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from tests.stock import Stock
from tests.system.linked import EchoSession, Ends, reactor


class Mirror(EchoSession):
    """Makes a result of each input: the same bytes under another name."""

    def __init__(self, peer: Peer, controller: str, workers: int, stock: Stock) -> None:
        super().__init__(peer, controller, workers, stock)
        self.stock = stock

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        for name in objects:
            data = self.stock.get(name)
            self.stock.forget(name)
            self.stock.put(result_of(name), data)
            extent = Extent(object=result_of(name), length=len(data))
            self.peer.send(messages.Outcomes(chunk=1, first=0, kinds=b"\0", objects=(extent,)))

    def shipped(self, objects: tuple[ObjectId, ...]) -> None:
        for name in objects:
            self.stock.forget(name)


def result_of(name: ObjectId) -> ObjectId:
    return name[::-1]


def mirror(ends: Ends, stock: Stock) -> None:
    """The pool of these ends opens such sessions."""

    def begin(peer: Peer, *, controller: str, workers: int, hash_seed: int | None = None) -> Mirror:
        session = Mirror(peer, controller, workers, stock)
        ends.pool.sessions.append(session)
        return session

    ends.pool.open = begin  # type: ignore[method-assign]


def main() -> None:
    stock = Stock()
    ends = Ends(Path(sys.argv[1]), stock)
    mirror(ends, stock)
    print(ends.server.furl.text, flush=True)

    def wait() -> None:
        sys.stdin.read()
        reactor.callFromThread(reactor.stop)

    threading.Thread(target=wait, daemon=True).start()
    reactor.run()


if __name__ == "__main__":
    main()
