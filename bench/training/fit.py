"""Fitting a network: the training loop, and the usual way of training.

Here belongs what turns data and training settings into weights. Other ways have files of their own, and
what is kept of it is in ``kept``. Where a scheme acts at test time is not known here, only what acts in
training.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from tqdm import tqdm

from bench.datasets.arrays import Dataset, unit
from bench.defended import Behind, Defended
from bench.process import seeded
from bench.results import fingerprint
from bench.sites import unwrapped

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""What a step lowers: one number, of a network, images (batch, ...) in [0, 1] and labels (batch,)."""

Way = Callable[[Any], nn.Module]
"""How weights come about: called with a ``Fitting``, which fits a network anew by a loss, it returns the
network to keep.

One that says ``foreign = True`` fits nothing: it is called with the network and returns it with somebody
else's weights, which are told by their content, and kept nowhere else.
"""


class TrainingError(Exception):
    """Training that gave no network to keep: one line that says why."""


class Standard:
    """The usual way of training: cross-entropy on the images as they are."""

    def __call__(self, train: "Fitting") -> nn.Module:
        return train(lambda model, images, labels: functional.cross_entropy(model(images), labels))


@dataclass(frozen=True)
class Plan:
    """Everything that decides a network's weights.

    Attributes:
        build: Makes the untrained network.
        behind: What it is trained as: its preprocessing, and what acts at its sites meanwhile.
        way: How it comes about.
        seed: Of all that is drawn.
        epochs, batch_size, learning_rate: Of the training loop; None where nothing is fitted.
        settings: All of it, and the data's fingerprint and the source code's, as JSON-able values.
    """

    build: Callable[[], nn.Module]
    behind: Callable[[nn.Module], Defended]
    way: Way
    seed: int
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    settings: Mapping[str, Any]


def fit(plan: Plan, dataset: Dataset, device: torch.device) -> nn.Module:
    """Trains a network in the plan's way: Adam, the learning rate falling to 0 along a cosine.

    A last batch of a single image joins the one before, since batch normalisation has nothing to learn
    from one. Shows a progress bar on a terminal for each network that the way asks for.

    Raises:
        TrainingError: if the loss or a weight is not finite, or the way returns no such network.
    """
    # what the network or the way draw by themselves (nn.Dropout) is the same every time, too
    with seeded(fingerprint.derive_seed(plan.seed, "training"), device):
        model = plan.way(Fitting(plan, dataset, device))
    way = type(plan.way).__qualname__
    if not isinstance(model, nn.Module):
        raise TrainingError(f"way of training {way} returned {type(model).__name__}, expected the network")
    network = model.network if isinstance(model, Behind) else model
    state = state_of(network)
    expected = state_of(untrained(plan, dataset.shape))
    if {name: v.shape for name, v in state.items()} != {name: v.shape for name, v in expected.items()}:
        raise TrainingError(f"way of training {way} returned a {type(network).__name__} with other weights")
    for name, values in state.items():
        # a mask may hold infinities from the start
        if expected[name].isfinite().all() and not values.isfinite().all():
            raise TrainingError(f"training diverged: {name} is not finite; {LOWER}")
    return network


LOWER = "lower training.learning_rate"


def untrained(plan: Plan, shape: tuple[int, int, int]) -> nn.Module:
    """The network before training, on the CPU, its initial weights those of the plan's seed.

    Args:
        plan: What is to be trained.
        shape: (channels, height, width) of an image, which lazy modules take their sizes from.
    """
    return built(plan.build, plan.seed, shape)


def built(build: Callable[[], nn.Module], seed: int, shape: tuple[int, int, int] | None = None) -> nn.Module:
    """Built from the same draws every time, since not all that a network draws need be in its weights."""
    with seeded(fingerprint.derive_seed(seed, "weights"), torch.device("cpu")):
        made = build()
        if not isinstance(made, nn.Module):
            raise TypeError(f"made {type(made).__name__}, expected a torch.nn.Module")
        model = unwrapped(made)
        if shape is not None and any(map(is_lazy, (*model.parameters(), *model.buffers()))):
            with torch.no_grad():
                model.eval()(torch.zeros(1, *shape))
    return model


class Fitting:
    """What a way of training is given: called with a loss, it fits a network anew.

    Args:
        plan: What is to be trained.
        dataset: Images to train on.
        device: Where.
    """

    def __init__(self, plan: Plan, dataset: Dataset, device: torch.device):
        self.plan = plan
        self.dataset = dataset
        self.device = device

    def untrained(self) -> nn.Module:
        """The network before training, its initial weights those of the plan's seed."""
        return untrained(self.plan, self.dataset.shape).to(self.device)

    def __call__(self, objective: Loss) -> nn.Module:
        """The network, fitted: it gives logits for images in [0, 1], and nothing acts at its sites."""
        plan, device = self.plan, self.device
        assert plan.epochs is not None
        assert plan.batch_size is not None
        assert plan.learning_rate is not None
        images, labels = (
            torch.from_numpy(part).to(device) for part in (self.dataset.x_train, self.dataset.y_train)
        )
        network = self.untrained()
        order = torch.Generator().manual_seed(fingerprint.derive_seed(plan.seed, "order"))
        masks = torch.Generator(device).manual_seed(fingerprint.derive_seed(plan.seed, "masks"))
        optimizer = torch.optim.Adam(network.parameters(), plan.learning_rate)
        sizes = batch_sizes(len(images), plan.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.epochs * len(sizes))
        bar = tqdm(total=plan.epochs * len(sizes), desc="training", unit="batch", disable=None)
        defended = plan.behind(network)
        with bar, defended.acting(masks) as model:
            model.train()
            for epoch in range(plan.epochs):
                total = torch.zeros((), device=device)
                batches = torch.randperm(len(images), generator=order).to(device).split(sizes)
                for step, rows in enumerate(batches):
                    optimizer.zero_grad()
                    loss = objective(model, unit(images[rows]), labels[rows])
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
        network.eval().requires_grad_(False)
        twin = defended.twin
        # what goes on drawing where that can't be switched off draws here, too
        if twin is None or twin.network is not network:
            twin = defended.behind({})
        return Behind(twin, masks).eval()


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """How many images each batch of an epoch has."""
    sizes = [batch_size] * (count // batch_size)
    rest = count % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A network's weights and buffers.

    Raises:
        TrainingError: for what can't be kept.
    """
    state = model.state_dict()
    for name, values in state.items():
        if not isinstance(values, Tensor):
            raise TrainingError(f"{name} is a {type(values).__name__}, and only tensors can be kept")
    return dict(state)
