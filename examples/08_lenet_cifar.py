"""Lesson 8: LeNet-5 on colour images; what tells digits apart is not enough for photographs."""

from lesson import Lesson

import convkit
from convkit import layers, utils, viz

lesson = Lesson(__doc__)
(x, y), (x_test, y_test), names = lesson.colours()
print("labels come as", y.shape, "and are wanted as rows of", len(names))
labels = utils.to_categorical(y.reshape(len(y)))

# The images have 32 x 32 already, as LeNet's had: padding="valid", and depth 3 for the colours.
model = convkit.Sequential(
    [
        layers.Input(shape=[32, 32, 3]),
        layers.Conv2D(6, kernel_size=5, activation="swish", name="C1"),
        layers.MaxPool2D(name="S2"),
        layers.Conv2D(16, kernel_size=5, activation="swish", name="C3"),
        layers.MaxPool2D(name="S4"),
        layers.Flatten(),
        layers.Dense(120, activation="swish"),
        layers.Dense(84, activation="swish"),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(loss="categorical_crossentropy", metrics="accuracy")
history = model.fit(x, labels, epochs=lesson.epochs(4), validation_split=0.1, verbose=2)
chances = model.predict(x_test)

lesson.save(history.plot(), "08_curves.png")
lesson.save(model.plot_filters(), "08_filters.png")
lesson.save(model.plot_feature_maps(x_test[0], names=names), "08_maps.png")
lesson.save(viz.confusion_matrix(y_test, chances, names), "08_confusion.png")
if (chances.argmax(axis=1) != y_test[:, 0]).any():
    lesson.save(viz.mistakes(x_test, y_test, chances, names), "08_mistakes.png")

assert model.layers[0].kernel.shape == (5, 5, 3, 6), "each filter looks at all three colours"
assert model.layers[0].output_shape == (None, 28, 28, 6), "and six filters make six maps"
assert model.count_params() == 62006
