"""From a checked cell, or a checked call of the library, to what a row of an audit is asked; and its tables.

Here belong samples that somebody brings along, and what of a row is kept.
How a row is worked out is in ``row``.
"""

import dataclasses
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.audit import tables
from bench.analysis.audit.asked import Asked, Subject
from bench.analysis.audit.row import Audit
from bench.analysis.audit.stages import EFFORTS
from bench.checks import ConfigError
from bench.config import AuditConfig
from bench.finding import Findings
from bench.results import fingerprint
from bench.results import store as stores
from bench.results.store import Kept, Store

AUDITS = "audits"
"""The kind under which rows are kept."""

KINDS = ("table", "checks", "attacks", "images")
"""A row's tables."""

BROUGHT = "brought along"
"""What samples are called that somebody brings along."""


@dataclass(frozen=True)
class Defence:
    """Who is audited, on what.

    Attributes:
        store: Where samples and looks are kept.
        scheme, twin, baseline: As ``Asked`` has them.
        drawn: What the scheme's draws are like; None where nothing is random.
        x, y: Images, shape (n, channels, height, width), and labels, shape (n,).
        classes: How many outputs there are.
        seed: Of everything.
        extra: Further attacks, as ``Asked`` has them.
        samples: Further samples of the images: images and which they are of; None: none.
        clean: Accuracies of the scheme and its twin on more images, in [0, 1]; None: on these.
        names: The columns that name the row.
    """

    store: Store
    scheme: Subject
    twin: Subject | None
    baseline: Subject | None
    drawn: Findings | None
    x: np.ndarray
    y: np.ndarray
    classes: int
    seed: int
    names: Mapping[str, Any]
    extra: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    samples: tuple[np.ndarray, np.ndarray] | None = None
    clean: tuple[float, float | None] | None = None

    def asked(self, config: AuditConfig, progress: Callable[[str], None]) -> Asked:
        """What its row is asked."""
        if len(self.x) < 2:
            raise ConfigError(f"images: expected at least 2, got {len(self.x)}")
        return Asked(
            self.store, self.scheme, self.twin, self.baseline, self.drawn, self.x, self.y, self.classes,
            config.norm,  # type: ignore[arg-type]
            config.epsilon, EFFORTS[config.effort], self.seed, config.claim, config.margin, self.extra,
            {} if self.samples is None else {BROUGHT: self.samples}, progress, config.passes, config.minutes,
        )  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """What a row has found, as it is kept.

    Attributes:
        table: One row, ``audit.csv``.
        checks, attacks, images: ``checks.csv``, ``attacks.csv`` and ``images.csv``.
        worst: Each image's worst sample, float32 in [0, 1], shape (n, channels, height, width).
        said: What is said below the table.
        names: The columns that name it.
        key: Under which it is kept.
    """

    table: pd.DataFrame
    checks: pd.DataFrame
    attacks: pd.DataFrame
    images: pd.DataFrame
    worst: np.ndarray
    said: str
    names: Mapping[str, Any]
    key: str = ""

    @classmethod
    def of(cls, kept: Kept) -> "Tables":
        """Of what was kept."""
        frames = {name: _frame(kept.about[name], kept.about["names"]) for name in KINDS}
        return cls(
            **frames, worst=kept.values["worst"].numpy(), said=kept.about["said"],
            names=kept.about["names"], key=kept.key,
        )  # fmt: skip


def tables_of(defence: Defence, config: AuditConfig, progress: Callable[[str], None]) -> Tables:
    """What a row has found before, or finds now.

    Raises:
        ConfigError: if there are fewer passes than the shortest plan takes.
        AttackError, NotFinite: as ``attacking.attack`` does.
    """
    asked = defence.asked(config, progress)
    subjects = (asked.scheme, asked.twin, asked.baseline)
    brought = defence.samples
    decides = {
        "defended": [None if one is None else [one.looker.identity, one.looker.weights] for one in subjects],
        "how": [asked.scheme.looker.batch_size, asked.scheme.looker.threads],
        "images": [asked.content, asked.classes],
        "audit": dataclasses.asdict(config),
        "effort": dataclasses.asdict(asked.effort),
        "seed": asked.seed,
        "attacks": {name: said for name, (_, said) in asked.extra.items()},
        "samples": None if brought is None else fingerprint.digest([one.tolist() for one in brought]),
        "clean": defence.clean,
        "names": dict(defence.names),
        "versions": fingerprint.versions(),
        "code": fingerprint.code(__name__),
    }

    def make() -> Kept:
        row = Audit(asked).run()
        frames = {
            "table": pd.DataFrame([tables.of_row(row, defence.clean)]),
            "checks": tables.of_checks(row),
            "attacks": tables.of_attacks(row),
            "images": tables.of_images(row, asked.y),
        }
        about = {name: frame.to_json(orient="split", double_precision=15) for name, frame in frames.items()}
        said = {"said": tables.said(row, asked), "names": dict(defence.names)}
        return Kept(stores.tensors({"worst": row.worst}), {**about, **said})

    return Tables.of(asked.store.remember(AUDITS, decides, make))


def _frame(text: str, names: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.read_json(io.StringIO(text), orient="split", dtype=False)
    for place, (name, value) in enumerate(names.items()):
        frame.insert(place, name, [value] * len(frame))
    return frame


def brought_along(path: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a file: ``images`` and ``indices``.

    Args:
        path: An npz.
        x: The images that are audited.

    Raises:
        ConfigError: for a file that isn't there, or holds anything else.
    """
    try:
        with np.load(path) as found:
            missing = [name for name in ("images", "indices") if name not in found.files]
            if missing:
                raise ConfigError(
                    f"samples: {path} has no {' and no '.join(missing)}; expected images and indices, "
                    f"found {', '.join(found.files) or 'nothing'}"
                )
            images, indices = found["images"], found["indices"]
    except (OSError, ValueError, EOFError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"samples: {path}: can't be read as npz ({words})") from None
    return brought(images, indices, x)


def brought(images: Any, indices: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples and which images they are of, checked.

    Raises:
        ConfigError: for another shape or type, values outside the bounds, or an image that isn't audited, or
            is there twice.
    """
    images, indices = np.asarray(images), np.asarray(indices)
    if images.ndim != 4 or images.shape[1:] != x.shape[1:] or images.dtype != np.float32:
        shape = ", ".join(map(str, x.shape[1:]))
        raise ConfigError(
            f"samples: expected images of float32 and shape (n, {shape}), got {images.dtype} of "
            f"{images.shape}"
        )
    if indices.shape != images.shape[:1] or not np.issubdtype(indices.dtype, np.integer):
        raise ConfigError(
            f"samples: expected indices of integers and shape ({len(images)},), got {indices.dtype} of "
            f"{indices.shape}"
        )
    if len(images) and (not np.isfinite(images).all() or images.min() < 0 or images.max() > 1):
        raise ConfigError(f"samples: expected images in [0, 1], got {images.min():.9g} to {images.max():.9g}")
    if len(indices) and (indices.min() < 0 or indices.max() >= len(x)):
        raise ConfigError(
            f"samples: expected indices from 0 to {len(x) - 1}, which the audited images have, got "
            f"{indices.min()} to {indices.max()}"
        )
    if len(np.unique(indices)) < len(indices):
        raise ConfigError("samples: expected each index once: one sample an image")
    return images, indices
