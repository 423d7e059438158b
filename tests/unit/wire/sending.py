"""A way to a worker and no further."""

from __future__ import annotations

from typing import Any

from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.values.payload import dumps, loads


def sent(thing: Any) -> Any:
    """``thing`` as a worker gets it, which knows nothing else."""
    shipment = Shipment(CodeBook())
    body = dumps(thing, shipment)
    worker = CodeBook()
    for code in shipment.code.values():
        worker.add(code)
    return loads(body, worker)
