from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scattergather.errors import CannotImport
from scattergather.wire.values import arrays as ours
from scattergather.wire.values.payload import dumps, loads

KINDS = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="=")
    | arrays.floating_dtypes(endianness="=")
    | arrays.complex_number_dtypes(endianness="=")
    | arrays.unicode_string_dtypes(endianness="=", max_len=3)
)
ARRAYS = arrays.arrays(
    KINDS, arrays.array_shapes(min_dims=0, min_side=0, max_side=4), elements=None, unique=False
)


@given(array=ARRAYS, order=st.sampled_from("CF"), reverse=st.booleans())
def test_an_array_comes_back_as_it_was_and_may_be_written_to(array, order, reverse) -> None:
    array = array.copy(order)
    if reverse:
        array = array[::-1] if array.ndim else array
    back = loads(dumps(array))
    assert type(back) is numpy.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable
    assert back.flags.f_contiguous or not array.flags.f_contiguous


def test_an_array_that_a_value_holds_twice_is_one_array() -> None:
    array = numpy.arange(3)
    first, second = loads(dumps((array, array)))
    first[0] = 7
    assert second[0] == 7


def test_what_is_more_than_its_bytes_goes_in_numpys_own_way() -> None:
    fixed = numpy.arange(3)
    fixed.flags.writeable = False
    named = numpy.zeros(2, dtype=numpy.dtype("f8", metadata={"unit": "m"}))
    for array in (
        numpy.ma.masked_array([1, 2], [True, False]),
        numpy.array([{1: 2}, None]),
        numpy.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
        numpy.matrix([[1, 2]]),
        fixed,
        named,
    ):
        assert ours.reduce_array(None, array) is NotImplemented or type(array) is not numpy.ndarray
        back = loads(dumps(array))
        assert type(back) is type(array)
        assert back.tolist() == array.tolist()


def test_without_numpy_the_error_names_it(monkeypatch) -> None:
    monkeypatch.delitem(ours.sys.modules, "numpy")
    monkeypatch.setattr(
        ours, "import_module", lambda name: (_ for _ in ()).throw(CannotImport(name, module=name))
    )
    with pytest.raises(CannotImport, match="numpy"):
        ours.make_array("<i8", (1,), bytes(8))


def test_the_order_of_bytes_is_kept() -> None:
    back = loads(dumps(numpy.array([1, 2], dtype=">i2")))
    assert back.dtype == ">i2"
    assert back.tolist() == [1, 2]
