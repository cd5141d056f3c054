"""Looks at an audit's samples: who gives which of them its label, on which draws; kept, so that none is made
twice.

Here belongs which draws a look is made on, and what is kept of it. How samples come about is in ``making``,
what is concluded of answers in ``figures`` and ``checks``.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import looks
from bench.analysis.audit import binarisation, making, pool, stages
from bench.analysis.audit.asked import Asked, Subject
from bench.analysis.audit.binarisation import Binarised
from bench.analysis.audit.figures import Answers
from bench.analysis.audit.making import Made
from bench.analysis.audit.stage import KNOWN, Norm
from bench.attacks import RandomizedPGDAttack
from bench.results import fingerprint
from bench.results.fingerprint import derive_seed

GRADIENTS = 5
"""Draws that a gradient is the mean of, where it is asked whether it is zero."""

OFFSETS = 100
"""Points around an image at which its loss is asked for."""

PRESENT, AT_MOST = 5, 100
"""Passes of which it is asked whether they differ; and at most, where so few are equal: of a draw that is all
images' they may be by chance."""


class Seeing:
    """Looks of one row.

    Args:
        asked: What the row is asked.
    """

    def __init__(self, asked: Asked):
        self.asked = asked
        self.chances = None if asked.states is None else np.array([share for share, _ in asked.states])

    def answers(self, right: np.ndarray) -> Answers:
        """The scheme's, of booleans of shape (draws, images), or (states, images) where those are all."""
        return Answers(right, self.asked.shared, self.chances)

    def first(self, tensors: Sequence[Tensor]) -> np.ndarray:
        """The scheme's answers on the draws that choose, booleans (samples, draws or states, images)."""
        scheme = self.asked.scheme
        if self.asked.states is not None:
            return np.stack([self._exact(one) for one in tensors])
        found = []
        for one in tensors:

            def make(one: Tensor = one) -> np.ndarray:
                size = scheme.looker.batch_size
                return pool.first_round(
                    scheme.defended.model, [one], self.asked.labels, self.asked.seed, size
                )[0]

            found.append(self._look(scheme, "audit choose", _hash([one]), make))
        return np.stack(found)

    def _exact(self, images: Tensor) -> np.ndarray:
        asked, scheme = self.asked, self.asked.scheme
        assert asked.states is not None
        states = asked.states

        def make() -> np.ndarray:
            found = []
            for _, defended in states:
                with defended.model(derive_seed(asked.seed, "audit choose")) as model:
                    found.append(pool.answers(model, images, asked.labels, 1, scheme.looker.batch_size)[0])
            return np.stack(found)

        return self._look(scheme, "audit states", _hash([images]), make)

    def scored(self, tensors: Sequence[Tensor], first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each image's worst sample, a place in the pool, and the scheme's answers to it.

        Args:
            tensors: The pool.
            first: What ``first`` gave: where draws are a short list it is all there is to know; else draws
                that chose nothing score.
        """
        asked, subject = self.asked, self.asked.scheme
        if self.chances is not None:
            which = np.einsum("d,sdi->si", self.chances, ~first).argmax(0)
            return which, first[which, :, np.arange(first.shape[2])].T
        size, of = subject.looker.batch_size, _hash(tensors)
        counts = (~first).sum(1)

        def choose() -> np.ndarray:
            which, _ = pool.second_round(
                subject.defended.model, tensors, asked.labels, asked.seed, size, counts
            )
            # as booleans, of which everything that is seen is made
            return which[:, None] == np.arange(len(tensors))

        which = self._look(subject, "audit choose again", of, choose).argmax(1)
        right = self._look(
            subject, "audit score", of,
            lambda: pool.scored(subject.defended.model, tensors, asked.labels, asked.seed, size, which),
        )  # fmt: skip
        return which, right

    def withstands(self, subject: Subject, tensors: Sequence[Tensor]) -> np.ndarray:
        """Whether what isn't random gets each sample of each image right, booleans (samples, images)."""

        def make() -> np.ndarray:
            with subject.defended.model(0) as model:
                size = subject.looker.batch_size
                return np.stack([pool.answers(model, one, self.asked.labels, 1, size)[0] for one in tensors])

        return self._look(subject, "audit withstands", _hash(tensors), make)

    def known(self, tensors: Sequence[Tensor], first: np.ndarray) -> np.ndarray:
        """Whether each sample is right on each known draw, booleans (draws, samples, images).

        Args:
            tensors: The pool.
            first: What ``first`` gave: where draws are a short list they are all known ones.
        """
        if self.chances is not None:
            return first.swapaxes(0, 1)
        return np.stack([self._known(draw, tensors) for draw in range(KNOWN)])

    def _known(self, draw: int, tensors: Sequence[Tensor]) -> np.ndarray:
        asked, subject = self.asked, self.asked.scheme

        def make() -> np.ndarray:
            found = np.zeros((len(tensors), len(asked.x)), dtype=bool)
            for group, rows in enumerate(asked.parts(known=True)):
                with making.known(asked, draw, group) as model:
                    size = subject.looker.batch_size
                    for sample, one in enumerate(tensors):
                        found[sample, rows] = pool.answers(model, one[rows], asked.labels[rows], 1, size)[0]
            return found

        return self._look(subject, "audit known", [draw, _hash(tensors)], make)

    def of_stage(self, made: Made) -> Answers:
        """Answers of what a stage attacked to samples of it that aren't in the pool."""
        asked, stage = self.asked, made.stage
        images = torch.from_numpy(made.images).to(asked.labels.device)
        if self.chances is not None and stage.on == "scheme":
            return self.answers(self._exact(images))
        looker = asked.subject(stage.on).looker
        defended = making.weaker(asked.subject(stage.on).defended, stage.strength)
        count = pool.FIRST if defended.random and stage.known is None else 1

        def make() -> np.ndarray:
            found = np.zeros((count, len(asked.x)), dtype=bool)
            for group, rows in enumerate(asked.parts(stage.known is not None)):
                if stage.known is not None:
                    opened = making.known(asked, stage.known, group)
                else:
                    opened = defended.model(derive_seed(asked.seed, "audit choose"))
                with opened as model:
                    found[:, rows] = pool.answers(
                        model, images[rows], asked.labels[rows], count, looker.batch_size
                    )
            return found

        of = [made.content, stage.strength, stage.known]
        right = self._look(Subject(defended, looker), "audit answers", of, make)
        return Answers(right, asked.shared and stage.known is None and count > 1)

    def present(self, subject: Subject) -> tuple[float, float]:
        """By how much logits differ over passes, relative to their size, and whether labels do.

        It is asked at the images and at random points of their balls: at images as they are, what is drawn
        may make no difference.

        Returns:
            The largest range of a logit, over the largest logit; and the share of images, of either kind,
            whose label changes.
        """
        asked = self.asked
        both = torch.from_numpy(np.concatenate([asked.originals, self._anywhere()])).to(asked.labels.device)

        def seen() -> dict[str, Any]:
            seed = derive_seed(asked.seed, "audit present")
            with torch.no_grad(), subject.defended.model(seed) as model:
                parts = both.split(subject.looker.batch_size)
                passes: list[Tensor] = []
                while len(passes) < PRESENT or (
                    len(passes) < AT_MOST and all(torch.equal(one, passes[0]) for one in passes[-1:])
                ):
                    passes.append(torch.cat([model(part) for part in parts]))
            logits = torch.stack(passes).double()
            spread = float((logits.amax(0) - logits.amin(0)).max()) / max(float(logits.abs().max()), 1e-300)
            given = logits.argmax(-1)
            return {"spread": spread, "changing": float((given != given[0]).any(0).double().mean())}

        decides = {"images": _hash([both]), "seed": asked.seed, "passes": [PRESENT, AT_MOST]}
        kept = looks.look(asked.store, subject.looker, "audit present", decides, seen, [__name__])
        return kept.values["spread"], kept.values["changing"]

    def _anywhere(self) -> np.ndarray:
        """A random point of each image's ball."""
        asked = self.asked
        moved = np.random.default_rng(asked.seed).uniform(-1, 1, asked.originals.shape)
        if asked.norm == "l2":
            moved /= np.linalg.norm(moved.reshape(len(moved), -1), axis=1).reshape(-1, 1, 1, 1)
        found: np.ndarray = np.clip(asked.originals + asked.epsilon * moved, 0, 1).astype(np.float32)
        return found

    def no_gradient(self, subject: Subject) -> np.ndarray:
        """For which images the margin's mean gradient is zero everywhere, booleans of shape (images,)."""
        asked = self.asked

        def make() -> np.ndarray:
            images = torch.from_numpy(asked.originals).to(asked.labels.device)
            found = []
            size = subject.looker.batch_size
            with subject.defended.model(derive_seed(asked.seed, "audit gradient")) as model:
                for part, labels in zip(images.split(size), asked.labels.split(size), strict=True):
                    total = torch.zeros_like(part)
                    for _ in range(GRADIENTS if subject.defended.random else 1):
                        given = part.clone().requires_grad_()
                        ahead = making.margin(model(given), labels)
                        total += torch.autograd.grad(ahead.sum(), given)[0]
                    found.append((total == 0).flatten(1).all(1).cpu().numpy())
            return np.concatenate(found)

        return self._look(subject, "audit gradient", GRADIENTS, make)

    def around(self, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
        """Losses at the images, shape (images,), and around them, shape (offsets, images)."""
        asked = self.asked
        images = torch.from_numpy(asked.originals).to(asked.labels.device)
        draws = GRADIENTS if subject.defended.random else 1
        return around(
            subject.defended.model, images, asked.labels, asked.norm, asked.epsilon,
            seed=asked.seed, batch_size=subject.looker.batch_size, draws=draws,
        )  # fmt: skip

    def binarised(self) -> Binarised:
        """What an attack, a tenth as long as the longest, finds of what is planted for it."""
        asked, scheme = self.asked, self.asked.scheme
        options = stages.planted(asked.effort, asked.norm, asked.random)

        def seen() -> dict[str, Any]:
            found = binarisation.binarised(
                scheme.defended, asked.x, asked.y, norm=asked.norm, epsilon=asked.epsilon,
                seed=derive_seed(asked.seed, "audit planted"), batch_size=scheme.looker.batch_size,
                drawn=asked.drawn, attack=RandomizedPGDAttack(**options),
            )  # fmt: skip
            # which JSON has no word for
            return {k: None if v != v else v for k, v in dataclasses.asdict(found).items()}

        ball = [asked.norm, asked.epsilon]
        decides = {"images": asked.content, "ball": ball, "attack": options, "seed": asked.seed}
        kept = looks.look(
            asked.store, scheme.looker, "audit planted", decides, seen, [binarisation, "bench.attacks"]
        )
        values: dict[str, Any] = {k: np.nan if v is None else v for k, v in kept.values.items()}
        return Binarised(**values)

    def _look(self, subject: Subject, what: str, of: Any, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Booleans that were seen, or are seen now and kept."""

        def seen() -> dict[str, Any]:
            found = make()
            return {"shape": list(found.shape), "right": looks.flags(found.ravel())}

        decides = {"samples": of, "images": self.asked.content, "seed": self.asked.seed}
        kept = looks.look(self.asked.store, subject.looker, what, decides, seen, [pool, __name__])
        return looks.unflagged(kept.values["right"]).reshape(kept.values["shape"])


@torch.no_grad()
def around(
    open: pool.Open,
    images: Tensor,
    labels: Tensor,
    norm: Norm,
    epsilon: float,
    *,
    seed: int,
    batch_size: int,
    draws: int,
    offsets: int = OFFSETS,
) -> tuple[np.ndarray, np.ndarray]:
    """Losses at images and around them, as ``checks.unstable`` takes them: unclipped margins.

    Offsets are uniform in a cube of a side of epsilon for Linf: those of Pintor et al. (2022) have a side of
    8/255, which is the usual epsilon there. For L2 its side is ``epsilon sqrt(3 / d)``, so that offsets are
    half of epsilon long there, as in Linf they are half as long as what fills the ball; that is ours. Bounds
    cut them off.

    Args:
        open: Opens the defence.
        images, labels: Shape (n, channels, height, width), in [0, 1], and (n,), where the network is.
        norm, epsilon: The ball.
        seed: Of offsets, and of draws, which are the same at all of them.
        batch_size: Images a pass.
        draws: That a loss is the mean of; 1 where nothing is random.
        offsets: How many.

    Returns:
        Shape (n,) and (offsets, n).
    """
    side = epsilon if norm == "linf" else epsilon * math.sqrt(3 / images[0].numel())
    rng = np.random.default_rng(derive_seed(seed, "audit offsets"))

    def losses(x: Tensor) -> np.ndarray:
        with open(derive_seed(seed, "audit around")) as model:
            means = [
                making.margin(torch.cat([model(part) for part in x.split(batch_size)]), labels)
                for _ in range(draws)
            ]
        found: np.ndarray = torch.stack(means).double().mean(0).cpu().numpy()
        return found

    moved = []
    for _ in range(offsets):
        offset = torch.from_numpy(rng.uniform(-side / 2, side / 2, images.shape)).to(images)
        moved.append(losses((images + offset).clamp(0, 1)))
    return losses(images), np.stack(moved)


def _hash(tensors: Sequence[Tensor]) -> str:
    return fingerprint.hash_tensors({str(i): one for i, one in enumerate(tensors)})
