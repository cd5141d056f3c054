"""Looks at images through a network behind its scheme: kept, so that none is made twice.

Here belongs what decides a look, and what is kept of it: counts for each image. What is measured is in
``measuring``; which looks a record or a table is made of is their business.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench import finding, probe, process, watching
from bench.attacks import criteria
from bench.checks import ConfigError
from bench.datasets.arrays import unit
from bench.defended import Defended
from bench.measuring import intervals, passes
from bench.measuring.intervals import Estimate
from bench.results import fingerprint
from bench.results.store import LOOKS, Kept, Store


@dataclass(frozen=True)
class Looker:
    """Who looks: what decides outputs, and how many images and threads a pass takes.

    Attributes:
        identity: Of the network behind its scheme, as ``Defended.identity`` gives it.
        weights: The hash of the network's weights.
        batch_size: Images a pass.
        threads: Of PyTorch; part of the result, since sums in another order differ in the last bit.
    """

    identity: Mapping[str, Any]
    weights: str
    batch_size: int
    threads: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Looker":
        """Who made a record of status ``ok``.

        Raises:
            ConfigError: for a record of before there were looks.
        """
        config = record["config"]
        if "defended" not in record:
            raise ConfigError(f"record {record['key']} is of an earlier version; run the sweep again")
        return cls(
            record["defended"], record["checkpoint"]["sha256"], config["batch_size"], config["threads"]
        )


def look(
    store: Store,
    looker: Looker,
    what: str,
    decides: Mapping[str, Any],
    make: Callable[[], Mapping[str, Any]],
    code: Sequence[Any] = (),
    kind: str = LOOKS,
) -> Kept:
    """What was seen before, or is seen now and kept.

    Args:
        store: Where it is kept.
        looker: Who looks.
        what: The look's name.
        decides: Everything else that decides what is seen, as JSON-able values: images, draws, seed.
        make: Looks; gives JSON-able values, or tensors for a kind of its own.
        code: Modules that measure, besides those that all looks need.
        kind: The folder's name.
    """
    asked = {
        "what": what,
        "defended": looker.identity,
        "weights": looker.weights,
        "how": [looker.batch_size, looker.threads],
        **decides,
    }
    how = {"versions": fingerprint.versions(), "code": fingerprint.code(__name__, *code)}

    def made() -> Kept:
        with process.threads(looker.threads):
            return Kept(make(), {"asked": asked})

    return store.remember(kind, asked, made, how)


@dataclass(frozen=True)
class Clean:
    """One pass over the test images.

    Attributes:
        key: The look's name.
        right: Which are given their label, booleans of shape (images,).
        probabilities: Whether outputs look like those of a softmax.
        alike: Whether two passes over the first hundred are equal although a site is random.
        mixing: At which sites an operation mixes the images of a batch.
    """

    key: str
    right: np.ndarray
    probabilities: bool
    alike: bool
    mixing: Sequence[str]


def clean(
    store: Store,
    looker: Looker,
    defended: Defended,
    names: tuple[str, str],
    data: Any,
    classes: int,
    seed: int,
    idle: bool = False,
) -> Clean:
    """Which test images are given their label in one pass; network and scheme are tried on a few first.

    Args:
        store, looker: As for ``look``.
        defended: The network behind its scheme, or its twin.
        names: What the model and the scheme are called.
        data: A ``datasets.Dataset``.
        classes: How many outputs there have to be, at least.
        seed: Of the draws.
        idle: As for ``probe.scheme``.

    Raises:
        ConfigError: for a network or an operation that can't be used.
        NotFinite: for logits that are not numbers.
    """

    def make() -> dict[str, Any]:
        where = defended.device
        images, labels = (torch.from_numpy(part).to(where) for part in (data.x_test, data.y_test))
        few = unit(images[: probe.IMAGES])
        # a network that draws by itself, and its twin, were looked into before
        if not defended.scheme and not defended.draws_itself and not defended.off:
            probe.network(defended, names[0], few, classes)
        mixing = probe.scheme(defended, names[1], few, idle)
        alike = False
        with defended.model(seed) as model:
            # of few states two are often equal; it was looked into by many passes
            if defended.random and not defended.draws_itself:
                batches = images[:100].split(looker.batch_size)
                alike = not any(passes.passes_differ(model, unit(batch)) for batch in batches)
            outputs = passes.logits(model, images, looker.batch_size)
        right = (outputs.argmax(-1) == labels).cpu().numpy()
        return {
            "right": flags(right),
            "probabilities": passes.look_like_probabilities(outputs),
            "alike": alike,
            "mixing": mixing,
        }

    decides = {"data": data.fingerprint, "seed": seed, "sites": sorted(defended.scheme), "classes": classes}
    kept = look(store, looker, "clean", decides, make)
    return Clean(
        kept.key,
        unflagged(kept.values["right"]),
        *(kept.values[n] for n in ("probabilities", "alike", "mixing")),
    )


FEW = 4
"""How many images are passed to find out what draws are like."""


def draws(
    store: Store, looker: Looker, defended: Defended, x: np.ndarray, y: np.ndarray
) -> finding.Findings | None:
    """What a defence's draws are like, found out with its first images; None where nothing is random.

    A network that doesn't draw by itself was passed before, when it was tried: that its first pass of all is
    like the others is seen to in ``probe.network``. The twin of one that does is looked at, too.

    Args:
        store, looker: As for ``look``.
        defended: The network behind its scheme.
        x, y: Images as ``unit`` takes them, shape (n, channels, height, width), at least one; and labels.

    Raises:
        NotFinite: for logits that are not numbers.
    """
    if not defended.random and not defended.off:
        return None
    size = looker.batch_size
    sizes = sorted({1, 3, min(size, len(x)), len(x) % size or min(size, len(x))})
    images, labels = (torch.from_numpy(np.ascontiguousarray(part[:FEW])) for part in (x, y))

    def make() -> dict[str, Any]:
        given, of = probe.several(unit(images).to(defended.device), labels.to(defended.device))
        opened = functools.partial(defended.model, as_it_is=True)
        tried, failing = sizes, {}
        if defended.own is not None:
            with watching.watched(defended.network):
                # of fewer images than a full batch there is one batch, which may fail where that doesn't
                fewer = [max(sizes)] if len(x) < size else []
                failing = finding.batches(opened, given, [len(given), *fewer])
        if failing:
            # it may take batches of that size alone, to which fewer images are padded
            tried = sorted({*sizes, size})
        if len(given) in failing:
            whole = torch.arange(size) % len(given)
            given, of = given[whole], of[whole]
        return finding.find(opened, defended.network, given, of, tried).as_dict()

    decides = {"images": fingerprint.hash_tensors({"x": images, "y": labels}), "sizes": sizes}
    kept = look(store, looker, "draws", decides, make, [finding])
    return finding.Findings.of(kept.values)


@dataclass(frozen=True)
class Fresh:
    """How adversarial images fare on draws that their attack hasn't seen.

    Attributes:
        key: The look's name.
        draws: Passes of each image.
        success: On how many the criterion holds, shape (images,).
        right: On how many the true label is given, shape (images,).
        right_first: Whether it is on the first, booleans of shape (images,).
        first_half: Both counts on the first ``draws // 2``, shape (2, images); None: of a look of before.
        by_draw: Of how many images the criterion holds, and how many are given the true label, on each pass,
            shape (2, draws); None: of a look of before.
        seconds: How long it took.
    """

    key: str
    draws: int
    success: np.ndarray
    right: np.ndarray
    right_first: np.ndarray
    first_half: np.ndarray | None
    by_draw: np.ndarray | None
    seconds: float

    def rate(
        self, of: Literal["success", "right"], shared: bool, groups: np.ndarray | None = None
    ) -> Estimate:
        """The share of draws on which the criterion holds, or the true label is given.

        Args:
            of: Which of both.
            shared: Whether images of a pass share a draw: then draws are random as images are.
            groups: Which image each row is of, shape (images,); None: each is another.
        """
        counts = self.success if of == "success" else self.right
        if shared and self.by_draw is not None:
            return intervals.two_way(counts, self.by_draw[0 if of == "success" else 1], groups)
        return intervals.estimate(counts / self.draws, groups)


def fresh(
    store: Store,
    looker: Looker,
    defended: Callable[[], Defended],
    samples: str,
    images: Callable[[], Sequence[Tensor]],
    goal: tuple[str, int | None] | None,
    draws: int,
    seed: int,
) -> Fresh:
    """Passes adversarial images on draws of their own.

    Args:
        store, looker: As for ``look``.
        defended: Gives the network behind its scheme, where it is needed.
        samples: What the images are known by: their hash.
        images: Gives them, shape (images, channels, height, width), their labels and their targets.
        goal: Kind and k of the criterion; None: only the true labels are counted.
        draws: Passes of each image.
        seed: Of the draws.

    Raises:
        NotFinite: for logits that are not numbers.
    """

    def make() -> dict[str, Any]:
        start = time.perf_counter()
        behind = defended()
        perturbed, labels, targets = (part.to(behind.device) for part in images())
        criterion = None if goal is None else criteria.criterion(goal[0], labels, targets, goal[1])
        with behind.model(seed) as model:
            seen = passes.fresh_draws(model, perturbed, criterion, labels, draws, looker.batch_size)
        return {
            "draws": seen.draws,
            "success": seen.success.tolist(),
            "right": seen.right.tolist(),
            "right_first": flags(seen.right_first),
            "first_half": seen.first_half.tolist(),
            "by_draw": [seen.success_by_draw.tolist(), seen.right_by_draw.tolist()],
            "seconds": time.perf_counter() - start,
        }

    decides = {"samples": samples, "goal": goal, "draws": draws, "seed": seed}
    return fresh_of(look(store, looker, "fresh draws", decides, make))


def fresh_of(kept: Kept) -> Fresh:
    """What ``fresh`` gave, of what was kept of it."""
    found = kept.values
    half, by_draw = found.get("first_half"), found.get("by_draw")
    return Fresh(
        kept.key,
        found["draws"],
        np.array(found["success"], dtype=np.int64),
        np.array(found["right"], dtype=np.int64),
        unflagged(found["right_first"]),
        None if half is None else np.array(half, dtype=np.int64),
        None if by_draw is None else np.array(by_draw, dtype=np.int64),
        found["seconds"],
    )


def flags(values: np.ndarray) -> str:
    """Booleans of shape (n,) as a word of zeros and ones: short, and to be read by eye."""
    return "".join("01"[int(v)] for v in values)


def unflagged(word: str) -> np.ndarray:
    """The booleans of such a word."""
    return np.frombuffer(word.encode(), dtype=np.uint8) == ord("1")
