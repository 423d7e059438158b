"""The function that a job runs is the one that its user had when the job was added."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.values import freezing
from scattergather.client.values.freezing import Frozen, Shipper
from scattergather.client.values.large import LargeValues
from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.shipping import Shipment
from tests.struck import struck_everywhere


def shipping() -> Shipper:
    outbox = Outbox()
    return Shipper(outbox, LargeValues(outbox, 0), print)


def another(shipper: Shipper, number: int) -> Shipment:
    """A function that is another one for each number, ready to be sent."""
    shipment = shipper.shipment()
    shipment.freeze(lambda: number)
    return shipment


def test_a_function_is_frozen_again_when_what_it_reaches_changed() -> None:
    shipper = shipping()
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


def test_an_interrupt_at_any_moment_of_sending_code_leaves_nobody_who_keeps_it_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freezing, "REMEMBERED", 8)
    shipper, moments = shipping(), 0
    shipments = [another(shipper, number) for number in range(20)]

    def send() -> None:
        for shipment in shipments[:3]:
            with shipper.holding():
                shipper.send(shipment)
                with shipper.holding():
                    pass

    for _ in struck_everywhere(send):
        moments += 1
        for shipment in shipments:
            with shipper.holding():
                shipper.send(shipment)
        with shipper.holding():
            assert len(shipper._sent) <= 8
            assert shipper._sent_bytes == sum(shipper._sent.values())
    assert moments > 100


def test_nothing_is_forgotten_while_another_thread_is_between_code_and_what_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freezing, "REMEMBERED", 1)
    shipper = shipping()

    def send(numbers: range) -> None:
        for number in numbers:
            with shipper.holding():
                shipper.send(another(shipper, number))

    with shipper.holding():
        shipper.send(another(shipper, 0))
        elsewhere = threading.Thread(target=send, args=(range(1, 5),))
        elsewhere.start()
        elsewhere.join()
        assert len(shipper._sent) == 5
    send(range(5, 7))
    assert len(shipper._sent) <= 2
