"""What is measured of a network and of adversarial images: accuracy, success, distances, passes.

Here belong measurements, each on draws of its own. Running an attack, intervals, and what is done with
the figures, does not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from foolbox.criteria import Criterion, Misclassification, TargetedMisclassification
from torch import Tensor, nn

from bench.attacks.criteria import TopKMisclassification
from bench.datasets.arrays import unit
from bench.measure import intervals


def criterion(kind: str, labels: Tensor, targets: Tensor, k: int | None) -> Criterion:
    """The Foolbox criterion of a kind, for a batch of images.

    Args:
        kind: ``untargeted``, ``targeted`` or ``topk``.
        labels: True classes, shape (batch,).
        targets: Target classes, shape (batch,); for ``targeted``.
        k: For ``topk``.
    """
    if kind == "untargeted":
        return Misclassification(labels)
    if kind == "targeted":
        return TargetedMisclassification(targets)
    if kind == "topk" and k is not None:
        return TopKMisclassification(labels, k)
    raise ValueError(f"unknown criterion {kind}")


def random_targets(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """For each image a wrong class, each of them equally likely: shape and type of ``labels``."""
    offsets = np.random.default_rng(seed).integers(1, classes, size=len(labels))
    return (labels + offsets) % classes


def all_targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """For each label every wrong class, in order: shape (images * (classes - 1),)."""
    return np.array([c for label in labels for c in range(classes) if c != label], dtype=np.int64)


@torch.no_grad()
def logits(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """The network's outputs, shape (images, classes), one pass of each image, uint8 or floats in [0, 1].

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


class NotFinite(RuntimeError):
    """Outputs of a network that are NaN or infinite: it says nothing of these images."""


def check_finite(outputs: Tensor) -> None:
    """Raises NotFinite, saying for which images, unless all logits, shape (images, classes), are numbers."""
    bad = torch.nonzero(~outputs.isfinite().all(-1)).flatten()
    if len(bad):
        raise NotFinite(
            f"logits that are not finite numbers, for {len(bad)} of {len(outputs)} images in one pass, "
            f"first for image {int(bad[0])}: {[round(v, 3) for v in outputs[bad[0]].tolist()]}"
        )


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
        success: Share of its draws on which the criterion holds, shape (images,).
        accuracy: Share of its draws on which it is given its true label, shape (images,).
    """

    success: np.ndarray
    accuracy: np.ndarray


def fresh_draws(
    model: nn.Module, images: Tensor, goal: Criterion, labels: Tensor, draws: int, batch_size: int
) -> FreshDraws:
    """Passes every image ``draws`` times."""
    success = np.zeros(len(images))
    accuracy = np.zeros(len(images))
    for _ in range(draws):
        outputs = logits(model, images, batch_size)
        success += goal(images, outputs).cpu().numpy()
        accuracy += (outputs.argmax(-1) == labels).cpu().numpy()
    return FreshDraws(success / draws, accuracy / draws)


class Recognition(NamedTuple):
    """How often the true label is output for a set of adversarial samples.

    Attributes:
        accuracy: Over all draws, with its interval.
        single_draw: On the first draw alone.
    """

    accuracy: intervals.Estimate
    single_draw: float


def recognise(
    model: nn.Module, images: Tensor, labels: Tensor, draws: int, batch_size: int, groups: np.ndarray
) -> Recognition:
    """Passes every image ``draws`` times, and counts its true label.

    Args:
        groups: As for ``intervals.estimate``.
    """
    right = np.stack([correct(model, images, labels, batch_size) for _ in range(draws)])
    return Recognition(intervals.estimate(right.mean(0), groups), float(right[0].mean()))


def distances(originals: np.ndarray, perturbed: np.ndarray) -> dict[str, np.ndarray]:
    """How far each image was moved, shape (images,) each.

    Returns:
        ``mad_255``: mean absolute difference a value, on the 0-255 scale ("Dropout in Testing
        Phase", section 4.1); ``l0_values``: values changed; ``l1``, ``l2``, ``linf``: norms of
        values in [0, 1].
    """
    delta = (perturbed.astype(np.float64) - originals).reshape(len(originals), -1)
    absolute = np.abs(delta)
    return {
        "mad_255": absolute.mean(1) * 255,
        "l0_values": (absolute > 0).sum(1).astype(np.float64),
        "l1": absolute.sum(1),
        "l2": np.sqrt((delta**2).sum(1)),
        "linf": absolute.max(1, initial=0),
    }


@dataclass
class Passes:
    """How many images went through a network, forward and backward.

    Attributes:
        forward, backward: One for every image of a batch.
        first: For each image of the first pass that a gradient came back through, whether all that did were
            zero everywhere, shape (rows,); None before there was one.
        not_finite: How many outputs were no numbers although the image was made of numbers.
    """

    forward: int = 0
    backward: int = 0
    first: np.ndarray | None = None
    not_finite: int = 0


@contextmanager
def counted(model: nn.Module) -> Iterator[Passes]:
    """Counts the passes that a network makes inside the block, and looks at the first gradients."""
    passes = Passes()
    looked_at: list[Tensor] = []

    def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        image = inputs[0]
        if passes.first is None and image.requires_grad:
            image.register_hook(lambda gradient: look(image, gradient))

    def look(image: Tensor, gradient: Tensor) -> None:
        if passes.first is None:
            looked_at.append(image)
        if looked_at[0] is image:
            flat = gradient.detach().flatten(1)
            # what isn't a number is no direction either
            zero = ~((flat != 0) & flat.isfinite()).any(1).cpu().numpy()
            passes.first = zero if passes.first is None else passes.first & zero

    def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        passes.forward += len(output)
        bad = ~output.detach().isfinite().flatten(1).all(1)
        if bad.any() and len(inputs[0]) == len(output):
            passes.not_finite += int((bad & inputs[0].detach().isfinite().flatten(1).all(1)).sum())
        if output.requires_grad:
            output.register_hook(backward)

    def backward(gradient: Tensor) -> None:
        passes.backward += len(gradient)

    handles = [model.register_forward_pre_hook(enter), model.register_forward_hook(leave)]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
