"""What a network, a scheme and an attack must be like, tried before anything else is done with them.

Here belong checks whose failing is one line about somebody's network, operation or attack, cheap enough to
be made before training and again on the trained network. What is measured of any does not.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench import process
from bench.checks import ConfigError
from bench.defended import Defended, NotFinite, check_finite, still
from bench.results import fingerprint
from bench.schemes.strength import Operation, strength_of
from bench.sites import SiteError, trace, unwrapped
from bench.training.weightfiles import WeightsError

IMAGES = 3
"""With one image, an output of one row for all would pass; with three it can't."""

RAISED = 0.5
"""A strength at which whatever draws must be seen to draw; at a tiny one two passes may well be alike."""

MIXES = "{} makes of an image what depends on the other images of its batch"


def build(make: Callable[[], nn.Module], name: str) -> nn.Module:
    """An untrained network, made.

    Args:
        make: Makes it, from seeded draws.
        name: What the model is called.

    Raises:
        ConfigError: if it can't be made.
        WeightsError: for a file of weights that can't be used.
    """
    try:
        return make().eval()
    except WeightsError:
        raise
    # a constructor of the user's can raise anything at all
    except Exception as error:
        said = _words(error, plain=(ValueError, TypeError))
        raise ConfigError(f"model.options: {name}: {said}{_lacking(error)}") from None


@torch.no_grad()
def network(defended: Defended, name: str, images: Tensor, classes: int) -> int:
    """Passes a few images through a network in which nothing acts.

    Args:
        defended: The network, its twin.
        name: What the model is called.
        images: In [0, 1], shape (IMAGES, channels, height, width), where the network is.
        classes: How many outputs there have to be, at least.

    Returns:
        How many outputs it has.

    Raises:
        ConfigError: unless it gives one row of finite logits an image, at least one for each class, the same
            in another pass, and the same whatever other images are in the batch.
    """
    key = f"model: {name}"
    state = defended.network.state_dict
    for part, value in state().items():
        if not isinstance(value, Tensor):
            raise ConfigError(
                f"{key}: {part} is a {type(value).__name__}, and only tensors can be looked after"
            )
        if is_lazy(value):
            raise ConfigError(f"{key}: {part} has no size yet; pass images through the network first")
    before = fingerprint.hash_tensors(state())
    with defended.model(0) as model:
        with _no_global_draws(f"{key} draws by itself although no site is random"):
            outputs = _pass(key, model, images)
        if not isinstance(outputs, Tensor):
            names = f" of {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else ""
            raise ConfigError(
                f"{key} gives {type(outputs).__name__}{names}, expected a tensor of logits (batch, classes): "
                "say where they are by model.outputs: an index, a key, or from: a submodule's path"
            )
        shape = tuple(outputs.shape)
        if len(shape) != 2 or shape[0] != len(images) or not outputs.is_floating_point():
            raise ConfigError(
                f"{key} gives {outputs.dtype} of shape {shape} for {len(images)} images, "
                f"expected logits of shape ({len(images)}, classes)"
            )
        if outputs.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"{key} gives logits of {outputs.dtype}, expected torch.float32, without which attacks can't "
                "do: let it return logits.float()"
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
        if fingerprint.hash_tensors(state()) != before:
            raise ConfigError(f"{key} changes its own weights or buffers in a pass, in evaluation mode")
        alone = torch.cat([_pass(key, model, image) for image in images.split(1)])
    if not _near(alone, outputs):
        raise ConfigError(
            f"{key}: an image's logits depend on the other images of its batch "
            f"(by {float((alone - outputs).abs().max()):.3g}), so that results would depend on batch_size"
        )
    return shape[1]


def traced(model: nn.Module, name: str, images: Tensor) -> dict[str, list[Any]]:
    """What each submodule of a network gives, as ``sites.trace`` says it.

    Raises:
        ConfigError: if the network fails on images, shape (batch, channels, height, width), preprocessed.
    """
    found: dict[str, list[Any]] = {}
    _pass(f"model: {name}", lambda given: found.update(trace(unwrapped(model), given)), images)
    return found


def sites(defended: Defended, name: str, images: Tensor) -> None:
    """Looks whether every site of a network is reached, and is of a tensor.

    Args:
        defended, name, images: As for ``network``.

    Raises:
        ConfigError: for one that isn't.
    """
    paths = {path: site for site, of in defended.sites.items() for path in of if path}
    if not paths:
        return
    before = defended.preprocessing
    with still(defended.network):
        found = traced(defended.network, name, images if before is None else before(images))
    for path, site in paths.items():
        seen = found[path]
        if not seen:
            others = [p for p, shapes in found.items() if shapes and isinstance(shapes[0], tuple)]
            raise ConfigError(
                f"model.sites.{site}: submodule {path!r} of {name} is never reached in a pass; "
                f"some that are: {', '.join(others[-8:])}"
            )
        if not isinstance(seen[0], tuple):
            inside = [
                p for p, s in found.items() if p.startswith(f"{path}.") and s and isinstance(s[0], tuple)
            ]
            hint = f"; inside it: {', '.join(inside[-8:])}" if inside else ""
            raise ConfigError(
                f"model.sites.{site}: submodule {path!r} of {name} gives {seen[0]}, expected a tensor{hint}"
            )


@torch.no_grad()
def scheme(defended: Defended, name: str, images: Tensor) -> list[str]:
    """Passes a few images through a network with a scheme in force.

    Args:
        defended: The network behind its scheme.
        name: What the scheme is called.
        images: As for ``network``.

    Returns:
        At which sites an operation mixes the images of a batch.

    Raises:
        ConfigError: unless its operations return what they were given in shape and type, without changing
            it (but an image's size); are alike in two passes of one seed; and draw at all, but for those
            that say ``random = False``, which mustn't depend on the other images of a batch.
    """
    key = f"scheme: {name}"
    # the first image in other company
    others = torch.cat([images[:1], 1 - images[1:]])
    mixing = []
    for site, (operation, rate) in defended.scheme.items():
        resized = "" in defended.sites[site]
        watched = _Watched(operation, f"{key}: the operation at site {site}", resized)

        def drawn(
            seed: int,
            rate: float = rate,
            site: str = site,
            watched: Operation = watched,
            given: Tensor = images,
        ) -> tuple[Tensor, Tensor, Tensor]:
            """What comes out, and the generator's state after one pass and after another."""
            behind = defended.behind({site: (watched, rate)})
            generator = torch.Generator(defended.device).manual_seed(seed)
            with still(*defended.modules), behind.acting(generator, seeded=True) as model:
                outputs = _pass(key, model.eval(), given)
                after = generator.get_state()
                _pass(key, model, given)
            return outputs, after, generator.get_state()

        (first, after, later), (again, _, _), (other, _, _) = (drawn(seed) for seed in (0, 0, 1))
        alone = first
        draws = getattr(operation, "random", True)
        fresh = torch.Generator(defended.device).manual_seed(0).get_state()
        # what has drawn nothing is told below
        if draws and torch.equal(after, later) and not torch.equal(after, fresh):
            raise ConfigError(f"{watched.name} sets its generator back, so that no draw is a fresh one")
        _check_finite(watched.name, first)
        if not _same(first, again):
            raise ConfigError(
                f"{watched.name} draws from what no seed reaches: two passes of one seed differ, with the "
                "generator that it is given and those of PyTorch, NumPy and Python all seeded"
            )
        if draws and torch.equal(first, other) and rate < RAISED and _takes(operation, RAISED):
            first, other = (drawn(seed, RAISED)[0] for seed in (0, 1))
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
        company = drawn(0, given=others)[0]
        if not _near(alone[:1], company[:1]):
            if not draws:
                raise ConfigError(f"{MIXES.format(watched.name)}, so that results would depend on batch_size")
            mixing.append(site)
    return mixing


def _takes(operation: Operation, rate: float) -> bool:
    try:
        strength_of(operation).check("", rate)
    except ValueError:
        return False
    return True


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

    # nor may another thread draw meanwhile
    with process.alone:
        before = states()
        yield
        after = states()
    moved = [name for name in before if before[name] != after[name]]
    if moved:
        raise ConfigError(f"{words} ({moved[0]} global generator)")


class _Watched:
    """An operation whose results are looked at."""

    def __init__(self, operation: Operation, name: str, resized: bool):
        self.operation = operation
        self.name = name
        self.resized = resized
        self.strength = strength_of(operation)
        self.clip = getattr(operation, "clip", False)

    def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        given = x.clone()
        result: Any = self.operation(x, rate, generator)
        # the network says itself which sizes it takes
        dims = 2 if self.resized else None
        if (
            not isinstance(result, Tensor)
            or result.shape[:dims] != given.shape[:dims]
            or result.dim() != given.dim()
            or result.dtype != given.dtype
        ):
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


def _pass(key: str, model: Callable[[Tensor], Any], images: Tensor) -> Any:
    try:
        return model(images)
    except ConfigError:
        raise
    except SiteError as error:
        where = "model." if str(error).startswith("outputs:") else "model.sites."
        raise ConfigError(f"{where}{error}") from None
    # whatever is in it may raise anything at all
    except Exception as error:
        shape = tuple(images.shape)
        raise ConfigError(
            f"{key} fails on images of shape {shape} ({_words(error)}){_lacking(error)}"
        ) from None


def _lacking(error: Exception) -> str:
    """What is said of a network that calls for CUDA by itself where there is none."""
    asks = not torch.cuda.is_available() and ("CUDA" in str(error) or "NVIDIA" in str(error))
    return "; it asks for a GPU itself, and there is none here" if asks else ""


def _check_finite(key: str, outputs: Tensor) -> None:
    try:
        check_finite(outputs)
    except NotFinite as error:
        raise ConfigError(f"{key} gives {error}") from None


def _same(one: Tensor, other: Tensor) -> bool:
    if one.device.type == "cpu":
        return torch.equal(one, other)
    # a GPU's sums may come in another order each time
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


def _words(error: Exception, plain: tuple[type[Exception], ...] = ()) -> str:
    words = " ".join(str(error).split())
    return words if isinstance(error, plain) else f"{type(error).__name__}: {words}"
