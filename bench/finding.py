"""What a random network's draws are like, found out by passing a few images through it before any attack.

Here belongs what is looked at, and how it is said. What follows from it does not, nor how a network's draws
are switched on and reached by seeds.

A network is given as ``open``: for a seed a block in which there is a model that draws from it, as
``Defended.model`` is. A model makes in one pass of images, shape (batch, channels, height, width), their
logits, shape (batch, classes). Every pass gets images of its own, since a network may write into them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from bench.defended import Handling, check_finite
from bench.own import OwnError
from bench.watching import changed, watched

Model = Callable[[Tensor], Tensor]
Open = Callable[[int], AbstractContextManager[Model]]

COPIES, PASSES = 8, 32
"""How many copies of an image are in a batch, and how often it passes, to see what a draw is shared by."""

PERMUTATIONS = 1999
SIGNIFICANT = 0.01
"""Below it, a p-value says that copies of one pass are more alike than those of several."""

ROUNDING = 1e-5
"""What is no difference, as a share of the logits: sums of another order differ in their last bits."""

GRADIENTS = 4
"""How many passes have a gradient taken: one draw of a random transformation may well have none."""


@dataclass(frozen=True)
class Findings:
    """What was found out of a network.

    Attributes:
        shared_by: What one draw is shared by: ``image``, ``pass``, ``both`` where each has a part, or
            ``nothing`` where nothing is random.
        p_value: That the pass has no part; None where nothing is random.
        repeats: Whether two passes of one seed are equal.
        changes: Names of the parameters, buffers and submodules that are others after a pass.
        changes_images: Whether a pass writes into the images that it is given.
        sizes: For each size of a batch that can't be passed, why.
        company: Whether an image's logits depend on the others of its batch; None where that can't be told,
            since passes of one seed differ.
        gradient: ``ok``, ``none``, ``not finite`` or ``zero``, at the images.
        gradient_error: Why there is none, where a pass with one fails.
        tried: Which sizes of a batch were tried.
    """

    shared_by: str
    p_value: float | None
    repeats: bool
    changes: tuple[str, ...]
    changes_images: bool
    sizes: Mapping[int, str]
    company: bool | None
    gradient: str
    gradient_error: str = ""
    tried: tuple[int, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether images of a pass share a draw, in part at least: then it is treated as the pass's."""
        return self.shared_by in ("pass", "both")

    @property
    def handling(self) -> Handling:
        """How passes have to be made."""
        whole = [size for size in self.tried if size not in self.sizes]
        size = max(whole, default=None) if self.sizes else None
        return Handling(self.changes, self.changes_images, size)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Findings":
        """Of what ``as_dict`` gave."""
        sizes = {int(size): line for size, line in values["sizes"].items()}
        tried = tuple(values.get("tried", ()))
        return cls(**{**values, "changes": tuple(values["changes"]), "sizes": sizes, "tried": tried})

    def lines(self) -> list[str]:
        """What is to be said to a person, a line for each finding."""
        p = "" if self.p_value is None else f" (a part that is a pass's: p = {self.p_value:.2g})"
        changes = f"is changed by a pass: {', '.join(self.changes)}" if self.changes else "is left as it was"
        images = "are written into by a pass" if self.changes_images else "are left as they were"
        failing = [f"batches of {size}: fail: {line}" for size, line in self.sizes.items()]
        company = "passes of one seed differ, so that it can't be told"
        if self.company is not None:
            company = "change an image's logits" if self.company else "change nothing of an image's logits"
        error = f" ({self.gradient_error})" if self.gradient_error else ""
        return [
            f"draws: {_SHARED[self.shared_by]}{p}",
            f"seeds: two passes of one seed {'are equal' if self.repeats else 'differ'}",
            f"network: {changes}",
            f"images: {images}",
            *(failing or ["batches: every size that was tried passes"]),
            f"other images of a batch: {company}",
            f"gradient at the image: {_GRADIENT[self.gradient]}{error}",
        ]

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values; sizes are strings there, as keys of JSON are."""
        return {
            "shared_by": self.shared_by,
            "p_value": self.p_value,
            "repeats": self.repeats,
            "changes": list(self.changes),
            "changes_images": self.changes_images,
            "sizes": {str(size): line for size, line in self.sizes.items()},
            "company": self.company,
            "gradient": self.gradient,
            "gradient_error": self.gradient_error,
            "tried": list(self.tried),
        }


_SHARED = {
    "image": "each image has its own",
    "pass": "one for all images of a pass",
    "both": "partly one for all images of a pass, partly each image's own",
    "nothing": "none, passes over the same images are equal",
}
_GRADIENT = {
    "ok": "there, finite and not zero",
    "none": "there is none",
    "not finite": "not finite",
    "zero": "zero everywhere",
}


def find(open: Open, network: nn.Module, images: Tensor, labels: Tensor, sizes: Sequence[int]) -> Findings:
    """Everything, in about 50 passes of a few images and one of each size.

    It has to come before any other pass, since whether the first of all can be repeated is found out, too.
    The network's tensors are put back after each seed that is opened, so that what passes change of them
    doesn't count as what no seed reaches.

    Args:
        open: Gives the network's passes, as they are: neither from copies of its tensors nor of its images.
        network: Whose parameters and buffers are looked at.
        images: At least 2, in a batch of a size that passes.
        labels: Their classes, shape (images,).
        sizes: Of the batches that are to pass.

    Raises:
        NotFinite: for logits that are no numbers.
    """
    everywhere: set[str] = set()

    @contextmanager
    def put_back(seed: int) -> Iterator[Model]:
        with watched(network) as differing, open(seed) as model:
            yield model
            everywhere.update(differing())

    repeatable = repeats(put_back, images)
    with put_back(0) as model:
        names, written = changed(network, model, images)
    failing = batches(put_back, images, sizes)
    copies = len(images) if batches(put_back, images, [COPIES]) else COPIES
    by, p_value = shared(put_back, images[0], copies)
    if by == "nothing":
        # what it draws may make no difference there, such as which of several pixels is looked at
        anywhere = torch.rand(images[0].shape, generator=torch.Generator().manual_seed(0))
        by, p_value = shared(put_back, anywhere.to(images), copies)
    beside = company(put_back, images) if repeatable else None
    state, error = gradient(put_back, images, labels)
    # what one pass in many changes, too
    names = tuple(sorted({*names, *everywhere}))
    return Findings(
        by, p_value, repeatable, names, written, failing, beside, state, error, tuple(sorted(set(sizes)))
    )


def shared(
    open: Open, image: Tensor, copies: int = COPIES, passes: int = PASSES, permutations: int = PERMUTATIONS
) -> tuple[str, float | None]:
    """What one draw is shared by.

    One image passes ``passes`` times (32), as a batch of ``copies`` (8). Nothing is random if the passes are
    equal. If they aren't, but copies of each are, the draw is the pass's. Else an analysis of variance, of
    passes as groups of copies, tells whether the pass has a part in it: of ranks, by class, since a few large
    values would hide it otherwise; with the sums of squares added over the classes that vary; and with the
    p-value from 1999 permutations of copies over passes, (1 + those as far apart) / (1 + permutations), which
    is right whatever the distribution is. Differences below ``ROUNDING`` are none.

    Of draws of the images' own 0.95 % are said to be partly the pass's. A tenth of the variance as the pass's
    part is found nearly always where ten classes vary each by itself, in about half where they vary as one.
    What is shared but doesn't move the logits' location, as their spread alone, isn't seen.

    Args:
        open: As above.
        image: Shape (channels, height, width).
        copies, passes, permutations: How many.

    Returns:
        ``image``, ``pass``, ``both`` or ``nothing``, and the p-value, None for ``nothing``. From a
        p-value of 0.01 on it is ``image``.

    Raises:
        NotFinite: for logits that are no numbers.
    """
    batch = image.expand(copies, *image.shape)
    with open(0) as model:
        logits = torch.stack([_passed(model, batch) for _ in range(passes)])
    tolerance = rounding(logits)
    values = logits.double().cpu().numpy()
    # at each place of the batch, which may have its own rounding
    if not (np.ptp(values, axis=0) > tolerance).any():
        return "nothing", None
    varies = np.ptp(values, axis=(0, 1)) > tolerance
    # what differs by rounding alone is of one rank
    p = p_value(np.round(values[..., varies] / tolerance), permutations)
    if not (np.ptp(values, axis=1) > tolerance).any():
        return "pass", p
    return ("both" if p < SIGNIFICANT else "image"), p


def p_value(values: np.ndarray, permutations: int = PERMUTATIONS) -> float:
    """Of a one-way analysis of variance of ranks, by permutations: small where groups differ.

    Args:
        values: Shape (groups, members, variables), each variable with more than one value. With one it is
            the test of Kruskal and Wallis; with several their sums of squares are added.
        permutations: How many, of a generator that is always the same.
    """
    groups, members, variables = values.shape
    ranks = stats.rankdata(values.reshape(-1, variables), axis=0)
    scaled = (ranks - ranks.mean(0)) / ranks.std(0)
    # the sum over groups of their squared sums, but for what is the same however members are dealt out: the
    # sum over pairs within a group of their products, for which there is no need of every variable again
    products = scaled @ scaled.T
    one, other = np.triu_indices(members, 1)
    start = members * np.arange(groups)[:, None]
    one, other = (start + one).ravel(), (start + other).ravel()
    everybody = np.tile(np.arange(groups * members), (permutations, 1))
    dealt = np.random.default_rng(0).permuted(everybody, axis=1)
    # sums of the same numbers in another order are as large
    least = float(products[one, other].sum() - 1e-9 * np.abs(products).sum())
    by_chance = (products[who[one], who[other]].sum() for who in dealt)
    count = sum(float(chance) >= least for chance in by_chance)
    return (1 + count) / (1 + permutations)


def repeats(open: Open, images: Tensor) -> bool:
    """Whether what a network draws comes from the seed.

    One seed is opened, another, and the first again, with two passes in it each time: they have to be equal,
    first to first and second to second; on a CPU to the last bit, else up to ``ROUNDING``. The very first
    pass of a network is one of them where nothing else was done with it before.

    Args:
        open: As above.
        images: Shape (batch, channels, height, width).

    Raises:
        NotFinite: for logits that are no numbers.
    """

    def two() -> Tensor:
        with open(0) as model:
            return torch.stack([_passed(model, images), _passed(model, images)])

    first = two()
    # an odd number of passes between, lest what goes on by turns be where it was
    with open(1) as model:
        _passed(model, images)
    again = two()
    if first.device.type == "cpu":
        return torch.equal(first, again)
    return _near(first, again, rounding(first))


def batches(open: Open, images: Tensor, sizes: Sequence[int]) -> dict[int, str]:
    """Which sizes of a batch fail: one pass each.

    Args:
        open: As above.
        images: Any number; they are repeated, or left out, to make a batch of each size.
        sizes: Those that are tried.

    Returns:
        For each size that fails, in order, the error in one line: also where there isn't one row of finite
        logits for each image.
    """
    failing = {}
    for size in sorted(set(sizes)):
        batch = images.repeat(-(-size // len(images)), 1, 1, 1)[:size]
        try:
            with open(0) as model:
                logits = _passed(model, batch)
        # whatever is in it may raise anything at all
        except Exception as error:
            failing[size] = _line(error)
            continue
        if logits.ndim != 2 or len(logits) != size:
            failing[size] = f"it gives logits of shape {tuple(logits.shape)} for {size} images"
    return failing


def company(open: Open, images: Tensor) -> bool:
    """Whether other images beside it change an image's logits.

    The first image and the last pass under the same seed, at the same place of a batch of the same size, with
    the others as they are and as their negatives at half the contrast; more than ``ROUNDING`` is a change. It
    says something only where passes of one seed are equal.

    Args:
        open: As above.
        images: At least 2, in [0, 1].

    Raises:
        NotFinite: for logits that are no numbers.
    """
    others = (1 - images) / 2

    def passed(batch: Tensor) -> Tensor:
        with open(0) as model:
            return _passed(model, batch)

    usual = passed(images)
    first = passed(torch.cat([images[:1], others[1:]]))
    last = passed(torch.cat([others[:-1], images[-1:]]))
    tolerance = rounding(usual)
    return not (_near(usual[0], first[0], tolerance) and _near(usual[-1], last[-1], tolerance))


def gradient(open: Open, images: Tensor, labels: Tensor) -> tuple[str, str]:
    """Whether there is a gradient at the image.

    It is that of the label's logit less the mean of all, in each of four passes; it doesn't vanish where the
    network is sure, as that of a loss does.

    Args:
        open: As above.
        images, labels: Shapes (batch, channels, height, width) and (batch,).

    Returns:
        ``not finite`` if any number in one of them isn't; else ``ok`` if any isn't zero; else ``zero``, or
        ``none`` if none of the passes has one. With ``none`` the error in one line, if a pass fails that is
        to have one, else an empty string.

    Raises:
        OwnError: for a stand-in that can't stand in, or a network that is passed again on the way back.
    """
    found: list[Tensor] = []
    line = ""
    with open(0) as model, torch.enable_grad():
        for _ in range(GRADIENTS):
            leaf = images.detach().clone().requires_grad_()
            try:
                # a leaf can't be written into
                logits = model(leaf.clone())
                margin = logits.gather(1, labels[:, None])[:, 0] - logits.mean(1)
                if margin.requires_grad:
                    found += [
                        g for g in torch.autograd.grad(margin.sum(), leaf, allow_unused=True) if g is not None
                    ]
            # it says itself what to do, and every attack would fail of it
            except OwnError:
                raise
            # as above
            except Exception as error:
                line = _line(error)
    if not found:
        return "none", line
    if not all(bool(g.isfinite().all()) for g in found):
        return "not finite", ""
    return ("ok" if any(bool(g.any()) for g in found) else "zero"), ""


def own_way_back(open: Open, images: Tensor, labels: Tensor) -> bool:
    """Whether the way back through a pass is that of its own draw, though others came after it.

    The gradient of each of four passes is taken at once, and again after all of them. What a pass writes into
    that is no tensor of a module, as one in a list, in another object or of the code's globals, isn't seen
    by ``watching``, and no copy of it can be made.

    Args:
        open: Gives the network's passes, made as they have to be.
        images, labels: As above.
    """
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    with open(0) as model, torch.enable_grad():
        for _ in range(GRADIENTS):
            leaf = images.detach().clone().requires_grad_()
            # what can't be passed, or has no gradient, is said elsewhere
            try:
                logits = model(leaf.clone())
                total = (logits.gather(1, labels[:, None])[:, 0] - logits.mean(1)).sum()
                one, same = (torch.autograd.grad(total, leaf, retain_graph=True)[0] for _ in range(2))
            except Exception:
                continue
            if not _alike(one, same):
                # it draws on the way back
                return True
            kept.append((leaf, total, one))
        for leaf, total, one in kept:
            try:
                again = torch.autograd.grad(total, leaf, retain_graph=True)[0]
            except Exception as error:
                return "modified by an inplace operation" not in str(error)
            if not _alike(one, again):
                return False
    return True


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether gradients differ by no more than the order of their sums does."""
    return bool((one - other).norm() <= 1e-3 * one.norm()) or not bool(one.isfinite().all())


def rounding(logits: Tensor) -> float:
    """Below which logits, shape (..., classes), are alike.

    It is ``ROUNDING`` of the largest logit of a class, by the median of the classes that aren't always the
    same: one that is masked by a huge number mustn't hide what the others do. Of half precision it is more.
    """
    flat = logits.detach().flatten(0, -2)
    varying = flat[:, (flat != flat[0]).any(0)]
    if not varying.numel():
        return 0.0
    scale = float(varying.abs().amax(0).double().median())
    return max(ROUNDING, 4 * torch.finfo(logits.dtype).eps) * scale


def _near(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return bool((one - other).abs().max() <= tolerance)


@torch.no_grad()
def _passed(model: Model, images: Tensor) -> Tensor:
    logits = model(images.clone()).detach()
    check_finite(logits)
    return logits


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
