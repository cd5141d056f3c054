"""What is measured of a network and of adversarial images: accuracy, success, distances.

Here belong measurements, each on draws of its own. Running an attack, intervals, and what is done with
the figures, does not.
"""

from dataclasses import dataclass

import numpy as np
import torch
from foolbox.criteria import Criterion
from torch import Tensor, nn

from bench.datasets.arrays import unit
from bench.defended import check_finite


@torch.no_grad()
def logits(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """The network's outputs, shape (images, classes), one pass of each image.

    Raises:
        NotFinite: for outputs that are not numbers, whose largest would be a class all the same.
    """
    outputs = torch.cat([model(unit(batch)) for batch in images.split(batch_size)])
    check_finite(outputs)
    return outputs


@torch.no_grad()
def passes_differ(model: nn.Module, images: Tensor) -> bool:
    """Whether two passes over the same images give other logits; at a tiny rate they may well not."""
    return not torch.equal(model(images), model(images))


def look_like_probabilities(outputs: Tensor) -> bool:
    """Whether every row is at least 0 and sums to 1, as a softmax at the end makes them."""
    return bool((outputs >= 0).all() and ((outputs.sum(-1) - 1).abs() < 1e-4).all())


def correct(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> np.ndarray:
    """Whether each image is given its label in one pass, booleans of shape (images,)."""
    return (logits(model, images, batch_size).argmax(-1) == labels).cpu().numpy()


@dataclass(frozen=True)
class FreshDraws:
    """How each adversarial image fares on passes that the attack has not seen.

    Attributes:
        draws: Passes of each image.
        success: On how many of them the criterion holds, shape (images,).
        right: On how many of them it is given its true label, shape (images,).
        right_first: Whether it is on the first, booleans of shape (images,).
        first_half: The two counts on the first ``draws // 2`` of them, shape (2, images): who chooses by
            these has the others left to score by.
        success_by_draw: Of how many images the criterion holds on each pass, shape (draws,).
        right_by_draw: How many are given their true label on it, shape (draws,).
    """

    draws: int
    success: np.ndarray
    right: np.ndarray
    right_first: np.ndarray
    first_half: np.ndarray
    success_by_draw: np.ndarray
    right_by_draw: np.ndarray


def fresh_draws(
    model: nn.Module, images: Tensor, goal: Criterion | None, labels: Tensor, draws: int, batch_size: int
) -> FreshDraws:
    """Passes every image ``draws`` times, at least once; without a goal nothing is a success."""
    success, right = (np.zeros((draws, len(images)), dtype=bool) for _ in range(2))
    for draw in range(draws):
        outputs = logits(model, images, batch_size)
        if goal is not None:
            success[draw] = goal(images, outputs).cpu().numpy()
        right[draw] = (outputs.argmax(-1) == labels).cpu().numpy()
    half = np.stack([success[: draws // 2].sum(0), right[: draws // 2].sum(0)])
    return FreshDraws(draws, success.sum(0), right.sum(0), right[0], half, success.sum(1), right.sum(1))


def distances(originals: np.ndarray, perturbed: np.ndarray) -> dict[str, np.ndarray]:
    """How far each image was moved, shape (images,) each.

    Returns:
        ``mad_255``: mean absolute difference a value, on the 0-255 scale ("Dropout in Testing
        Phase", section 4.1); ``l0_values``: values changed; ``l1``, ``l2``, ``linf``: norms of
        values in [0, 1].
    """
    # a few at a time: in double precision many large images take more memory than all else
    parts = [
        _distances(originals[i : i + CHUNK], perturbed[i : i + CHUNK])
        for i in range(0, len(originals), CHUNK)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


CHUNK = 100
"""Images whose distances are taken at a time."""


def _distances(originals: np.ndarray, perturbed: np.ndarray) -> dict[str, np.ndarray]:
    delta = (perturbed.astype(np.float64) - originals).reshape(len(originals), -1)
    absolute = np.abs(delta)
    return {
        "mad_255": absolute.mean(1) * 255,
        "l0_values": (absolute > 0).sum(1).astype(np.float64),
        "l1": absolute.sum(1),
        "l2": np.sqrt((delta**2).sum(1)),
        "linf": absolute.max(1, initial=0),
    }
