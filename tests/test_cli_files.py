"""The command line saves models, and loads those of others."""

import numpy as np
import pytest
from PIL import Image

import convkit
from convkit import cli, layers, saving


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the file of a model that `convkit train` saved."""
    path = tmp_path_factory.mktemp("model") / "digits.convkit"
    assert cli.main(["train", "digits", "--epochs", "1", "--save", str(path)]) == 0
    return path


def test_a_trained_model_is_a_whole_model(trained, capsys):
    assert saving.read_metadata(trained) == {"model": "digits_cnn", "dataset": "digits"}
    model = convkit.load_model(trained)
    assert model.optimizer is not None and model.output_shape == (None, 10)
    assert cli.main(["evaluate", "digits", "--load", str(trained)]) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_what_a_picture_shows(trained, tmp_path, capsys):
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "p.png")
    assert cli.main(["predict", str(tmp_path / "p.png"), "--load", str(trained)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    own = convkit.Sequential([layers.Input((4, 4, 3)), layers.Flatten(), layers.Dense(5)])
    own.save(tmp_path / "own")
    assert cli.main(["predict", str(tmp_path / "p.png"), "--load", str(tmp_path / "own")]) == 0
    assert "class " in capsys.readouterr().out


def test_a_damaged_model_is_named(trained, tmp_path, capsys):
    (tmp_path / "half").write_bytes(trained.read_bytes()[:-100])
    assert cli.main(["evaluate", "digits", "--load", str(tmp_path / "half")]) == 1
    assert "half: is damaged" in capsys.readouterr().err
