"""Samples of an audit's stages: each attack run as its stage says, its samples kept.

Here belongs how a stage is run, and what is kept of it: under all that decides it, so that a row that was
stopped goes on where it was, and one that is asked for again passes nothing. Which stages there are is in
``stages``; what their samples are worth is measured elsewhere.
"""

import functools
import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import attacking
from bench.analysis.audit import pool
from bench.analysis.audit.asked import Asked, Subject
from bench.analysis.audit.stage import FOLLOWED, RANDOMIZED_PGD, SQUARE, Stage
from bench.attacks import criteria
from bench.defended import Defended
from bench.results import fingerprint
from bench.results import store as stores
from bench.results.fingerprint import derive_seed
from bench.results.store import Kept


@dataclass(frozen=True)
class Made:
    """The samples of one stage.

    Attributes:
        stage: It.
        images: In [0, 1], shape (n, channels, height, width).
        claimed: Booleans of shape (n,); of a minimal attack those in the ball.
        inside: Which lay in the ball as they came back, booleans of shape (n,).
        losses, shares: On its way, of each image's iterate at each look: the margin, no less than 0 on any
            draw, and the share of draws fooled, on the same draws throughout; shape (looks, n). None: it
            isn't followed, or tells nothing.
        errors: Of each of these losses less the least one before, the standard error over draws; 0 where
            there is one. None likewise.
        on_its_way: Of a random model, the iterate of each image that fooled most of these; None likewise.
        passes: Of an image; a forward one counts a third.
        seconds: Wall time.
        content: Hash of the arrays.
    """

    stage: Stage
    images: np.ndarray
    claimed: np.ndarray
    inside: np.ndarray
    losses: np.ndarray | None
    shares: np.ndarray | None
    errors: np.ndarray | None
    on_its_way: np.ndarray | None
    passes: float
    seconds: float
    content: str


def weaker(defended: Defended, strength: float) -> Defended:
    """The same with what acts at its sites at a share of its rate."""
    if strength == 1:
        return defended
    return defended.behind({site: (of, strength * rate) for site, (of, rate) in defended.scheme.items()})


def known(asked: Asked, draw: int, group: int) -> AbstractContextManager[nn.Module]:
    """The defence as somebody sees it who knows its draw: of its states, or of what a seed gives a group."""
    if asked.states is not None:
        return asked.states[draw][1].model(asked.known_seed(draw, group))
    return asked.scheme.defended.model(asked.known_seed(draw, group), known=True)


class Making:
    """The stages of one row that were made.

    Args:
        asked: What the row is asked.

    Attributes:
        made: By their names.
    """

    def __init__(self, asked: Asked):
        self.asked = asked
        self.made: dict[str, Made] = {}

    def make(self, stage: Stage) -> None:
        """Makes a stage of this project's own.

        Raises:
            AttackError, NotFinite: as ``attacking.attack`` does.
        """
        module, _, name = stage.target.rpartition(".")
        target = getattr(importlib.import_module(module), name)
        said = [stage.target, dict(stage.options), fingerprint.code(target)]
        self._remember(stage, target(**stage.options), said)

    def bring(self, name: str, run: Any, said: Any) -> None:
        """Makes somebody's own attack on the scheme.

        Args:
            name: What it is called.
            run: It, with Foolbox's call.
            said: What stands for it in a key.

        Raises:
            AttackError, NotFinite: as ``attacking.attack`` does.
        """
        self._remember(Stage(name, "scheme", name), run, said)

    def _remember(self, stage: Stage, run: Any, said: Any) -> None:
        asked, subject = self.asked, self.asked.subject(stage.on)
        epsilon = min(stage.epsilon(asked.epsilon, asked.norm), float(np.sqrt(asked.originals[0].size)))
        decides = {
            "audit": {
                "on": stage.on, "known": stage.known, "strength": stage.strength, "followed": stage.followed,
                "states": self._exact(stage),
            },
            "defended": subject.looker.identity,
            "weights": subject.looker.weights,
            "attack": [said, epsilon],
            "starts": [self.made[name].content for name in stage.starts],
            "images": asked.content,
            "seed": derive_seed(asked.seed, f"audit {stage.name}"),
            "how": [subject.looker.batch_size, subject.looker.threads],
            "versions": fingerprint.versions(),
            "code": fingerprint.code(attacking, __name__),
        }  # fmt: skip
        kept = asked.store.remember("samples", decides, lambda: self._attack(stage, run, epsilon, subject))
        arrays = {name: tensor.numpy() for name, tensor in kept.values.items()}
        self.made[stage.name] = Made(
            stage, arrays["perturbed"], arrays["claimed"], arrays["inside"], arrays.get("losses"),
            arrays.get("shares"), arrays.get("errors"), arrays.get("on_its_way"), kept.about["passes"],
            kept.about["seconds"], fingerprint.hash_tensors(kept.values),
        )  # fmt: skip

    def _exact(self, stage: Stage) -> bool:
        """Whether its iterates are kept by exact sums over the states of its draws."""
        return stage.on == "scheme" and self.asked.states is not None

    def _opened(self, stage: Stage, group: int) -> AbstractContextManager[nn.Module]:
        if stage.known is not None:
            return known(self.asked, stage.known, group)
        defended = weaker(self.asked.subject(stage.on).defended, stage.strength)
        return defended.model(derive_seed(self.asked.seed, f"audit {stage.name}"))

    def _attack(self, stage: Stage, run: Any, epsilon: float, subject: Subject) -> Kept:
        asked = self.asked
        # a draw stays an image's own only at its place
        whole = stage.known is not None or (asked.company and stage.on == "scheme")
        told = stage.target in (RANDOMIZED_PGD, SQUARE) and (stage.followed or self._exact(stage))
        given: list[attacking.Attacked] = []
        paths = []
        for group, rows in enumerate(asked.parts(stage.known is not None, stage.images)):
            path = _Path(torch.from_numpy(asked.originals[rows]))
            starts = [torch.from_numpy(self.made[name].images[rows]) for name in stage.starts]
            with self._opened(stage, group) as model:
                given.append(
                    attacking.attack(
                        run,
                        stage.name,
                        None if stage.minimal else epsilon,
                        functools.partial(self._goal, rows),
                        model,
                        torch.from_numpy(asked.x[rows]),
                        device=asked.labels.device,
                        seed=derive_seed(asked.seed, f"audit start {stage.name}"),
                        batch_size=subject.looker.batch_size,
                        progress=False,
                        shared_draws=asked.by_pass and stage.on == "scheme",
                        whole_batches=whole,
                        more=functools.partial(_more, starts, path if told else None),
                        # none may have a point to start from
                        in_vain=stage.minimal,
                    )
                )
            paths.append(path)
        perturbed, claimed = asked.originals.copy(), np.zeros(len(asked.x), dtype=bool)
        done = slice(None, stage.images)
        perturbed[done] = torch.cat([one.images for one in given]).numpy()
        claimed[done] = np.concatenate([one.claimed for one in given])
        arrays = {"perturbed": perturbed, "claimed": claimed, "inside": np.ones(len(claimed), dtype=bool)}
        if stage.minimal:
            inside = pool.inside(perturbed, asked.originals, asked.norm, epsilon)
            arrays["inside"] = (inside == perturbed).all((1, 2, 3))
            arrays["claimed"] = claimed & arrays["inside"]
            arrays["perturbed"] = pool.drawn_in(perturbed, asked.originals, asked.norm, epsilon)
        forward = sum(one.passes.forward for one in given)
        backward = sum(one.passes.backward for one in given)
        passes = (forward + 2 * backward) / 3 / len(asked.x)
        if told:
            # of all parts together: a known draw isn't followed
            iterates = paths[0].iterates(torch.from_numpy(arrays["perturbed"]))
            losses, shares, errors, draws = self._follow(stage, iterates, subject)
            passes += draws * len(iterates) / 3
            best = np.lexsort((losses, -shares), axis=0)[0]
            fooling = np.stack([iterates[look, image].numpy() for image, look in enumerate(best)])
            if self._exact(stage):
                arrays["perturbed"] = fooling
            elif subject.defended.random:
                arrays["on_its_way"] = fooling
            if stage.followed:
                arrays |= {"losses": losses[:-1], "shares": shares[:-1], "errors": errors[:-1]}
        seconds = round(sum(one.seconds for one in given), 3)
        return Kept(stores.tensors(arrays), {"passes": passes, "seconds": seconds})

    def _follow(
        self, stage: Stage, iterates: Tensor, subject: Subject
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Of each image's iterates the loss, and the share of draws fooled, on draws that all of them see.

        Args:
            stage: Whose they are.
            iterates: Shape (looks, n, channels, height, width).
            subject: Who is attacked.

        Returns:
            Both of shape (looks, n); likewise the standard error of a loss less the least before it; and how
            many passes of each image that took.
        """
        asked, size = self.asked, subject.looker.batch_size
        defended = weaker(subject.defended, stage.strength)
        seed = derive_seed(asked.seed, f"audit follow {stage.name}")
        if self._exact(stage):
            assert asked.states is not None
            states = asked.states
        else:
            states = [(1.0, defended)]
        each = FOLLOWED if defended.random and not self._exact(stage) else 1
        drawn = np.zeros((len(iterates), len(states) * each, iterates.shape[1]))
        shares = np.zeros(iterates.shape[:2])
        for look, images in enumerate(iterates):
            for at, (share, state) in enumerate(states):
                with torch.no_grad(), state.model(seed) as model:
                    for draw in range(each):
                        parts = [model(part.to(asked.labels.device)) for part in images.split(size)]
                        logits = torch.cat(parts)
                        ahead = margin(logits, asked.labels).clamp(min=0).cpu().numpy()
                        drawn[look, at * each + draw] = ahead
                        shares[look] += share / each * (logits.argmax(1) != asked.labels).cpu().numpy()
        weights = np.repeat([share / each for share, _ in states], each)
        losses = np.einsum("d,ldi->li", weights, drawn)
        errors = _errors(drawn, losses) if each > 1 else np.zeros_like(losses)
        single = np.float32
        return losses.astype(single), shares.astype(single), errors.astype(single), each * len(states)

    def _goal(self, part: np.ndarray, rows: slice) -> Any:
        labels = self.asked.labels[torch.from_numpy(part[rows]).to(self.asked.labels.device)]
        return criteria.criterion("untargeted", labels.clone(), labels, None)


def _errors(drawn: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The standard error of each loss less the least one before it, of the same draws.

    Args:
        drawn: Losses, shape (looks, draws, n).
        losses: Their means, shape (looks, n).
    """
    found = np.zeros_like(losses)
    images = np.arange(losses.shape[1])
    for look in range(1, len(losses)):
        least = losses[:look].argmin(0)
        apart = drawn[look] - drawn[least, :, images].T
        found[look] = apart.std(0, ddof=1) / np.sqrt(len(apart))
    return found


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the label's logit is above the largest other one, shape (n,)."""
    true = logits.gather(1, labels[:, None])[:, 0]
    return true - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


class _Path:
    """What an attack shows on its way, of some images, in the order in which it does."""

    def __init__(self, originals: Tensor):
        self.originals = originals
        # of each batch, known by where it begins, its looks
        self.looks: dict[int, list[tuple[Any, Tensor]]] = {}

    def note(
        self, offset: int, step: int, rows: Any, losses: Any, shares: Any, margins: Any, images: Any
    ) -> None:
        """Called as ``attacks.ball.Trace`` is."""
        self.looks.setdefault(offset, []).append((offset + np.asarray(rows), images.detach().cpu()))

    def iterates(self, last: Tensor) -> Tensor:
        """At each look, of an image that left its last one, and ``last``: shape (looks + 1, n, ...)."""
        now = self.originals.clone()
        found = []
        for look in range(max(map(len, self.looks.values()), default=0)):
            for batch in self.looks.values():
                if look < len(batch):
                    rows, images = batch[look]
                    now[torch.from_numpy(rows)] = images
            found.append(now.clone())
        return torch.stack([*found, last])


def _more(starts: Sequence[Tensor], path: _Path | None, rows: slice) -> dict[str, Any]:
    """What an attack of this project that starts from points, or tells its path, is called with."""
    found: dict[str, Any] = {}
    if starts:
        found["starting_points"] = torch.stack([start[rows] for start in starts])
    if path is not None:
        found["trace"] = functools.partial(path.note, rows.start)
    return found
