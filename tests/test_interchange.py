"""Weights go to PyTorch and Keras and come back: the same network predicts the same there."""

import os
import sys
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import convkit
from convkit import FormatError, interchange, layers
from convkit.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    ReLU,
    Reshape,
)


def randomize(model, rng):
    """Give every weight, and every statistic, a value of its own."""
    model.set_weights([rng.random(w.shape) * 0.4 + 0.02 for w in model.get_weights()])
    return model


def vgg_like():
    """A chain in which everything must be converted: filters, groups, norms, a flat norm."""
    return convkit.Sequential(
        [
            Input((9, 8, 3)),
            Conv2D(4, (3, 2), activation="relu"),
            BatchNormalization(epsilon=1e-5),
            Conv2D(6, 3, padding=1, groups=2, use_bias=False),
            MaxPooling2D(),
            DepthwiseConv2D(3, depth_multiplier=2),
            Flatten(),
            BatchNormalization(epsilon=1e-5),
            Dropout(0.5),
            ReLU(),
            Dense(5, activation="tanh"),
            Dense(3),
        ]
    )


def torch_vgg_like(torch):
    nn = torch.nn
    return nn.Sequential(
        *(nn.Conv2d(3, 4, (3, 2)), nn.ReLU(), nn.BatchNorm2d(4)),
        *(nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 12, 3, groups=6), nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5)),
        *(nn.ReLU(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3)),
    ).eval()


# ---- PyTorch -----------------------------------------------------------------------------------


def test_the_same_network_predicts_the_same_in_pytorch(rng, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_tensors

    x = rng.random((5, 9, 8, 3), np.float32)
    there = torch_vgg_like(torch)
    with torch.no_grad():
        for tensor in there.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(rng.random(tuple(tensor.shape)) * 0.4 + 0.02))
        expected = there(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    here = vgg_like()
    interchange.load_torch(here, there.state_dict())
    np.testing.assert_allclose(here.predict(x), expected, rtol=1e-5)

    save_tensors(there.state_dict(), tmp_path / "w.safetensors")
    again = vgg_like()
    interchange.load_torch(again, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again.predict(x), here.predict(x))

    randomize(here, rng)
    state = interchange.to_torch(here, like=there.state_dict())
    there.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    with torch.no_grad():
        found = there(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(found, here.predict(x), rtol=1e-5)


def test_a_decoder_predicts_the_same_in_pytorch(rng):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    there = nn.Sequential(
        *(nn.Linear(4, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Unflatten(1, (4, 2, 3))),
        nn.Conv2d(4, 2, 1),
    ).eval()
    here = convkit.Sequential(
        [Input((4,)), Dense(24), BatchNormalization(epsilon=1e-5), ReLU(), Reshape((2, 3, 4))]
    )
    here.add(Conv2D(2, 1))
    randomize(here, rng)
    state = interchange.to_torch(here, like=there.state_dict())
    there.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    x = rng.random((3, 4), np.float32)
    with torch.no_grad():
        found = there(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), here.predict(x), rtol=1e-5)


def test_filters_and_flat_features_by_hand(rng):
    """The same without PyTorch: one filter, then a product with the image in (C, H, W) order."""
    model = convkit.Sequential([Input((3, 3, 2)), Conv2D(2, 2), Flatten(), Dense(3)])
    w, b = rng.random((2, 2, 2, 2)), rng.random(2)
    matrix = rng.random((3, 8))
    interchange.load_torch(
        model, {"c.weight": w, "c.bias": b, "d.weight": matrix, "d.bias": np.zeros(3)}
    )
    x = rng.random((1, 3, 3, 2), np.float32)
    image = x[0].transpose(2, 0, 1)
    maps = np.zeros((2, 2, 2))
    for k, i, j in np.ndindex(2, 2, 2):
        maps[k, i, j] = (w[k] * image[:, i : i + 2, j : j + 2]).sum() + b[k]
    np.testing.assert_allclose(model.predict(x)[0], matrix @ maps.reshape(-1), rtol=1e-5)


def branched():
    """Flat branches that are joined, a model within, and a layer used twice."""
    x = Input((4, 4, 2))
    conv = Conv2D(2, 3, padding="same", name="conv")
    inner = convkit.Sequential([Input((4, 4, 2)), conv, MaxPooling2D(), Flatten()], name="inner")
    pooled = GlobalAveragePooling2D()(x)
    flat = Concatenate()([inner(x), pooled, Flatten()(conv(x))])
    return convkit.Model(x, Dense(3, name="head")(BatchNormalization(name="norm")(flat)))


@pytest.mark.parametrize("make", [vgg_like, branched])
def test_there_and_back(make, rng, tmp_path):
    model, other = randomize(make(), rng), make()
    state = interchange.to_torch(model)
    assert all(value.flags.c_contiguous and value.flags.owndata for value in state.values())
    interchange.load_torch(other, state)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    third = make()
    interchange.save_torch(model, tmp_path / "w.safetensors")
    assert sorted(load_file(tmp_path / "w.safetensors")) == sorted(state)
    interchange.load_torch(third, tmp_path / "w.safetensors")
    for a, b in zip(model.get_weights(), third.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_joined_flat_tensors_keep_their_places(rng):
    model = randomize(branched(), rng)
    kernel = model.get_layer("head").kernel
    matrix = interchange.to_torch(model)["head.weight"]
    inner = np.arange(8).reshape(2, 2, 2).transpose(1, 2, 0).reshape(-1)
    flat = np.arange(32).reshape(2, 4, 4).transpose(1, 2, 0).reshape(-1)
    order = np.concatenate([inner, [8, 9], 10 + flat])
    np.testing.assert_array_equal(matrix[:, order], kernel.T)


def test_names_of_modules_can_be_given(rng):
    model = convkit.Sequential([Input((2,)), Dense(2, name="a"), Dense(2, name="b")])
    state = {
        f"{m}.{k}": rng.random((2, 2) if k == "weight" else 2)
        for m in "pq"
        for k in ("weight", "bias")
    }
    interchange.load_torch(model, state, layers={"a": "q", "b": "p"})
    np.testing.assert_array_equal(
        model.get_layer("a").kernel, state["q.weight"].T.astype(np.float32)
    )
    back = interchange.to_torch(model, like=state, layers={"a": "q", "b": "p"})
    np.testing.assert_allclose(back["p.weight"], state["p.weight"], rtol=1e-6)
    with pytest.raises(ValueError, match=r"not in the model: \['x'\], not given: \['a'\]"):
        interchange.load_torch(model, state, layers={"x": "q", "b": "p"})


def test_what_does_not_fit_is_shown_layer_by_layer(rng, tmp_path):
    model = convkit.Sequential([Input((2,)), Dense(3, name="a"), Dense(2, name="b")])
    before = model.get_weights()
    state = {"f.0.weight": np.ones((3, 2)), "f.0.bias": np.ones(3), "f.1.weight": np.ones((2, 2))}
    with pytest.raises(ValueError) as raised:
        interchange.load_torch(model, state)
    text = str(raised.value)
    assert "   a {'weight': (3, 2), 'bias': (3,)}: f.0 {'weight': (3, 2), 'bias': (3,)}" in text
    assert "-> b {'weight': (2, 3), 'bias': (2,)}: f.1 {'weight': (2, 2)}" in text
    with pytest.raises(ValueError, match=r"b .*: nothing"):
        interchange.load_torch(model, {k: v for k, v in state.items() if "0" in k})
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match=r"pickle.*save_file"):
        interchange.load_torch(model, "weights.pth")
    with pytest.raises(TypeError, match=r"a.weight must be an array of numbers"):
        interchange.load_torch(model, {"a.weight": np.array(["x"])})
    (tmp_path / "w.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(FormatError, match="not a file of arrays"):
        interchange.load_torch(model, tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError):
        interchange.load_torch(model, tmp_path / "absent.safetensors")
    save_file({"x": np.ones(3)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="neither names nor shapes tell"):
        interchange.load_torch(model, tmp_path / "x.safetensors")


def test_files_do_not_keep_the_order(tmp_path, rng):
    def chain(first):
        return convkit.Sequential([Input((2,)), *[Dense(2) for _ in range(12)], Dense(first)])

    model = randomize(chain(3), rng)
    state = interchange.to_torch(model)
    numbered = {}
    for i, (name, value) in enumerate(state.items()):
        numbered[f"net.{i // 2}.{name.rpartition('.')[2]}"] = value
    save_file(numbered, tmp_path / "numbered.safetensors")
    again = chain(3)
    interchange.load_torch(again, tmp_path / "numbered.safetensors")
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    lettered = {name.replace("net.1.", "net.b."): value for name, value in numbered.items()}
    save_file(lettered, tmp_path / "lettered.safetensors")
    with pytest.raises(ValueError, match=r"neither names nor shapes tell.*pass layers="):
        interchange.load_torch(again, tmp_path / "lettered.safetensors")


class Biased(layers.Layer):
    """A layer that PyTorch does not know."""

    def build(self, input_shape):
        """Make a weight."""
        self._offset = self.add_weight("offset", input_shape[1:], "zeros")

    def call(self, x, training):
        """Do nothing."""
        return x


def test_layers_and_orders_that_pytorch_does_not_have():
    with pytest.raises(ValueError, match=r"Biased 'b' has the weight 'offset'"):
        interchange.to_torch(convkit.Sequential([Input((2,)), Biased(name="b")]))
    x = Input((2, 2, 2))
    flat = layers.Add()([Flatten()(x), Dense(8)(Flatten()(x))])
    with pytest.raises(ValueError, match="another order"):
        interchange.to_torch(convkit.Model(x, Dense(2)(flat)))


# ---- Keras -------------------------------------------------------------------------------------


def small():
    return convkit.Sequential(
        [
            Input((6, 6, 2)),
            Conv2D(3, 3, name="first"),
            BatchNormalization(),
            DepthwiseConv2D(3, depth_multiplier=2),
            Conv2D(2, 1),
            Flatten(),
            Dense(4),
        ],
        name="small",
    )


KERAS_3 = {  # as Keras 3 writes it
    "layers/conv2d": [(3, 3, 2, 3), (3,)],
    "layers/batch_normalization": [(3,)] * 4,
    "layers/depthwise_conv2d": [(3, 3, 3, 2), (6,)],
    "layers/conv2d_1": [(1, 1, 6, 2), (2,)],
    "layers/flatten": [],
    "layers/dense": [(8, 4), (4,)],
}


def write_keras_3(path, arrays):
    with h5py.File(path, "w") as file:
        for place, values in arrays.items():
            group = file.create_group(f"{place}/vars")
            for i, value in enumerate(values):
                group[str(i)] = value


@pytest.fixture
def keras_arrays(rng):
    """Return random arrays by place."""
    return {
        place: [rng.random(shape, np.float32) for shape in shapes]
        for place, shapes in KERAS_3.items()
    }


def assert_loaded(model, arrays):
    flat = [value for values in arrays.values() for value in values]
    for weight, value in zip(model.get_weights(), flat, strict=True):
        np.testing.assert_array_equal(weight.reshape(value.shape), value)


def test_files_of_keras_3(tmp_path, keras_arrays, rng):
    path = tmp_path / "k.weights.h5"
    write_keras_3(path, keras_arrays)
    model = small()
    interchange.load_keras(model, path)
    assert_loaded(model, keras_arrays)
    with zipfile.ZipFile(tmp_path / "k.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.write(path, "model.weights.h5")
    again = small()
    interchange.load_keras(again, tmp_path / "k.keras")
    assert_loaded(again, keras_arrays)


def test_files_of_keras_2(tmp_path, keras_arrays):
    with h5py.File(tmp_path / "k.h5", "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [place.encode() for place in keras_arrays]
        for place, values in keras_arrays.items():
            names = [f"x/{i}:0" for i in range(len(values))]
            group = root.create_group(place)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, values, strict=True):
                group[name] = value
    model = small()
    interchange.load_keras(model, tmp_path / "k.h5")
    assert_loaded(model, keras_arrays)
    smaller = convkit.Sequential([Input((4,)), Dense(2)])
    with pytest.raises(ValueError, match="the model has 1 layers with weights, the file 5"):
        interchange.load_keras(smaller, tmp_path / "k.h5")


def test_written_for_keras_and_read_again(tmp_path, rng):
    model, other = randomize(small(), rng), small()
    path = tmp_path / "m.weights.h5"
    interchange.save_keras_weights(model, path)
    with h5py.File(path) as file:
        assert file["layers/conv2d/vars"].attrs["name"] == "first"
        shapes = {
            f"layers/{name}": [v.shape for v in group["vars"].values()]
            for name, group in file["layers"].items()
        }
    assert shapes == KERAS_3
    interchange.load_keras(other, path)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        interchange.save_keras_weights(model, tmp_path / "m.h5")


def test_keras_files_that_do_not_fit(tmp_path, keras_arrays, rng):
    path = tmp_path / "k.weights.h5"
    model = small()
    before = model.get_weights()
    write_keras_3(path, keras_arrays | {"layers/dense": keras_arrays["layers/dense"][:1]})
    with pytest.raises(ValueError, match=r"'dense.*needs 2 arrays, the file has 1 arrays"):
        interchange.load_keras(model, path)
    write_keras_3(path, {k: v for k, v in keras_arrays.items() if k != "layers/conv2d_1"})
    with pytest.raises(ValueError, match=r"has nothing at 'layers/conv2d_1/vars'"):
        interchange.load_keras(model, path)
    write_keras_3(path, keras_arrays | {"layers/dense": [rng.random((4, 8)), rng.random(4)]})
    with pytest.raises(ValueError, match=r"needs arrays of shapes \[\(8, 4\), \(4,\)\]"):
        interchange.load_keras(model, path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keras_files_that_are_damaged_or_hostile(tmp_path, keras_arrays):
    path = tmp_path / "k.weights.h5"
    model = small()
    write_keras_3(path, keras_arrays)
    good = path.read_bytes()
    for data in (b"", b"PK\x03\x04 no archive", good[:100], good[: len(good) // 2]):
        path.write_bytes(data)
        with pytest.raises(FormatError):
            interchange.load_keras(model, path)
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(FormatError, match=r"without model.weights.h5"):
        interchange.load_keras(model, tmp_path / "empty.keras")
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(100 << 20))
    with pytest.raises(FormatError, match="bytes of weights"):
        interchange.load_keras(model, tmp_path / "bomb.keras")
    # Links to other files are not followed.
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["0"] = keras_arrays["layers/dense"][0]
    write_keras_3(path, keras_arrays)
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink(str(secret), "/0")
    with pytest.raises(FormatError, match="is missing in"):
        interchange.load_keras(model, path)
    write_keras_3(path, keras_arrays)
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = "text"
    with pytest.raises(FormatError, match="is not an array of weights"):
        interchange.load_keras(model, path)
    with h5py.File(path, "a") as file:
        shape = keras_arrays["layers/dense"][0].shape
        del file["layers/dense/vars/0"]
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[...] = h5py.VirtualSource(str(secret), "0", shape)
        file["layers/dense/vars"].create_virtual_dataset("0", layout)
    with pytest.raises(FormatError, match="lies in another file"):
        interchange.load_keras(model, path)
    with h5py.File(path, "a") as file:
        del file["layers/dense"]
        file["layers/dense"] = 3.0
    with pytest.raises(FormatError, match="is damaged"):
        interchange.load_keras(model, path)
    with zipfile.ZipFile(tmp_path / "rotten.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"x" * 1000)
    data = bytearray((tmp_path / "rotten.keras").read_bytes())
    data[200] ^= 1
    (tmp_path / "rotten.keras").write_bytes(data)
    with pytest.raises(FormatError, match="is damaged"):
        interchange.load_keras(model, tmp_path / "rotten.keras")
    with pytest.raises(FileNotFoundError):
        interchange.load_keras(model, tmp_path / "absent.keras")


def test_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"need h5py: pip install 'convkit\[keras\]'"):
        interchange.load_keras(small(), tmp_path / "k.h5")


def test_keras_itself_predicts_the_same(tmp_path, rng):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")

    def networks(library):
        of = library.layers
        x = of.Input((8, 8, 3))
        shared = of.Conv2D(3, 1)
        a = of.Conv2D(3, 3, padding="same", use_bias=False)(x)
        b = of.Conv2D(3, 5, padding="same")(of.Conv2D(4, 1, activation="relu")(x))
        y = of.Add()([shared(x), a, b, shared(a)])
        inner = library.Sequential(
            [of.Input((8, 8, 3)), of.DepthwiseConv2D(3), of.BatchNormalization()]
        )
        start = of.Input((6, 6, 3))
        branch = library.Model(start, of.Conv2D(2, 1)(of.BatchNormalization(scale=False)(start)))
        y = inner(y)
        y = of.Concatenate()([branch(y), y])
        return library.Model(x, of.Dense(2)(of.Flatten()(y)))

    there, here = networks(keras), networks(convkit)
    there.set_weights([rng.random(w.shape) * 0.2 + 0.01 for w in there.get_weights()])
    x = rng.random((4, 8, 8, 3), np.float32)
    for name in ("k.weights.h5", "k.keras", "k.h5"):
        save = there.save_weights if "weights" in name else there.save
        save(tmp_path / name)
        randomize(here, rng)
        interchange.load_keras(here, tmp_path / name)
        np.testing.assert_allclose(here.predict(x), there.predict(x, verbose=0), rtol=1e-5)
    randomize(here, rng)
    interchange.save_keras_weights(here, tmp_path / "back.weights.h5")
    there.load_weights(tmp_path / "back.weights.h5")
    np.testing.assert_allclose(here.predict(x), there.predict(x, verbose=0), rtol=1e-5)
