"""Networks that are trained once and then kept, and whether they are worth attacking.

Here belongs when a network is trained, found again, or refused. How it is trained does not.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bench.datasets.arrays import Dataset
from bench.measuring import intervals
from bench.results import fingerprint
from bench.results.files import Unreadable, set_aside
from bench.results.store import Kept, Store, key_of
from bench.training.fit import LOWER, Plan, TrainingError, built, fit, state_of, untrained

PUBLISHED = 2.0
"""Points by which a measured accuracy may differ from the published one."""


@dataclass(frozen=True)
class Trained:
    """A network with its weights.

    Attributes:
        network: In evaluation mode, its parameters frozen.
        key: Its checkpoint's name; of foreign weights, what stands for one.
        sha256: Hash of the weights themselves.
        seconds: How long its training took, whenever that was.
    """

    network: nn.Module
    key: str
    sha256: str
    seconds: float


def trained(plan: Plan, dataset: Dataset, store: Store, device: torch.device) -> Trained:
    """The network of a plan: from its checkpoint, or trained now and kept.

    When two processes ask at once, one trains and the other waits for it. A damaged checkpoint is said,
    set aside and made again. One that can't be kept is said, and the network used all the same.

    Args:
        plan: What to train.
        dataset: Images to train on.
        store: Where checkpoints are kept.
        device: Where the network is to be.

    Raises:
        Unreadable: for a checkpoint in the way that is of another version.
        TrainingError: as ``fit`` does; nothing is kept then.
    """
    made: list[nn.Module] = []

    def make() -> Kept:
        start = time.perf_counter()
        made.append(fit(plan, dataset, device))
        state = state_of(made[0])
        about = {
            "seconds": round(time.perf_counter() - start, 3),
            "weights": fingerprint.hash_tensors(state),
            "seed": plan.seed,
            "settings": dict(plan.settings),
        }
        return Kept(state, about)

    while True:
        kept = store.remember("checkpoints", plan.settings, make)
        try:
            return made_of(kept, made[0] if made else None, plan.build, device)
        except Unreadable as error:
            set_aside(error)


def hash_of(network: nn.Module, without: Collection[str] = ()) -> str:
    """The hash of a network's weights and buffers, but for those that a pass changes."""
    state = {name: tensor for name, tensor in state_of(network).items() if name not in without}
    return fingerprint.hash_tensors(state)


def foreign(
    plan: Plan, shape: tuple[int, int, int], device: torch.device, without: Collection[str] = ()
) -> Trained:
    """A network with somebody else's weights.

    Args:
        plan: Whose way fits nothing.
        shape: (channels, height, width) of an image.
        device: Where the network is to be.
        without: Names of tensors that its hash leaves out.

    Raises:
        WeightsError: as the way does.
    """
    start = time.perf_counter()
    network = plan.way(untrained(plan, shape)).to(device).eval().requires_grad_(False)
    sha256 = hash_of(network, without)
    return Trained(network, key_of("checkpoints", plan.settings), sha256, time.perf_counter() - start)


def found(key: str, store: Store, build: Callable[[], nn.Module], device: torch.device) -> Trained:
    """The network of a checkpoint; nothing is trained.

    Args:
        key: The checkpoint's name.
        store: Where it is kept.
        build: Makes the untrained network.
        device: Where the network is to be.

    Raises:
        Unreadable: if the checkpoint is missing, damaged, or another one's under this name.
    """
    return made_of(store.kept("checkpoints", key), None, build, device)


def made_of(
    kept: Kept, network: nn.Module | None, build: Callable[[], nn.Module], device: torch.device
) -> Trained:
    """A checkpoint's network.

    Args:
        kept: The checkpoint.
        network: That it was just made of, if it was.
        build: Makes the untrained one.
        device: Where the network is to be.

    Raises:
        Unreadable: if it is of another network.
    """
    if network is None:
        network = built(build, kept.about["seed"])
        try:
            network.load_state_dict(kept.values)
        except RuntimeError as error:
            raise Unreadable(kept.path, f"of another network ({' '.join(str(error).split())})") from None
    network.to(device).eval().requires_grad_(False)
    return Trained(network, kept.key, kept.about["weights"], kept.about["seconds"])


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


def check_published(clean_pct: float, right: np.ndarray, data: str, bare: Callable[[], float] | None) -> None:
    """Refuses a network that isn't as accurate as it is said to be: another file, mode or normalisation.

    Args:
        clean_pct: The published accuracy, %.
        right: Which test images it gets right, booleans of shape (images,).
        data: What the images are called.
        bare: Gives the accuracy in % without preprocessing; None: there is none.

    Raises:
        TrainingError: if what was measured is more than ``PUBLISHED`` points off.
    """
    measured = intervals.estimate(right.astype(float))
    if abs(100 * measured.mean - clean_pct) <= PUBLISHED:
        return
    without = f"; without preprocessing {bare():.1f} %" if bare else ""
    raise TrainingError(
        f"training.clean_pct: {clean_pct:g} % as published, measured {100 * measured.mean:.1f} % "
        f"[{100 * measured.low:.1f}, {100 * measured.high:.1f}] on {len(right)} images of {data}{without}; "
        "is it the right file, data and preprocessing?"
    )
