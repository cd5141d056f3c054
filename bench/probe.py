"""What a network and a scheme must be like, tried on a few images before anything else is done with them.

Here belong checks whose failing is one line about somebody's network or operation, cheap enough to be
made before training and again on the trained network. What is measured of either does not.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import evaluation, fingerprint, schemes
from bench.config import ConfigError
from bench.models import Operation

Rates = Mapping[str, tuple[Operation, float]]

IMAGES = 3
"""With one image, an output of one row for all would pass; with three it can't."""

RAISED = 0.5
"""A rate at which whatever draws must be seen to draw; at a tiny one two passes may well be alike."""


def build(make: Callable[[], nn.Module], name: str, images: Tensor, classes: int) -> nn.Module:
    """An untrained network, made and passed through once.

    Args:
        make: Makes it, from seeded draws.
        name: What the model is called.
        images: In [0, 1], shape (IMAGES, channels, height, width).
        classes: How many the data has.

    Raises:
        ConfigError: if it can't be made, or is not a network that ``network`` accepts.
    """
    try:
        model = make()
    # a constructor of the user's can raise anything at all
    except Exception as error:
        said = _words(error, plain=(ValueError, TypeError))
        raise ConfigError(f"model.options: {name}: {said}") from None
    model.eval()
    network(model, name, images, classes)
    return model


@torch.no_grad()
def network(model: nn.Module, name: str, images: Tensor, classes: int) -> None:
    """Passes a few images through a network in which nothing acts.

    Raises:
        ConfigError: unless it gives one row of finite logits an image, at least one for each class, the same
            in another pass, and the same whatever other images are in the batch.
    """
    key = f"model: {name}"
    before = fingerprint.hash_tensors(model.state_dict())
    with _no_global_draws(f"{key} draws by itself although no site is random"):
        outputs = _pass(key, model, images)
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"{key} gives {type(outputs).__name__}, expected a tensor of logits (batch, classes)"
        )
    shape = tuple(outputs.shape)
    if len(shape) != 2 or shape[0] != len(images) or not outputs.is_floating_point():
        raise ConfigError(
            f"{key} gives {outputs.dtype} of shape {shape} for {len(images)} images, "
            f"expected logits of shape ({len(images)}, classes)"
        )
    if shape[1] < max(2, classes):
        raise ConfigError(
            f"{key} has {shape[1]} outputs, expected one for each of at least {max(2, classes)} classes"
        )
    _check_finite(key, outputs)
    again = _pass(key, model, images)
    if not _same(outputs, again):
        raise ConfigError(
            f"{key} draws by itself although no site is random (two passes over the same images differ)"
        )
    if fingerprint.hash_tensors(model.state_dict()) != before:
        raise ConfigError(f"{key} changes its own weights or buffers in a pass, in evaluation mode")
    alone = torch.cat([_pass(key, model, image) for image in images.split(1)])
    if not _near(alone, outputs):
        raise ConfigError(
            f"{key}: an image's logits depend on the other images of its batch "
            f"(by {float((alone - outputs).abs().max()):.3g}), so that results would depend on batch_size"
        )


@torch.no_grad()
def scheme(model: nn.Module, name: str, rates: Rates, images: Tensor) -> list[str]:
    """Passes a few images through a network with a scheme in force, and leaves it without one.

    Returns:
        What is to be said of it, a line each: that an operation mixes the images of a batch.

    Raises:
        ConfigError: unless its operations return what they were given in shape and type, without changing
            it; draw from their generator alone; and draw at all, but for those that say ``random = False``,
            which mustn't depend on the other images of a batch.
    """
    key = f"scheme: {name}"
    generator = torch.Generator(images.device)
    acting = {site: (operation, rate) for site, (operation, rate) in rates.items() if rate > 0}
    # the first image in other company
    others = torch.cat([images[:1], 1 - images[1:]])
    said = []
    try:
        for site, (operation, rate) in acting.items():
            watched = _Watched(operation, f"{key}: the operation at site {site}")
            elsewhere = f"{watched.name} draws from something else than the generator that it is given"
            with _no_global_draws(elsewhere):
                first, again, other = (
                    _drawn(key, model, {site: (watched, rate)}, generator, images, seed) for seed in (0, 0, 1)
                )
            alone, drawn = first, generator.get_state()
            if draws := getattr(operation, "random", True):
                _pass(key, model, images)
                same = torch.equal(drawn, generator.get_state())
                # what has drawn nothing is told below
                if same and not torch.equal(drawn, generator.manual_seed(1).get_state()):
                    raise ConfigError(
                        f"{watched.name} sets its generator back, so that no draw is a fresh one"
                    )
            _check_finite(watched.name, first)
            if not _same(first, again):
                raise ConfigError(f"{elsewhere}: two passes from the same seed differ")
            if draws and torch.equal(first, other) and rate < RAISED:
                first, other = (
                    _drawn(key, model, {site: (watched, RAISED)}, generator, images, seed) for seed in (0, 1)
                )
            if draws and torch.equal(first, other):
                raise ConfigError(
                    f"{watched.name} draws nothing that an output depends on: two passes over the same "
                    "images are equal although a site is random; where that is meant, give the operation's "
                    "class an attribute random = False"
                )
            if not draws and not torch.equal(first, other):
                raise ConfigError(
                    f"{watched.name} says random = False, but two passes over the same images differ"
                )
            company = _drawn(key, model, {site: (operation, rate)}, generator, others, 0)
            if not _near(alone[:1], company[:1]):
                mixes = f"{watched.name} makes of an image what depends on the other images of its batch"
                if not draws:
                    raise ConfigError(f"{mixes}, so that results would depend on batch_size")
                said.append(f"{mixes}: results may depend on batch_size")
    finally:
        schemes.install(model, {}, generator)
    return said


def _near(one: Tensor, other: Tensor) -> bool:
    # sums of another order differ in their last bits
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


@contextlib.contextmanager
def _no_global_draws(words: str) -> Iterator[None]:
    """Raises ConfigError if one of the global generators was drawn from, which would be in no seed."""

    def states() -> dict[str, Any]:
        drawn = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
        return {
            "torch's": torch.get_rng_state().tolist(),
            "NumPy's": [drawn["key"].tolist(), drawn["pos"]],
            "Python's": random.getstate(),
        }

    before = states()
    yield
    after = states()
    moved = [name for name in before if before[name] != after[name]]
    if moved:
        raise ConfigError(f"{words} ({moved[0]} global generator)")


class _Watched:
    """An operation whose results are looked at."""

    def __init__(self, operation: Operation, name: str):
        self.operation = operation
        self.name = name

    def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        given = x.clone()
        result: Any = self.operation(x, rate, generator)
        if not isinstance(result, Tensor) or result.shape != given.shape or result.dtype != given.dtype:
            what = (
                f"{result.dtype} of shape {tuple(result.shape)}"
                if isinstance(result, Tensor)
                else type(result).__name__
            )
            raise ConfigError(
                f"{self.name} returns {what}, expected {given.dtype} of shape {tuple(given.shape)}"
            )
        if not torch.equal(given, x):
            raise ConfigError(f"{self.name} changes what it is given, in place; expected a new tensor")
        return result


def _drawn(
    key: str, model: nn.Module, rates: Rates, generator: torch.Generator, images: Tensor, seed: int
) -> Tensor:
    try:
        schemes.install(model, rates, generator.manual_seed(seed))
    except ValueError as error:
        raise ConfigError(f"{key}: the network has {error}") from None
    outputs: Tensor = _pass(key, model, images)
    return outputs


def _pass(key: str, model: nn.Module, images: Tensor) -> Any:
    try:
        return model(images)
    except ConfigError:
        raise
    # whatever is in it may raise anything at all
    except Exception as error:
        raise ConfigError(f"{key} fails on images of shape {tuple(images.shape)} ({_words(error)})") from None


def _check_finite(key: str, outputs: Tensor) -> None:
    try:
        evaluation.check_finite(outputs)
    except evaluation.NotFinite as error:
        raise ConfigError(f"{key} gives {error}") from None


def _same(one: Tensor, other: Tensor) -> bool:
    if one.device.type == "cpu":
        return torch.equal(one, other)
    # a GPU's sums may come in another order each time
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


def _words(error: Exception, plain: tuple[type[Exception], ...] = ()) -> str:
    words = " ".join(str(error).split())
    return words if isinstance(error, plain) else f"{type(error).__name__}: {words}"
