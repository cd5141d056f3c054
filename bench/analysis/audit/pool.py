"""The samples of one row, and each image's worst: chosen on draws of its own, scored on others.

Here belongs which draws choose and which score. How samples come about does not, nor what is computed of the
answers.

Four streams of draws are disjoint: an attack's gradients, and those by which it keeps an iterate, are of the
model that it attacks; the two rounds that choose, and the one that scores, are each of a seed of their own.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from bench.datasets.arrays import unit
from bench.measuring import passes
from bench.results.fingerprint import derive_seed

Open = Callable[[int], AbstractContextManager[nn.Module]]
"""Gives for a seed a block in which there is a model that draws from it, as ``Defended.model`` does."""

FIRST, SECOND, BEST = 50, 200, 8
"""Draws of every sample, then so many more of each image's worst eight.

By simulation one round leaves the accuracy 1.6 to 2.9 points too high, two 0.4 to 1.6: what choosing misses
raises it, and with it what the randomness seems to be worth.
"""

SCORED = 100
"""Draws that score the worst of them, at least."""


@torch.no_grad()
def answers(model: nn.Module, images: Tensor, labels: Tensor, draws: int, batch_size: int) -> np.ndarray:
    """Whether each image is given its label on each draw, booleans of shape (draws, images).

    Raises:
        NotFinite: for logits that are not numbers.
    """
    given = [passes.correct(model, images, labels, batch_size) for _ in range(draws)]
    return np.stack(given)


def first_round(
    open: Open, pool: Sequence[Tensor], labels: Tensor, seed: int, batch_size: int, draws: int = FIRST
) -> np.ndarray:
    """Whether each sample of each image gets its label on each draw, booleans (samples, draws, images).

    All samples see the same draws, so that they differ in nothing else.

    Args:
        open: Opens the defence.
        pool: Each sample of all images, as ``unit`` takes them, shape (images, channels, height,
            width).
        labels: Shape (images,).
        seed: Of the row.
        batch_size: Images a pass.
        draws: How many.
    """
    seen = []
    for images in pool:
        with open(derive_seed(seed, "audit choose")) as model:
            seen.append(answers(model, images, labels, draws, batch_size))
    return np.stack(seen)


def second_round(
    open: Open, pool: Sequence[Tensor], labels: Tensor, seed: int, batch_size: int, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which sample is each image's worst.

    Args:
        open, pool, labels, seed, batch_size: As for ``first_round``.
        counts: On how many draws of that each sample of each image was wrong, shape (samples, images).

    Returns:
        Its place in the pool, shape (images,), and the share of draws on which each sample fools: on those of
        both rounds where there were two, shape (samples, images).
    """
    shares = counts / FIRST
    order = np.argsort(-counts, axis=0, kind="stable")[:BEST]
    everybody = np.arange(counts.shape[1])
    for of in order:
        images = picked(pool, of)
        with open(derive_seed(seed, "audit choose again")) as model:
            more = (~answers(model, images, labels, SECOND, batch_size)).sum(0)
        shares[of, everybody] = (counts[of, everybody] + more) / (FIRST + SECOND)
    # of those that weren't asked again none was worse
    asked = np.full_like(shares, -1.0)
    asked[order, everybody] = shares[order, everybody]
    # what fooled all of the first round is settled
    settled = counts.max(0) == FIRST
    return np.where(settled, counts.argmax(0), asked.argmax(0)), shares


def picked(pool: Sequence[Tensor], which: np.ndarray) -> Tensor:
    """One sample of each image, by its place in the pool."""
    return torch.stack([pool[sample][image] for image, sample in enumerate(which)])


def scored(
    open: Open,
    pool: Sequence[Tensor],
    labels: Tensor,
    seed: int,
    batch_size: int,
    which: np.ndarray,
    draws: int = SCORED,
) -> np.ndarray:
    """The defence's answers to one sample of each image, on draws that chose nothing.

    Args:
        open, pool, labels, seed, batch_size: As for ``first_round``.
        which: The sample's place in the pool, shape (images,).
        draws: How many.

    Returns:
        Whether each is the label, booleans of shape (draws, images).
    """
    images = picked(pool, which)
    with open(derive_seed(seed, "audit score")) as model:
        return answers(model, images, labels, draws, batch_size)


def inside(
    images: np.ndarray, originals: np.ndarray, norm: str, epsilon: float, rounding: float = 1e-6
) -> np.ndarray:
    """Samples that lie in the ball, and the unperturbed image in the place of those that don't.

    Args:
        images, originals: Shape (images, channels, height, width), in [0, 1].
        norm: ``linf`` or ``l2``.
        epsilon: The radius.
        rounding: How far beyond it rounding may take a sample, and 1e-4 of epsilon.
    """
    keep = distances(images, originals, norm) <= epsilon * (1 + 1e-4) + rounding
    return np.where(keep[:, None, None, None], unit(images), unit(originals))


def drawn_in(images: np.ndarray, originals: np.ndarray, norm: str, epsilon: float) -> np.ndarray:
    """Samples as far on the way from the originals as the ball goes.

    Args:
        images, originals, norm, epsilon: As for ``inside``; a Linf ball cuts each pixel off by itself.
    """
    moved = unit(images).astype(np.float64) - unit(originals)
    if norm == "linf":
        moved = np.clip(moved, -epsilon, epsilon)
    else:
        far = distances(images, originals, norm).reshape(-1, 1, 1, 1)
        moved = moved * np.minimum(1, epsilon / np.maximum(far, 1e-30))
    found: np.ndarray = np.clip(unit(originals) + moved, 0, 1).astype(np.float32)
    return found


def distances(images: np.ndarray, originals: np.ndarray, norm: str) -> np.ndarray:
    """How far samples are from the originals, in double precision, shape (images,)."""
    moved = (unit(images).astype(np.float64) - unit(originals)).reshape(len(images), -1)
    found: np.ndarray = np.abs(moved).max(1) if norm == "linf" else np.sqrt((moved**2).sum(1))
    return found
