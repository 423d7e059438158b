"""The function that a job runs is the one that its user had when the job was added."""

from __future__ import annotations

from typing import Any

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.values.freezing import Frozen, Shipper
from scattergather.client.values.large import LargeValues
from scattergather.wire.code.codebook import CodeBook


def test_a_function_is_frozen_again_when_what_it_reaches_changed() -> None:
    outbox = Outbox()
    shipper = Shipper(outbox, LargeValues(outbox, 0), print)
    main: dict[str, Any] = {"__name__": "__main__"}
    exec("x = 1000\ndef g(): return x\ndef f(): return g()", main)

    def freeze() -> tuple[Frozen, Any]:
        shipment, worker = shipper.shipment(), CodeBook()
        frozen = shipper.freeze(main["f"], shipment)
        (code,) = shipment.code.values()
        worker.add(code)
        return frozen, worker.function(code.digest)()

    first, value = freeze()
    assert value == 1000
    assert freeze() == (first, 1000)  # its code is in this shipment too
    assert shipper.unchanged(main["f"]) is first is not None
    exec("x = 2000", main)
    assert shipper.unchanged(main["f"]) is None
    assert freeze()[1] == 2000
    exec("def g(): return 7", main)
    assert freeze()[1] == 7
    exec("x = []\ndef g(): return list(x)", main)
    frozen, value = freeze()
    assert value == []
    assert frozen.code is None  # what can change may be large: nobody keeps its blob
    main["x"].append(1)
    assert shipper.unchanged(main["f"]) is None
    assert freeze()[1] == [1]
