"""Values as bytes: identity within one value, none between two, and nothing of a failed one."""

from __future__ import annotations

import copy
import io
import pickle
import random
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattergather.errors import CannotImport, CannotPickle
from scattergather.wire.code.codebook import BOOK, CodeBook
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.values.payload import Packer, Unpacker, dumps, loads

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.text() | st.binary()
    | st.floats(allow_nan=False)
)  # fmt: skip
NESTED = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@given(st.lists(NESTED, max_size=6))
def test_many_values_in_one_buffer_come_out_one_by_one(values: list[Any]) -> None:
    packer = Packer(CodeBook())
    ends = [packer.pack(value) for value in values]
    taken, body, needs = packer.take()
    assert list(taken) == ends
    assert needs == ()
    unpacker = Unpacker(body, CodeBook())
    starts = [0, *ends[:-1]] if ends else []
    for start, value in reversed(list(zip(starts, values, strict=True))):
        assert unpacker.load(start) == value


@given(NESTED)
def test_shared_parts_stay_shared_within_one_value_even_beside_a_lambda(part: Any) -> None:
    shared = [part]
    _, first, second = loads(dumps((lambda: shared, shared, {"k": shared})))
    assert first is second["k"]
    assert first == [part]
    function, first, _ = loads(dumps((lambda: shared, shared, None)))
    assert function() is first


def test_values_of_one_packer_share_nothing() -> None:
    packer = Packer()
    shared = [1]
    start = packer.pack(shared)
    packer.pack(shared)
    unpacker = Unpacker(packer.take()[1])
    assert unpacker.load(0) is not unpacker.load(start)


def test_a_value_loads_again_from_the_same_place() -> None:
    unpacker = Unpacker(dumps(([1], [2])))
    assert unpacker.load(0) == unpacker.load(0) == ([1], [2])


def test_nothing_of_a_failed_value_stays_and_the_packer_goes_on() -> None:
    packer = Packer()
    end = packer.pack("a" * 100)
    with pytest.raises(CannotPickle):
        packer.pack(["b" * 200_000, threading.Lock()])
    packer.pack("c")
    ends, body, _ = packer.take()
    assert len(ends) == 2
    assert ends[0] == end
    assert Unpacker(body).load(end) == "c"
    assert packer.take()[1] == b""


def test_too_deep_a_value_is_an_error_of_the_request() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CannotPickle, match="nested too deeply"):
        dumps(value)


def test_a_cycle_through_a_closure_survives() -> None:
    box: list[Any] = []
    box.append(lambda: box)
    home = loads(dumps(box))
    assert home[0]() is home


def test_odd_things_go_by_dill_and_load_with_a_plain_unpickler() -> None:
    class Local:
        pass

    thing = Local()
    shared = [1]
    value = ({"a": 1}.keys(), shared, shared, thing, lambda: thing)
    keys, one, two, there, function = pickle.loads(dumps(value, Shipment(BOOK)))
    assert list(keys) == ["a"]
    assert one is two
    assert type(there) is Local
    assert function() is there


def test_needs_are_those_of_the_values_taken() -> None:
    class Local:
        pass

    shipment = Shipment(CodeBook())
    packer = Packer(shipment)
    packer.pack(1)
    assert packer.take()[2] == ()
    packer.pack(Local())
    packer.pack(Local())
    assert packer.take()[2] == tuple(shipment.code)
    packer.pack(1)
    assert packer.take()[2] == ()


def test_arrays_do_not_meet_dill() -> None:
    pytest.importorskip("numpy")
    program = (
        "import sys, numpy\n"
        "from scattergather.wire.values.payload import dumps, loads\n"
        "a = numpy.arange(1000.0)\n"
        "x, y, f = loads(dumps((a, a, lambda: a)))\n"
        "assert x is y and f() is x and (x == a).all()\n"
        "assert 'dill' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": sys.path[0]})


def test_an_absent_name_is_named() -> None:
    with pytest.raises(CannotImport, match="no_such_name"):
        loads(b"cjson\nno_such_name\n.")


def test_the_unpickler_reads_what_others_wrote() -> None:
    value = {"a": [1, 2, (3,)]}
    for protocol in range(6):
        assert CodeBook().unpickler(io.BytesIO(pickle.dumps(value, protocol))).load() == value
    assert copy.deepcopy(value) == loads(dumps(value))


def test_a_generator_that_a_module_offers_does_not_bring_its_state() -> None:
    for function in (random.random, random.gauss):
        assert len(dumps(function)) < 200
        assert loads(dumps(function)) is function
