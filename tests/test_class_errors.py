"""The mistakes that students make: each error names the fix."""

import numpy as np
import pytest
from course import NETWORKS

import convkit
from convkit import layers, models

X = np.zeros((20, 28, 28), np.uint8)
NUMBERS = np.arange(20) % 10
ONE_HOT = np.eye(10, dtype=bool)[NUMBERS]


def compiled(name="pool", loss="categorical_crossentropy"):
    model = NETWORKS[name].sequential()
    model.compile(loss=loss, metrics="accuracy")
    return model


def fit(x, y, **options):
    return compiled(**options).fit(x, y, verbose=0)


def on_images():
    model = convkit.Sequential([layers.Input([28, 28, 1]), layers.Dense(10, activation="softmax")])
    model.compile(loss="categorical_crossentropy")
    return model.fit(X, ONE_HOT, verbose=0)


VALUES = {
    "misspelt loss": (
        lambda: compiled(loss="scategorical_crossentropy"),
        "unknown loss='scategorical_crossentropy'; did you mean 'categorical_crossentropy'",
    ),
    "class name of a loss": (
        lambda: compiled(loss="Categorical_Crossentropy"),
        "did you mean 'CategoricalCrossentropy'",
    ),
    "misspelt metric": (
        lambda: compiled().compile(loss="mse", metrics="accracy"),
        "did you mean 'accuracy'",
    ),
    "misspelt optimizer": (
        lambda: compiled().compile(optimizer="Addam", loss="mse"),
        "did you mean 'adam'",
    ),
    "misspelt activation": (lambda: layers.Dense(3, "swich"), "did you mean 'swish'"),
    "class numbers": (lambda: fit(X, NUMBERS), "to_categorical"),
    "2-D class numbers": (
        lambda: fit(X, NUMBERS.reshape(20, 1)),
        r"one-hot rows of shape \(20, 10\), got y of shape \(20, 1\).*to_categorical",
    ),
    "one-hot rows for the sparse loss": (
        lambda: fit(X, ONE_HOT, loss="sparse_categorical_crossentropy"),
        "one-hot rows go with loss='categorical_crossentropy'",
    ),
    "a class too few": (lambda: fit(X, ONE_HOT[:, :9]), "the model has 10 outputs"),
    "no Flatten": (on_images, r"one-hot rows of shape \(20, 28, 28, 10\).*add Flatten\(\)"),
    "missing channel axis": (
        lambda: layers.Conv2D(3, 5)(layers.Input([28, 28])),
        r"\(batch, height, width, channels\), got shape \(None, 28, 28\); add the channel axis",
    ),
    "flat images": (lambda: fit(X.reshape(20, 784), ONE_HOT), r"x.reshape\(-1, 28, 28, 1\)"),
    "other size": (lambda: fit(X[:, :25], ONE_HOT), r"got \(20, 25, 28\); axis 1 is 25, not 28"),
    "one sample": (lambda: compiled().predict(X[0]), r"for one sample pass x\[None\]"),
    "images of two sizes": (
        lambda: fit([X[0], X[1][:20]], ONE_HOT[:2]),
        r"x\[0\] has shape \(28, 28\) and x\[1\] has \(20, 28\); resize",
    ),
    "images of two sizes in an array": (
        lambda: fit(np.array([X[0], X[1][:20]], dtype=object), ONE_HOT[:2]),
        r"x\[0\] has shape \(28, 28\) and x\[1\] has \(20, 28\); resize",
    ),
    "fewer labels": (lambda: fit(X, ONE_HOT[:9]), "as many samples"),
    "Input of a number": (lambda: layers.Input(784), r"shape=\[784\]"),
    "pooled too often": (
        lambda: layers.Conv2D(3, 5)(layers.MaxPool2D(8)(layers.Input([28, 28, 1]))),
        "use padding='same'",
    ),
    "misspelt layer name": (lambda: compiled().get_layer("maxpooling2d"), "did you mean"),
    "never called": (lambda: layers.Dense(3).output, "call it on a tensor"),
}
TYPES = {
    "misspelt argument": (
        lambda: layers.Dense(84, activaation="swish"),
        "unknown argument activaation='swish'; did you mean 'activation'",
    ),
    "class names as labels": (
        lambda: fit(X, np.array(list("ABCDEFGHIJ"))[NUMBERS]),
        r"pandas.get_dummies\(y\)",
    ),
    "paths as images": (lambda: fit(["a.png", "b.png"], ONE_HOT[:2]), "read the pictures first"),
    "a layer as output": (
        lambda: models.Model(layers.Input([3]), layers.Dense(3)),
        r"call the layer on a tensor",
    ),
}
ATTRIBUTES = {
    "method": (lambda: compiled().summury(), "did you mean 'summary'"),
    "weights": (lambda: compiled().layers[0].kernal, "did you mean 'kernel'"),
    "layer": (lambda: layers.Maxpool2D, "did you mean 'MaxPool2D'"),
    "layer's capitals": (lambda: layers.conv2d, "did you mean 'Conv2D'"),
    "model": (lambda: models.sequential, "did you mean 'Sequential'"),
    "module": (lambda: convkit.layer, "did you mean 'layers'"),
    "data set": (lambda: convkit.datasets.mnst, "did you mean 'mnist'"),
}


@pytest.mark.parametrize("case", VALUES)
def test_wrong_values(case):
    with pytest.raises(ValueError, match=VALUES[case][1]):
        VALUES[case][0]()


@pytest.mark.parametrize("case", TYPES)
def test_wrong_types(case):
    with pytest.raises(TypeError, match=TYPES[case][1]):
        TYPES[case][0]()


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_wrong_attributes(case):
    with pytest.raises(AttributeError, match=ATTRIBUTES[case][1]) as caught:
        ATTRIBUTES[case][0]()
    assert "convkit" in str(caught.value) or "has no attribute" in str(caught.value)


def test_a_mistake_changes_nothing():
    model = compiled()
    before = model.get_weights()
    with pytest.raises(ValueError, match="as many samples"):
        model.fit(X, ONE_HOT[:9])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not hasattr(model, "nothing") and hasattr(model, "summary")
