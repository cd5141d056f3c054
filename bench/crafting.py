"""The adversarial samples of a cell: which images are attacked, at which targets, and what came out.

Here belongs everything that decides samples and isn't the attack's own, so that its code stands in their key,
and nothing that measures them.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench import attacking
from bench.attacks import criteria
from bench.defended import Defended
from bench.results.fingerprint import derive_seed


@dataclass(frozen=True)
class Order:
    """What is to be crafted.

    Attributes:
        attack: The attack, with Foolbox's call.
        name: What it is called.
        epsilon: The largest perturbation in its own norm, over 0; None: the smallest one is asked for.
        kind, k, targets: Of the criterion.
        count: What ``samples`` counts: ``images``, or claimed ``successes``.
        samples: How many.
        seed: Of targets and draws.
        batch_size: Images at a time.
        goals: A target for each image, shape (n,), where they are given; None: ``targets`` says which.
        progress: Whether a bar is shown; None: where there is a terminal.
        shared_draws: Whether images of a pass share a draw.
        whole_batches: Whether an image's logits depend on the others of its batch.
    """

    attack: Callable[..., Any]
    name: str
    epsilon: float | None
    kind: str
    k: int | None
    targets: str | None
    count: str
    samples: int
    seed: int
    batch_size: int
    goals: np.ndarray | None = None
    progress: bool | None = None
    shared_draws: bool = False
    whole_batches: bool = False


def craft(
    order: Order, defended: Defended, x: np.ndarray, y: np.ndarray, classes: int, right: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Attacks the first images that the network gets right, once or once for each wrong class.

    Args:
        order: What is to be crafted.
        defended: The network behind its scheme.
        x, y: The test images, shape (n, channels, height, width), and their labels, shape (n,).
        classes: How many there are.
        right: Places of the images that the network gets right without its scheme, in order.

    Returns:
        Arrays of a row for each attacked image: ``perturbed``, ``indices``, ``labels``, ``targets``,
        ``claimed``, and those of ``attacking.REMARKS`` that can be told; and what is said about all.

    Raises:
        AttackError, NotFinite: as ``attacking.attack`` does; and whatever the attack raises.
    """
    where = defended.device
    chosen = right[: order.samples] if order.count == "images" else right
    if order.targets == "all":
        goals = criteria.all_targets(y[chosen], classes)
        chosen = np.repeat(chosen, repeats(order.targets, classes))
    elif order.goals is not None:
        goals = order.goals[chosen]
    else:
        goals = criteria.random_targets(y, classes, derive_seed(order.seed, "targets"))[chosen]
    labels, targets = (torch.from_numpy(part).to(where) for part in (y[chosen], goals))

    def goal(rows: slice) -> Any:
        return criteria.criterion(order.kind, labels[rows].clone(), targets[rows].clone(), order.k)

    with defended.model(derive_seed(order.seed, "attack")) as model:
        attacked = attacking.attack(
            order.attack,
            order.name,
            order.epsilon,
            goal,
            model,
            torch.from_numpy(x[chosen]),
            device=where,
            # a random start that is drawn from it must not be the masks' own draws
            seed=derive_seed(order.seed, "attack start"),
            batch_size=order.batch_size,
            successes=order.samples if order.count == "successes" else None,
            progress=order.progress,
            shared_draws=order.shared_draws,
            whole_batches=order.whole_batches,
        )
    count = len(attacked.images)
    arrays = {
        "perturbed": attacked.images.numpy(),
        "indices": chosen[:count].astype(np.int64),
        "labels": y[chosen[:count]],
        "targets": goals[:count],
        "claimed": attacked.claimed,
        **{name: getattr(attacked, name) for name in attacking.REMARKS},
    }
    about = {
        # of one width, too
        "device": f"{device_name(where):<60}",
        "device_kind": where.type,
        "tried": attacked.tried,
        "forward": attacked.passes.forward,
        "backward": attacked.passes.backward,
        # of one width, since a record names its samples' size, and they may be made again
        "seconds": f"{attacked.seconds:012.3f}",
    }
    return {name: array for name, array in arrays.items() if array is not None}, about


def repeats(targets: str | None, classes: int) -> int:
    """How often each image is attacked: once, or once for each wrong class."""
    return classes - 1 if targets == "all" else 1


def device_name(where: torch.device) -> str:
    """What a device is called."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    return f"{where.type} ({platform.machine()})"
