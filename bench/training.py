"""Fitting a network, once: the training loop and the store of checkpoints.

Here belongs what turns data and training settings into weights. Where a scheme acts at test time is
not known here, only what acts in training.
"""

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from tqdm import tqdm

from bench import fingerprint, records, schemes
from bench.datasets import Dataset
from bench.measure import intervals

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""What a step lowers: one number, of a network, images (batch, ...) in [0, 1] and labels (batch,)."""

Way = Callable[[Callable[[Loss], nn.Module]], nn.Module]
"""How a network comes about: called with what fits a network anew by a loss, it returns the one to keep."""


class TrainingError(Exception):
    """Training that gave no network to keep: one line that says why."""


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

    When two processes ask at once, one trains and the other waits for it. A damaged checkpoint is said,
    set aside and made again. One that can't be kept is said, and the network used all the same.

    Args:
        plan: What to train.
        dataset: Images to train on.
        folder: Where checkpoints are kept.
        device: Where the network is to be.

    Raises:
        Unreadable: for a checkpoint in the way that is of another version.
        TrainingError: as ``fit`` does; nothing is kept then.
    """
    path = folder / f"{plan.key}.safetensors"
    found = _kept(path, plan.build, device)
    if found is not None:
        return found
    with records.locked(path.with_suffix(".lock")):
        found = _kept(path, plan.build, device)
        if found is not None:
            return found
        start = time.perf_counter()
        model = fit(plan, dataset, device)
        seconds = time.perf_counter() - start
        state = _state(model)
        sha256 = fingerprint.hash_tensors(state)
        about = {
            "seconds": round(seconds, 3),
            "weights": sha256,
            "seed": plan.seed,
            "settings": plan.settings,
        }
        try:
            records.write_tensors(path, "checkpoint", plan.key, state, about)
        except OSError as error:
            records.log.warning("%s: can't be written (%s)", path, error.strerror or error)
        return Trained(model, plan.key, sha256, seconds)


def _kept(path: Path, build: Callable[[], nn.Module], device: torch.device) -> Trained | None:
    if not os.path.lexists(path):
        return None
    try:
        return load(path, build, device)
    except records.Unreadable as error:
        records.set_aside(error)
        return None


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
        TrainingError: if always naming the commonest of several classes may well be right as often, by the
            95 % interval of what is right, or of under 30 images by the share itself.
    """
    counts = np.bincount(labels)
    chance = counts.max() / len(labels)
    found = intervals.estimate(right.astype(float))
    if chance < 1 and (found.low if len(right) >= 30 else found.mean) <= chance:
        raise TrainingError(
            f"training didn't get above chance: {right.mean():.1%} of {len(labels)} images right, "
            f"always naming class {counts.argmax()} gives {chance:.1%}; {LOWER}, or train for longer"
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
        if not isinstance(model, nn.Module):
            raise TypeError(f"made {type(model).__name__}, expected a torch.nn.Module")
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
    """A network's weights and buffers.

    Raises:
        TrainingError: for what can't be kept.
    """
    state = model.state_dict()
    for name, values in state.items():
        if not isinstance(values, Tensor):
            raise TrainingError(f"{name} is a {type(values).__name__}, and only tensors can be kept")
    return dict(state)


def load(path: Path, build: Callable[[], nn.Module], device: torch.device) -> Trained:
    """The network of a checkpoint.

    Args:
        path: ``<key>.safetensors`` in the folder of checkpoints.
        build: Makes the untrained network.
        device: Where the network is to be.

    Raises:
        Unreadable: if the checkpoint is missing, damaged, or another one's under this name.
    """
    state, about, _ = records.read_tensors(path, "checkpoint", path.stem)
    model = _built(build, about["seed"])
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise records.Unreadable(path, f"of another network ({' '.join(str(error).split())})") from None
    model.to(device).eval().requires_grad_(False)
    return Trained(model, path.stem, about["weights"], about["seconds"])
