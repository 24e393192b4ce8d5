"""What to write instead of names of Keras and TensorFlow that convkit does not have.

Errors for attributes and arguments that do not exist look here before they suggest what is spelt
most alike.
"""

from __future__ import annotations

import re

__all__ = ["for_argument", "for_attribute"]

_SEQUENCES = "convkit has layers for images (N, H, W, C) only, none for sequences"
_AUGMENT = (
    "put layers.RandomFlip, RandomTranslation, RandomRotation, ... into the model: they work in"
    " training only"
)

# By "place.name": a module of convkit ("" for convkit itself), "model" or "layer".
ATTRIBUTES = {
    ".GradientTape": "train with model.fit or model.train_on_batch, or with convkit.functional",
    ".applications": "convkit.zoo has named models, convkit.interchange reads weights",
    ".argmax": "results are NumPy arrays; use x.argmax(axis)",
    ".config": "for what convkit runs on call convkit.show_config()",
    ".device": "leave it out; convkit runs on the CPU, see convkit.set_num_threads",
    ".distribute": "leave it out; convkit uses all cores, see convkit.set_num_threads",
    ".math": "results are NumPy arrays; use numpy, or convkit.metrics.ConfusionMatrix",
    ".mixed_precision": "leave it out; models compute in float32, or in dtype='float64'",
    ".nn": "name the activation, activation='relu', or use convkit.activations.relu",
    ".preprocessing": f"use convkit.utils.image_dataset_from_directory; {_AUGMENT}",
    ".random": "use convkit.set_seed(seed), and numpy.random for arrays",
    "backend.get_value": "weights and learning rates are arrays and numbers already",
    "backend.set_value": "set model.optimizer.learning_rate = value",
    "data.Dataset": "pass arrays, an iterable of batches or a convkit.utils.PyDataset to fit",
    "layers.AlphaDropout": "use Dropout",
    "layers.Conv1D": f"{_SEQUENCES}; use Conv2D with a kernel of (1, size)",
    "layers.Conv3D": "convkit has layers for images (N, H, W, C) only; use Conv2D",
    "layers.Embedding": _SEQUENCES,
    "layers.GRU": _SEQUENCES,
    "layers.LSTM": _SEQUENCES,
    "layers.MaxPooling1D": f"{_SEQUENCES}; use MaxPooling2D with a window of (1, size)",
    "layers.MultiHeadAttention": _SEQUENCES,
    "layers.SimpleRNN": _SEQUENCES,
    "layers.TimeDistributed": _SEQUENCES,
    "layers.experimental": "use the layers themselves, layers.Rescaling, layers.RandomFlip, ...",
    "model.evaluate_generator": "pass the generator to evaluate",
    "model.fit_generator": "pass the generator to fit",
    "model.predict_classes": "use predict(x).argmax(axis=-1)",
    "model.predict_generator": "pass the generator to predict",
    "model.predict_proba": "use predict(x)",
    "optimizer.lr": "use learning_rate",
    "optimizers.Ftrl": "use Adagrad",
    "optimizers.legacy": "use the optimizers themselves, optimizers.Adam, ...",
    "utils.plot_model": "print model.summary(), or draw model.plot_feature_maps(x)",
}

_ALWAYS = "leave it out; a step is always one compiled program"
_BATCHES = "leave it out, or give a convkit.utils.PyDataset workers="

# By "function.argument", or "argument" of any function.
ARGUMENTS = {
    "LeakyReLU.alpha": "it is called negative_slope",
    "SparseCategoricalCrossentropy.ignore_class": (
        "give the samples of that class another label, and sample_weight 0"
    ),
    "batch_input_shape": "write input_shape= without the batch",
    "compile.jit_compile": _ALWAYS,
    "compile.run_eagerly": _ALWAYS,
    "compile.steps_per_execution": _ALWAYS,
    "decay": "pass learning_rate=convkit.schedules.InverseTimeDecay(rate, 1, decay)",
    "fit.max_queue_size": _BATCHES,
    "fit.nb_epoch": "it is called epochs",
    "fit.use_multiprocessing": _BATCHES,
    "fit.workers": _BATCHES,
    "lr": "it is called learning_rate",
    "period": "it is called save_freq",
}


def for_attribute(owner: str, name: str) -> str | None:
    """Return advice for an attribute that an owner, as errors name it, does not have."""
    kind = re.match(r"convkit (model|layer|optimizer) ", owner)
    module = re.fullmatch(r"module 'convkit\.?(.*)'", owner)
    found = kind or module
    return ATTRIBUTES.get(f"{found[1]}.{name}") if found else None


def for_argument(function: str, name: str) -> str | None:
    """Return advice for an argument that a function or class does not have."""
    return ARGUMENTS.get(f"{function}.{name}", ARGUMENTS.get(name))
