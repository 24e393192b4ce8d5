"""Optimizers on arrays and in models against float64 twins of Keras's formulas."""

import numpy as np
import pytest
import reference_update as reference

import convkit
from convkit import layers, optimizers, schedules

O = optimizers  # noqa: E741
SHAPES = [(5,), (3, 3, 2, 70), (130, 3)]
# name -> (optimizer, twin, its numbers, whether it needs the step)
RULES = {
    "sgd": (O.SGD(0.1), reference.sgd, {"learning_rate": 0.1}, False),
    "momentum": (O.SGD(0.1, 0.9), reference.sgd, {"learning_rate": 0.1, "momentum": 0.9}, False),
    "nesterov": (
        *(O.SGD(0.1, 0.9, True), reference.sgd),
        *({"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}, False),
    ),
    "rmsprop": (O.RMSprop(), reference.rmsprop, {}, False),
    "rmsprop_momentum": (
        *(O.RMSprop(0.01, 0.8, 0.5), reference.rmsprop),
        *({"learning_rate": 0.01, "rho": 0.8, "momentum": 0.5}, False),
    ),
    "rmsprop_centered": (O.RMSprop(centered=True), reference.rmsprop_centered, {}, False),
    "adam": (O.Adam(), reference.adam, {}, True),
    "amsgrad": (O.Adam(amsgrad=True), reference.amsgrad, {}, True),
    "adamw": (O.AdamW(), reference.adamw, {}, True),
    "nadam": (O.Nadam(), reference.nadam, {}, True),
    "nadam_numbers": (
        *(O.Nadam(0.01, 0.8, 0.95, 1e-4), reference.nadam),
        *({"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4}, True),
    ),
    "adagrad": (O.Adagrad(), reference.adagrad, {}, False),
    "adamax": (O.Adamax(), reference.adamax, {}, True),
    "adamax_numbers": (
        *(O.Adamax(0.01, 0.8, 0.95, 1e-4), reference.adamax),
        *({"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4}, True),
    ),
    "adadelta": (O.Adadelta(), reference.adadelta, {}, False),
    "adadelta_numbers": (
        *(O.Adadelta(1.0, 0.9, 1e-4), reference.adadelta),
        *({"learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-4}, False),
    ),
    "lion": (O.Lion(), reference.lion, {}, False),
}


def fresh(optimizer):
    """Return an optimizer like it without its state."""
    return convkit._config.deserialize(convkit._config.serialize(optimizer))


@pytest.mark.parametrize("name", RULES)
def test_steps_on_arrays(name, dtype, threads, rng):
    optimizer, twin, numbers, needs_step = RULES[name]
    optimizer = fresh(optimizer)
    weights = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    expected = [w.astype(float) for w in weights]
    state = [() for _ in weights]
    if name == "adagrad":
        state = [(0.1,) for _ in weights]
    for step in range(1, 6):
        grads = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
        optimizer.apply_gradients(list(zip(grads, weights, strict=True)))
        for i, g in enumerate(grads):
            options = {**numbers, "step": step} if needs_step else numbers
            expected[i], *state[i] = twin(expected[i], g.astype(float), *state[i], **options)
    assert optimizer.iterations.value[0] == 5
    tolerance = 1e-11 if dtype == np.float64 else 3e-6
    for w, e in zip(weights, expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=tolerance, atol=tolerance)


def test_documented_values():
    """What Keras's documentation gives for one step on w = g = 10, and for x^2 / 2."""
    for optimizer, value in ((O.RMSprop(0.1), 9.683772), (O.Adam(0.1), 9.9), (O.SGD(0.1), 9.0)):
        w = np.array([10.0])
        optimizer.apply_gradients([(np.array([10.0]), w)])
        assert w[0] == pytest.approx(value, rel=1e-6)
    sgd, w = O.SGD(0.1, momentum=0.9), np.array([1.0])
    steps = []
    for _ in range(2):
        before = w.copy()
        sgd.apply_gradients([(w.copy(), w)])
        steps.append(float((before - w)[0]))
    assert steps == pytest.approx([0.1, 0.18])


def model_of(optimizer, seed=4):
    """Return a small model of two layers in float64, with data."""
    convkit.set_seed(seed)
    model = convkit.Sequential(
        [
            layers.Input((4,), dtype="float64"),
            layers.Dense(6, "tanh", dtype="float64", name="first"),
            layers.Dense(2, dtype="float64", name="last"),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def data(rng, count=24):
    """Return samples and targets."""
    return rng.standard_normal((count, 4)), rng.standard_normal((count, 2))


def gradients_of(model, x, y):
    """Return the gradients of all weights, from the step of plain SGD with rate 1."""
    twin = model_of(O.SGD(1.0))
    twin.set_weights(model.get_weights())
    twin.fit(x, y, batch_size=len(x), verbose=0)
    return [a - b for a, b in zip(model.get_weights(), twin.get_weights(), strict=True)]


@pytest.mark.parametrize("name", RULES)
def test_a_model_takes_the_same_steps(name, rng):
    optimizer, alone = fresh(RULES[name][0]), fresh(RULES[name][0])
    x, y = data(rng)
    model = model_of(optimizer)
    weights = model.get_weights()
    for _ in range(3):
        grads = gradients_of(model, x, y)
        alone.apply_gradients(list(zip(grads, weights, strict=True)))
        model.fit(x, y, batch_size=24, verbose=0)
        for w, e in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_allclose(w, e, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(4, 7), (70, 33), (3, 3, 5, 8), (1, 1, 2, 40), (5, 1), (300, 6)])
def test_muon_on_arrays(shape, dtype, threads, rng):
    for options in ({}, {"rms_rate": None, "weight_decay": None}):
        w, b = rng.standard_normal(shape).astype(dtype), rng.standard_normal(6).astype(dtype)
        expected, bias = w.astype(float), b.astype(float)
        optimizer = O.Muon(0.1, adam_lr_ratio=0.5, **options)
        state, bias_state = (), ()
        for step in range(1, 4):
            g, gb = (rng.standard_normal(a.shape).astype(dtype) for a in (w, b))
            optimizer.apply_gradients([(g, w), (gb, b)])
            numbers = {"learning_rate": 0.1, **options}
            numbers["weight_decay"] = numbers.get("weight_decay", 0.004) or 0.0
            expected, *state = reference.muon(expected, g.astype(float), *state, **numbers)
            bias, *bias_state = reference.adamw(
                bias, gb.astype(float), *bias_state, step=step, learning_rate=0.05
            )
        tolerance = 1e-10 if dtype == np.float64 else 2e-5
        np.testing.assert_allclose(w, expected, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(b, bias, rtol=tolerance, atol=tolerance)
        assert optimizer.iterations.value[0] == 3


def test_muon_brings_singular_values_near_one(rng):
    w = np.zeros((30, 12))
    optimizer = O.Muon(1.0, weight_decay=None, rms_rate=None)
    optimizer.apply_gradients([(rng.standard_normal(w.shape), w)])
    values = np.linalg.svd(w, compute_uv=False) / np.sqrt(30 / 12)
    assert 0.6 < values.min() < values.max() < 1.3
    assert optimizer.iterations.value[0] == 1


def test_muon_in_a_model(rng):
    x, y = rng.standard_normal((20, 5, 5, 2)), rng.standard_normal((20, 3))
    found = []
    for threads in (1, 2, 3):
        before = convkit.get_num_threads()
        convkit.set_num_threads(threads)
        convkit.set_seed(2)
        model = convkit.Sequential(
            [
                layers.Input((5, 5, 2), dtype="float64"),
                layers.Conv2D(4, 3, dtype="float64"),
                layers.Flatten(dtype="float64"),
                layers.Dense(3, dtype="float64", name="output"),
            ]
        )
        muon = O.Muon(0.02, exclude_layers=["output"], learning_rate_multipliers={"output": 0.5})
        model.compile(muon, "mse")
        start = model.get_weights()
        model.fit(x, y, batch_size=20, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
        convkit.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    model.set_weights(start)
    model.compile(O.SGD(1.0), "mse")
    model.fit(x, y, batch_size=20, verbose=0)
    grads = [a - b for a, b in zip(start, model.get_weights(), strict=True)]
    w, _ = reference.muon(start[0], grads[0], learning_rate=0.02)
    expected = [w, *(start[i] for i in (1, 2, 3))]
    for i, rate in ((1, 0.02), (2, 0.01), (3, 0.01)):
        expected[i], *_ = reference.adamw(start[i], grads[i], step=1, learning_rate=rate)
    for bytes_found, e in zip(found[0], expected, strict=True):
        np.testing.assert_allclose(np.frombuffer(bytes_found), e.ravel(), rtol=1e-7, atol=1e-9)
    assert int(muon.iterations.value[0]) == 1
    matrices = convkit.Sequential([layers.Input((4,)), layers.Dense(3, use_bias=False)])
    matrices.compile("muon", "mse")
    history = matrices.fit(x[:, 0, :2].reshape(20, 4), y, epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert int(matrices.optimizer.iterations.value[0]) == 30


def test_averages_of_weights(rng):
    x, y = data(rng)
    for frequency in (None, 2):
        options = {"ema_momentum": 0.8, "ema_overwrite_frequency": frequency}
        plain, model = O.SGD(0.1), model_of(O.SGD(0.1, use_ema=True, **options))
        w = model.get_weights()
        alone = [a.copy() for a in w]
        ema = O.SGD(0.1, use_ema=True, **options)
        average = None
        for step in range(1, 6):
            twin = model_of("sgd")
            twin.set_weights(w)
            grads = gradients_of(twin, x, y)
            plain.apply_gradients(list(zip(grads, w, strict=True)))
            ema.apply_gradients(list(zip(grads, alone, strict=True)))
            average = (
                [a.copy() for a in w]
                if average is None
                else [0.8 * a + 0.2 * b for a, b in zip(average, w, strict=True)]
            )
            if frequency and step % frequency == 0:
                w = [a.copy() for a in average]
            for a, b in zip(alone, w, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9)
        model.fit(np.tile(x, (5, 1)), np.tile(y, (5, 1)), 24, shuffle=False, verbose=0)
        for found, expected in zip(model.get_weights(), average, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def falling(step):
    """Go less and less far."""
    return 1 / step


@pytest.mark.parametrize("slow_step", [0.3, falling, schedules.PolynomialRamp(1, 0.1, 6, 2)])
def test_lookahead(rng, slow_step):
    x, y = data(rng)
    period = 3
    model = model_of(O.Lookahead(O.SGD(0.1, momentum=0.9), period, slow_step))
    w, plain = model.get_weights(), O.SGD(0.1, momentum=0.9)
    alone, wrapped = [a.copy() for a in w], O.Lookahead(O.SGD(0.1, momentum=0.9), period, slow_step)
    slow = [a.copy() for a in w]
    for step in range(1, 8):
        twin = model_of("sgd")
        twin.set_weights(w)
        grads = gradients_of(twin, x, y)
        plain.apply_gradients(list(zip(grads, w, strict=True)))
        wrapped.apply_gradients(list(zip(grads, alone, strict=True)))
        if step % period == 0:
            part = slow_step(step) if callable(slow_step) else slow_step
            slow = [s + part * (f - s) for s, f in zip(slow, w, strict=True)]
            for a, s in zip(w, slow, strict=True):
                a[...] = s
        for a, b in zip(alone, w, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)
    model.fit(np.tile(x, (7, 1)), np.tile(y, (7, 1)), 24, shuffle=False, verbose=0)
    for found, expected in zip(model.get_weights(), w, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert model.optimizer.learning_rate == 0.1
    model.optimizer.learning_rate = schedules.ConstantLearningRate(0.0)
    before = model.get_weights()
    if slow_step is not falling:
        again = fresh(model.optimizer)
        assert again.sync_period == 3 and again.optimizer.momentum == 0.9
    model.compile(O.Lookahead("sgd", 1, 0.0), "mse")
    model.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_learning_rates_and_decay_of_groups(rng):
    x, y = data(rng)
    sgd = O.SGD(
        *(0.1,),
        weight_decay=0.5,
        learning_rate_multipliers={"first/bias": 3.0, "^first": 0.0, "bias": 2.0},
    )
    sgd.exclude_from_weight_decay(var_names=["bias"])
    model = model_of(sgd)
    before, grads = model.get_weights(), gradients_of(model, x, y)
    model.fit(x, y, batch_size=24, verbose=0)
    expected = [
        before[0],
        before[1] - 0.3 * grads[1],
        before[2] * (1 - 0.05) - 0.1 * grads[2],
        before[3] - 0.2 * grads[3],
    ]
    for w, e in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-9, atol=1e-12)
    kernel = model.layers[1].variables[0]
    sgd.exclude_from_weight_decay(var_list=[kernel])
    model.compile(sgd, "mse")
    before, grads = model.get_weights(), gradients_of(model, x, y)
    model.fit(x, y, batch_size=24, verbose=0)
    np.testing.assert_allclose(model.get_weights()[2], before[2] - 0.1 * grads[2], rtol=1e-9)


def test_nadam_resumes_where_it_was(rng):
    """The product of momenta follows the step counter, also when that is set."""
    w, g = rng.standard_normal(4), rng.standard_normal((6, 4))
    one, twin = O.Nadam(0.1), w.copy()
    for row in g:
        one.apply_gradients([(row, twin)])
    other = O.Nadam(0.1)
    for row in g[:3]:
        other.apply_gradients([(row, w)])
    resumed = O.Nadam(0.1)
    resumed.iterations.value[0] = 3
    resumed._array_slots = other._array_slots
    for row in g[3:]:
        resumed.apply_gradients([(row, w)])
    np.testing.assert_allclose(w, twin, rtol=1e-12)


WRONG = [
    (lambda: O.get("adma"), ValueError, "did you mean 'adam'"),
    (lambda: O.SGD(-1), ValueError, "learning_rate must not be negative"),
    (lambda: O.SGD(momentum=2), ValueError, r"momentum must lie in \[0, 1\]"),
    (lambda: O.SGD(clipnorm=1, clipvalue=1), ValueError, "only one of clipnorm"),
    (lambda: O.SGD(0.1, ema_momentun=0.5), TypeError, "did you mean 'ema_momentum'"),
    (lambda: O.Adam(ema_momentum=2, use_ema=True), ValueError, "ema_momentum must lie in"),
    (lambda: O.Adam(ema_overwrite_frequency=0), ValueError, "ema_overwrite_frequency must be"),
    (lambda: O.Muon(clipnorm=1.0), TypeError, "clipnorm"),
    (lambda: O.Muon(ns_steps=0), ValueError, "ns_steps must be at least 1"),
    (lambda: O.Lion(beta_1=0), ValueError, r"beta_1 must lie in \(0, 1\]"),
    (lambda: O.Lookahead("sgd", 5, 1.5), ValueError, "slow_step_size must lie in"),
    (
        lambda: O.Lookahead("sgd", 5, lambda step: 2.0).before_step(),
        *(ValueError, r"slow_step_size\(step\) must lie in"),
    ),
    (lambda: O.Lookahead(O.SGD(use_ema=True)), ValueError, "must not average weights itself"),
    (
        lambda: O.SGD(learning_rate_multipliers={"bias": -1}),
        *(ValueError, r"learning_rate_multipliers\['bias'\] must not be negative"),
    ),
    (
        lambda: O.SGD().apply_gradients([(np.ones(2), np.ones(3))]),
        *(ValueError, "of their gradient's shape"),
    ),
    (
        lambda: O.SGD().apply_gradients([(np.ones(2), np.ones(2)), (np.ones(2), np.ones(2, "f"))]),
        *(ValueError, "one float type"),
    ),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_what_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_names_and_descriptions():
    for name, cls in O.NAMES.items():
        assert type(O.get(name)) is cls and type(O.get(name.upper())) is cls
    made = O.get({"class_name": "Adam", "config": {"beta_1": 0.5, "amsgrad": True}})
    assert made.beta_1 == 0.5 and made.amsgrad
    config = O.Nadam(schedules.StepDecay(0.1, 5), clipnorm=1.0, use_ema=True).get_config()
    assert config["learning_rate"]["class_name"] == "StepDecay" and config["use_ema"]
