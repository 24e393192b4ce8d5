"""A training with every kind of state, which can be killed and started again.

python resumable.py DIRECTORY SAVE_FREQ RESULT.json [--die-at STEP] [--seed N] [--pause SECONDS]

It writes a digest of what it ended in. With --die-at it kills itself after that step.
"""

import argparse
import hashlib
import json
import os
import signal
import time

import numpy as np

import convkit
from convkit import callbacks, layers, optimizers, schedules

EPOCHS = 4
SAMPLES, BATCH = 60, 16  # four batches in an epoch, the last one smaller
STEPS = EPOCHS * 4


class Plateau(callbacks.Callback):
    """Lower the momentum whenever the loss did not fall by a twentieth."""

    def on_train_begin(self, logs=None):
        """Begin anew."""
        self.best, self.waited, self.lowered = np.inf, 0, []

    def on_epoch_end(self, epoch, logs=None):
        """Count."""
        self.waited += 1
        if logs["loss"] < 0.95 * self.best:
            self.best, self.waited = logs["loss"], 0
        if self.waited or epoch == 1:
            self.lowered.append(epoch)


class Decay(callbacks.Callback):
    """Multiply a number at every beginning of an epoch: twice would be wrong."""

    def on_train_begin(self, logs=None):
        """Begin anew."""
        self.factor = 1.0

    def on_epoch_begin(self, epoch, logs=None):
        """Go down."""
        self.factor *= 0.5


class Averages(callbacks.Callback):
    """Keep a moving average of the weights: arrays in a state."""

    def on_train_begin(self, logs=None):
        """Begin anew."""
        self.weights = [w * 0.0 for w in self.model.get_weights()]

    def on_train_batch_end(self, batch, logs=None):
        """Move."""
        new = self.model.get_weights()
        self.weights = [0.9 * a + 0.1 * w for a, w in zip(self.weights, new, strict=True)]


class Die(callbacks.Callback):
    """Kill the process after a step."""

    def __init__(self, step, kill):
        self.step, self.kill = step, kill

    def on_train_batch_end(self, batch, logs=None):
        """Die when it is time."""
        if int(self.model.optimizer.iterations.value[0]) == self.step:
            self.kill()


class Pause(callbacks.Callback):
    """Take some time for every step."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_batch_end(self, batch, logs=None):
        """Sleep."""
        time.sleep(self.seconds)


def make_model(seed):
    """Build a net with dropout, statistics, two slots a weight, and a schedule."""
    convkit.set_seed(seed)
    model = convkit.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    )
    rate = schedules.CosineDecay(0.02, STEPS)
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def run(directory, save_freq, seed=1, extra=(), validation=True):
    """Train as far as possible; return what came out, as values that JSON can hold."""
    rng = np.random.default_rng(5)
    x, y = rng.random((SAMPLES, 6, 6, 1), np.float32), rng.integers(0, 3, SAMPLES)
    model = make_model(seed)
    watchers = [Plateau(), Decay(), Averages()]
    backup = [callbacks.BackupAndRestore(directory, save_freq)] if directory else []
    history = model.fit(
        *(x, y, BATCH, EPOCHS, 0),
        callbacks=[*backup, *watchers, *extra],
        validation_data=(x[:20], y[:20]) if validation else None,
    )
    states = json.dumps([w.get_state() for w in watchers], default=np.ndarray.tolist)
    return {
        "weights": hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest(),
        "callbacks": hashlib.sha256(states.encode()).hexdigest(),
        "epochs": history.epoch,
        "history": history.history,
        "steps": int(model.optimizer.iterations.value[0]),
        "draw": convkit.runtime.next_seed(),
    }


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("save_freq")
    parser.add_argument("result")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float)
    given = parser.parse_args()
    extra = []
    if given.die_at:
        extra.append(Die(given.die_at, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    if given.pause:
        extra.append(Pause(given.pause))
    frequency = int(given.save_freq) if given.save_freq.isdecimal() else given.save_freq
    result = run(given.directory, frequency, given.seed, extra)
    with open(given.result, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
