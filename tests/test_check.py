"""What the checks remember, and names that are nearly right."""

import pytest

from convkit import _check


def conv(**changes):
    """Return the geometry of a convolution."""
    options = {"strides": 1, "padding": "same", "dilation": 1, "groups": 1} | changes
    return _check.conv2d_geometry("f", (2, 8, 9, 3), (3, 3, 3, 4), *options.values())


def test_results_may_be_changed_without_changing_what_is_remembered():
    first = conv()
    expected = dict(first)
    first.clear()
    assert conv() == expected


def test_what_only_equals_an_int_is_refused_although_the_int_is_remembered():
    conv(strides=(1, 1)), conv(padding=((1, 1), (1, 1)))
    for bad in (True, 1.0, (1, True), (1.0, 1), [1, 1.0]):
        with pytest.raises(TypeError, match="f: strides"):
            conv(strides=bad)
    for bad in (True, 1.0, ((1, 1), (1, True)), ((1.0, 1), (1, 1))):
        with pytest.raises(TypeError, match="f: padding"):
            conv(padding=bad)


def test_sizes_that_are_no_plain_ints_give_the_same():
    class Size:
        def __index__(self):
            return 2

    expected = conv(strides=2)
    assert conv(strides=(2, 2)) == conv(strides=[2, 2]) == conv(strides=Size()) == expected


def test_errors_are_raised_each_time():
    for _ in range(2):
        with pytest.raises(ValueError, match="f: groups must divide"):
            conv(groups=2)


def test_a_wrong_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="f: unknown kind='rlu'; did you mean 'relu'"):
        _check.one_of("f", "kind", "rlu", ["relu", "tanh"])
    with pytest.raises(ValueError, match="use one of: relu, tanh"):
        _check.one_of("f", "kind", "quadratic", ["relu", "tanh"])
    with pytest.raises(TypeError, match="f: kind must be a string"):
        _check.one_of("f", "kind", 3, ["relu", "tanh"])
