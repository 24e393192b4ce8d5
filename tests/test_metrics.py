"""Metrics against plain statements of their formulas, in batches and with weights."""

import numpy as np
import pytest
import reference

import convkit
from convkit import layers, losses, metrics

N, K = 60, 4


@pytest.fixture
def rows(rng):
    """Return (one-hot labels, probabilities, weights) of N samples."""
    pred = rng.dirichlet(np.ones(K), N)
    true = np.eye(K)[rng.integers(0, K, N)]
    return true, pred, rng.uniform(0.2, 2, N)


def in_batches(metric, true, pred, weights=None, size=23):
    """Return the result over batches, after what was there before is forgotten."""
    metric.update_state(true[:3], pred[:3])
    metric.reset_state()
    for i in range(0, len(true), size):
        part = slice(i, i + size)
        metric.update_state(true[part], pred[part], None if weights is None else weights[part])
    return metric.result()


def weighted_mean(values, weights):
    """Return the mean of values by sample."""
    return (values * weights).sum() / weights.sum()


def top_k(true, pred, k):
    """Return 1 where fewer than k predictions are larger than that of the right class."""
    own = (true * pred).sum(1, keepdims=True)
    return ((pred > own).sum(1) < k).astype(float)


MEANS = {
    metrics.CategoricalAccuracy: lambda t, p: t.argmax(1) == p.argmax(1),
    metrics.BinaryAccuracy: lambda t, p: ((p > 0.5) == (t > 0.5)).mean(1),
    metrics.TopKCategoricalAccuracy: lambda t, p: top_k(t, p, 5),
    metrics.MeanSquaredError: reference.LOSSES["mean_squared_error"],
    metrics.MeanAbsoluteError: reference.LOSSES["mean_absolute_error"],
    metrics.MeanSquaredLogarithmicError: reference.LOSSES["mean_squared_logarithmic_error"],
    metrics.LogCoshError: reference.LOSSES["log_cosh"],
    metrics.Poisson: reference.LOSSES["poisson"],
    metrics.Hinge: reference.LOSSES["hinge"],
    metrics.SquaredHinge: reference.LOSSES["squared_hinge"],
    metrics.BinaryCrossentropy: reference.LOSSES["binary_crossentropy"],
    metrics.CategoricalCrossentropy: reference.LOSSES["categorical_crossentropy"],
    metrics.CosineSimilarity: lambda t, p: (t * p).sum(1) / np.sqrt((p**2).sum(1)),
    metrics.CategoricalHinge: reference.LOSSES["categorical_hinge"],
}


@pytest.mark.parametrize("cls", MEANS)
def test_means_over_samples(cls, rows):
    true, pred, weights = rows
    values = MEANS[cls](true, pred)
    assert in_batches(cls(), true, pred) == pytest.approx(values.mean(), rel=1e-6)
    expected = weighted_mean(values, weights)
    assert in_batches(cls(), true, pred, weights) == pytest.approx(expected, rel=1e-6)
    assert cls().result() == 0.0


def test_class_numbers_and_one_hot_rows_agree(rows):
    true, pred, weights = rows
    numbers = true.argmax(1)
    for sparse, categorical in (
        (metrics.SparseCategoricalAccuracy(), metrics.CategoricalAccuracy()),
        (metrics.SparseTopKCategoricalAccuracy(k=2), metrics.TopKCategoricalAccuracy(k=2)),
        (metrics.SparseCategoricalCrossentropy(), metrics.CategoricalCrossentropy()),
        (metrics.Precision(), metrics.Precision()),
        (metrics.AUC(), metrics.AUC()),
        (metrics.F1Score("macro"), metrics.F1Score("macro")),
    ):
        expected = in_batches(categorical, true, pred, weights)
        assert in_batches(sparse, numbers, pred, weights) == pytest.approx(expected, rel=1e-12)
        assert in_batches(sparse, numbers[:, None], pred) == pytest.approx(
            in_batches(categorical, true, pred), rel=1e-12
        )
    assert in_batches(metrics.SparseTopKCategoricalAccuracy(2), numbers, pred) == pytest.approx(
        top_k(true, pred, 2).mean()
    )


def test_others(rng):
    a = metrics.Accuracy()
    assert a([[1], [2], [3], [4]], [[0], [2], [3], [4]]) == 0.75
    a.reset_state()
    assert a([[1], [2], [3], [4]], [[0], [2], [3], [4]], [1, 1, 0, 0]) == 0.5
    root = metrics.RootMeanSquaredError()
    assert root([[0, 1], [0, 0]], [[1, 1], [0, 0]]) == pytest.approx(0.5)
    percent = metrics.MeanAbsolutePercentageError()
    assert percent([2.0, 4.0], [1.0, 5.0]) == pytest.approx(37.5)
    kl = metrics.KLDivergence()
    assert kl([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]) == pytest.approx(0.45814306)
    mean, total = metrics.Mean(), metrics.Sum()
    for m in (mean, total):
        m.update_state([1, 3, 5, 7])
        m.update_state(2.0)
    assert mean.result() == 3.6 and total.result() == 18
    assert metrics.Mean()([1, 3, 5, 7], sample_weight=[1, 1, 0, 0]) == 2.0


def test_precision_and_recall(rng):
    true, pred = rng.integers(0, 2, N), rng.random(N)
    weights = rng.random(N)
    for t in (0.5, 0.3):
        positive = pred > t
        tp, fp = (
            (weights * (positive & (true == 1))).sum(),
            (weights * (positive & (true == 0))).sum(),
        )
        fn, tn = (
            (weights * (~positive & (true == 1))).sum(),
            (weights * (~positive & (true == 0))).sum(),
        )
        for cls, expected in (
            (metrics.Precision, tp / (tp + fp)),
            (metrics.Recall, tp / (tp + fn)),
            *((metrics.TruePositives, tp), (metrics.FalsePositives, fp)),
            *((metrics.TrueNegatives, tn), (metrics.FalseNegatives, fn)),
        ):
            found = in_batches(cls(t if t != 0.5 else None), true, pred, weights)
            assert found == pytest.approx(expected, rel=1e-12)
    both = in_batches(metrics.Precision([0.3, 0.5]), true, pred)
    single = [in_batches(metrics.Precision(t), true, pred) for t in (0.3, 0.5)]
    np.testing.assert_allclose(both, single)
    assert metrics.Precision().result() == 0.0
    # Keras's documentation.
    assert metrics.Precision()([0, 1, 1, 1], [1, 0, 1, 1]) == pytest.approx(2 / 3)
    assert metrics.Precision(top_k=2)([0, 0, 1, 1], [1, 1, 1, 1]) == 0.5
    assert metrics.Recall(top_k=1, class_id=1)([[0, 1], [1, 0]], [[0.4, 0.6], [0.3, 0.7]]) == 1.0


def test_f1_scores(rows):
    true, pred, weights = rows
    chosen = np.eye(K)[pred.argmax(1)]
    w = weights[:, None]
    tp, fp = (w * true * chosen).sum(0), (w * (1 - true) * chosen).sum(0)
    fn = (w * true * (1 - chosen)).sum(0)
    scores = 2 * tp / (2 * tp + fp + fn)
    shares = (w * true).sum(0) / (w * true).sum()
    micro = 2 * tp.sum() / (2 * tp + fp + fn).sum()
    expected = {"macro": scores.mean(), "weighted": (scores * shares).sum(), "micro": micro}
    for average, value in expected.items():
        found = in_batches(metrics.F1Score(average), true, pred, weights)
        assert found == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(
        in_batches(metrics.F1Score(), true, pred, weights), scores, rtol=1e-5
    )
    # Keras's documentation.
    y_true = [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    y_pred = [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]]
    np.testing.assert_allclose(
        metrics.F1Score(threshold=0.5)(y_true, y_pred), [0.5, 0.8, 2 / 3], 1e-5
    )
    found = metrics.FBetaScore(beta=2.0, threshold=0.5)(y_true, y_pred)
    np.testing.assert_allclose(found, [0.3846154, 0.90909094, 0.8333333], rtol=1e-5)


def pairs_in_order(true, pred, weights):
    """Return the ROC area as a probability: a one is above a zero; ties count half."""
    above = pred[true == 1][:, None] - pred[true == 0][None, :]
    w = weights[true == 1][:, None] * weights[true == 0][None, :]
    return (w * ((above > 0) + 0.5 * (above == 0))).sum() / w.sum()


def test_auc(rng):
    true = rng.integers(0, 2, 300)
    # Multiples of 1/50 between thresholds at odd multiples of 1/100: the counts are exact.
    pred = np.clip(np.round(50 * (0.3 * true + 0.7 * rng.random(300))) / 50, 0, 1)
    weights = rng.uniform(0.5, 2, 300)
    thresholds = (np.arange(50) + 0.5) / 50
    exact = pairs_in_order(true, pred, weights)
    area = metrics.AUC(thresholds=thresholds)
    assert in_batches(area, true, pred, weights) == pytest.approx(exact, rel=1e-10)
    assert in_batches(metrics.AUC(), true, pred, weights) == pytest.approx(exact, abs=0.02)
    logits = np.log((pred + 1e-9) / (1 - pred + 1e-9))
    found = in_batches(metrics.AUC(thresholds=thresholds, from_logits=True), true, logits, weights)
    assert found == pytest.approx(exact, rel=1e-6)
    columns = np.stack([true, 1 - true], 1), np.stack([pred, pred], 1)
    found = in_batches(metrics.AUC(thresholds=thresholds, multi_label=True), *columns)
    exact = pairs_in_order(true, pred, np.ones(300))
    assert found == pytest.approx((exact + 1 - exact) / 2, rel=1e-10)


# The first two are Keras's documentation's; the others follow from the counts by hand.
@pytest.mark.parametrize(
    ("options", "weights", "area"),
    [
        ({}, None, 0.75),
        ({}, [1, 0, 0, 1], 1.0),
        ({"summation_method": "minoring"}, [1, 2, 3, 4], 4 / 7),
        ({"summation_method": "majoring"}, [1, 2, 3, 4], 1.0),
        ({"curve": "PR"}, [1, 2, 3, 4], 0.91661296),
        ({"curve": "PR", "summation_method": "minoring"}, [1, 2, 3, 4], 0.7 * 3 / 7),
        ({"curve": "PR", "summation_method": "majoring"}, [1, 2, 3, 4], 1.0),
    ],
)
def test_documented_areas(options, weights, area):
    found = metrics.AUC(3, **options)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9], weights)
    assert found == pytest.approx(area, rel=1e-5)


def test_confusion_matrices(rows):
    true, pred, weights = rows
    expected = np.zeros((K, K))
    for t, p, w in zip(true.argmax(1), pred.argmax(1), weights, strict=True):
        expected[t, p] += w
    found = in_batches(metrics.ConfusionMatrix(K), true, pred, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    counts = metrics.confusion_matrix([0, 1, 2, 1], [0, 2, 2, 1])
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 1], [0, 0, 1]])
    assert counts.dtype == np.int64
    assert in_batches(metrics.ConfusionMatrix(K), true.argmax(1), pred).sum() == N


def overlap(true, pred, weights, classes):
    """Return the mean of intersection over union of the classes that occur."""
    found = []
    for c in classes:
        union = weights[(true == c) | (pred == c)].sum()
        if union:
            found.append(weights[(true == c) & (pred == c)].sum() / union)
    return np.mean(found)


def test_intersection_over_union(rng):
    true, pred = rng.integers(0, 3, (6, 4, 5)), rng.integers(0, 3, (6, 4, 5))
    weights = rng.uniform(0.2, 2, 6)
    by_pixel = np.broadcast_to(weights[:, None, None], true.shape)
    ones = np.ones(true.shape)
    found = in_batches(metrics.MeanIoU(5), true, pred, size=4)
    assert found == pytest.approx(overlap(true, pred, ones, range(3)))
    found = in_batches(metrics.MeanIoU(3), true, pred, weights, size=4)
    assert found == pytest.approx(overlap(true, pred, by_pixel, range(3)))
    found = in_batches(metrics.IoU(3, [0, 2]), true, pred)
    assert found == pytest.approx(overlap(true, pred, ones, [0, 2]))
    void = np.where(rng.random(true.shape) < 0.3, 255, true)
    found = in_batches(metrics.MeanIoU(3, ignore_class=255), void, pred, weights)
    kept = void != 255
    assert found == pytest.approx(overlap(void[kept], pred[kept], by_pixel[kept], range(3)))
    outputs = rng.random((6, 4, 5, 3))
    rows = metrics.MeanIoU(3, sparse_y_true=False, sparse_y_pred=False)
    expected = overlap(true, outputs.argmax(-1), ones, range(3))
    assert in_batches(rows, np.eye(3)[true], outputs) == pytest.approx(expected)
    first = metrics.MeanIoU(3, sparse_y_pred=False, axis=1)
    found = in_batches(first, true, np.moveaxis(outputs, -1, 1))
    assert found == pytest.approx(expected)
    # Values that Keras's documentation gives.
    assert metrics.MeanIoU(2)([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(1 / 3)
    assert metrics.MeanIoU(2)([0, 0, 1, 1], [0, 1, 0, 1], [0.3, 0.3, 0.3, 0.1]) == pytest.approx(
        0.2380952
    )
    assert metrics.MeanIoU(2).result() == 0.0


class Nothing(metrics.Metric):
    """A metric that counts nothing."""

    def reset_state(self):
        pass


WRONG = [
    (lambda: metrics.get("presision"), ValueError, "did you mean 'precision'"),
    (lambda: metrics.get("accurcy"), ValueError, "did you mean 'accuracy'"),
    (lambda: metrics.get(7), TypeError, "metrics must be a string, got metrics=7"),
    (lambda: metrics.Precision(1.5), ValueError, r"thresholds must lie in \[0, 1\]"),
    (lambda: metrics.Precision(class_id=3)([0, 1], [0, 1]), ValueError, "class_id must be below"),
    (lambda: metrics.F1Score("mean"), ValueError, "unknown average='mean'"),
    (lambda: metrics.FBetaScore(beta=0), ValueError, "beta must be positive"),
    (lambda: metrics.AUC(curve="roc"), ValueError, "unknown curve='roc'"),
    (lambda: metrics.AUC()([0, 1], [0, 2.0]), ValueError, "from_logits=True"),
    (lambda: metrics.confusion_matrix([0], [3], 2), ValueError, r"must lie in \[0, 2\)"),
    (lambda: metrics.IoU(3, [0, 3]), ValueError, "numbers below num_classes=3"),
    (lambda: metrics.IoU(3, []), ValueError, "target_class_ids must be numbers"),
    (lambda: metrics.IoU(3, 1), ValueError, "target_class_ids must be numbers"),
    (lambda: metrics.MeanIoU(2)([0, 1], [0.2, 0.7]), ValueError, "pass sparse_y_pred=False"),
    (lambda: metrics.MeanIoU(2)([0, 255], [0, 1]), ValueError, "values from 0 to 255; ignore_"),
    (lambda: metrics.MeanIoU(2)([0, 1], [0]), ValueError, "as many labels as predictions"),
    (lambda: metrics.confusion_matrix([0, 1], [1]), ValueError, "must be as many"),
    (lambda: metrics.MeanSquaredError()([[1, 2]], [[1], [2]]), ValueError, "y_pred's shape"),
    (lambda: metrics.Metric(), TypeError, "must define reset_state"),
    (lambda: Nothing().update_state([1], [1]), TypeError, "Nothing must define update_state"),
    (lambda: Nothing().result(), TypeError, "Nothing must define result"),
    (lambda: metrics.MeanMetric()([1], [1]), TypeError, r"must define values\(y_true, y_pred\)"),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_what_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


# ---- in models -----------------------------------------------------------------------------------


def test_names():
    for name, cls in metrics.NAMES.items():
        found = metrics.get(name)
        assert isinstance(found, cls) and found.name == name
    assert metrics.KLDivergence().name == "kl_divergence" and metrics.AUC().name == "auc"
    assert metrics.get(metrics.Recall).name == "recall"
    assert isinstance(metrics.get({"class_name": "AUC", "config": {"curve": "PR"}}), metrics.AUC)


@pytest.mark.parametrize(
    ("loss", "outputs", "accuracy", "crossentropy"),
    [
        *[("binary_crossentropy", 1, metrics.BinaryAccuracy, metrics.BinaryCrossentropy)],
        (
            *("sparse_categorical_crossentropy", 3),
            *(metrics.SparseCategoricalAccuracy, metrics.SparseCategoricalCrossentropy),
        ),
        (
            *("categorical_crossentropy", 3),
            *(metrics.CategoricalAccuracy, metrics.CategoricalCrossentropy),
        ),
    ],
)
def test_accuracy_follows_labels_and_outputs(loss, outputs, accuracy, crossentropy):
    kind = losses.get(loss).label_kind
    for name in ("accuracy", "acc"):
        found = metrics.get(name, kind, outputs)
        assert type(found) is accuracy and found.name == name
    assert type(metrics.get("crossentropy", kind, outputs)) is crossentropy


def spread(y_true, y_pred):
    """A user's metric: how far apart predictions lie, by sample."""
    return y_pred.max(-1) - y_pred.min(-1)


class LargestError(metrics.Metric):
    """A user's metric that is no mean."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Keep the largest."""
        self._largest = max(self._largest, np.abs(y_true - y_pred).max())

    def result(self):
        """Return the largest."""
        return float(self._largest)

    def reset_state(self):
        """Forget it."""
        self._largest = 0.0


def test_metrics_of_ones_own(rng):
    x, y = rng.standard_normal((50, 3)).astype(np.float32), np.eye(3)[rng.integers(0, 3, 50)]
    model = convkit.Sequential([layers.Input((3,)), layers.Dense(3, activation="softmax")])
    model.compile(
        *("sgd", "categorical_crossentropy"),
        [spread, LargestError(), metrics.AUC(name="area"), losses.mean_squared_error, "mae"],
    )
    history = model.fit(x, y, validation_data=(x, y), epochs=2, verbose=0).history
    names = ["loss", "spread", "largest_error", "area", "mean_squared_error", "mae"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    p = model.predict(x)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["spread"] == pytest.approx((p.max(1) - p.min(1)).mean(), rel=1e-6)
    assert found["largest_error"] == pytest.approx(np.abs(y - p).max(), rel=1e-6)
    assert found["mean_squared_error"] == pytest.approx(((y - p) ** 2).mean(), rel=1e-6)
    assert history["val_area"][-1] == found["area"]


def test_a_metric_may_keep_the_predictions(rng):
    x, y, seen = rng.random((8, 3)).astype(np.float32), rng.random((8, 2)), []

    def metric(y_true, y_pred):
        seen.append(y_pred)
        return np.abs(y_true - y_pred)

    model = convkit.Sequential([layers.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[metric])
    model.evaluate(x, y, batch_size=4, verbose=0)
    np.testing.assert_allclose(np.concatenate(seen), model.predict(x), rtol=1e-6)


def test_a_loss_as_a_metric_needs_the_loss():
    from convkit.metrics import regression

    with pytest.raises(TypeError, match="Half must define _loss"):
        type("Half", (regression._LossMetric,), {})()._loss()
