"""The binarisation test (V10): does an attack find an adversarial example that is known to exist?

Each image becomes a problem of two classes of its own: a readout of the network's features gives 0 inside its
ball, and 1 at one point of the ball's surface. An attack that doesn't find label 1 there is too weak here.

Here belongs that test of one defence. Which attack is tried, and when, is its caller's business; what a
failed check means is in ``verdict``.

Source: Zimmermann et al. (2022), "Increasing confidence in adversarial robustness evaluations", sections 3
and 4, and the code beside it. What is said to be ours is for random models, on which it was never tried.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from foolbox.criteria import Misclassification
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC
from torch import Tensor, nn

from bench import attacking
from bench.analysis.audit.checks import missing
from bench.analysis.audit.pool import distances
from bench.analysis.audit.stage import Norm, On
from bench.analysis.audit.verdict import Check, Outcome
from bench.attacks.ball import beats
from bench.attacks.base import BatchAttack
from bench.datasets.arrays import unit
from bench.defended import Behind, Defended, check_finite
from bench.finding import Findings
from bench.passing import counted
from bench.results.fingerprint import derive_seed

IMAGES = 30
"""How many are tried, ours (512 there)."""

INNER, INNER_RANDOM = 999, 200
"""Points inside of a ball at most; of a random model fewer, ours, each of which takes 2 ``FITTED`` passes."""

GAP = 0.05
"""The share of epsilon that lies between the inner points and the surface."""

CLOSE, CLOSE_RANDOM = 0.999, 0.5
"""The share of the surface point's margin that is taken from it; of a random model less, ours, since what was
left would be far below what its draws do."""

FITTED = 20
"""Draws that features are averaged over, and as many others that have to agree with the readout, ours."""

JUDGED = 200
"""Fresh draws of a random model by which a point is label 1 where most of them say so, ours."""

CERTAIN = 0.5 + JUDGED**-0.5
"""The share of them, two standard errors above half, from which on that is known of a surface point, ours: of
some that are label 1 on half of all draws chance would say so, and there an attack may well find nothing."""

TRIES = 200
"""Points that a search at random may try of each of two kinds, and no more than the attack has steps."""

FOUND = 0.95
"""The share of images at which an attack has to find label 1."""

BY_CHANCE = 0.5
"""The share at which a search at random mustn't, or the test says nothing, ours."""

HARD, MOST = 1e6, 100_000
"""What a point on the wrong side costs where planes are fitted, and how many steps that may take."""

FURTHER = 30
"""Steps in which a distance is reached where bounds cut some of it off."""

ELSEWHERE = "not every pass goes through its last layer"

LOOKS = 10
"""Passes in which the last layer is looked for."""


class InapplicableError(Exception):
    """The test can't be made of this network: one line."""


@dataclass(frozen=True)
class Binarised:
    """What the test found; shares are NaN where no image could be prepared.

    Attributes:
        images: How many were tried: the first ones that are right on most draws.
        prepared: How many are attacked.
        not_separated: Dropped, since no readout tells the surface point from the inner ones, on the draws
            that it is fitted on or on others.
        not_known: Dropped, since it isn't certain that the surface point is label 1 on most fresh draws.
        found: Share of those prepared at which the attack finds label 1 (ASR).
        by_chance: Share at which the best random point is label 1 (R-ASR).
        beyond: Median of (z_adv - z_train) / z_train, z being by how much logit 1 is above logit 0, at the
            sample and at the surface point.
        close: The share of the surface point's margin that was taken from it.
        inner: Inner points of each image.
        passes: Of all images together; a forward one counts a third.
        why: Why the test can't be made; empty where it was.
    """

    images: int
    prepared: int
    not_separated: int
    not_known: int
    found: float
    by_chance: float
    beyond: float
    close: float
    inner: int
    passes: float
    why: str = ""


def check(found: Binarised, on: On = "scheme") -> Check:
    """V10: an attack finds adversarial examples that are known to exist, and a search at random doesn't.

    It fails where the attack finds them for under 95 % of images (Zimmermann et al. 2022). It doesn't apply
    where a search at random finds them for half of them, or where fewer than half could be prepared; both are
    ours.

    Args:
        found: What was found.
        on: On what.
    """
    if found.why:
        return missing("V10", on, found.why)
    if 2 * found.prepared < found.images:
        why = (
            f"of {found.images} images {found.prepared} could be prepared: {found.not_separated} weren't "
            f"separated, {found.not_known} surface points weren't label 1 on most fresh draws"
        )
        return missing("V10", on, why)
    by_chance = f"{100 * found.by_chance:.0f} %"
    if found.by_chance >= BY_CHANCE:
        return missing("V10", on, f"a search at random finds {by_chance} of what is planted")
    evidence = (
        f"of {found.prepared} adversarial examples that are known to exist a tenth of the attack finds "
        f"{100 * found.found:.0f} %, a search at random {by_chance} (c = {found.close:g})"
    )
    outcome: Outcome = "fails" if found.found < FOUND else "passes"
    return Check("V10", on, outcome, 100 * found.found, 100 * FOUND, evidence)


def binarised(
    defended: Defended,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    norm: Norm,
    epsilon: float,
    seed: int,
    batch_size: int,
    drawn: Findings | None,
    attack: Any,
) -> Binarised:
    """Makes the test.

    The readout stands in the place of the last linear layer, so that what is random before it, and what comes
    after it, stays; what that layer itself draws does not. All images are attacked in one batch, each by its
    own readout, since this project's attacks can be told to pass whole batches; by others, image by image.

    Args:
        defended: What is attacked.
        images, labels: Of which the first ``IMAGES`` are taken that are right on most draws; shape (n,
            channels, height, width), as ``unit`` takes them, and (n,).
        norm, epsilon: The ball.
        seed: Of everything; streams of draws that fit, choose and score are disjoint.
        batch_size: Images a pass.
        drawn: What its draws are like; None where nothing is random.
        attack: With Foolbox's call, for ``Misclassification`` and two classes: not DLR.

    Raises:
        AttackError, NotFinite: as ``attacking.attack`` does.
    """
    test = _Test(defended, norm, epsilon, seed, drawn, attack)
    try:
        if drawn is not None and drawn.company:
            raise InapplicableError("an image's logits depend on the others of its batch")
        size = min(batch_size, test.largest)
        x = test.right(images, labels, size)
        layer, inner = test.last_layer(x[:size])
        parts = [test.made(part, layer, inner) for part in x.split(size)]
    except InapplicableError as error:
        return Binarised(0, 0, 0, 0, np.nan, np.nan, np.nan, test.close, 0, test.passes, str(error))
    separated, known, found, by_chance, beyond = map(np.concatenate, zip(*parts, strict=True))
    any_left = len(found) > 0
    return Binarised(
        images=len(x),
        prepared=len(found),
        not_separated=int((~separated).sum()),
        not_known=int((separated & ~known).sum()),
        found=float(found.mean()) if any_left else np.nan,
        by_chance=float(by_chance.mean()) if any_left else np.nan,
        beyond=float(np.median(beyond)) if any_left else np.nan,
        close=test.close,
        inner=inner,
        passes=test.passes,
    )


class _Test:
    """One that is being made: what it is of, and what its passes come to.

    Attributes:
        passes: So far, of all images; a forward one counts a third.
        close, inner, draws, judging, certain: As the constants say, for what is random or isn't.
        largest: Images of a pass at most, where each is to be known by its place.
    """

    def __init__(
        self, defended: Defended, norm: Norm, epsilon: float, seed: int, drawn: Findings | None, attack: Any
    ):
        self.defended, self.norm, self.epsilon, self.seed, self.attack = defended, norm, epsilon, seed, attack
        self.shared = drawn is not None and drawn.shared
        self.passes = 0.0
        random = defended.random
        self.close, self.inner = (CLOSE_RANDOM, INNER_RANDOM) if random else (CLOSE, INNER)
        self.draws, self.judging = (FITTED, JUDGED) if random else (1, 1)
        self.certain = CERTAIN if random else 0.5
        size = None if defended.handling is None else defended.handling.size
        self.largest = IMAGES if size is None else size

    @contextmanager
    def opened(self, stream: str, defended: Defended | None = None) -> Iterator[Behind]:
        """The defence, or another, on a stream of draws, which is the same whenever it is opened."""
        with (defended or self.defended).model(derive_seed(self.seed, f"binarisation {stream}")) as model:
            with counted(model) as seen:
                yield model  # type: ignore[misc]
            self.passes += (seen.forward + 2 * seen.backward) / 3

    def right(self, images: np.ndarray, labels: np.ndarray, size: int) -> Tensor:
        """The first images that are right on most draws."""
        found: list[Tensor] = []
        for start in range(0, len(images), size):
            x = unit(torch.from_numpy(images[start : start + size])).to(self.defended.device)
            y = torch.from_numpy(labels[start : start + size]).to(x.device)
            with self.opened("right") as model:
                given = _passed(model, x, self.judging).argmax(2)
            found.extend(x[(given == y).float().mean(0) > 0.5])
            if len(found) >= IMAGES:
                break
        if not found:
            raise InapplicableError("no image is right on most draws")
        return torch.stack(found[:IMAGES])

    def last_layer(self, x: Tensor) -> tuple[nn.Module, int]:
        """The layer that gives the logits, in every pass, and how many inner points there are.

        There are half as many as its inputs, or fewer: more could hardly be separated, ours.
        What follows it may change logits, as long as it leaves their largest.
        """
        layers = [part for part in self.defended.network.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
        found = list(layers)
        features = 0
        # of one pass, not of an answer
        one = self.defended.behind(self.defended.scheme)
        with self.opened("layer", one) as model:
            for _ in range(LOOKS):
                with ExitStack() as stack, torch.no_grad():
                    seen = {layer: stack.enter_context(_watched(model, layer)) for layer in layers}
                    logits = model(x)
                found = [layer for layer in found if _gives(seen[layer], logits)]
            if len(found) == 1:
                features = seen[found[0]][0][0].shape[1]
        if not features:
            raise InapplicableError("there is no single linear layer that gives the logits of every pass")
        return found[0], min(self.inner, features // 2)

    def points(self, x: Tensor, inner: int) -> Iterator[Tensor]:
        """The images, inner points of each, and last one on its surface; the same whenever they are asked."""
        rng = np.random.default_rng(derive_seed(self.seed, "binarisation points"))
        originals = x.cpu().numpy()
        yield x
        for _ in range(inner):
            moved = (1 - GAP) * self.epsilon * _inside(rng, originals.shape, self.norm)
            yield torch.from_numpy(np.clip(originals + moved, 0, 1).astype(np.float32)).to(x.device)
        yield self.surface(rng, x)

    def surface(self, rng: np.random.Generator, x: Tensor, corners: bool = False) -> Tensor:
        """A point of each image at a distance of epsilon, whatever the bounds cut off."""
        originals = x.cpu().numpy()
        direction = _direction(rng, originals.shape, self.norm)
        direction = np.sign(direction) if corners else direction
        found = at_distance(originals, direction, self.norm, self.epsilon)
        return torch.from_numpy(found).to(x.device)

    def made(self, x: Tensor, layer: nn.Module, inner: int) -> tuple[np.ndarray, ...]:
        """The test of some images that pass together.

        Returns:
            Whether each is separated, and whether its surface point is known to be label 1, booleans of
            shape (images,); of those that are both, whether the attack finds label 1, and whether a search
            at random does, and by how much more of it the sample is than the surface point.
        """
        readouts = self.fitted(x, layer, inner)
        *_, surface = self.points(x, inner)
        self.try_two(x, layer, readouts)
        separated = readouts.separated & self.agrees(x, layer, inner, readouts)
        known = self.judged(surface, layer, readouts, "known")[0] > self.certain
        kept = np.flatnonzero(separated & known)
        if not len(kept):
            return separated, known, *(np.zeros(0) for _ in range(3))
        x, surface, readouts = x[kept], surface[kept], readouts.of(kept)
        sample, at_random = self.attacked(x, layer, readouts), self.searched(x, layer, readouts)
        (share, z), (chance, _), (_, z_train) = (
            self.judged(one, layer, readouts, "score") for one in (sample, at_random, surface)
        )
        return separated, known, share > 0.5, chance > 0.5, (z - z_train) / z_train

    def features(
        self, x: Tensor, layer: nn.Module, inner: int, stream: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each of the points what goes into the layer, and what comes out, in passes of the same draws.

        Yields:
            Shape (draws, images, features) and (draws, images, classes).
        """
        # each of the passes of an answer is a draw
        answers = math.ceil(self.draws / self.defended.passes)
        for point in self.points(x, inner):
            with self.opened(stream) as model, _watched(model, layer) as calls:
                _passed(model, point, answers)
            if len(calls) != answers * self.defended.passes:
                raise InapplicableError(ELSEWHERE)
            features, outputs = zip(*calls, strict=True)
            yield torch.stack(features)[:, : len(x)], torch.stack(outputs)[:, : len(x)]

    def fitted(self, x: Tensor, layer: nn.Module, inner: int) -> "_Readouts":
        """A readout of each image, of features averaged over the same draws at all of its points."""
        means, logits, total, squares, count = [], [], torch.zeros(()), torch.zeros(()), 0
        for features, outputs in self.features(x, layer, inner, "fit"):
            features = features.double().cpu()
            means.append(features.mean(0))
            logits.append(outputs.double().cpu().mean(0))
            total, squares, count = (
                total + features.sum(0),
                squares + (features**2).sum(0),
                count + len(features),
            )
        centres = total / count
        deviations = (squares / count - centres**2).clamp(min=0).sqrt()
        points, given = torch.stack(means, 1), torch.stack(logits, 1).flatten(1)
        low, high = given.amin(1), given.amax(1)
        planes = [
            _plane(((one - centre) / _over_0(deviation)).numpy(), self.close)
            for one, centre, deviation in zip(points, centres, deviations, strict=True)
        ]
        weights, biases, separated = map(np.stack, zip(*planes, strict=True))
        width = high - low
        return _Readouts(
            weights=width[:, None] * torch.from_numpy(weights) / _over_0(deviations),
            biases=width * torch.from_numpy(biases),
            centres=centres,
            middles=(low + high) / 2,
            separated=separated,
        )

    def agrees(self, x: Tensor, layer: nn.Module, inner: int, readouts: "_Readouts") -> np.ndarray:
        """For which images the readout separates all points on other draws, too; shape (images,)."""
        if not self.defended.random:
            return np.ones(len(x), dtype=bool)
        ahead = [
            torch.stack([readouts.ahead(one) for one in features]).mean(0)
            for features, _ in self.features(x, layer, inner, "agree")
        ]
        above = (torch.stack(ahead) > 0).cpu().numpy()
        right: np.ndarray = ~above[:-1].any(0) & above[-1]
        return right

    def try_two(self, x: Tensor, layer: nn.Module, readouts: "_Readouts") -> None:
        """Raises InapplicableError unless what follows the layer takes two classes, and gives them."""
        try:
            # as attacks pass it, with a gradient
            with self.opened("try") as model, readouts.placed(model, layer):
                shape = tuple(model(x.clone().requires_grad_()).shape)
        # somebody's code may raise anything at all
        except Exception as error:
            words = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise InapplicableError(f"what follows its last layer takes no two classes ({words})") from error
        if shape != (len(x), 2):
            raise InapplicableError(f"what follows its last layer gives {shape}, not two classes")

    def judged(
        self, x: Tensor, layer: nn.Module, readouts: "_Readouts", stream: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """On which share of fresh draws each is label 1, and its mean logit 1 less logit 0, by images."""
        with self.opened(stream) as model, readouts.placed(model, layer):
            return _label_1(_passed(model, x, self.judging))

    def attacked(self, x: Tensor, layer: nn.Module, readouts: "_Readouts") -> Tensor:
        """What the attack gives."""
        # others pass what they like, of which an image can't be told by its place
        together = isinstance(self.attack, BatchAttack)
        rows = np.arange(len(x))
        found = []
        for part in [rows] if together else rows[:, None]:
            stream = f"attack {part[0]}"
            with self.opened(stream) as model, readouts.of(part).placed(model, layer):
                given = attacking.attack(
                    self.attack, "of what is planted", self.epsilon, _zeros(x.device), model, x[part],
                    device=x.device, seed=derive_seed(self.seed, f"binarisation start {stream}"),
                    batch_size=len(part), progress=False, shared_draws=self.shared, whole_batches=True,
                )  # fmt: skip
            found.append(given.images)
        return torch.cat(found).to(x.device)

    def searched(self, x: Tensor, layer: nn.Module, readouts: "_Readouts") -> Tensor:
        """The best of points of the surface that are drawn at random, and of corners; on draws of its own."""
        rng = np.random.default_rng(derive_seed(self.seed, "binarisation search"))
        best, share, z = x.clone(), np.full(len(x), -1.0), np.full(len(x), -np.inf)
        with self.opened("search") as model, readouts.placed(model, layer):
            for corners in (False, True):
                for _ in range(min(TRIES, getattr(self.attack, "steps", TRIES))):
                    point = self.surface(rng, x, corners)
                    given, ahead = _label_1(_passed(model, point, self.draws))
                    better = beats(given, -ahead, share, -z)
                    best[better], share[better], z[better] = point[better], given[better], ahead[better]
        return best


@dataclass(frozen=True)
class _Readouts:
    """A plane in the features of each image: over 0, and label 1, at its surface point.

    Attributes:
        weights, biases: In features less ``centres``; shape (images, features), and (images,).
        centres: Shape (images, features).
        middles: Of the two logits, which lie half of what the plane gives above and below; shape (images,).
        separated: For which images it tells the points that it was fitted on, booleans of shape (images,).
    """

    weights: Tensor
    biases: Tensor
    centres: Tensor
    middles: Tensor
    separated: np.ndarray

    def of(self, rows: np.ndarray) -> "_Readouts":
        """Those of some images."""
        every = (self.weights, self.biases, self.centres, self.middles)
        weights, biases, centres, middles = (one[rows] for one in every)
        return _Readouts(weights, biases, centres, middles, self.separated[rows])

    def ahead(self, features: Tensor) -> Tensor:
        """Logit 1 less logit 0, shape (rows,): the rows of a pass are its images, in turn."""
        which = torch.arange(len(features)) % len(self.weights)
        weights, biases, centres = (
            one[which].to(features) for one in (self.weights, self.biases, self.centres)
        )
        return ((features - centres) * weights).sum(1) + biases

    @contextmanager
    def placed(self, model: Behind, layer: nn.Module) -> Iterator[None]:
        """In the place of a layer, in a model's passes."""

        def act(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            half = self.ahead(inputs[0].flatten(1)) / 2
            middle = self.middles[torch.arange(len(half)) % len(self.middles)].to(half)
            return torch.stack([middle - half, middle + half], 1).reshape(len(half), 2, *output.shape[2:])

        mine = model.mine(act)
        # before what acts on the layer's output; a function of this module, which attacks leave where it is
        handle = layer.register_forward_hook(lambda *given: mine(*given), prepend=True)
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def _watched(model: Behind, layer: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Inputs and outputs of a layer in a model's passes, shape (rows, features) and (rows, outputs) each.

    What acts at the layer's output is part of it.
    """
    calls: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if inputs:
            calls.append((inputs[0].detach().flatten(1), output.detach().flatten(1)))

    handle = layer.register_forward_hook(model.mine(keep))
    try:
        yield calls
    finally:
        handle.remove()


def _gives(calls: list[tuple[Tensor, Tensor]], logits: Tensor) -> bool:
    """Whether a layer was reached once, and gave these logits' labels; rows beyond theirs fill a pass up."""
    if len(calls) != 1:
        return False
    output = calls[0][1][: len(logits)]
    return output.shape == logits.shape and torch.equal(output.argmax(1), logits.argmax(1))


def _over_0(deviations: Tensor) -> Tensor:
    """What to divide by: of a feature that never changes 1."""
    return torch.where(deviations > 0, deviations, 1.0)


def _plane(points: np.ndarray, close: float) -> tuple[np.ndarray, float, bool]:
    """A plane that is over 0 at the last point alone, and close to it.

    It is the one that is furthest from both sides, as there (LinearSVC with C = 1e6), but without that one's
    penalty on the bias.

    Args:
        points: Features in units of how far they deviate, by draws and points, so that those which draws
            leave alone count for more, ours; shape (points, features).
        close: The share of the last point's margin that is taken from it.

    Returns:
        Weights, shape (features,), and the bias, such that the largest value at a point is 1; and whether all
        points are separated.
    """
    last = np.arange(len(points)) == len(points) - 1
    with warnings.catch_warnings():
        # that it can't be done is told by what comes out
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine = SVC(kernel="linear", C=HARD, max_iter=MOST).fit(points, last)
    weights, bias = machine.coef_[0], float(machine.intercept_[0])
    ahead = points @ weights + bias
    bias -= close * ahead[-1]
    largest = max(float(np.abs(ahead - close * ahead[-1]).max()), 1e-30)
    return weights / largest, bias / largest, bool(((ahead > 0) == last).all())


def _passed(model: nn.Module, x: Tensor, draws: int) -> Tensor:
    """Logits of so many passes, shape (draws, images, classes)."""
    with torch.no_grad():
        found = [model(x) for _ in range(draws)]
    if len({one.shape for one in found}) > 1:
        raise InapplicableError(ELSEWHERE)
    check_finite(torch.cat(found))
    return torch.stack(found)


def _label_1(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The share of draws on which each image is label 1, and its mean logit 1 less logit 0."""
    ahead = (logits[:, :, 1] - logits[:, :, 0]).cpu().numpy().astype(float)
    return (ahead > 0).mean(0), ahead.mean(0)


def _zeros(device: torch.device) -> Callable[[slice], Misclassification]:
    """Gives the criterion of some rows: their label is 0."""
    return lambda rows: Misclassification(
        torch.zeros(rows.stop - rows.start, dtype=torch.int64, device=device)
    )


def _direction(rng: np.random.Generator, shape: tuple[int, ...], norm: Norm) -> np.ndarray:
    """Of each image a point of a cube from -1 to 1, or of a sphere of radius 1, each as likely."""
    if norm == "linf":
        return rng.uniform(-1, 1, shape)
    normal = rng.normal(size=(shape[0], int(np.prod(shape[1:]))))
    return (normal / np.linalg.norm(normal, axis=1, keepdims=True)).reshape(shape)


def _inside(rng: np.random.Generator, shape: tuple[int, ...], norm: Norm) -> np.ndarray:
    """Of each image a point that is uniform in a ball of radius 1."""
    direction = _direction(rng, shape, norm)
    if norm == "linf":
        return direction
    return direction * rng.uniform(0, 1, (shape[0], 1, 1, 1)) ** (1 / np.prod(shape[1:]))


def at_distance(originals: np.ndarray, direction: np.ndarray, norm: Norm, epsilon: float) -> np.ndarray:
    """Points in the bounds at a distance of epsilon, or as far as there is room; float32.

    One has to go further for that than without bounds. How far is found from below: the distance grows no
    faster than in proportion to it.
    """
    far = epsilon / distances(direction, np.zeros_like(direction), norm)
    for _ in range(FURTHER):
        found = np.clip(originals + far.reshape(-1, 1, 1, 1) * direction, 0, 1)
        far *= epsilon / np.maximum(distances(found, originals, norm), 1e-30)
    return found.astype(np.float32)
