"""Lesson 2: Flatten makes an image one row of a table, and each pixel gets a weight per digit."""

import numpy as np
from lesson import Lesson

import convkit
from convkit import layers, optimizers, utils, viz

lesson = Lesson(__doc__)
(x, y), _ = lesson.digits()
labels = utils.to_categorical(y)

# Once by hand, before the model ...
table = convkit.Sequential(
    [
        layers.Input(shape=[784]),
        layers.Dense(84, activation="swish"),
        layers.Dense(10, activation="softmax"),
    ]
)
# ... and once by a layer, inside of it.
X = layers.Input(shape=[28, 28])
H = layers.Flatten()(X)
H = layers.Dense(84, activation="swish")(H)
Y = layers.Dense(10, activation="softmax")(H)
image = convkit.Model(X, Y)

table.compile(loss="categorical_crossentropy", metrics="accuracy")
table.fit(x.reshape(len(x), 784), labels, epochs=lesson.epochs(5), verbose=0)
loss, accuracy = table.evaluate(x.reshape(len(x), 784), labels, verbose=0)
image.set_weights(table.get_weights())
print(f"84 learned features: {100 * accuracy:.1f} % of the training images right")
same = np.array_equal(table.predict(x[:5].reshape(5, 784)), image.predict(x[:5]))

# Without the hidden layer the digits are told apart by the 784 pixels alone. A pixel that speaks
# for a digit gets a large weight; ten pictures of 784 weights show which do.
pixels = convkit.Sequential(
    [
        layers.Input(shape=[28, 28]),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(10, activation="softmax", kernel_initializer="zeros"),
    ]
)
pixels.compile(optimizers.SGD(0.1), loss="categorical_crossentropy", metrics="accuracy")
history = pixels.fit(x, labels, epochs=lesson.epochs(5), verbose=0)
print(f"the pixels alone: {100 * history.history['accuracy'][-1]:.1f} %")
lesson.save(viz.class_weights(pixels.layers[-1], (28, 28)), "02_weights.png")

assert table.count_params() == image.count_params() == 66790
assert same, "reshaping and Flatten must be the same"
