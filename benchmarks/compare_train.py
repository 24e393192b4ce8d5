"""Compare whole training steps with PyTorch's, in images per second.

A step is forward, loss, backward and an SGD update with momentum, on float32 arrays in memory.
convkit runs `fit`, which shuffles and gathers its batches; PyTorch runs the usual loop over batches
that were shuffled and laid out beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from measure import Work, duel, interleave
from nets import Net, build_convkit, build_torch, count_numbers
from operations import TORCH_LIBRARIES, to_torch

LEARNING_RATE, MOMENTUM = 0.01, 0.9

# Batches in memory; longer runs go over them again as further epochs.
POOL = 64

HEADINGS = (
    f"{'net':14} {'convkit':>10} {'torch':>10} {'ratio':>6} {'quartiles':>13}  torch's layout\n"
    f"{'':14} {'images/s':>10} {'images/s':>10}"
)


def training_data(net: Net, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images (NHWC, float32) and integer labels: the speed is that of real ones."""
    rng = np.random.default_rng(0)
    x = rng.random((images, *net.input_shape), np.float32)
    return x, rng.integers(0, net.classes, images)


def convkit_steps(net: Net, x: np.ndarray, y: np.ndarray, batch: int) -> tuple[Work, int]:
    """Return a function that trains n steps with convkit, and the model's count of numbers."""
    import convkit

    model = build_convkit(net)
    model.compile(
        optimizer=convkit.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
        loss="sparse_categorical_crossentropy",
    )
    pool = len(x) // batch

    def work(n: int) -> None:
        epochs, rest = divmod(n, pool)
        if epochs:
            model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)
        if rest:
            images = rest * batch
            model.fit(x[:images], y[:images], batch_size=batch, verbose=0)

    return work, count_numbers(model)


def torch_steps(
    net: Net, x: np.ndarray, y: np.ndarray, batch: int, library: str
) -> tuple[Work, int]:
    """Return a function that trains n steps with PyTorch, and the model's count of numbers."""
    import torch

    layout = torch.channels_last if library == "torch_channels_last" else torch.contiguous_format
    model = build_torch(net).to(memory_format=layout).train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=MOMENTUM, fused=True)
    images, labels = to_torch(x, library).split(batch), to_torch(y, library).split(batch)
    pool = len(x) // batch

    def work(n: int) -> None:
        for step in range(n):
            optimizer.zero_grad(set_to_none=True)
            logits = model(images[step % pool])
            torch.nn.functional.cross_entropy(logits, labels[step % pool]).backward()
            optimizer.step()

    return work, count_numbers(model)


def compare_train(
    nets: Sequence[Net], *, batch: int, rounds: int, block_seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield one result per net; raise RuntimeError where the two builds are not the same net."""
    for net in nets:
        x, y = training_data(net, POOL * batch)
        contenders, counts = {}, {}
        contenders["convkit"], counts["convkit"] = convkit_steps(net, x, y, batch)
        for library in TORCH_LIBRARIES:
            contenders[library], counts[library] = torch_steps(net, x, y, batch, library)
        if len(set(counts.values())) > 1:
            raise RuntimeError(f"{net.name}: the builds differ in size: {counts}")
        result = duel(interleave(contenders, rounds=rounds, block_seconds=block_seconds), "convkit")
        yield {
            "net": net.name,
            "batch": batch,
            "numbers": counts["convkit"],
            "convkit_images_per_second": batch / result.ours,
            "torch_images_per_second": batch / result.peer,
            "torch_layout": "NHWC" if result.peer_name == "torch_channels_last" else "NCHW",
            "ratio": result.ratio,
            "quartiles": result.quartiles,
        }


def row(r: dict[str, Any]) -> str:
    low, high = r["quartiles"]
    return (
        f"{r['net']:14} {r['convkit_images_per_second']:10.0f} {r['torch_images_per_second']:10.0f}"
        f" {r['ratio']:6.2f} {f'{low:.2f}..{high:.2f}':>13}  {r['torch_layout']}"
    )
