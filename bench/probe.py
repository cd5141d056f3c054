"""What a network, a scheme and an attack must be like, tried before anything else is done with them.

Here belong checks whose failing is one line about somebody's network, operation or attack, cheap enough to
be made before training and again on the trained network. What is measured of any does not.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench import finding, process, watching
from bench.checks import ConfigError, NotApplicable
from bench.defended import Behind, Defended, NotFinite, check_finite, still
from bench.finding import Findings
from bench.own import OwnError
from bench.results import fingerprint
from bench.schemes.strength import Operation, strength_of
from bench.sites import SiteError, trace, unwrapped
from bench.training.weightfiles import WeightsError

CPU = torch.device("cpu")

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
    _check_state(key, defended)
    before = fingerprint.hash_tensors(state())
    with defended.model(0) as model:
        with _no_global_draws(f"{key} draws by itself although no site is random", OWN):
            outputs = _pass(key, model, images)
        _check_outputs(key, outputs, len(images), classes)
        again = _pass(key, model, images)
        if not _same(outputs, again):
            raise ConfigError(
                f"{key} draws by itself although no site is random (two passes over the same images "
                f"differ); {OWN}"
            )
        if fingerprint.hash_tensors(state()) != before:
            raise ConfigError(
                f"{key} changes its own weights or buffers in a pass, in evaluation mode; {OWN}"
            )
        alone = torch.cat([_pass(key, model, image) for image in images.split(1)])
    if not _near(alone, outputs):
        raise ConfigError(
            f"{key}: an image's logits depend on the other images of its batch "
            f"(by {float((alone - outputs).abs().max()):.3g}), so that results would depend on batch_size"
        )
    return int(outputs.shape[1])


OWN = "scheme=own is for a network that does, scheme=mc_dropout for one with nn.Dropout on"
"""What helps somebody whose network is random though nobody said so."""


def _check_state(key: str, defended: Defended) -> None:
    for part, value in defended.network.state_dict().items():
        if not isinstance(value, Tensor):
            raise ConfigError(
                f"{key}: {part} is a {type(value).__name__}, and only tensors can be looked after"
            )
        if is_lazy(value):
            raise ConfigError(f"{key}: {part} has no size yet; pass images through the network first")


def _check_outputs(key: str, outputs: Any, images: int, classes: int) -> None:
    if not isinstance(outputs, Tensor):
        names = f" of {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else ""
        raise ConfigError(
            f"{key} gives {type(outputs).__name__}{names}, expected a tensor of logits (batch, classes): "
            "say where they are by model.outputs: an index, a key, or from: a submodule's path"
        )
    shape = tuple(outputs.shape)
    if len(shape) != 2 or shape[0] != images or not outputs.is_floating_point():
        raise ConfigError(
            f"{key} gives {outputs.dtype} of shape {shape} for {images} images, "
            f"expected logits of shape ({images}, classes)"
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


@dataclass(frozen=True)
class Drawn:
    """What was found of a network that draws by itself.

    Attributes:
        defended: The same, its passes made as they have to be.
        outputs: How many it has.
        scheme: What its draws are like.
        twin: What was found of its twin; None where it has none.
    """

    defended: Defended
    outputs: int
    scheme: Findings
    twin: Findings | None


def own(
    defended: Defended,
    name: str,
    images: Tensor,
    labels: Tensor,
    classes: int,
    batch_size: int,
    trained: bool = True,
) -> Drawn:
    """Finds out what a network's own draws are like, before any other pass of it, and those of its twin.

    Args:
        defended: The network, which draws by itself.
        name: What the model is called.
        images: In [0, 1], shape (n, channels, height, width), at least 1, where the network is.
        labels: Their classes, shape (n,).
        classes: How many outputs there have to be, at least.
        batch_size: Of batches that may have to be larger than these.
        trained: Whether it has its weights; before, what it draws by may be nothing yet.

    Raises:
        ConfigError: for a network that can't be passed through, isn't random, doesn't repeat although it has
            to, or has a twin that is random or gives other outputs.
    """
    key = f"model: {name}"
    found, outputs = _looked_into(key, defended, images, labels, classes, batch_size)
    defended = defended.handled(found.handling)
    # what it draws by may be nothing yet, but drawn it is
    surely = trained or not (defended.own is None or defended.own.choose or _touches(defended, images))
    check_draws(defended, found, surely)
    # of single passes, though several make an answer
    single = defended.behind(defended.scheme)
    if not finding.own_way_back(single.model, *several(images, labels)):
        raise ConfigError(
            "scheme.own: each pass writes into a tensor that the way back through the pass before needs, and "
            "that is no parameter, buffer or attribute of a module (one in a list, in another object, or of "
            "the code's globals): gradients of several draws would be wrong; make it a buffer, or a new "
            "tensor each time"
        )
    twin = defended.twin
    if twin is None:
        return Drawn(defended, outputs, found, None)
    of_twin, others = _looked_into(f"{key}, the twin", twin, images, labels, classes, batch_size)
    named = defended.own is not None and defended.own.twin is not None
    check_draws(twin, of_twin, twin_by="twin" if named else "off")
    if others != outputs:
        raise ConfigError(f"scheme.twin: it has {others} outputs, and {name} has {outputs}")
    return Drawn(defended, outputs, found, of_twin)


def _looked_into(
    key: str, defended: Defended, images: Tensor, labels: Tensor, classes: int, batch_size: int
) -> tuple[Findings, int]:
    _check_state(key, defended)
    seen: list[int] = []

    @contextlib.contextmanager
    def opened(seed: int) -> Iterator[Callable[[Tensor], Tensor]]:
        def passed(batch: Tensor) -> Tensor:
            outputs = _pass(key, model, batch, refused=OwnError)
            _check_outputs(key, outputs, len(batch), classes)
            seen.append(int(outputs.shape[1]))
            return outputs

        with defended.model(seed, as_it_is=True) as model:
            yield passed

    images, labels = several(images, labels)
    try:
        # the very first pass of all is one of those that are compared
        found = finding.find(opened, defended.network, images, labels, [1, len(images)])
    except OwnError as error:
        raise ConfigError(error.line) from None
    except ConfigError:
        with watching.watched(defended.network):
            failing = finding.batches(opened, images, [batch_size])
        if failing:
            raise
        # it may take batches of one size alone
        whole = torch.arange(batch_size, device=images.device) % len(images)
        found = finding.find(opened, defended.network, images[whole], labels[whole], [1, batch_size])
    return found, seen[-1]


def _touches(defended: Defended, images: Tensor) -> bool:
    """Whether a pass draws from one of the global generators."""
    where = defended.device
    with process.seeded(0, where), defended.model(0) as model:
        assert isinstance(model, Behind)
        model.seeded = False
        before = _global_states(where)
        model(images)
        return bool(_global_states(where) != before)


def several(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """At least two images, since whether another one beside it matters takes two: the only one's negative."""
    return (images, labels) if len(images) > 1 else (torch.cat([images, 1 - images]), labels.repeat(2))


def check_draws(defended: Defended, found: Findings, trained: bool = True, twin_by: str = "off") -> None:
    """Refuses a network that draws by itself, or the twin of one, of which results would be wrong.

    Args:
        defended: The network, or its twin.
        found: What its draws are like.
        trained: Whether its passes have to differ.
        twin_by: The key that says what the twin is.

    Raises:
        NotApplicable: for one that isn't random.
        ConfigError: for a twin that is; for one that doesn't repeat although it has to; for batches that
            can't be passed.
    """
    own = defended.own
    if not defended.draws_itself:
        if found.shared_by != "nothing":
            remedy = "switch off by attributes what draws, or name its submodule"
            remedy = remedy if twin_by == "off" else "name a network that is not"
            raise ConfigError(
                f"scheme.{twin_by}: the twin is random: two passes over the same images differ; {remedy}, or "
                f"leave {twin_by} out, and there is no twin"
            )
    elif own is not None:
        if not found.repeats and own.seeded:
            raise ConfigError(
                "scheme.seeded: two passes of one seed differ, with the generators of PyTorch, NumPy and "
                "Python seeded before each: the network draws from what no seed reaches, such as one "
                "of its own; let it draw from a global one, or set seeded: false, which goes on without what "
                "needs it"
            )
        if found.shared_by == "nothing" and trained:
            raise NotApplicable(
                "scheme: nothing is random: passes over the same images are equal; say what draws (draw, "
                "choose, train_mode, on), or use scheme=none; scheme=mc_dropout is nn.Dropout on"
            )
    largest = max(found.tried)
    if largest in found.sizes:
        passing = (
            ", ".join(str(size) for size in found.tried if size not in found.sizes) or "none of those tried"
        )
        raise ConfigError(
            f"batch_size: batches of {largest} images fail ({found.sizes[largest]}); that pass: {passing}"
        )


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
def scheme(defended: Defended, name: str, images: Tensor, idle: bool = False) -> list[str]:
    """Passes a few images through a network with a scheme in force.

    Args:
        defended: The network behind its scheme.
        name: What the scheme is called.
        images: As for ``network``.
        idle: Whether an operation may draw nothing that an output depends on; an audit says so itself.

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
    # what a network draws by itself hides what an operation draws
    bare = defended.twin
    quiet = bare if bare is not None and bare.network is defended.network else defended
    if quiet.own is not None and quiet.draws_itself and not quiet.own.seeded:
        return []
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
            behind = quiet.behind({site: (watched, rate)})
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
        if draws and torch.equal(first, other) and not idle:
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
def _no_global_draws(words: str, remedy: str) -> Iterator[None]:
    """Raises ConfigError if one of the global generators was drawn from, which would be in no seed."""

    # nor may another thread draw meanwhile
    with process.alone:
        before = _global_states()
        yield
        after = _global_states()
    moved = [name for name in before if before[name] != after[name]]
    if moved:
        raise ConfigError(f"{words} ({moved[0]} global generator); {remedy}")


def _global_states(where: torch.device = CPU) -> dict[str, Any]:
    drawn = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return {
        "torch's": torch.get_rng_state().tolist(),
        # a GPU has one of its own
        "the GPU's": torch.cuda.get_rng_state(where).tolist() if where.type == "cuda" else None,
        "NumPy's": [drawn["key"].tolist(), drawn["pos"]],
        "Python's": random.getstate(),
    }


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


def _pass(
    key: str, model: Callable[[Tensor], Any], images: Tensor, refused: type[Exception] = ConfigError
) -> Any:
    """One pass, whatever is wrong with it a ConfigError, but for errors of the kind ``refused``."""
    try:
        return model(images)
    except (ConfigError, refused):
        raise
    except SiteError as error:
        raise ConfigError(error.line) from None
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
