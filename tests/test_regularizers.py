"""Penalties and constraints of weights: by themselves, as ops, and in training."""

import numpy as np
import pytest
import reference_update as reference
from networks import Net
from programs import assert_graph_gradients
from tolerance import assert_close, gamma, unit_roundoff

import convkit
from convkit import constraints, layers, ops, optimizers, regularizers
from convkit.graph import Graph, Variable

# ---- by themselves -------------------------------------------------------------------------------


def test_penalties_of_arrays(rng):
    w = rng.standard_normal((3, 4))
    assert regularizers.L1(0.3)(w) == pytest.approx(0.3 * np.abs(w).sum(), rel=1e-14)
    assert regularizers.L2(0.2)(w) == pytest.approx(0.2 * (w**2).sum(), rel=1e-14)
    both = regularizers.L1L2(0.3, 0.2)(w)
    assert both == pytest.approx(0.3 * np.abs(w).sum() + 0.2 * (w**2).sum(), rel=1e-14)


@pytest.mark.parametrize(
    ("name", "l1", "l2"),
    [("l1", 0.01, 0), ("l2", 0, 0.01), ("l1_l2", 0.01, 0.01), ("L1L2", 0, 0), ("L2", 0, 0.01)],
)
def test_regularizers_by_name(name, l1, l2):
    found = regularizers.get(name)
    assert (found.l1, found.l2) == (l1, l2)
    config = {"class_name": type(found).__name__, "config": found.get_config()}
    again = regularizers.get(config)
    assert type(again) is type(found) and (again.l1, again.l2) == (l1, l2)


def test_nothing_stays_nothing():
    assert regularizers.get(None) is None and constraints.get(None) is None
    penalty, limit = regularizers.L2(), constraints.NonNeg()
    assert regularizers.get(penalty) is penalty and constraints.get(limit) is limit


def test_wrong_names_and_numbers():
    with pytest.raises(ValueError, match=r"regularizers\.get: unknown .*did you mean 'l1_l2'"):
        regularizers.get("l1l2_")
    with pytest.raises(ValueError, match=r"constraints\.get: unknown .*did you mean 'max_norm'"):
        constraints.get("maxnorm")
    with pytest.raises(ValueError, match="class_name"):
        constraints.get({"class_name": "os.system"})
    with pytest.raises(ValueError, match="L2: l2 must not be negative"):
        regularizers.L2(-1)
    with pytest.raises(TypeError, match="L1: l1 must be a number"):
        regularizers.L1("much")
    with pytest.raises(ValueError, match="MinMaxNorm: norms must have 0 <= min_value"):
        constraints.MinMaxNorm(2, 1)
    with pytest.raises(ValueError, match="MinMaxNorm: rate"):
        constraints.MinMaxNorm(rate=1.5)
    with pytest.raises(TypeError, match=r"Constraint must define __call__\(w\)"):
        constraints.Constraint()([1.0])
    with pytest.raises(TypeError, match=r"Constraint must define emit\(w\)"):
        constraints.Constraint().emit(None)


LIMITS = {
    "max_norm": constraints.MaxNorm(0.8),
    "max_norm of filters": constraints.MaxNorm(0.8, axis=[0, 1, 2]),
    "unit_norm": constraints.UnitNorm(axis=-1),
    "min_max_norm": constraints.MinMaxNorm(0.9, 1.1, rate=0.6, axis=(0, 2)),
    "non_neg": constraints.NonNeg(),
}


@pytest.mark.parametrize("name", LIMITS)
def test_constraints_of_arrays(name, rng):
    w = rng.standard_normal((2, 3, 4, 5))
    limit = LIMITS[name]
    y = limit(w)
    np.testing.assert_allclose(y, reference_constraint(limit, w), rtol=1e-12)
    again = constraints.get({"class_name": type(limit).__name__, "config": limit.get_config()})
    np.testing.assert_array_equal(again(w), y)


def reference_constraint(limit, w):
    if isinstance(limit, constraints.NonNeg):
        return reference.non_negative(w)
    low, high = limit.min_value, limit.max_value
    return reference.bounded_norm(w, tuple(limit.axis), low, high, limit.rate)


# ---- as ops --------------------------------------------------------------------------------------


def test_a_penalty_adds_its_gradient(rng):
    graph = Graph("float64")
    x, target = graph.input((None, 3)), graph.input((None, 4))
    w, b = Variable("w", rng.standard_normal((3, 4))), Variable("b", rng.standard_normal(4))
    loss = ops.mean_squared_error(ops.dense(x, *map(graph.variable, (w, b))), target)
    loss = ops.penalty(loss, graph.variable(w), l1=0.3, l2=0.2)
    loss = ops.penalty(loss, graph.variable(b), l2=0.1)
    feeds = {x: rng.standard_normal((5, 3)), target: rng.standard_normal((5, 4))}
    assert_graph_gradients(graph, loss, feeds)


@pytest.mark.parametrize("count", [1, 7, 1023, 1024, 1025, 5000])
def test_penalty_values(count, dtype, threads, rng):
    net = Net(dtype)
    w = net.variable(count)
    loss = ops.mean_squared_error(net.input(2), net.input(2))
    total = ops.penalty(loss, w, l1=0.3, l2=0.2)
    got_loss, got, dw = net.values([loss, total, total.op.outputs["dw"]])
    value = w.variable.value.astype(np.float64)
    expected, gradient = reference.penalty(value, 0.3, 0.2)
    # The sums are in double in any order.
    np.testing.assert_allclose(got - got_loss, expected, rtol=gamma(count + 4, np.float64) + 1e-12)
    # A product and a sum, and the two factors rounded to the float type.
    assert_close(dw, gradient, 4 * unit_roundoff(dtype) * (0.3 + 0.4 * np.abs(value)))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (1, 1, 1, 1), (70,), (9, 8)])
def test_constraints_as_ops(name, shape, dtype, threads, rng):
    limit = LIMITS[name]
    if limit.get_config() and max(abs(a) for a in limit.axis) >= len(shape):
        limit = type(limit)(axis=0)
    net = Net(dtype)
    w = net.variable(*shape, trainable=False)
    start = w.variable.value.astype(np.float64)
    limit.emit(w)
    net.values([net.input(1)])
    assert w.variable.version == 1
    expected = reference_constraint(limit, start)
    # The factor is rounded once, the product once; both norms are sums in double.
    bound = 3 * unit_roundoff(dtype) + gamma(start.size + 6, np.float64)
    assert_close(w.variable.value, expected, bound * np.abs(expected))


# ---- in training ---------------------------------------------------------------------------------


def model_with(penalty=None, limit=None, optimizer="sgd", frozen=False):
    convkit.set_seed(3)
    x = layers.Input((6,))
    first, second = layers.Dense(5, activation="tanh"), layers.Dense(2)
    model = convkit.Model(x, second(first(x)))
    kernel = first.variables[0]
    kernel.regularizer, kernel.constraint = penalty, limit
    first.trainable = not frozen
    model.compile(optimizer, "mse")
    return model, kernel


def test_the_penalty_is_part_of_the_loss_and_of_the_step(rng):
    x, y = rng.standard_normal((20, 6)), rng.standard_normal((20, 2))
    plain, kernel = model_with(optimizer=optimizers.SGD(0.1))
    penalized, its_kernel = model_with(regularizers.L1L2(0.02, 0.05), optimizer=optimizers.SGD(0.1))
    start = kernel.value.copy()
    added, gradient = reference.penalty(start.astype(np.float64), 0.02, 0.05)
    without, with_it = (m.evaluate(x, y, verbose=0) for m in (plain, penalized))
    assert with_it - without == pytest.approx(added, rel=1e-6)
    losses = [m.fit(x, y, batch_size=20, verbose=0).history["loss"][0] for m in (plain, penalized)]
    assert losses[1] - losses[0] == pytest.approx(added, rel=1e-6)
    # Both start at the same weights, so the steps differ by the penalty's gradient alone.
    np.testing.assert_allclose(kernel.value - its_kernel.value, 0.1 * gradient, atol=1e-7)


def test_a_frozen_layer_has_no_penalty(rng):
    x, y = rng.standard_normal((20, 6)), rng.standard_normal((20, 2))
    losses = [
        model_with(penalty, frozen=True)[0].evaluate(x, y, verbose=0)
        for penalty in (None, regularizers.L2(1.0))
    ]
    assert losses[0] == losses[1]


def test_constraints_hold_after_every_step(rng):
    x, y = rng.standard_normal((40, 6)), rng.standard_normal((40, 2))
    model, kernel = model_with(limit=constraints.UnitNorm(), optimizer="adam")
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    np.testing.assert_allclose((kernel.value**2).sum(0), 1, rtol=1e-5)
    model, kernel = model_with(limit=constraints.NonNeg())
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert kernel.value.min() == 0 and kernel.value.max() > 0
