"""Fitting a network, once: the training loop and the store of checkpoints.

Here belongs what turns data and training settings into weights. Where a scheme acts at test time is
not known here, only what acts in training.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from bench import fingerprint, records, schemes
from bench.datasets import Dataset

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""What a step lowers: one number, of a network, images (batch, ...) in [0, 1] and labels (batch,)."""

Way = Callable[[Callable[[Loss], nn.Module]], nn.Module]
"""How a network comes about: called with what fits a network anew by a loss, it returns the one to keep."""


class TrainingError(RuntimeError):
    """Training that came to nothing: one line."""


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
        TrainingError: if training fails.
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
        state = model.state_dict()
        sha256 = records.hash_tensors(state)
        about = {"seconds": round(seconds, 3), "weights": sha256, "settings": plan.settings}
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

    Shows a progress bar on a terminal for each network that the way asks for.
    """
    images = torch.from_numpy(dataset.x_train).to(device)
    labels = torch.from_numpy(dataset.y_train).to(device)
    return plan.way(lambda loss: _fit(plan, loss, images, labels))


def _fit(plan: Plan, objective: Loss, images: Tensor, labels: Tensor) -> nn.Module:
    device = images.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fingerprint.derive_seed(plan.seed, "weights"))
        model = plan.build().to(device)
    order = torch.Generator().manual_seed(fingerprint.derive_seed(plan.seed, "order"))
    masks = torch.Generator(device).manual_seed(fingerprint.derive_seed(plan.seed, "masks"))
    schemes.install(model, plan.rates, masks)
    optimizer = torch.optim.Adam(model.parameters(), plan.learning_rate)
    batches = -(-len(images) // plan.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.epochs * batches)
    model.train()
    with tqdm(total=plan.epochs * batches, desc="training", unit="batch", disable=None) as bar:
        for epoch in range(plan.epochs):
            total = torch.zeros((), device=device)
            for rows in torch.randperm(len(images), generator=order).to(device).split(plan.batch_size):
                optimizer.zero_grad()
                loss = objective(model, images[rows], labels[rows])
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(rows)
                bar.update()
            bar.set_postfix(epoch=f"{epoch + 1}/{plan.epochs}", loss=f"{total.item() / len(images):.4f}")
    schemes.install(model, {}, masks)
    return model.eval().requires_grad_(False)


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
    model = build()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise records.Unreadable(path, f"of another network ({' '.join(str(error).split())})") from None
    model.to(device).eval().requires_grad_(False)
    return Trained(model, path.stem, about["weights"], about["seconds"])
