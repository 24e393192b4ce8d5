"""CIFAR-10 in PyTorch by the recipes that `convkit train cifar10` follows, to hold ours against.

`python benchmarks/cifar10.py --library torch` trains by them. float32, channels last.

airbench94: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), with 8 epochs
instead of its 9.9, the last batch of an epoch kept though it is smaller, and means over the batch
where the paper has sums. resnet20: He et al., 2015, section 4.2, trained for 30 epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

MEAN = torch.tensor((0.4914, 0.4822, 0.4465))
STD = torch.tensor((0.2470, 0.2435, 0.2616))


def set_threads(threads: int) -> None:
    """Use this many threads, and flush subnormals as convkit does."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


# ---- data ----------------------------------------------------------------------------------------


@dataclass
class Images:
    """Padded uint8 images, of which batches are cropped, flipped and normalized."""

    padded: Any  # (N, 32 + 2 pad, 32 + 2 pad, 3)
    labels: Any
    pad: int
    alternate: bool  # flip each image every other epoch, not by chance

    @classmethod
    def of(cls, x: Any, y: Any, pad: int, mode: str, alternate: bool) -> Images:
        """Pad all sides of (N, 32, 32, 3) images; mode is NumPy's."""
        margins = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        padded = torch.from_numpy(np.pad(x, margins, mode))
        return cls(padded, torch.from_numpy(y.astype(np.int64)), pad, alternate)

    def epoch(self, number: int, batch: int, generator: Any) -> Iterator[tuple[Any, Any]]:
        """Yield every image once, as shuffled, augmented batches."""
        n = len(self.labels)
        if number == 0:
            self.first_flips = torch.randint(0, 2, (n,), generator=generator).bool()
        if self.alternate:
            flips = self.first_flips ^ bool(number % 2)
        else:
            flips = torch.randint(0, 2, (n,), generator=generator).bool()
        shifts = torch.randint(0, 2 * self.pad + 1, (2, n), generator=generator)
        for chosen in torch.randperm(n, generator=generator).split(batch):
            yield self.crops(chosen, *shifts[:, chosen], flips[chosen]), self.labels[chosen]

    def crops(self, chosen: Any, top: Any, left: Any, flips: Any) -> Any:
        """Return normalized (n, 3, 32, 32) crops of the chosen images, channels last."""
        line = torch.arange(32)
        rows = top[:, None] + line
        columns = left[:, None] + torch.where(flips[:, None], 31 - line, line)
        pixels = self.padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        return normalized(pixels)


def normalized(pixels: Any) -> Any:
    """Return uint8 (n, h, w, 3) as float32 (n, 3, h, w), channels last."""
    return ((pixels / 255 - MEAN) / STD).permute(0, 3, 1, 2)


# ---- airbench94 ----------------------------------------------------------------------------------


class Scale(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return x * self.factor


def _batch_norm(channels: int) -> Any:
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)  # keeps 0.6 of the statistics
    norm.weight.requires_grad_(False)
    return norm


def _identity_conv(before: int, filters: int) -> Any:
    """The first filters copy the channels, those beyond them are random."""
    conv = nn.Conv2d(before, filters, 3, padding="same", bias=False)
    with torch.no_grad():
        nn.init.dirac_(conv.weight[:before])
    return conv


def _group(before: int, filters: int) -> list[Any]:
    return [
        *(_identity_conv(before, filters), nn.MaxPool2d(2), _batch_norm(filters), nn.GELU()),
        *(_identity_conv(filters, filters), _batch_norm(filters), nn.GELU()),
    ]


def _whitening(x: Any, epsilon: float = 5e-4) -> Any:
    """Return (24, 3, 2, 2) filters that whiten 2x2 patches: scaled eigenvectors, then negatives."""
    patches = normalized(x).unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5)
    patches = patches.reshape(-1, 12).double()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / torch.sqrt(values + epsilon)).T.flip(0).reshape(12, 3, 2, 2)
    return torch.cat([filters, -filters]).float()


def airbench94(x: Any) -> Any:
    """Build the net; x are the images that its first layer whitens."""
    whiten = nn.Conv2d(3, 24, 2)
    with torch.no_grad():
        whiten.weight.copy_(_whitening(x))
        whiten.bias.zero_()
    whiten.weight.requires_grad_(False)
    groups = (*_group(24, 64), *_group(64, 256), *_group(256, 256))
    top = nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False), Scale(1 / 9)
    return nn.Sequential(whiten, nn.GELU(), *groups, *top)


class Lookahead:
    """Averages of all weights and statistics, which the model takes over every few steps."""

    def __init__(self, model: Any, period: int, steps: int) -> None:
        self.model, self.period, self.steps = model, period, steps
        self.average = {name: value.clone() for name, value in model.state_dict().items()}

    def after_step(self, step: int) -> None:
        """Sync after step 1, 2, ...; the average weighs more and more, at the end alone."""
        if step % self.period == 0:
            self._sync(0.95**5 * (step / self.steps) ** 3)
        if step == self.steps:
            self._sync(1.0)

    def _sync(self, decay: float) -> None:
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
                value.copy_(self.average[name])


def _train_airbench94(model: Any, steps: int, epoch_steps: int) -> Callable[[int], Any]:
    """Return a function that is called before each step and returns what follows it."""
    momentum, norm_biases = 0.85, 64
    # Decoupled numbers of the paper: per 1024 images, and free of what momentum adds up to.
    scale = 1 + 1 / (1 - momentum)
    peak, decay = 11.5 / scale, 0.0153 / scale
    norms = [m.bias for m in model if isinstance(m, nn.BatchNorm2d)]
    others = [m.weight for m in model if isinstance(m, nn.Conv2d | nn.Linear)]
    others = [model[0].bias, *(w for w in others if w.requires_grad)]
    groups = [
        {"params": norms, "lr": norm_biases * peak, "weight_decay": decay / (norm_biases * peak)},
        {"params": others, "lr": peak, "weight_decay": decay / peak},
    ]
    optimizer = torch.optim.SGD(groups, momentum=momentum, nesterov=True)
    top = int(0.23 * steps)

    def triangle(step: int) -> float:
        if step < top:
            return 0.2 + 0.8 * step / top
        return 1 - 0.93 * (step - top) / (steps - top)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, triangle)
    lookahead = Lookahead(model, 5, steps)

    def step(number: int) -> None:
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        lookahead.after_step(number + 1)
        if number + 1 == 3 * epoch_steps:
            model[0].bias.requires_grad_(False)

    return step


# ---- resnet20 ------------------------------------------------------------------------------------


class Residual(nn.Module):
    """relu(body(x) + shortcut(x))."""

    def __init__(self, before: int, filters: int, stride: int) -> None:
        super().__init__()
        convs = _conv_norm(before, filters, 3, stride), _conv_norm(filters, filters, 3, 1)
        self.body = nn.Sequential(*convs[0], nn.ReLU(), *convs[1])
        project = before != filters
        self.shortcut = nn.Sequential(*(_conv_norm(before, filters, 1, stride) if project else ()))

    def forward(self, x: Any) -> Any:
        return torch.relu(self.body(x) + self.shortcut(x))


def _conv_norm(before: int, filters: int, kernel: int, stride: int) -> tuple[Any, Any]:
    conv = nn.Conv2d(before, filters, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv, nn.BatchNorm2d(filters)


def resnet20(x: Any) -> Any:
    """Build the net, with projections where the shape changes."""
    blocks, before = [], 16
    for filters in (16, 32, 64):
        for _ in range(3):
            blocks.append(Residual(before, filters, 1 if before == filters else 2))
            before = filters
    top = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    return nn.Sequential(*_conv_norm(3, 16, 3, 1), nn.ReLU(), *blocks, *top)


def _train_resnet20(model: Any, steps: int, epoch_steps: int) -> Callable[[int], Any]:
    peak, warm = 0.1, 2 * epoch_steps
    kernels = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    others = [m.weight for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    others += [m.bias for m in model.modules() if getattr(m, "bias", None) is not None]
    groups = [{"params": kernels, "weight_decay": 5e-4}, {"params": others}]
    optimizer = torch.optim.SGD(groups, peak, momentum=0.9, nesterov=True)

    def rate(step: int) -> float:
        if step < warm:
            return step / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def step(number: int) -> None:
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)

    return step


# ---- training ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """A net and how it is trained."""

    build: Callable[[Any], Any]
    training: Callable[[Any, int, int], Callable[[int], Any]]
    epochs: int
    batch: int
    pad: int
    pad_mode: str
    alternate: bool
    label_smoothing: float
    views: bool = False
    whitened_images: int = 5000


RECIPES = {
    "airbench94": Recipe(airbench94, _train_airbench94, 8, 1024, 2, "reflect", True, 0.2, True),
    "resnet20": Recipe(resnet20, _train_resnet20, 30, 128, 4, "constant", False, 0.0),
}


def train(recipe: Recipe, x: Any, y: Any, epochs: int, seed: int) -> tuple[Any, list[Any]]:
    """Return the trained model and what each epoch gave."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = recipe.build(torch.from_numpy(x[: recipe.whitened_images]))
    model = model.to(memory_format=torch.channels_last).train()
    images = Images.of(x, y, recipe.pad, recipe.pad_mode, recipe.alternate)
    epoch_steps = -(-len(x) // recipe.batch)
    step = recipe.training(model, epochs * epoch_steps, epoch_steps)
    count, log = 0, []
    for epoch in range(epochs):
        loss_sum, right, start = 0.0, 0, time.perf_counter()
        for inputs, labels in images.epoch(epoch, recipe.batch, generator):
            logits = model(inputs)
            loss = nn.functional.cross_entropy(
                logits, labels, label_smoothing=recipe.label_smoothing
            )
            loss.backward()
            step(count)
            count += 1
            loss_sum += loss.item() * len(labels)
            right += int((logits.argmax(1) == labels).sum())
        seconds = time.perf_counter() - start
        entry = {"loss": loss_sum / len(x), "accuracy": right / len(x), "seconds": seconds}
        log.append(entry)
        print(
            f"epoch {epoch + 1}/{epochs}:", *(f"{k} {v:.4f}" for k, v in entry.items()), flush=True
        )
    return model, log


def evaluate(model: Any, x: Any, y: Any, views: bool) -> float:
    """Return the accuracy; with `views`, that of the mean logits of six views of each image.

    They are the image and two copies moved by a pixel along the diagonal, all also mirrored; those
    that were moved count half.
    """
    model.eval()
    right = 0
    with torch.inference_mode():
        for k in range(0, len(x), 1000):
            margins = ((0, 0), (1, 1), (1, 1), (0, 0))
            images = torch.from_numpy(np.pad(x[k : k + 1000], margins, "reflect"))
            shown: Any = [(1, 0.5), (0, 0.25), (2, 0.25)] if views else [(1, 1.0)]
            logits: Any = 0
            for at, weight in shown:
                view = normalized(images[:, at : at + 32, at : at + 32])
                mirrored = (model(view) + model(view.flip(3))) / 2 if views else model(view)
                logits = logits + weight * mirrored
            right += int((logits.argmax(1) == torch.from_numpy(y[k : k + 1000])).sum())
    return right / len(x)
