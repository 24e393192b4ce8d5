"""Schedules against their formulas."""

import math

import numpy as np
import pytest

import convkit
from convkit import layers, optimizers, schedules


def cosine(share):
    """Fall from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * share))


S = schedules
VALUES = [
    (S.ConstantLearningRate(0.3), {0: 0.3, 10**6: 0.3}),
    (S.ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 * 0.5**0.5, 10: 0.05, 100: 0.1 / 2**10}),
    (S.ExponentialDecay(0.1, 10, 0.5, staircase=True), {9: 0.1, 10: 0.05, 29: 0.025}),
    (S.InverseTimeDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 / 1.25, 20: 0.05}),
    (S.InverseTimeDecay(0.1, 10, 0.5, staircase=True), {9: 0.1, 10: 0.1 / 1.5}),
    (S.StepDecay(0.1, 30), {0: 0.1, 29: 0.1, 30: 0.01, 60: 0.001}),
    (S.PolynomialDecay(0.1, 100), {0: 0.1, 50: 0.05005, 100: 1e-4, 500: 1e-4}),
    (S.PolynomialDecay(0.1, 100, 0.0, power=2.0), {50: 0.025}),
    (S.PolynomialDecay(0.1, 100, 0.0, cycle=True), {50: 0.05, 150: 0.025, 250: 0.1 / 6}),
    (S.CosineDecay(0.2, 100), {0: 0.2, 25: 0.2 * cosine(0.25), 50: 0.1, 100: 0.0, 1000: 0.0}),
    (S.CosineDecay(0.2, 100, alpha=0.1), {100: 0.02, 50: 0.2 * (0.9 * 0.5 + 0.1)}),
    (
        S.CosineDecay(0.0, 100, warmup_target=0.4, warmup_steps=10),
        {0: 0.0, 5: 0.2, 10: 0.4, 60: 0.2, 110: 0.0},
    ),
    (
        S.CosineDecayRestarts(0.2, 10, m_mul=0.5),
        {0: 0.2, 5: 0.1, 10: 0.1, 20: 0.05, 30: 0.05, 50: 0.025, 70: 0.025},
    ),
    (S.CosineDecayRestarts(0.2, 10, t_mul=1.0, alpha=0.5), {5: 0.15, 10: 0.2, 25: 0.15}),
    (S.PiecewiseConstantDecay([5, 8], [1.0, 0.1, 0.01]), {0: 1.0, 5: 1.0, 6: 0.1, 8: 0.1, 9: 0.01}),
    (S.OneCycle(0.4, 100), {0: 0.04, 25: 0.4, 100: 4e-5, 10: 0.4 * (0.1 + 0.9 * 0.4)}),
    (S.Triangular(0.4, 100), {0: 0.08, 25: 0.4, 100: 0.0, 500: 0.0, 62.5: 0.2}),
    (S.Triangular(0.4, 100, 0.1, 0.05, 0.0), {0: 0.4, 100: 0.02}),
    (S.PolynomialRamp(1.0, 0.2, 10, 3), {0: 1.0, 5: 0.9, 10: 0.2, 99: 0.2}),
    (S.WarmUp(S.CosineDecay(0.2, 100), 10), {0: 0.0, 5: 0.1, 10: 0.2, 60: 0.1}),
    (S.WarmUp(0.3, 3, start=0.1), {0: 0.1, 3: 0.3, 9: 0.3}),
]


@pytest.mark.parametrize(("schedule", "values"), VALUES, ids=lambda v: type(v).__name__)
def test_values(schedule, values):
    for step, value in values.items():
        assert schedule(step) == pytest.approx(value, rel=1e-9, abs=1e-12), step


@pytest.mark.parametrize("schedule", [s for s, _ in VALUES], ids=lambda s: type(s).__name__)
def test_a_description_gives_the_same_schedule(schedule):
    again = type(schedule).from_config(schedule.get_config())
    assert [again(step) for step in range(0, 120, 7)] == [
        schedule(step) for step in range(0, 120, 7)
    ]


def test_every_schedule_has_values_and_a_name():
    found = {type(s) for s, _ in VALUES}
    assert found == set(S.NAMES.values())
    assert optimizers.schedules is schedules
    assert schedules.get(0.1)(5) == 0.1
    described = {"class_name": "StepDecay", "config": {"initial_learning_rate": 1, "step_size": 2}}
    assert schedules.get(described)(2) == pytest.approx(0.1)


WRONG = [
    (lambda: S.CosineDecay(0.1, 0), "decay_steps must be positive, got decay_steps=0"),
    (lambda: S.ExponentialDecay(-1, 10, 0.5), "initial_learning_rate must not be negative"),
    (lambda: S.PiecewiseConstantDecay([1], [1.0]), "one more than boundaries"),
    (lambda: S.CosineDecayRestarts(0.1, 10, t_mul=0.5), "t_mul must be at least 1"),
    (lambda: S.OneCycle(0.1, 10, warmup=2), r"warmup must lie in \[0, 1\]"),
    (lambda: S.get("cosine_deacy"), "did you mean 'cosine_decay'"),
]


@pytest.mark.parametrize(("call", "words"), WRONG)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_model_follows_a_schedule_or_any_function(rng):
    x, y = rng.standard_normal((40, 3)), rng.integers(0, 2, 40)
    for schedule in (S.StepDecay(0.5, 4), lambda step: 0.5 if step < 4 else 0.05):
        model = convkit.Sequential([layers.Input((3,)), layers.Dense(2, activation="softmax")])
        model.compile(optimizers.SGD(schedule), "sparse_categorical_crossentropy")
        before = model.get_weights()
        model.fit(x, y, batch_size=10, verbose=0)
        assert model.optimizer.learning_rate == pytest.approx(0.05)
        changed = np.abs(model.get_weights()[0] - before[0]).max()
        model.fit(x, y, batch_size=10, verbose=0)
        assert np.abs(model.get_weights()[0] - before[0]).max() != changed
    with pytest.raises(TypeError, match="must define __call__"):
        S.LearningRateSchedule()(0)
