"""Fitting a network, once: the training loop and the store of checkpoints.

Here belongs what turns data and training settings into weights. Where a scheme acts at test time is
not known here, only what acts in training.
"""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from tqdm import tqdm

from bench import fingerprint, schemes
from bench.datasets import Dataset

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""What a step lowers: one number, of a network, images (batch, ...) in [0, 1] and labels (batch,)."""

Way = Callable[[Callable[[Loss], nn.Module]], nn.Module]
"""How a network comes about: called with what fits a network anew by a loss, it returns the one to keep."""


class TrainingError(Exception):
    """Training that gave no network to keep: one line that says why."""


class CheckpointError(Exception):
    """A checkpoint that can't be used: one line that names the file."""


class Plain:
    """The usual way of training: cross-entropy on the images as they are."""

    def __call__(self, train: Callable[[Loss], nn.Module]) -> nn.Module:
        return train(lambda model, images, labels: functional.cross_entropy(model(images), labels))


@dataclass(frozen=True)
class Plan:
    """Everything that decides a network's weights.

    Attributes:
        build: Makes the untrained network.
        rates: Operation and rate in training, by site.
        way: How it comes about.
        epochs, batch_size, learning_rate, seed: Of the training loop.
        settings: All of it, and the data's fingerprint and the source code's, as JSON-able values.
    """

    build: Callable[[], nn.Module]
    rates: Mapping[str, tuple[schemes.Operation, float]]
    way: Way
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The checkpoint's name: a hash of the settings."""
        return fingerprint.digest(self.settings)[:16]


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        model: In evaluation mode, its parameters frozen, no scheme installed.
        key: Its checkpoint's name.
        sha256: Hash of the weights themselves.
        seconds: How long its training took, whenever that was.
    """

    model: nn.Module
    key: str
    sha256: str
    seconds: float


def trained(plan: Plan, dataset: Dataset, folder: Path, device: torch.device) -> Trained:
    """The network of a plan: from its checkpoint, or trained now and kept.

    When two processes ask at once, one trains and the other waits for it.

    Args:
        plan: What to train.
        dataset: Images to train on.
        folder: Where checkpoints are kept.
        device: Where the network is to be.

    Raises:
        TrainingError: as ``fit`` does; nothing is kept then.
        CheckpointError: if the checkpoint is damaged or belongs to another plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.key}.safetensors"
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            start = time.perf_counter()
            model = fit(plan, dataset, device)
            _save(model, path, plan, time.perf_counter() - start)
    return load(path, plan.build, device)


def fit(plan: Plan, dataset: Dataset, device: torch.device) -> nn.Module:
    """Trains a network in the plan's way: Adam, the learning rate falling to 0 along a cosine.

    A last batch of a single image joins the one before, since batch normalisation has nothing to learn
    from one. Shows a progress bar on a terminal for each network that the way asks for.

    Raises:
        TrainingError: if the loss or a weight is not finite, or the way returns no such network.
    """
    images = torch.from_numpy(dataset.x_train).to(device)
    labels = torch.from_numpy(dataset.y_train).to(device)
    # what the network or the way draw by themselves (nn.Dropout) is the same every time, too
    with seeded(fingerprint.derive_seed(plan.seed, "training"), device):
        model = plan.way(lambda loss: _fit(plan, loss, images, labels))
    way = type(plan.way).__qualname__
    if not isinstance(model, nn.Module):
        raise TrainingError(f"way of training {way} returned {type(model).__name__}, expected the network")
    state = _state(model)
    expected = _state(untrained(plan, dataset.shape))
    if {name: v.shape for name, v in state.items()} != {name: v.shape for name, v in expected.items()}:
        raise TrainingError(f"way of training {way} returned a {type(model).__name__} with other weights")
    for name, values in state.items():
        # a mask may hold infinities from the start
        if expected[name].isfinite().all() and not values.isfinite().all():
            raise TrainingError(f"training diverged: {name} is not finite; {LOWER}")
    return model


LOWER = "lower training.learning_rate"


def check_learnt(right: np.ndarray, labels: np.ndarray) -> None:
    """Refuses a network that learnt nothing: whoever attacks its few right images measures luck.

    Args:
        right: Which images it gets right, booleans of shape (images,).
        labels: Their labels, shape (images,).

    Raises:
        TrainingError: if always naming the commonest of several classes would be right as often.
    """
    counts = np.bincount(labels)
    if right.sum() <= counts.max() < len(labels):
        raise TrainingError(
            f"training didn't get above chance: {right.mean():.1%} of {len(labels)} images right, "
            f"always naming class {counts.argmax()} gives {counts.max() / len(labels):.1%}; "
            f"{LOWER}, or train for longer"
        )


def untrained(plan: Plan, shape: tuple[int, int, int]) -> nn.Module:
    """The network before training, on the CPU, its initial weights those of the plan's seed.

    Args:
        plan: What is to be trained.
        shape: (channels, height, width) of an image, which lazy modules take their sizes from.
    """
    return _built(plan.build, plan.seed, shape)


def _built(build: Callable[[], nn.Module], seed: int, shape: tuple[int, int, int] | None = None) -> nn.Module:
    """Built from the same draws every time, since not all that a network draws need be in its weights."""
    with seeded(fingerprint.derive_seed(seed, "weights"), torch.device("cpu")):
        model = build()
        if shape is not None and any(map(is_lazy, (*model.parameters(), *model.buffers()))):
            with torch.no_grad():
                model.eval()(torch.zeros(1, *shape))
    return model


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and PyTorch, the device's own too; then as they were.

    Args:
        seed: Of 63 bits, as ``fingerprint.derive_seed`` gives.
        device: Whose generator, besides the CPU's.
    """
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda = device.type == "cuda"
    index = [torch.cuda.current_device() if device.index is None else device.index] if cuda else []
    with torch.random.fork_rng(devices=index):
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            # torch.manual_seed would seed every GPU, and fork_rng puts back only those it was given
            torch.default_generator.manual_seed(seed)
            for i in index:
                torch.cuda.default_generators[i].manual_seed(seed)
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


def _fit(plan: Plan, objective: Loss, images: Tensor, labels: Tensor) -> nn.Module:
    device = images.device
    channels, height, width = images.shape[1:]
    model = untrained(plan, (channels, height, width)).to(device)
    order = torch.Generator().manual_seed(fingerprint.derive_seed(plan.seed, "order"))
    masks = torch.Generator(device).manual_seed(fingerprint.derive_seed(plan.seed, "masks"))
    schemes.install(model, plan.rates, masks)
    optimizer = torch.optim.Adam(model.parameters(), plan.learning_rate)
    sizes = batch_sizes(len(images), plan.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.epochs * len(sizes))
    model.train()
    with tqdm(total=plan.epochs * len(sizes), desc="training", unit="batch", disable=None) as bar:
        for epoch in range(plan.epochs):
            total = torch.zeros((), device=device)
            batches = torch.randperm(len(images), generator=order).to(device).split(sizes)
            for step, rows in enumerate(batches):
                optimizer.zero_grad()
                loss = objective(model, images[rows], labels[rows])
                if epoch == step == 0 and not math.isfinite(loss.item()):
                    raise TrainingError(
                        f"loss is {loss.item()} before the first step: the untrained network's outputs "
                        "are not finite, or the loss of them isn't"
                    )
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(rows)
                bar.update()
            mean = total.item() / len(images)
            if not math.isfinite(mean):
                raise TrainingError(f"training diverged: loss is {mean} after epoch {epoch + 1}; {LOWER}")
            bar.set_postfix(epoch=f"{epoch + 1}/{plan.epochs}", loss=f"{mean:.4f}")
    schemes.install(model, {}, masks)
    return model.eval().requires_grad_(False)


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """How many images each batch of an epoch has."""
    sizes = [batch_size] * (count // batch_size)
    rest = count % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def _state(model: nn.Module) -> dict[str, Tensor]:
    """A network's weights and buffers on the CPU, each in memory of its own, as the format asks for."""
    state = model.state_dict()
    for name, values in state.items():
        if not isinstance(values, Tensor):
            raise TrainingError(f"{name} is a {type(values).__name__}, and only tensors can be kept")
    return {
        name: values.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, values in state.items()
    }


def _save(model: nn.Module, path: Path, plan: Plan, seconds: float) -> None:
    state = _state(model)
    metadata = {
        "key": plan.key,
        "sha256": _hash(state),
        "seconds": f"{seconds:.3f}",
        "seed": str(plan.seed),
        "settings": json.dumps(plan.settings, sort_keys=True),
    }
    temporary = path.with_suffix(".tmp")
    try:
        save_file(state, temporary, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, build: Callable[[], nn.Module], device: torch.device) -> Trained:
    """The network of a checkpoint.

    Args:
        path: ``<key>.safetensors`` in the folder of checkpoints.
        build: Makes the untrained network.
        device: Where the network is to be.

    Raises:
        CheckpointError: if the checkpoint is missing, damaged, or another one's under this name.
    """
    again = f"{path}: %s; delete it to have the network trained again"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(again % f"damaged checkpoint ({error})") from None
    if metadata.get("key") != path.stem:
        raise CheckpointError(again % f"checkpoint of other settings ({metadata.get('key')})")
    if metadata.get("sha256") != _hash(state):
        raise CheckpointError(again % "damaged checkpoint (its weights don't match their hash)")
    # earlier checkpoints don't name their seed
    model = _built(build, int(metadata.get("seed", 0)))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(again % f"checkpoint of another network ({reason})") from None
    model.to(device).eval().requires_grad_(False)
    return Trained(model, path.stem, metadata["sha256"], float(metadata["seconds"]))


def _hash(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {tuple(state[name].shape)}".encode())
        digest.update(state[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
