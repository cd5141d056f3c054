"""One row of an audit: a defence in one ball, attacked by its plan, its samples pooled, scored and checked.

Here belongs the order of things, and what is kept. What is attacked by what is in ``stages``, how each
image's worst sample is chosen in ``pool``, what is computed in ``figures`` and ``checks``, what it means in
``verdict``.

Every attack's samples, and every look at them, are kept in the store under all that decides them, so that a
row that was stopped goes on where it was, and one that is asked for again passes nothing.
"""

import functools
import importlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import attacking, looks
from bench.analysis.audit import checks, figures, pool, verdict
from bench.analysis.audit.checks import Test
from bench.analysis.audit.figures import Answers, Figures
from bench.analysis.audit.stages import (
    HALF,
    KNOWN,
    LADDER,
    MAIN,
    UNBOUNDED,
    Effort,
    Norm,
    On,
    Stage,
    plan,
)
from bench.analysis.audit.verdict import Check, Verdict
from bench.attacks import criteria
from bench.datasets.arrays import unit
from bench.defended import Defended
from bench.finding import Findings
from bench.looks import Looker
from bench.results import fingerprint, identity
from bench.results import store as stores
from bench.results.fingerprint import derive_seed
from bench.results.store import Kept, Store

CLUSTER = 10
"""Images that share a known draw, at most, where a draw belongs to the pass."""

UNPERTURBED = "unperturbed"


@dataclass(frozen=True)
class Subject:
    """Something that is attacked and passed.

    Attributes:
        defended: The network, with what acts.
        looker: Who looks at it.
    """

    defended: Defended
    looker: Looker


@dataclass(frozen=True)
class Asked:
    """What one row asks.

    Attributes:
        store: Where samples and looks are kept.
        scheme: The defence.
        twin, baseline: What it is compared with; None where there is none.
        drawn: What its draws are like; None where nothing is random.
        x, y: The images, as ``unit`` takes them, shape (n, channels, height, width), and labels, shape (n,).
        classes: How many outputs there are.
        norm, epsilon: The ball.
        effort: How much is done.
        seed: Of everything.
        claim, margin: Of the verdict.
        extra: Further attacks: names, and each what it is made from and made as, with Foolbox's call.
        samples: Further samples by name: images, shape (m, channels, height, width), and which of ``x`` they
            are of, shape (m,).
        progress: Called with what is being done, and how many passes of an image it took.
    """

    store: Store
    scheme: Subject
    twin: Subject | None
    baseline: Subject | None
    drawn: Findings | None
    x: np.ndarray
    y: np.ndarray
    classes: int
    norm: Norm
    epsilon: float
    effort: Effort
    seed: int
    claim: float | None
    margin: float
    extra: Mapping[str, tuple[Any, Any]]
    samples: Mapping[str, tuple[np.ndarray, np.ndarray]]
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """The samples of one stage.

    Attributes:
        stage: It.
        images: In [0, 1], shape (n, channels, height, width).
        claimed: Booleans of shape (n,).
        zero: For which the first gradient was zero everywhere; None where that can't be told.
        losses, shares: At each look of an attack that tells them, shape (looks, n); None: it doesn't.
        passes: Of an image; a forward one counts a third.
        seconds: Wall time.
        content: Hash of the arrays.
    """

    stage: Stage
    images: np.ndarray
    claimed: np.ndarray
    zero: np.ndarray | None
    losses: np.ndarray | None
    shares: np.ndarray | None
    passes: float
    seconds: float
    content: str


@dataclass(frozen=True)
class Row:
    """What an audit found of one defence in one ball.

    Attributes:
        figures: Accuracies and differences.
        verdict: What is concluded.
        checks: All that were made.
        made: Every stage's samples.
        answers: Of the scheme to each pooled sample, on the draws of the first round.
        names: Of the samples of the pool, in its order.
        counts: On how many draws of the first round each sample of each image was wrong (samples, images).
        which: Each image's worst sample, a place in the pool.
        right: The scheme's answers to these, booleans of shape (draws, images).
        worst: That sample of each image, shape (images, channels, height, width).
        strongest: The attack without which the accuracy would rise most.
        without: For each attack by how many points it would, on the draws that chose.
        naive: What the strongest attack of somebody who didn't know leaves on fresh draws, and what its own
            claims leave, in [0, 1].
        clean, twin_clean: Accuracy on the images as they are, in [0, 1].
        passes: Of an image, in all; a forward one counts a third.
        seconds: Wall time of attacks, whenever they were run.
    """

    figures: Figures
    verdict: Verdict
    checks: list[Check]
    made: dict[str, Made]
    answers: dict[str, Answers]
    names: list[str]
    counts: np.ndarray
    which: np.ndarray
    right: np.ndarray
    worst: np.ndarray
    strongest: str
    without: dict[str, float]
    naive: tuple[float, float]
    clean: float
    twin_clean: float | None
    passes: float
    seconds: float


class Audit:
    """One row, being worked out.

    Args:
        asked: What is asked.
    """

    def __init__(self, asked: Asked):
        self.asked = asked
        self.shared = asked.drawn is not None and asked.drawn.shared
        self.company = asked.drawn is not None and bool(asked.drawn.company)
        self.labels = torch.from_numpy(asked.y).to(asked.scheme.defended.device)
        self.originals = unit(asked.x)
        self.groups = np.arange(len(asked.x)) // CLUSTER if self.shared else None
        self.images = fingerprint.hash_tensors(
            {"x": torch.from_numpy(asked.x), "y": torch.from_numpy(asked.y)}
        )
        self.made: dict[str, Made] = {}

    def run(self) -> Row:
        """All of it.

        Raises:
            AttackError, NotFinite: as ``attacking.attack`` does.
        """
        asked = self.asked
        rates = bool(asked.scheme.defended.scheme)
        stages = plan(
            asked.effort, asked.norm, twin=asked.twin is not None, baseline=asked.baseline is not None,
            rates=rates, classes=asked.classes,
        )  # fmt: skip
        for stage in stages:
            asked.progress(stage.name)
            self.made[stage.name] = self._make(stage)
        for name, (found, run) in asked.extra.items():
            asked.progress(name)
            self.made[name] = self._make(Stage(name, "scheme", name), found, run)
        asked.progress("choosing and scoring")
        named = self._pool()
        names, tensors = list(named), [torch.from_numpy(one).to(self.labels.device) for one in named.values()]
        scheme = asked.scheme
        seen = self._first(scheme, names, tensors)
        counts = (~seen).sum(1)
        which, right = self._scored(scheme, tensors, counts)
        answers = {name: Answers(one, self.shared) for name, one in zip(names, seen, strict=True)}
        twin = None if asked.twin is None else self._withstands(asked.twin, tensors)
        baseline = None if asked.baseline is None else self._withstands(asked.baseline, tensors)
        known = np.stack([self._known_right(draw, tensors) for draw in range(KNOWN)])
        found = figures.figures(
            Answers(right, self.shared),
            None if twin is None else np.asarray(twin.all(0)),
            np.asarray(known.all(1)),
            None if baseline is None else np.asarray(baseline.all(0)),
            self.groups,
        )
        clean = float(answers[UNPERTURBED].right.mean())
        twin_clean = None if twin is None else float(twin[0].mean())
        all_checks = self._checks(found, answers, names, twin, baseline, known, right, clean, twin_clean)
        said = verdict.verdict(
            found, all_checks, len(asked.x),
            random=scheme.defended.random, claim=asked.claim, margin=asked.margin,
        )  # fmt: skip
        scored = (pool.FIRST * len(names) + pool.SECOND * min(pool.BEST, len(names)) + pool.SCORED) / 3
        return Row(
            found, said, all_checks, self.made, answers, names, counts, which, right,
            pool.picked(tensors, which).cpu().numpy(), *self._strongest(names, counts),
            self._naive(answers), clean, twin_clean,
            scored + sum(one.passes for one in self.made.values()),
            sum(one.seconds for one in self.made.values()),
        )  # fmt: skip

    def _strongest(self, names: Sequence[str], counts: np.ndarray) -> tuple[str, dict[str, float]]:
        """The attack without which the accuracy would rise most, and for each by how many points."""
        best = counts.max(0)
        without = {}
        for place, name in enumerate(names):
            if name != UNPERTURBED:
                rest = np.delete(counts, place, axis=0).max(0)
                without[name] = 100 * float((best - rest).mean()) / pool.FIRST
        return max(without, key=lambda name: without[name]), without

    def _naive(self, answers: Mapping[str, Answers]) -> tuple[float, float]:
        """Of the strongest attack of somebody who didn't know: chosen on half of the draws, given on the rest."""
        found = {name: (answers[name], made.claimed) for name, made in self.made.items() if made.stage.naive}

        def first(name: str) -> float:
            one = found[name][0]
            return float(one.right[: one.draws // 2].mean())

        strongest = min(found, key=first)
        rest, claimed = found[strongest]
        return float(self._halved(rest).right.mean()), float(1 - claimed.mean())

    # how things are opened

    def _subject(self, on: On) -> Subject:
        asked = self.asked
        found = {"twin": asked.twin, "baseline": asked.baseline}.get(on, asked.scheme)
        assert found is not None
        return found

    def _at(self, stage: Stage) -> Defended:
        defended = self._subject(stage.on).defended
        if stage.strength == 1:
            return defended
        weaker = {
            site: (operation, stage.strength * rate) for site, (operation, rate) in defended.scheme.items()
        }
        return defended.behind(weaker)

    def _opened(self, stage: Stage, group: int) -> AbstractContextManager[nn.Module]:
        defended = self._at(stage)
        if stage.known is not None:
            return defended.model(self._known_seed(stage.known, group), known=True)
        return defended.model(derive_seed(self.asked.seed, f"audit {stage.name}"))

    def _known_seed(self, draw: int, group: int) -> int:
        return derive_seed(self.asked.seed, f"audit known {draw} {group}")

    def _parts(self, known: bool) -> list[np.ndarray]:
        """Which images pass together: where a draw is the pass's, few share one that is known."""
        everybody = np.arange(len(self.asked.x))
        if not known or self.groups is None:
            return [everybody]
        return [everybody[self.groups == group] for group in np.unique(self.groups)]

    # attacks

    def _make(self, stage: Stage, target: Any = None, run: Any = None) -> Made:
        asked, subject = self.asked, self._subject(stage.on)
        if run is None:
            module, _, name = stage.target.rpartition(".")
            target = getattr(importlib.import_module(module), name)
            run = target(**stage.options)
            said: Any = [stage.target, dict(stage.options)]
        else:
            said = identity.thing(run, f"attack {stage.name}")
        epsilon = stage.epsilon(asked.epsilon, asked.norm)
        epsilon = min(epsilon, float(np.sqrt(self.originals[0].size)))
        decides = {
            "audit": {"on": stage.on, "known": stage.known, "strength": stage.strength},
            "defended": subject.looker.identity,
            "weights": subject.looker.weights,
            "attack": [said, epsilon],
            "starts": [self.made[name].content for name in stage.starts],
            "images": self.images,
            "seed": derive_seed(asked.seed, f"audit {stage.name}"),
            "how": [subject.looker.batch_size, subject.looker.threads],
            "versions": fingerprint.versions(),
            "code": fingerprint.code(attacking, __name__, target),
        }
        kept = asked.store.remember("samples", decides, lambda: self._attack(stage, run, epsilon))
        arrays = {name: tensor.numpy() for name, tensor in kept.values.items()}
        about = kept.about
        return Made(
            stage, arrays["perturbed"], arrays["claimed"], arrays.get("zero_gradient"), arrays.get("losses"),
            arrays.get("shares"), about["passes"], about["seconds"], fingerprint.hash_tensors(kept.values),
        )  # fmt: skip

    def _attack(self, stage: Stage, run: Any, epsilon: float) -> Kept:
        asked = self.asked
        # a draw stays an image's own only at its place
        whole = stage.known is not None or (self.company and stage.on == "scheme")
        given: list[attacking.Attacked] = []
        paths = []
        parts = self._parts(stage.known is not None)
        for group, rows in enumerate(parts):
            path = _Path(len(rows))
            starts = [torch.from_numpy(self.made[name].images[rows]) for name in stage.starts]
            with self._opened(stage, group) as model:
                given.append(
                    attacking.attack(
                        run,
                        stage.name,
                        epsilon,
                        functools.partial(self._goal, rows),
                        model,
                        torch.from_numpy(asked.x[rows]),
                        device=self.labels.device,
                        seed=derive_seed(asked.seed, f"audit start {stage.name}"),
                        batch_size=self._subject(stage.on).looker.batch_size,
                        progress=False,
                        shared_draws=self.shared and stage.on == "scheme",
                        whole_batches=whole,
                        more=functools.partial(_more, run, starts, path),
                    )
                )
            paths.append(path)
        arrays = {
            "perturbed": torch.cat([one.images for one in given]).numpy(),
            "claimed": np.concatenate([one.claimed for one in given]),
        }
        zero = [one.zero_gradient for one in given]
        if all(one is not None for one in zero):
            arrays["zero_gradient"] = np.concatenate([one for one in zero if one is not None])
        if all(path.looks for path in paths):
            arrays["losses"], arrays["shares"] = _joined(paths)
        forward = sum(one.passes.forward for one in given)
        backward = sum(one.passes.backward for one in given)
        about = {
            "passes": (forward + 2 * backward) / 3 / len(asked.x),
            "seconds": round(sum(one.seconds for one in given), 3),
        }
        return Kept(stores.tensors(arrays), about)

    def _goal(self, part: np.ndarray, rows: slice) -> Any:
        labels = self.labels[torch.from_numpy(part[rows]).to(self.labels.device)]
        return criteria.criterion("untargeted", labels.clone(), labels, None)

    # the pool and looks at it

    def _pool(self) -> dict[str, np.ndarray]:
        """Every sample that counts: in the ball, or the image as it is in its place."""
        asked = self.asked
        found = {UNPERTURBED: self.originals}
        for name, made in self.made.items():
            if made.stage.pool:
                found[name] = pool.inside(made.images, asked.x, asked.norm, asked.epsilon)
        for name, (images, rows) in asked.samples.items():
            brought = self.originals.copy()
            brought[rows] = images
            found[name] = pool.inside(brought, asked.x, asked.norm, asked.epsilon)
        return found

    def _look(self, subject: Subject, what: str, samples: Any, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Booleans that were seen, or are seen now and kept."""

        def seen() -> dict[str, Any]:
            found = make()
            return {"shape": list(found.shape), "right": looks.flags(found.ravel())}

        decides = {"samples": samples, "images": self.images, "seed": self.asked.seed}
        kept = looks.look(self.asked.store, subject.looker, what, decides, seen, [pool, __name__])
        return looks.unflagged(kept.values["right"]).reshape(kept.values["shape"])

    def _first(self, subject: Subject, names: Sequence[str], tensors: Sequence[Tensor]) -> np.ndarray:
        size = subject.looker.batch_size
        found = []
        for one in tensors:
            of = fingerprint.hash_tensors({"x": one})
            found.append(
                self._look(
                    subject, "audit choose", of,
                    lambda one=one: pool.first_round(  # type: ignore[misc]
                        subject.defended.model, [one], self.labels, self.asked.seed, size
                    )[0],
                )
            )  # fmt: skip
        return np.stack(found)

    def _scored(
        self, subject: Subject, tensors: Sequence[Tensor], counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        asked, size = self.asked, subject.looker.batch_size
        of = fingerprint.hash_tensors({str(i): one for i, one in enumerate(tensors)})
        chosen: list[np.ndarray] = []

        def choose() -> np.ndarray:
            which, _ = pool.second_round(
                subject.defended.model, tensors, self.labels, asked.seed, size, counts
            )
            chosen.append(which)
            # as booleans, of which everything that is seen is made
            return which[:, None] == np.arange(len(tensors))

        which = self._look(subject, "audit choose again", of, choose).argmax(1)
        right = self._look(
            subject, "audit score", of,
            lambda: pool.scored(subject.defended.model, tensors, self.labels, asked.seed, size, which),
        )  # fmt: skip
        return which, right

    def _withstands(self, subject: Subject, tensors: Sequence[Tensor]) -> np.ndarray:
        """Whether what isn't random gets each sample of each image right, booleans (samples, images)."""
        of = fingerprint.hash_tensors({str(i): one for i, one in enumerate(tensors)})

        def make() -> np.ndarray:
            with subject.defended.model(0) as model:
                size = subject.looker.batch_size
                return np.stack([pool.answers(model, one, self.labels, 1, size)[0] for one in tensors])

        return self._look(subject, "audit withstands", of, make)

    def _known_right(self, draw: int, tensors: Sequence[Tensor]) -> np.ndarray:
        """Whether each sample of each image is right on a known draw, booleans (samples, images)."""
        subject = self.asked.scheme
        of = [draw, fingerprint.hash_tensors({str(i): one for i, one in enumerate(tensors)})]

        def make() -> np.ndarray:
            found = np.zeros((len(tensors), len(self.asked.x)), dtype=bool)
            for group, rows in enumerate(self._parts(known=True)):
                with subject.defended.model(self._known_seed(draw, group), known=True) as model:
                    size = subject.looker.batch_size
                    for sample, one in enumerate(tensors):
                        found[sample, rows] = pool.answers(model, one[rows], self.labels[rows], 1, size)[0]
            return found

        return self._look(subject, "audit known", of, make)

    def _answers(self, stage: str, draws: int = pool.FIRST) -> Answers:
        """What the scheme, or its twin, answers to samples that aren't in the pool."""
        made = self.made[stage]
        defended, looker = self._at(made.stage), self._subject(made.stage.on).looker
        images = torch.from_numpy(made.images).to(self.labels.device)
        of = [made.content, made.stage.strength, made.stage.known]
        parts = self._parts(made.stage.known is not None)

        def make() -> np.ndarray:
            count = draws if defended.random and made.stage.known is None else 1
            found = np.zeros((count, len(self.asked.x)), dtype=bool)
            for group, rows in enumerate(parts):
                seed = derive_seed(self.asked.seed, "audit choose")
                if made.stage.known is not None:
                    seed = self._known_seed(made.stage.known, group)
                with defended.model(seed, known=made.stage.known is not None) as model:
                    found[:, rows] = pool.answers(
                        model, images[rows], self.labels[rows], count, looker.batch_size
                    )
            return found

        right = self._look(Subject(defended, looker), "audit answers", of, make)
        return Answers(right, self.shared and made.stage.known is None and len(right) > 1)

    # checks

    def _checks(
        self,
        found: Figures,
        answers: Mapping[str, Answers],
        names: Sequence[str],
        twin: np.ndarray | None,
        baseline: np.ndarray | None,
        known: np.ndarray,
        right: np.ndarray,
        clean: float,
        twin_clean: float | None,
    ) -> list[Check]:
        asked = self.asked
        of = {name: names.index(name) for name in names}
        direct = [MAIN, "cross-entropy", *(f"margin, {draws} draws" for draws in LADDER[1:])]
        tests: list[Test] = []
        rest: list[Check] = []
        own = np.stack([known[k, of[f"known draw {k + 1}: {MAIN}"]] for k in range(KNOWN)])
        tests.append(checks.fixed_randomness(Answers(right, self.shared), own, self.groups))
        if twin is None or "a tenth of the rate" not in self.made:
            why = "there is no twin" if twin is None else "it has no rate of which a tenth could be tried"
            rest.append(checks.missing("V2", "scheme", why))
        else:
            tenth = self._answers("a tenth of the rate")
            tests.append(checks.gradual_randomness(tenth, np.asarray(twin.all(0)), found.real.mean))
        if twin is None:
            rest.append(checks.missing("V3", "scheme", "there is no twin"))
        else:
            transferred = [name for name in names if name.startswith("twin: ")]
            tests.append(
                checks.transfer(checks.worst_of(answers, direct), checks.worst_of(answers, transferred))
            )
        rungs = [answers[MAIN], *(answers[f"margin, {draws} draws"] for draws in LADDER[1:])]
        tests.append(checks.draws_ladder(rungs))
        tests += self._compared("scheme", "", answers[MAIN], answers[HALF], clean, answers["half the ball"])
        tests.append(
            checks.gradient_free("scheme", checks.worst_of(answers, direct), self._halved(answers["square"]))
        )
        for on, seen, accuracy in (("twin", twin, twin_clean), ("baseline", baseline, None)):
            if seen is None:
                continue
            one = {name: Answers(seen[of[name]][None], False) for name in names}
            tests += self._compared(
                on, f"{on}: ", one[f"{on}: {MAIN}"], one[f"{on}: {HALF}"],  # type: ignore[arg-type]
                float(seen[0].mean()) if accuracy is None else accuracy, one[f"{on}: half the ball"],
            )  # fmt: skip
            tests.append(
                checks.gradient_free(on, one[f"{on}: {MAIN}"], one[f"{on}: square"])  # type: ignore[arg-type]
            )
        name = f"known draw 1: {UNBOUNDED}"
        tests.append(checks.unbounded("known draw", self._answers(name), float(known[0, 0].mean())))
        for name, made in self.made.items():
            if made.stage.on == "scheme" and name in answers and made.stage.strength == 1:
                tests.append(checks.luck(name, made.claimed, answers[name]))
        rest.append(checks.missing("V10", "scheme", "not made at this effort"))
        rest.append(checks.resubmission(found))
        rest.append(self._present())
        rest.append(checks.no_benefit(found, asked.margin))
        rest += self._indicators(answers)
        order = {f"V{i}": i for i in range(1, 14)} | {f"I{i}": 13 + i for i in range(1, 5)}
        return sorted([*checks.decided(tests), *rest], key=lambda check: order[check.name])

    @staticmethod
    def _halved(one: Answers) -> Answers:
        """On the draws that ``worst_of`` gives answers on."""
        return Answers(one.right[one.draws // 2 :], one.shared)

    def _compared(
        self, on: On, prefix: str, whole: Answers, half: Answers, clean: float, smaller: Answers
    ) -> list[Test]:
        larger = self._answers(f"{prefix}twice the ball")
        return [
            checks.steps_ladder(on, half, whole),
            checks.unbounded(on, self._answers(f"{prefix}{UNBOUNDED}"), clean),
            *checks.monotone(on, smaller, half, larger),
        ]

    def _present(self) -> Check:
        """V12, by five passes over the images."""
        scheme, twin = self.asked.scheme, self.asked.twin

        def spread(subject: Subject, passes: int) -> tuple[float, np.ndarray]:
            images = torch.from_numpy(self.originals).to(self.labels.device)
            with (
                torch.no_grad(),
                subject.defended.model(derive_seed(self.asked.seed, "audit present")) as model,
            ):
                parts = images.split(subject.looker.batch_size)
                logits = torch.stack([torch.cat([model(part) for part in parts]) for _ in range(passes)])
            range_ = float((logits.amax(0) - logits.amin(0)).max())
            return range_ / max(float(logits.abs().max()), 1e-30), logits.argmax(-1).cpu().numpy()

        found, given = spread(scheme, 5)
        of_twin = spread(twin, 2)[0] if twin is not None else 0.0
        # sums in another order are no draw
        of_twin = max(of_twin, 1e-5)
        return checks.randomness_present(found, of_twin, float((given != given[0]).any(0).mean()))

    def _indicators(self, answers: Mapping[str, Answers]) -> list[Check]:
        found: list[Check] = []
        for on, name in (("scheme", MAIN), ("twin", f"twin: {MAIN}"), ("baseline", f"baseline: {MAIN}")):
            made = self.made.get(name)
            if made is None:
                continue
            kept = 1 - answers[name].right.mean(0) if on == "scheme" else made.claimed.astype(float)
            standing = kept < 0.5
            if made.zero is None:
                found.append(checks.missing("I1", on, "gradients can't be told apart by image"))  # type: ignore[arg-type]
            else:
                says = "the gradient of {} of the images not fooled is zero"
                found.append(checks.indicator("I1", on, made.zero, standing, says))  # type: ignore[arg-type]
            if made.losses is None or made.shares is None:
                continue
            says = "{} of the images not fooled were, on the way"
            silent = checks.silent(made.shares, kept)
            found.append(checks.indicator("I3", on, silent, standing, says))  # type: ignore[arg-type]
            says = "the loss of {} of the images not fooled still fell at the end"
            unfinished = checks.unfinished(made.losses)
            found.append(checks.indicator("I4", on, unfinished, standing, says))  # type: ignore[arg-type]
        return found


class _Path:
    """What an attack says on its way, of some images."""

    def __init__(self, images: int):
        self.images = images
        self.looks: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []

    def note(self, offset: int, step: int, rows: Any, losses: Any, shares: Any, margins: Any) -> None:
        self.looks.append((step, offset + np.asarray(rows), np.asarray(losses), np.asarray(shares)))

    def arrays(self, steps: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Losses and shares at each look, shape (looks, images): of an image that left, its last."""
        losses, shares = (np.full((len(steps), self.images), np.nan) for _ in range(2))
        for step, rows, loss, share in self.looks:
            losses[steps.index(step), rows], shares[steps.index(step), rows] = loss, share
        for one in (losses, shares):
            for before, now in itertools.pairwise(one):
                now[np.isnan(now)] = before[np.isnan(now)]
        return losses, shares


def _joined(paths: Sequence[_Path]) -> tuple[np.ndarray, np.ndarray]:
    steps = sorted({step for path in paths for step, *_ in path.looks})
    both = [path.arrays(steps) for path in paths]
    losses, shares = (np.concatenate(one, axis=1) for one in zip(*both, strict=True))
    return losses.astype(np.float32), shares.astype(np.float32)


def _more(run: Any, starts: Sequence[Tensor], path: _Path, rows: slice) -> dict[str, Any]:
    """What an attack of this project that starts from points, or tells its path, is called with."""
    found: dict[str, Any] = {}
    if starts:
        found["starting_points"] = starts[0][rows]
    if type(run).__name__ == "RandomizedPGDAttack":
        found["trace"] = functools.partial(path.note, rows.start)
    return found
