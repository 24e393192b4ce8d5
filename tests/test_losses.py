"""Losses: on arrays, as ops with gradients, and in training, against float64 twins."""

import numpy as np
import pytest
import reference
from gradcheck import numeric_gradient
from networks import Net

import convkit
from convkit import layers, losses, ops
from convkit.graph import Variable
from convkit.ops.loss import ELEMENT_LOSSES, REDUCTIONS

ROWS, COLS = 7, 5


def probabilities(rng, shape):
    """Return numbers well inside of (0, 1), where no clipping reaches."""
    return rng.uniform(0.05, 0.95, shape)


def binary_labels(rng, shape):
    """Return zeros and ones."""
    return rng.integers(0, 2, shape).astype(float)


def normal(rng, shape):
    """Return numbers of both signs."""
    return rng.standard_normal(shape)


def positive(rng, shape):
    """Return positive numbers."""
    return rng.uniform(0.2, 3, shape)


SMOOTH = {"label_smoothing": 0.2}
# name -> (class, arguments, predictions, targets); the twin is reference.LOSSES[name].
ELEMENTWISE = {
    "mean_squared_error": (losses.MeanSquaredError, {}, normal, normal),
    "mean_absolute_error": (losses.MeanAbsoluteError, {}, normal, normal),
    "mean_absolute_percentage_error": (
        *(losses.MeanAbsolutePercentageError, {}),
        *(normal, positive),
    ),
    "mean_squared_logarithmic_error": (
        *(losses.MeanSquaredLogarithmicError, {}),
        *(positive, positive),
    ),
    "log_cosh": (losses.LogCosh, {}, normal, normal),
    "poisson": (losses.Poisson, {}, positive, positive),
    "hinge": (losses.Hinge, {}, normal, binary_labels),
    "squared_hinge": (losses.SquaredHinge, {}, normal, binary_labels),
    "kl_divergence": (losses.KLDivergence, {}, probabilities, probabilities),
    "huber": (losses.Huber, {"delta": 0.7}, normal, normal),
    "binary_crossentropy": (losses.BinaryCrossentropy, SMOOTH, probabilities, binary_labels),
    "binary_crossentropy_logits": (
        *(losses.BinaryCrossentropy, {**SMOOTH, "from_logits": True}),
        *(normal, binary_labels),
    ),
    "binary_focal_crossentropy": (
        *(losses.BinaryFocalCrossentropy, {"gamma": 1.5, **SMOOTH}),
        *(probabilities, binary_labels),
    ),
    "binary_focal_crossentropy_logits": (
        losses.BinaryFocalCrossentropy,
        {"apply_class_balancing": True, "alpha": 0.3, "from_logits": True},
        *(normal, binary_labels),
    ),
}
# The same of losses that are composed from ops.
COMPOSED = {
    "cosine_similarity": (losses.CosineSimilarity, {}, normal, normal),
    "categorical_hinge": (losses.CategoricalHinge, {}, normal, binary_labels),
}
CATEGORICAL = {
    "categorical_crossentropy": (losses.CategoricalCrossentropy, SMOOTH),
    "categorical_crossentropy_logits": (losses.CategoricalCrossentropy, {"from_logits": True}),
    "categorical_focal_crossentropy": (losses.CategoricalFocalCrossentropy, {"gamma": 1.5}),
    "categorical_focal_crossentropy_logits": (
        losses.CategoricalFocalCrossentropy,
        {"alpha": 0.4, "from_logits": True, **SMOOTH},
    ),
}


def case(name, rng, shape=(ROWS, COLS)):
    """Return a loss with predictions and targets for it."""
    if name not in CATEGORICAL:
        cls, arguments, pred, target = (ELEMENTWISE | COMPOSED)[name]
        return cls(**arguments), pred(rng, shape), target(rng, shape)
    cls, arguments = CATEGORICAL[name]
    target = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    pred = normal(rng, shape) if arguments.get("from_logits") else probabilities(rng, shape)
    return cls(**arguments), pred, target


def twin(loss, true, pred):
    """Return the losses of rows by the float64 statement of the formula."""
    name = convkit._check.snake_case(type(loss).__name__)
    options = {
        key: getattr(loss, key)
        for key in ("delta", "from_logits", "label_smoothing", "alpha", "gamma")
        if hasattr(loss, key)
    }
    if not getattr(loss, "apply_class_balancing", True):
        options["alpha"] = None
    return reference.LOSSES[name](true, pred, **options)


ALL = [*ELEMENTWISE, *COMPOSED, *CATEGORICAL]


def test_smoothed_class_numbers(rng):
    logits, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    sparse = losses.SparseCategoricalCrossentropy(True, label_smoothing=0.2)
    rows = losses.CategoricalCrossentropy(True, 0.2)(np.eye(4)[labels], logits)
    assert sparse(labels, logits) == pytest.approx(rows, rel=1e-12)
    model = convkit.Sequential([layers.Input((4,)), layers.Softmax()])
    model.compile("sgd", sparse.from_config({**sparse.get_config(), "from_logits": False}))
    assert model.evaluate(logits, labels, verbose=0) == pytest.approx(rows, rel=1e-6)
    with pytest.raises(ValueError, match="label_smoothing must lie in"):
        losses.SparseCategoricalCrossentropy(label_smoothing=2)


def test_every_kernel_of_an_element_has_a_case():
    assert set(ELEMENT_LOSSES) - {"mean"} == set(ELEMENTWISE)


# ---- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(ROWS, COLS), (1, 1), (3, 2, 33), (2, 3, 2, 17)])
def test_rows_of_arrays(name, shape, dtype, rng):
    if name in CATEGORICAL and shape[-1] == 1:
        shape = (1, 2)
    loss, pred, true = case(name, rng, shape)
    pred, true = pred.astype(dtype), true.astype(dtype)
    expected = twin(loss, true.astype(float), pred.astype(float))
    rows = loss.call(true, pred)
    assert rows.dtype == dtype and rows.shape == shape[:-1]
    tolerance = 2e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(rows, expected, rtol=tolerance, atol=tolerance)
    assert loss(true, pred) == pytest.approx(rows.mean(dtype=float), rel=1e-12)


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "none", None])
def test_reductions(reduction, rng):
    pred, true = rng.standard_normal((4, 3, 2)), rng.standard_normal((4, 3, 2))
    rows = ((pred - true) ** 2).mean(-1)
    loss = losses.MeanSquaredError(reduction=reduction)
    for weights in (None, rng.random(4), rng.random((4, 1)), rng.random((4, 3)), np.zeros(4)):
        if weights is None:
            w = np.ones(rows.shape)
        else:
            w = np.broadcast_to(weights if weights.ndim == 2 else weights[:, None], rows.shape)
        expected = {
            "sum": (rows * w).sum(),
            "sum_over_batch_size": (rows * w).sum() / rows.size,
            "mean_with_sample_weight": (rows * w).sum() / (w.sum() or 1),
        }.get(reduction, rows * w)
        np.testing.assert_allclose(loss(true, pred, weights), expected, rtol=1e-12)


# Values that Keras's documentation gives.
DOCUMENTED = [
    (losses.MeanSquaredError(), [[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]], 0.5),
    (losses.MeanAbsoluteError(), [[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]], 0.5),
    (losses.Huber(), [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], 0.155),
    (losses.KLDivergence(), [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], 0.458),
    (losses.BinaryCrossentropy(True), [0, 1, 0, 0], [-18.6, 0.51, 2.94, -12.8], 0.865),
    (losses.SparseCategoricalCrossentropy(), [1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], 1.177),
    (
        *(losses.CategoricalCrossentropy(), [[0, 1, 0], [0, 0, 1]]),
        *([[0.05, 0.95, 0], [0.1, 0.8, 0.1]], 1.177),
    ),
    (
        *(losses.CategoricalFocalCrossentropy(), [[0, 1, 0], [0, 0, 1]]),
        *([[0.05, 0.95, 0], [0.1, 0.8, 0.1]], 0.23315276),
    ),
    (losses.LogCosh(), [[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]], 0.108),
    (losses.Poisson(), [[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]], 0.5),
    (losses.Hinge(), [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], 1.3),
    (losses.SquaredHinge(), [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], 1.86),
    (losses.CategoricalHinge(), [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], 1.4),
    (losses.CosineSimilarity(), [[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]], -0.5),
]


@pytest.mark.parametrize(("loss", "true", "pred", "value"), DOCUMENTED)
def test_documented_values(loss, true, pred, value):
    assert loss(true, pred) == pytest.approx(value, abs=5e-4)


def test_documented_weights():
    true, pred = [[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]
    assert losses.CategoricalCrossentropy()(true, pred, [0.3, 0.7]) == pytest.approx(
        0.814, abs=1e-3
    )
    none = losses.CategoricalCrossentropy(reduction=None)(true, pred)
    np.testing.assert_allclose(none, [0.0513, 2.303], atol=1e-3)


def test_cosine_of_zeros_is_zero():
    rows = losses.cosine_similarity([[0.0, 0.0], [3.0, 4.0]], [[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_array_equal(rows, [0, 0])
    value, dx, _ = emitted(losses.CosineSimilarity(), np.ones((2, 3)), np.zeros((2, 3)))
    assert value == 0 and not dx.any()


def test_probabilities_are_clipped():
    for cls in (losses.BinaryCrossentropy, losses.BinaryFocalCrossentropy):
        value = cls()([[1.0], [0.0]], [[0.0], [1.0]])
        assert value == pytest.approx(-np.log(1e-7), rel=1e-6)
    worst = losses.CategoricalCrossentropy()([[1, 0]], [[0.0, 1.0]])
    assert worst == pytest.approx(-np.log(1e-7), rel=1e-6)


def test_functions_are_the_classes(rng):
    true, pred = binary_labels(rng, (4, 3)), probabilities(rng, (4, 3))
    np.testing.assert_array_equal(
        losses.mean_squared_error(true, pred), losses.MeanSquaredError().call(true, pred)
    )
    found = losses.binary_crossentropy(true, pred, label_smoothing=0.1)
    np.testing.assert_array_equal(
        found, losses.BinaryCrossentropy(label_smoothing=0.1).call(true, pred)
    )
    numbers = losses.sparse_categorical_crossentropy([2, 0, 1, 1], pred)
    rows = losses.categorical_crossentropy(np.eye(3)[[2, 0, 1, 1]], pred)
    np.testing.assert_allclose(numbers, rows, rtol=1e-12)
    assert isinstance(losses.get(losses.huber), losses.Huber)


NAMED = {
    **{"mse": losses.MeanSquaredError, "mae": losses.MeanAbsoluteError, "bce": None},
    **{"mape": None, "msle": None, "kld": losses.KLDivergence, "logcosh": losses.LogCosh},
    "categorical_focal_crossentropy": losses.CategoricalFocalCrossentropy,
    "BinaryCrossentropy": losses.BinaryCrossentropy,
}


@pytest.mark.parametrize("name", NAMED)
def test_names(name):
    assert isinstance(losses.get(name), NAMED[name] or losses.Loss)


def test_classes_and_descriptions():
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    made = losses.get({"class_name": "Huber", "config": {"delta": 2.0}})
    assert made.delta == 2.0 and made.get_config()["delta"] == 2.0


WRONG = [
    (lambda: losses.get("binary_crosentropy"), ValueError, "did you mean 'binary_crossentropy'"),
    (lambda: losses.get(lambda a, b: a), TypeError, "derive from convkit.losses.Numpy"),
    (lambda: losses.Huber(0), ValueError, "delta must be positive, got delta=0"),
    (lambda: losses.CategoricalCrossentropy(axis=1), ValueError, "classes are the last axis"),
    (lambda: losses.CosineSimilarity(axis=0), ValueError, "rows are the last axis"),
    (lambda: losses.CosineSimilarity()(1.0, 1.0), ValueError, "got one number"),
    (lambda: losses.BinaryCrossentropy(False, 2), ValueError, r"label_smoothing must lie in"),
    (lambda: losses.BinaryFocalCrossentropy(gamma=-1), ValueError, "gamma must not be negative"),
    (lambda: losses.MeanSquaredError("mean"), ValueError, "unknown reduction='mean'"),
    (lambda: losses.MeanSquaredError()([[1, 2]], [[1, 2, 3]]), ValueError, r"shape \(1, 3\)"),
    (lambda: losses.MeanSquaredError()([], []), ValueError, "at least one sample"),
    (lambda: losses.MeanSquaredError()(np.ones((2, 3)), np.ones((2, 3)), [1.0]), ValueError, "per"),
    (
        lambda: losses.CategoricalCrossentropy()([1, 2], np.ones((2, 3))),
        *(ValueError, "SparseCategoricalCrossentropy"),
    ),
    (
        lambda: losses.SparseCategoricalCrossentropy()(np.eye(3), np.ones((3, 3))),
        *(ValueError, "go with CategoricalCrossentropy"),
    ),
    (
        lambda: losses.SparseCategoricalCrossentropy()([0, 3], np.ones((2, 3))),
        *(ValueError, r"\[0, 3\)"),
    ),
    (
        lambda: losses.SparseCategoricalCrossentropy()([0, 0.5], np.ones((2, 3))),
        *(ValueError, "whole class numbers"),
    ),
    (lambda: losses.CategoricalCrossentropy()(1.0, 1.0), ValueError, "got one number"),
    (lambda: losses.Loss()([1.0], [1.0]), TypeError, "must define call"),
    (lambda: losses.Loss().emit(None, None, None), TypeError, "ops.mean_loss"),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_what_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


# ---- ops -----------------------------------------------------------------------------------------


def emitted(loss, pred, true, weights=None, dtype="float64"):
    """Return the mean loss and its gradient, as the ops of a graph compute them."""
    net = Net(dtype, rows=len(pred))
    # Rows of the identity pick rows of a variable, so that dx is the variable's gradient.
    rows = Variable("pred", pred.reshape(len(pred), -1).astype(dtype))
    chosen, t = net.input(len(pred)), net.input(*true.shape[1:])
    net.data[chosen], net.data[t] = np.eye(len(pred), dtype=dtype), true.astype(dtype)
    p = ops.reshape(ops.dense(chosen, net.graph.variable(rows)), (None, *pred.shape[1:]))
    w = None
    if weights is not None:
        w = net.input()
        net.data[w] = weights.astype(dtype)
    total = loss.emit(p, t, w)
    dx = net.graph.gradients(total)[rows]
    values = net.values([total, dx, total.per_sample])
    return float(values[0][0]), values[1].reshape(pred.shape), values[2]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_of_ops(name, reduction, rng):
    """dx is the difference quotient of the twin, over samples, positions and outputs."""
    loss, pred, true = case(name, rng, (3, 2, 4))
    loss.reduction = reduction
    weights = rng.uniform(0.5, 2, 3)

    def total(p):
        rows = twin(loss, true, p)
        sums = (rows * weights[:, None]).sum()
        return {"sum": sums, "sum_over_batch_size": sums / rows.size}.get(
            reduction, sums / (weights.sum() * rows.shape[1])
        )

    value, dx, per_sample = emitted(loss, pred, true, weights)
    assert value == pytest.approx(total(pred), rel=1e-10)
    np.testing.assert_allclose(per_sample, twin(loss, true, pred).mean(1), rtol=1e-10)
    np.testing.assert_allclose(dx, numeric_gradient(total, pred, 1.0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_ops_on_any_number_of_threads(name, dtype, threads, rng):
    loss, pred, true = case(name, rng, (67, 3))
    value, dx, _ = emitted(loss, pred, true, dtype=dtype)
    before = convkit.get_num_threads()
    convkit.set_num_threads(1)
    again, dx_again, _ = emitted(loss, pred, true, dtype=dtype)
    convkit.set_num_threads(before)
    assert value == again and dx.tobytes() == dx_again.tobytes()
    assert value == pytest.approx(
        twin(loss, true, pred.astype(dtype).astype(float)).mean(),
        rel=1e-5 if dtype == np.float32 else 1e-11,
    )


def test_a_sigmoid_is_taken_in(rng):
    """Logits of -200 lose nothing: log(sigmoid) is computed from the logits."""
    for loss in (losses.BinaryCrossentropy(), losses.BinaryFocalCrossentropy()):
        net = Net(rows=2)
        x, t = net.input(1), net.input(1)
        net.data[x], net.data[t] = np.array([[-200.0], [300.0]]), np.array([[1.0], [0.0]])
        (value,) = net.values([loss.emit(ops.activation(x, "sigmoid"), t, None)])
        assert value[0] == pytest.approx(250)


def test_focal_without_an_exponent_is_cross_entropy(rng):
    pred, true = rng.standard_normal((5, 4)), np.eye(4)[[0, 1, 3, 2, 2]]
    plain = losses.CategoricalCrossentropy(from_logits=True)
    focal = losses.CategoricalFocalCrossentropy(1.0, 0.0, from_logits=True)
    a, b = emitted(plain, pred, true), emitted(focal, pred, true)
    assert a[0] == pytest.approx(b[0], rel=1e-12)
    np.testing.assert_allclose(a[1], b[1], atol=1e-12)


def test_a_wrong_kind_or_reduction_is_refused():
    net = Net()
    x = net.input(2)
    with pytest.raises(ValueError, match="did you mean 'huber'"):
        ops.element_loss("hubber", x, x)
    with pytest.raises(ValueError, match="unknown reduction='maen'"):
        ops.mean_loss(x, reduction="maen")
    with pytest.raises(ValueError, match="reduction='none'"):
        losses.MeanSquaredError("none").emit(x, x, None)
    with pytest.raises(ValueError, match="reduction='none'"):
        losses.CategoricalCrossentropy(reduction=None).emit(x, x, None)


# ---- training ------------------------------------------------------------------------------------


def test_every_pixel_has_a_class(rng):
    """Labels (N, H, W) train a model that says the class of every pixel."""
    x = rng.standard_normal((8, 4, 4, 2)).astype(np.float32)
    y = (x[..., 0] > x[..., 1]).astype(int)
    convkit.set_seed(1)
    model = convkit.Sequential([layers.Input((4, 4, 2)), layers.Conv2D(2, 1, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    p = model.predict(x)
    expected = -np.log(np.take_along_axis(p, y[..., None], -1)).mean()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = model.fit(x, y[..., None], epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    with pytest.raises(ValueError, match=r"needs class numbers of shape \(8, 4, 4\)"):
        model.fit(x, y[:, 0], verbose=0)


@pytest.mark.parametrize("name", COMPOSED)
def test_losses_of_rows_train(name, rng):
    x, classes = rng.standard_normal((60, 4)), np.arange(60) % 3
    x[:, :3] += 3 * np.eye(3)[classes]
    y = np.eye(3)[classes]
    convkit.set_seed(1)
    model = convkit.Sequential([layers.Input((4,)), layers.Dense(3)])
    model.compile("adam", name, metrics=["accuracy", name])
    history = model.fit(x, y, epochs=30, batch_size=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    loss, accuracy, metric = model.evaluate(x, y, verbose=0)
    sign = -1 if name == "cosine_similarity" else 1  # as a metric, more of it is better
    assert metric == pytest.approx(sign * loss, rel=1e-5) and accuracy > 0.8
    with pytest.raises(ValueError, match=r"y must have shape|needs one-hot rows"):
        model.fit(x, classes, verbose=0)


def test_one_output_and_weights_of_classes(rng):
    x = rng.standard_normal((40, 3)).astype(np.float32)
    y = (x[:, 0] > 0.2).astype(int)
    results = []
    for weights in ({"class_weight": {0: 1.0, 1: 3.0}}, {"sample_weight": 1.0 + 2 * y}):
        convkit.set_seed(3)
        model = convkit.Sequential([layers.Input((3,)), layers.Dense(1, activation="sigmoid")])
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=3, verbose=0, shuffle=False, **weights)
        results.append(model.get_weights()[0])
    np.testing.assert_array_equal(*results)
    with pytest.raises(ValueError, match="class_weight needs one class per sample"):
        model.fit(x, y + 0.5, verbose=0, class_weight={0: 1.0})


class Excess(losses.Loss):
    """A user's loss: softplus(p - t), which punishes too much and forgives too little."""

    def emit(self, pred, labels, weights):
        """Emit it from ops."""
        difference = ops.add(pred, ops.affine(labels, -1.0, 0.0))
        return ops.mean_loss(ops.activation(difference, "softplus"), weights)

    def call(self, y_true, y_pred):
        """Compute the same of arrays."""
        return np.log1p(np.exp(y_pred - y_true)).mean(-1)


def test_a_loss_of_ones_own_from_ops(rng):
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    convkit.set_seed(2)
    layer = layers.Dense(2, dtype="float64")
    model = convkit.Sequential([layers.Input((4,), dtype="float64"), layer])
    model.compile("sgd", Excess())
    assert model.evaluate(x, y, verbose=0) == pytest.approx(Excess()(y, model.predict(x)))
    history = model.fit(x, y, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


class Quantile(losses.NumpyLoss):
    """A user's loss in NumPy: the pinball loss of the q-quantile."""

    def __init__(self, q=0.5, **options):
        super().__init__(**options)
        self.q = q

    def call(self, y_true, y_pred):
        """Compute it of rows."""
        gap = y_true - y_pred
        return np.maximum(self.q * gap, (self.q - 1) * gap).mean(-1)

    def gradient(self, y_true, y_pred):
        """Compute its derivative."""
        return np.where(y_true > y_pred, -self.q, 1 - self.q) / y_pred.shape[-1]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_loss_of_ones_own_in_numpy(reduction, rng):
    """Quantiles of 0.5 are half of absolute errors: the same steps, sample weights included."""
    x, y = rng.standard_normal((32, 4)), rng.standard_normal((32, 3))
    weights, found = rng.uniform(0.5, 2, 32), []
    for loss in (Quantile(reduction=reduction), losses.MeanAbsoluteError(reduction)):
        convkit.set_seed(2)
        model = convkit.Sequential(
            [layers.Input((4,), dtype="float64"), layers.Dense(3, dtype="float64")]
        )
        rate = 0.02 if isinstance(loss, Quantile) else 0.01
        model.compile(convkit.optimizers.SGD(rate), loss)
        total = model.evaluate(x, y, 32, sample_weight=weights, verbose=0)
        assert total == pytest.approx(loss(y, model.predict(x), weights), rel=1e-10)
        model.fit(x, y, 16, 3, 0, sample_weight=weights, shuffle=False)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    with pytest.raises(TypeError, match="must define gradient"):
        losses.NumpyLoss().gradient(y, y)
