"""Lesson 7: LeNet-5 on digits, stage by stage, with what it confuses."""

from lesson import Lesson

from convkit import layers, models, utils, viz

lesson = Lesson(__doc__)
(x, y), (x_test, y_test) = lesson.digits()

# LeNet read images of 32 x 32. These have 28 x 28, and C1's maps are to have 28 x 28 as well:
# padding="same" adds the frame.
X = layers.Input(shape=[28, 28, 1])
C1 = layers.Conv2D(6, kernel_size=5, padding="same", activation="swish", name="C1")(X)
S2 = layers.MaxPool2D(name="S2")(C1)
C3 = layers.Conv2D(16, kernel_size=5, activation="swish", name="C3")(S2)
S4 = layers.MaxPool2D(name="S4")(C3)
H = layers.Flatten()(S4)
H = layers.Dense(120, activation="swish")(H)
H = layers.Dense(84, activation="swish")(H)
Y = layers.Dense(10, activation="softmax")(H)
model = models.Model(X, Y)
model.compile(loss="categorical_crossentropy", metrics="accuracy")
model.summary()
history = model.fit(
    *(x, utils.to_categorical(y)),
    epochs=lesson.epochs(3),
    validation_data=(x_test, utils.to_categorical(y_test)),
    verbose=2,
)
chances = model.predict(x_test)

lesson.save(history.plot(), "07_curves.png")
lesson.save(model.plot_feature_maps(x_test[0]), "07_maps.png")
lesson.save(viz.confusion_matrix(y_test, chances), "07_confusion.png")
lesson.save(viz.predictions(x_test[:24], y_test[:24], chances[:24]), "07_predictions.png")
if (chances.argmax(axis=1) != y_test).any():
    lesson.save(viz.mistakes(x_test, y_test, chances), "07_mistakes.png")

maps = model.feature_maps(x_test[:1])
assert [maps[name].shape[1:] for name in ("C1", "S2", "C3", "S4")] == [
    *((28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16))
]
assert model.count_params() == 61706
