"""What a row of an audit is asked: which defence, against what it is compared with, on which images.

Here belongs what every step of a row shares. What any of them does is its own business.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.analysis.audit.stage import Effort, Norm, On
from bench.datasets.arrays import unit
from bench.defended import Defended
from bench.finding import Findings
from bench.looks import Looker
from bench.results import fingerprint
from bench.results.fingerprint import derive_seed
from bench.results.store import Store

CLUSTER = 10
"""Images that share a known draw, at most, where a draw belongs to the pass."""

STATES = 64
"""How many states a defence's draws may have for figures to be exact sums over them."""


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
        extra: Further attacks on the scheme: names, and each as it is, with Foolbox's call, and what stands
            for it in a key.
        samples: Further samples by name: images, shape (m, channels, height, width), and which of ``x`` they
            are of, shape (m,).
        progress: Called with what is being done.
        passes: Of an image, at most; None: what the effort takes.
        minutes: Of all, by five passes that are timed first; None: whatever it takes.
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
    passes: float | None = None
    minutes: float | None = None

    @property
    def random(self) -> bool:
        """Whether the scheme is."""
        return self.scheme.defended.random

    @property
    def by_pass(self) -> bool:
        """Whether a draw belongs to the pass, and not to the image."""
        return self.drawn is not None and self.drawn.shared

    @property
    def company(self) -> bool:
        """Whether an image's logits depend on the others of its batch."""
        return self.drawn is not None and bool(self.drawn.company)

    @functools.cached_property
    def labels(self) -> Tensor:
        """Shape (n,), where the network is."""
        return torch.from_numpy(self.y).to(self.scheme.defended.device)

    @functools.cached_property
    def originals(self) -> np.ndarray:
        """The images in [0, 1]."""
        return unit(self.x)

    @functools.cached_property
    def content(self) -> str:
        """The hash of images and labels."""
        return fingerprint.hash_tensors({"x": torch.from_numpy(self.x), "y": torch.from_numpy(self.y)})

    @functools.cached_property
    def states(self) -> list[tuple[float, Defended]] | None:
        """The defence in each state that its draws can be in, and how likely that is, where that is all.

        What isn't random is in one. None where there are many, or where anything else draws: then passes in
        one state would differ.
        """
        if not self.random:
            return [(1.0, self.scheme.defended)]
        found = self.scheme.defended.states(STATES)
        if found is None:
            return None
        few = torch.from_numpy(self.originals[:4]).to(self.labels.device)
        for _, defended in found:
            seen = []
            for seed in (0, 1):
                with torch.no_grad(), defended.model(derive_seed(self.seed, f"audit state {seed}")) as model:
                    seen.append(model(few))
            if not torch.equal(*seen):
                return None
        return found

    @property
    def shared(self) -> bool:
        """Whether images share the draws that they are seen on, and these aren't all that there are."""
        return self.by_pass and self.states is None

    @property
    def groups(self) -> np.ndarray | None:
        """Which images share a known draw, shape (n,); None: each has its own, or it is one of all states."""
        return np.arange(len(self.x)) // CLUSTER if self.shared else None

    def parts(self, known: bool, first: int | None = None) -> list[np.ndarray]:
        """Which images pass together: where a draw is the pass's, few share one that is known.

        Args:
            known: Whether it is.
            first: Of so many images; None: of all.
        """
        everybody = np.arange(len(self.x))[:first]
        if not known or self.groups is None:
            return [everybody]
        groups = self.groups[:first]
        return [everybody[groups == group] for group in np.unique(groups)]

    def subject(self, on: On) -> Subject:
        """Who it is that something is made on."""
        found = {"twin": self.twin, "baseline": self.baseline}.get(on, self.scheme)
        assert found is not None
        return found

    def known_seed(self, draw: int, group: int) -> int:
        """Of a draw that is known, for images that share it."""
        return derive_seed(self.seed, f"audit known {draw} {group}")
