"""Running anybody's attack on a network, and what is checked of what it gives back.

Here belongs everything that holds whatever the attack is: its batches, copies and generators, its passes,
and which of its results count. An attack's own algorithm belongs to ``attacks``; how well its samples do on
fresh draws is measured in ``measuring``.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from foolbox.attacks.base import Attack
from foolbox.criteria import Criterion
from foolbox.distances import linf
from foolbox.models import PyTorchModel
from torch import Tensor, nn
from tqdm import tqdm

from bench.datasets.arrays import unit
from bench.defended import NotFinite, hooks_kept
from bench.passing import Passes, counted
from bench.process import seeded
from bench.results import fingerprint

NEAR = 1e-6
"""How far rounding may take a value over a bound, or a distance over epsilon (and 1e-4 of it)."""

NO_START = ("init_attack failed", "starting_points are not adversarial")
"""What Foolbox's decision-based attacks say of a batch with an image that has no point to start from."""


class AttackError(RuntimeError):
    """An attack that gave back something that can't be used: one line."""


@dataclass(frozen=True)
class Attacked:
    """What an attack gave, of rows that were tried: some leave if only successes are counted.

    Attributes:
        images: In [0, 1], shape (rows, channels, height, width), on the CPU; a row that doesn't count is as
            it was.
        claimed: Whether the attack claims the row, booleans of shape (rows,).
        tried: How many rows the passes went to.
        given_up: Which came back as no image: not finite, or nothing but zeros.
        too_far: Which came back further away than epsilon.
        without_start: For which the attack found no point to start from, or lost it on another draw.
        zero_gradient: For which the first gradient that reached the image was zero everywhere; None
            for an attack that took none, or whose rows can't be told apart.
        passes: Of the attack.
        seconds: Wall time.
    """

    images: Tensor
    claimed: np.ndarray
    tried: int
    given_up: np.ndarray
    too_far: np.ndarray
    without_start: np.ndarray
    zero_gradient: np.ndarray | None
    passes: Passes
    seconds: float


REMARKS = {
    "given_up": "came back as no image (not finite, or nothing but zeros) and count as not found",
    "too_far": "came back further away than epsilon and count as not found",
    "without_start": "had no point to start from, or lost it, and count as not found",
    "zero_gradient": "had a gradient of zero everywhere: there the attack saw nothing to climb",
}
"""What has to be said of rows with which something is not as it should be."""


def attack(
    run: Callable[..., Any],
    name: str,
    epsilon: float | None,
    goal: Callable[[slice], Criterion],
    model: nn.Module,
    images: Tensor,
    *,
    device: torch.device,
    seed: int,
    batch_size: int,
    successes: int | None = None,
    progress: bool | None = None,
    shared_draws: bool = False,
    whole_batches: bool = False,
    more: Callable[[slice], Mapping[str, Any]] | None = None,
    in_vain: bool = False,
) -> Attacked:
    """Attacks images, a batch at a time.

    The attack gets copies. What it gives back counts as found only where it is an image, in the bounds,
    within epsilon in the attack's own norm (Linf where it has none), and claimed.

    Args:
        run: The attack, with Foolbox's call.
        name: What it is called.
        epsilon: The largest perturbation in its own norm, over 0; None: the smallest one is asked for.
        goal: Gives the criterion of some rows.
        model: The network behind its scheme.
        images: As ``unit`` takes them, shape (rows, channels, height, width), wherever they are: what a
            batch needs is scaled, and brought to the device, when its turn comes.
        device: Where the network is.
        seed: Of the global generators, from which Foolbox's own attacks draw; they are put back.
        batch_size: Rows at a time.
        successes: Stop after so many claimed rows; None: attack every row.
        progress: Whether a bar is shown; None: where there is a terminal.
        shared_draws: Whether images of a pass share a draw, which the attack's model says then.
        whole_batches: Whether an image's logits depend on the others of its batch, which the attack's model
            says then: each batch is attacked as a whole and in one size (the last one may be smaller), also
            for ``successes``, and never image by image where the attack has no point to start from: its
            images then count as such.
        more: Gives what else the attack is called with for some rows, such as starting points.
        in_vain: Whether it may give back nothing that can be used, for any image.

    Raises:
        AttackError: if it gives back what can't be used, or nothing that can unless ``in_vain``, or changes
            the network; hooks that it leaves there are taken out.
        NotFinite: if the network's outputs in its passes were not all numbers.
    """
    before = fingerprint.hash_tensors(model.state_dict())
    modules = list(model.named_modules())
    victim = PyTorchModel(model, bounds=(0, 1), device=device)
    # ours ask it, see attacks.base.pass_draws
    victim.shared_draws = shared_draws  # type: ignore[attr-defined]
    # and attacks.base.at
    victim.whole_batches = whole_batches  # type: ignore[attr-defined]
    results: list[_Rows] = []
    passes = Passes()
    start = time.perf_counter()
    tried = succeeded = 0
    bar = tqdm(
        total=len(images) if successes is None else successes,
        desc=name,
        unit="images" if successes is None else "successes",
        disable=None if progress is None else not progress,
        leave=False,
    )
    said: dict[str, Any] = {}
    # this project's own say how many images of a batch are done
    if successes is None and _ours(run):
        said["progress"] = lambda done, count: bar.update(tried + done - bar.n)
    with bar, seeded(seed, device):
        while tried < len(images) and (successes is None or succeeded < successes):
            # few are tried too many, and the last ones are not tried one by one
            wanted = len(images) if successes is None or whole_batches else max(successes - succeeded, 50)
            batch = slice(tried, min(len(images), tried + min(wanted, batch_size)))
            with counted(model) as seen, settings_kept(), hooks_kept(model):
                given = unit(images[batch]).to(device)
                also = said if more is None else {**said, **more(batch)}
                results.append(_batch(run, name, epsilon, victim, given, goal, batch, whole_batches, **also))
            results[-1].zero_gradient = _per_row(seen.first, batch.stop - batch.start)
            passes.forward += seen.forward
            passes.backward += seen.backward
            passes.not_finite += seen.not_finite
            tried = batch.stop
            succeeded += int(results[-1].claimed.sum())
            bar.update((tried if successes is None else min(succeeded, successes)) - bar.n)
    seconds = time.perf_counter() - start
    if passes.not_finite:
        raise NotFinite(
            f"logits that are not finite numbers, in {passes.not_finite} of the {passes.forward} passes "
            f"of an image by attack {name}"
        )
    if fingerprint.hash_tensors(model.state_dict()) != before:
        raise AttackError(f"attack {name} changed the network's weights or buffers")
    if list(model.named_modules()) != modules:
        raise AttackError(f"attack {name} put other modules into the network")
    model.eval()

    claimed = np.concatenate([r.claimed for r in results])
    kept = len(claimed)
    if successes is not None and succeeded > successes:
        kept = int(np.flatnonzero(claimed)[successes - 1]) + 1
    gone = {
        kind: np.concatenate([getattr(r, kind) for r in results])[:kept]
        for kind in ("given_up", "too_far", "without_start")
    }
    lost = gone["given_up"] | gone["too_far"] | gone["without_start"]
    if kept and lost.all() and not in_vain:
        counts = ", ".join(f"{n.replace('_', ' ')} {c.sum()}" for n, c in gone.items() if c.any())
        raise AttackError(f"attack {name} gave nothing that can be used for any of {kept} images ({counts})")
    zero = [r.zero_gradient for r in results]
    told = [z for z in zero if z is not None]
    return Attacked(
        images=torch.cat([r.images for r in results])[:kept],
        claimed=claimed[:kept],
        tried=tried,
        **gone,
        zero_gradient=np.concatenate(told)[:kept] if len(told) == len(zero) else None,
        passes=passes,
        seconds=seconds,
    )


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Whatever an attack does to this process's settings, what is measured later is measured without."""
    dtype, grad, threads, folder = (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), Path.cwd()
    )  # fmt: skip
    # a word that Foolbox logs is one of the root's, which then prints whatever anybody warns of
    handlers = list(logging.root.handlers)
    try:
        yield
    finally:
        for added in set(logging.root.handlers) - set(handlers):
            logging.root.removeHandler(added)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_num_threads(threads)
        os.chdir(folder)


@dataclass
class _Rows:
    """What became of the rows of a batch: booleans of shape (rows,), and the images."""

    images: Tensor
    claimed: np.ndarray
    given_up: np.ndarray
    too_far: np.ndarray
    without_start: np.ndarray
    zero_gradient: np.ndarray | None = None


def _batch(
    run: Callable[..., Any],
    name: str,
    epsilon: float | None,
    victim: PyTorchModel,
    images: Tensor,
    goal: Callable[[slice], Criterion],
    batch: slice,
    whole_batches: bool,
    **said: Any,
) -> _Rows:
    try:
        given = run(victim, images.clone(), goal(batch), epsilons=epsilon, **said)
    except (ValueError, AssertionError) as error:
        # on a random network the point is lost again where another draw says so, which Foolbox asserts
        foolboxes = type(run).__module__.partition(".")[0] == "foolbox"
        asserted = foolboxes and isinstance(error, AssertionError)
        if not asserted and not any(words in str(error) for words in NO_START):
            raise
        if len(images) == 1 or whole_batches:
            every = np.ones(len(images), dtype=bool)
            return _Rows(images.cpu(), ~every, given_up=~every, too_far=~every, without_start=every)
        rows = [
            _batch(
                run,
                name,
                epsilon,
                victim,
                images[i : i + 1],
                goal,
                slice(batch.start + i, batch.start + i + 1),
                whole_batches,
            )
            for i in range(len(images))
        ]
        kinds = ("claimed", "given_up", "too_far", "without_start")
        joined = {kind: np.concatenate([getattr(r, kind) for r in rows]) for kind in kinds}
        return _Rows(torch.cat([r.images for r in rows]), **joined)
    clipped, success = _triple(name, given, images)
    # Foolbox's C&W and EAD hand back an image of zeros for a row that they fail on, and sometimes
    # call it a success; an attack that diverged hands back NaN. Neither is an adversarial sample.
    flat = clipped.flatten(1)
    blank = (flat == 0).all(1) & (images.flatten(1) != 0).any(1)
    if _ours(run):
        # black may well be in the ball
        blank &= False
    given_up = blank | ~flat.isfinite().all(1)
    inside = torch.where(given_up.view(-1, 1, 1, 1), images, clipped)
    if inside.min() < -NEAR or inside.max() > 1 + NEAR:
        raise AttackError(
            f"attack {name} left the bounds [0, 1]: {inside.min().item()} to {inside.max().item()}"
        )
    inside = inside.clamp(0, 1)
    too_far = torch.zeros_like(given_up)
    if epsilon is not None:
        far = _norm(run)(images, inside)
        too_far = far > epsilon * (1 + 1e-4) + NEAR
    lost = given_up | too_far
    return _Rows(
        images=torch.where(lost.view(-1, 1, 1, 1), images, inside).cpu(),
        claimed=(success & ~lost).cpu().numpy(),
        given_up=given_up.cpu().numpy(),
        too_far=too_far.cpu().numpy(),
        without_start=np.zeros(len(images), dtype=bool),
    )


def _ours(run: Callable[..., Any]) -> bool:
    return type(run).__module__.startswith("bench.attacks.")


def _triple(name: str, given: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """The perturbed images and which are claimed, out of what an attack returned."""
    if not isinstance(given, tuple | list) or len(given) != 3:
        what = f"{len(given)} values" if isinstance(given, tuple | list) else type(given).__name__
        raise AttackError(f"attack {name} returned {what}, expected (raw, clipped, success) as Foolbox's do")
    try:
        clipped = torch.as_tensor(given[1], device=images.device).detach()
        success = torch.as_tensor(given[2], device=images.device).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise AttackError(
            f"attack {name} returned what is no tensor ({' '.join(str(error).split())})"
        ) from None
    if clipped.shape != images.shape or not clipped.is_floating_point():
        raise AttackError(
            f"attack {name} returned images of shape {tuple(clipped.shape)} and type {clipped.dtype}, "
            f"expected {tuple(images.shape)} and floats"
        )
    if success.shape != images.shape[:1] or not ((success == 0) | (success == 1)).all():
        raise AttackError(
            f"attack {name} returned success of shape {tuple(success.shape)} and type {success.dtype}, "
            f"expected {tuple(images.shape[:1])} and booleans"
        )
    return clipped.to(images.dtype), success.bool()


def _norm(run: Callable[..., Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """That in which an attack's epsilon is meant; Linf, the smallest of the usual ones, if it has none."""
    distance = getattr(run, "distance", None)
    return distance if isinstance(run, Attack) and callable(distance) else linf


def _per_row(first: np.ndarray | None, rows: int) -> np.ndarray | None:
    """Whether all gradients of a row were zero: a pass may hold several draws of the batch, in turn."""
    if first is None or len(first) % rows:
        return None
    return np.asarray(first.reshape(-1, rows).all(0))
