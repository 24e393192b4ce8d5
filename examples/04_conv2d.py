"""Lesson 4: filters are learned; each makes one feature map, and looks at all maps before it."""

from lesson import Lesson

from convkit import layers, models, utils, viz

lesson = Lesson(__doc__)
(x, y), _ = lesson.digits()
labels = utils.to_categorical(y)

X = layers.Input(shape=[28, 28, 1])
H = layers.Conv2D(3, kernel_size=5, activation="swish", name="conv_3")(X)
H = layers.Conv2D(6, kernel_size=5, activation="swish", name="conv_6")(H)
H = layers.Flatten()(H)
H = layers.Dense(84, activation="swish")(H)
Y = layers.Dense(10, activation="softmax")(H)
model = models.Model(X, Y)
model.compile(loss="categorical_crossentropy", metrics="accuracy")
model.summary()

first, second = model.layers[:2]
example = x[0]
lesson.save(model.plot_feature_maps(example), "04_maps_before.png")
lesson.save(viz.filters(second, title="conv_6 before training"), "04_filters_before.png")
# Raw pixels of 0..255 go in; the notebooks of the class do not scale them either.
model.fit(x, labels, epochs=lesson.epochs(2), verbose=2)
lesson.save(model.plot_feature_maps(example), "04_maps_after.png")
lesson.save(viz.filters(first, title="conv_3 after training"), "04_filters_first.png")
lesson.save(viz.filters(second, title="conv_6 after training"), "04_filters_after.png")

maps = model.feature_maps(x[:1])
print("the data:", maps["conv_3"].shape, "then", maps["conv_6"].shape)
print("the filters:", first.kernel.shape, "then", second.kernel.shape, "as (h, w, depth, filters)")

assert maps["conv_3"].shape == (1, 24, 24, 3), "28 - 5 + 1 = 24, and three filters"
assert maps["conv_6"].shape == (1, 20, 20, 6), "24 - 5 + 1 = 20, and six filters"
assert second.kernel.transpose(3, 0, 1, 2).shape == (6, 5, 5, 3), "depth 3: all maps before"
assert [layer.count_params() for layer in (first, second)] == [78, 456]
assert model.count_params() == 203068
