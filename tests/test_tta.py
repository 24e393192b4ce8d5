"""Predictions averaged over views of images."""

import numpy as np
import pytest

import convkit
from convkit import layers, tta


@pytest.fixture
def model():
    convkit.set_seed(4)
    return convkit.Sequential(
        [layers.Input((5, 6, 2)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )


def test_views_by_hand(model, rng):
    x = rng.standard_normal((7, 5, 6, 2)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    expected = 0
    for view, weight in ((x, 0.25), (padded[:, 2:, 2:], 0.125), (padded[:, :-2, :-2], 0.125)):
        for turned in (view, view[:, :, ::-1]):
            expected = expected + weight * model.predict(turned, verbose=0)
    found = tta.predict(model, x, tta.standard_views(shift=1), batch_size=3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    mirrored = (model.predict(x, verbose=0) + model.predict(x[:, :, ::-1], verbose=0)) / 2
    np.testing.assert_allclose(tta.predict(model, x), mirrored, rtol=1e-6)


def test_pieces_make_no_difference(model, rng, monkeypatch):
    x = rng.integers(0, 255, (11, 5, 6, 2)).astype(np.uint8)
    whole = tta.predict(model, x)
    monkeypatch.setattr(tta, "ROWS", 4)
    np.testing.assert_array_equal(tta.predict(model, x), whole)


def test_moves(rng):
    x = rng.standard_normal((2, 4, 5, 1))
    moved = tta.shifted(x, 1, -2)
    np.testing.assert_array_equal(moved[:, 1:, :3], x[:, :3, 2:])
    np.testing.assert_array_equal(moved[:, 0, :3], x[:, 1, 2:])  # the row mirrored by the edge
    np.testing.assert_array_equal(moved[:, 1:, 3], x[:, :3, 3])
    np.testing.assert_array_equal(tta.shifted(x, 0, 0), x)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [0, 2])
def test_weights_sum_to_one(flip, shift):
    views = tta.standard_views(flip, shift)
    assert len(views) == (2 if flip else 1) * (3 if shift else 1)
    assert sum(weight for weight, _ in views) == 1


def test_what_is_refused(model):
    with pytest.raises(ValueError, match=r"images \(N, H, W, C\), at least one"):
        tta.predict(model, np.zeros((5, 6, 2)))
    with pytest.raises(ValueError, match="at least one"):
        tta.predict(model, np.zeros((0, 5, 6, 2)))
    with pytest.raises(ValueError, match="views must not be empty"):
        tta.predict(model, np.zeros((1, 5, 6, 2)), [])
    with pytest.raises(ValueError, match="smaller than the images"):
        tta.shifted(np.zeros((1, 3, 4, 1)), 3, 0)
    with pytest.raises(ValueError, match="shift must be"):
        tta.standard_views(shift=-1)
