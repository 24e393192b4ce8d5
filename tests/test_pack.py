"""The two ways to fill a struct agree, field by field, with the layout that C declares."""

import numpy as np
import pytest

from convkit import _core, _pack


@pytest.mark.parametrize("struct", _core.layouts)
def test_every_field_goes_to_its_slot(struct):
    slots = np.zeros(_pack.slot_count(struct), np.uint64)
    views = {"p": slots, "i": slots.view(np.int64), "d": slots.view(np.float64)}
    values = {
        field: {"p": 2**63 + i, "i": -i, "d": i + 0.5}[kind]
        for i, (field, _slot, kind) in enumerate(_core.layouts[struct])
    }
    _pack.fill(slots, struct, values)
    for field, slot, kind in _core.layouts[struct]:
        assert views[kind][slot] == values[field], field


def test_fields_that_are_not_named_stay():
    slots = np.full(_pack.slot_count("ck_fill"), 7, np.uint64)
    _pack.fill(slots, "ck_fill", {"y": None})
    assert sorted(slots) == [0, 7, 7]


def test_a_call_takes_arrays_and_leaves_out_what_is_not_named():
    y = np.full(5, 3.0, np.float32)
    _pack.call("fill", 4, y=y, count=4)
    np.testing.assert_array_equal(y, [0, 0, 0, 0, 3])
    _pack.call("fill", 4, y=_core.address(y), count=2, value=1.5)
    np.testing.assert_array_equal(y, [1.5, 1.5, 0, 0, 3])


def test_addresses():
    y = np.arange(12.0).reshape(3, 4)
    begin = y.__array_interface__["data"][0]
    assert _core.address(y) == begin
    assert _core.address(y[1:, ::-2]) == begin + 7 * 8
    fixed = y.view(">f8")
    fixed.flags.writeable = False
    assert _core.address(fixed) == begin
    assert _core.address(None) == 0


def test_a_field_that_is_not_there_is_an_error():
    with pytest.raises(KeyError, match="rate"):
        _pack.call("fill", 4, y=None, count=0, rate=1)
