"""Initializers: moments, bounds, orthogonality, seeds and names."""

import math

import numpy as np
import pytest

import convkit
from convkit import initializers as I
from convkit import layers

SHAPE = (3, 3, 40, 50)  # fan in 360, fan out 450
# name -> (variance, limit in standard deviations)
TRUNCATED, UNIFORM = 2 / 0.87962566103423978, math.sqrt(3)
MOMENTS = {
    "glorot_uniform": (2 / 810, UNIFORM),
    "glorot_normal": (2 / 810, TRUNCATED),
    "he_uniform": (2 / 360, UNIFORM),
    "he_normal": (2 / 360, TRUNCATED),
    "lecun_uniform": (1 / 360, UNIFORM),
    "lecun_normal": (1 / 360, TRUNCATED),
    "variance_scaling": (1 / 360, TRUNCATED),
    "random_uniform": (0.1**2 / 12, UNIFORM),
    "random_normal": (0.05**2, 6),
    "truncated_normal": ((0.05 * 0.87962566103423978) ** 2, TRUNCATED),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    convkit.set_seed(1)
    values, (variance, limit) = I.get(name)(SHAPE), MOMENTS[name]
    assert values.shape == SHAPE and values.dtype == np.float64
    # 18000 draws: the mean is within 5 / sqrt(18000) deviations, the variance within 5 %.
    assert abs(values.mean()) < 0.04 * math.sqrt(variance)
    assert values.var() == pytest.approx(variance, rel=0.05)
    assert np.abs(values).max() <= limit * math.sqrt(variance)
    assert np.abs(values).max() > 0.95 * min(limit, 3) * math.sqrt(variance)


def test_modes_of_variance_scaling():
    for mode, fan in (("fan_in", 360), ("fan_out", 450), ("fan_avg", 405)):
        for distribution in ("truncated_normal", "untruncated_normal", "uniform"):
            values = I.VarianceScaling(3.0, mode, distribution, seed=2)(SHAPE)
            assert values.var() == pytest.approx(3 / fan, rel=0.05)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (3, 3, 2, 30), (2, 2, 3, 5)])
def test_orthogonal(shape):
    w = I.Orthogonal(gain=2.0, seed=1)(shape).reshape(-1, shape[-1])
    small = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_constants_and_identities(rng):
    assert (I.Zeros()((2, 3)) == 0).all() and (I.Ones()((2,)) == 1).all()
    assert (I.Constant(0.5)((2, 3)) == 0.5).all()
    np.testing.assert_array_equal(I.Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])
    x = rng.standard_normal((1, 5, 6, 3)).astype(np.float32)
    drawn = I.Dirac(rest=I.HeNormal(seed=2))((3, 3, 2, 5))
    np.testing.assert_array_equal(drawn[..., :2], I.Dirac()((3, 3, 2, 5))[..., :2])
    np.testing.assert_array_equal(drawn[..., 2:], I.HeNormal(seed=2)((3, 3, 2, 5))[..., 2:])
    conv = layers.Conv2D(3, 3, padding="same", kernel_initializer="dirac", use_bias=False)
    np.testing.assert_array_equal(conv(x), x)


def test_seeds():
    for cls in (I.GlorotUniform, I.HeNormal, I.RandomNormal, I.RandomUniform, I.Orthogonal):
        one = cls(seed=3)
        np.testing.assert_array_equal(one((4, 5)), one((4, 5)))
        np.testing.assert_array_equal(one((4, 5)), cls(seed=3)((4, 5), np.random.default_rng(8)))
        assert (one((4, 5)) != cls(seed=4)((4, 5))).any()
        assert (cls()((4, 5)) != cls()((4, 5))).any()
    found = []
    for _ in range(2):
        convkit.set_seed(5)
        found.append(I.GlorotUniform()((3, 3)))
    np.testing.assert_array_equal(*found)


def test_names_and_classes():
    for name, cls in I.NAMES.items():
        assert type(I.get(name)) is cls is type(I.get(cls.__name__)) is type(I.get(cls))
    again = I.get({"class_name": "HeNormal", "config": {"seed": 7}})
    assert isinstance(again, I.HeNormal) and again.seed == 7


class Ramp(I.Initializer):
    """A user's initializer."""

    def draw(self, shape, generator):
        """Count up."""
        return np.arange(np.prod(shape), dtype=float).reshape(shape)


def test_an_initializer_of_ones_own():
    layer = layers.Dense(2, kernel_initializer=Ramp())
    layer(np.zeros((1, 3)))
    np.testing.assert_array_equal(layer.kernel, [[0, 1], [2, 3], [4, 5]])


WRONG = [
    (lambda: I.get("glorot"), ValueError, "did you mean 'glorot_normal'|use one of"),
    (lambda: I.get("he_norml"), ValueError, "did you mean 'he_normal'"),
    (lambda: I.VarianceScaling(0), ValueError, "scale must be positive"),
    (lambda: I.VarianceScaling(mode="fan"), ValueError, "unknown mode='fan'"),
    (lambda: I.Orthogonal()((3,)), ValueError, "at least 2 axes"),
    (lambda: I.Identity()((3, 3, 2, 2)), ValueError, "Dirac"),
    (lambda: I.Dirac()((3, 3)), ValueError, r"\(KH, KW, C, K\)"),
    (lambda: I.Initializer()((3,)), TypeError, "define draw"),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_what_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
