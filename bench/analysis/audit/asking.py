"""What a row of an audit is asked, and what is kept of what it has found.

Here belong samples that somebody brings along, under which key a row's tables are kept, and how they are
found again. Whose defence it is, is the business of ``auditing``; how a row is worked out, that of ``row``.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import given
from bench.analysis.audit import curves, pool, tables
from bench.analysis.audit.asked import Asked
from bench.analysis.audit.row import Audit
from bench.analysis.audit.verdict import Verdict
from bench.checks import ConfigError
from bench.datasets import npz_file
from bench.datasets.arrays import DataError
from bench.results import fingerprint
from bench.results import store as stores
from bench.results.files import log
from bench.results.store import Kept

AUDITS = "audits"
"""The kind under which rows are kept."""

KINDS = ("table", "checks", "attacks", "images", "curves")
"""A row's tables."""

SAMPLES = ("images", "indices")
"""Arrays of a file of samples."""

BROUGHT = "brought along"
"""What samples are called that somebody brings along; what stands before the name of such an attack."""


@dataclass(frozen=True)
class Found:
    """What a row has found.

    Attributes:
        table: One row, ``audit.csv`` without the columns that name it; so are the others.
        checks, attacks, images, curves: ``checks.csv``, ``attacks.csv``, ``images.csv`` and ``curves.csv``.
        worst: Each image's worst sample, float32 in [0, 1], shape (n, channels, height, width).
        notes: What else is said below a table.
        key: Under which it is kept.
    """

    table: pd.DataFrame
    checks: pd.DataFrame
    attacks: pd.DataFrame
    images: pd.DataFrame
    curves: pd.DataFrame
    worst: np.ndarray
    notes: Mapping[str, Any]
    key: str = ""

    @classmethod
    def of(cls, kept: Kept) -> "Found":
        """Of what was kept."""
        frames = {name: _frame(kept.about[name]) for name in KINDS}
        return cls(**frames, worst=kept.values["worst"].numpy(), notes=kept.about["notes"], key=kept.key)

    @property
    def verdict(self) -> Verdict:
        """What is concluded."""
        row = self.table.iloc[0]
        return Verdict(row["verdict"] or "", row["verdict_of"] or "", row["why"])

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """The worst samples, in the form in which others bring theirs."""
        return dict(zip(SAMPLES, (self.worst, np.arange(len(self.worst))), strict=True))


def found(asked: Asked, accuracies: tuple[float, float | None] | None) -> Found:
    """What a row has found before, or finds now.

    Args:
        asked: What it is asked.
        accuracies: Of the scheme and its twin, in [0, 1], on more images than are audited; None: on these.

    Raises:
        ConfigError: if there are fewer passes than the shortest plan takes.
        AttackError, NotFinite: as ``attacking.attack`` does.
    """
    subjects = (asked.scheme, asked.twin, asked.baseline)
    brought = {name: [images.tolist(), rows.tolist()] for name, (images, rows) in asked.samples.items()}
    decides = {
        "defended": [None if one is None else [one.looker.identity, one.looker.weights] for one in subjects],
        "how": [asked.scheme.looker.batch_size, asked.scheme.looker.threads],
        "images": [asked.content, asked.classes],
        "ball": [asked.norm, asked.epsilon],
        "effort": dataclasses.asdict(asked.effort),
        "budget": [asked.passes, asked.minutes],
        "verdict": [asked.claim, asked.margin],
        "seed": asked.seed,
        "attacks": {name: said for name, (_, said) in asked.extra.items()},
        "samples": fingerprint.digest(brought),
        "clean": accuracies,
        "versions": fingerprint.versions(),
        # the plan names its attacks, and imports none
        "code": fingerprint.code(__name__, "bench.attacks"),
    }

    def make() -> Kept:
        row = Audit(asked).run()
        frames = {
            "table": pd.DataFrame([tables.of_row(row, accuracies)]),
            "checks": tables.of_checks(row),
            "attacks": tables.of_attacks(row),
            "images": tables.of_images(row, asked.y),
            "curves": curves.of_row(row, asked),
        }
        about = {name: frame.to_json(orient="split", double_precision=15) for name, frame in frames.items()}
        return Kept(stores.tensors({"worst": row.worst}), {**about, "notes": tables.notes(row, asked)})

    return Found.of(asked.store.remember(AUDITS, decides, make))


def _frame(text: str) -> pd.DataFrame:
    return pd.read_json(io.StringIO(text), orient="split", dtype=False)


def brought(samples: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples that somebody brings along.

    Args:
        samples: The path of an npz, a mapping, or a pair, of ``images`` and ``indices``.
        x: The images that are audited, shape (n, channels, height, width).

    Returns:
        The samples, float32 in [0, 1], shape (m, channels, height, width), and which images they are of,
        shape (m,).

    Raises:
        ConfigError: for a file that isn't there or can't be read, an array that is missing, of another shape
            or type, or out of bounds; for an image that isn't audited, or is there twice.
    """
    if isinstance(samples, str | Path):
        images, indices = _of_file(Path(samples).expanduser())
    elif isinstance(samples, Mapping):
        for name in SAMPLES:
            if name not in samples:
                raise ConfigError(f"samples: no {name}; found: {', '.join(map(str, samples)) or 'none'}")
        images, indices = (samples[name] for name in SAMPLES)
    elif isinstance(samples, Sequence) and len(samples) == len(SAMPLES):
        images, indices = samples
    else:
        raise ConfigError(
            f"samples: expected the path of an npz, or a mapping of images and indices, got {samples!r:.80}"
        )
    images, indices = (given.array("samples", part) for part in (images, indices))
    _check_samples(images, indices, x)
    return images, indices


def _of_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise ConfigError(f"samples: {path}: missing")
    try:
        with npz_file.opened(path, SAMPLES) as archive:
            images, indices = (npz_file.array(path, archive, name) for name in SAMPLES)
    except DataError as error:
        raise ConfigError(f"samples: {error}") from None
    return images, indices


def _check_samples(images: np.ndarray, indices: np.ndarray, x: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[1:] != x.shape[1:] or images.dtype != np.float32 or not images.size:
        shape = ", ".join(map(str, x.shape[1:]))
        raise ConfigError(
            f"samples: expected images, float32 of shape (m, {shape}), at least one, got {images.dtype} of "
            f"shape {images.shape}"
        )
    if not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
        raise ConfigError(
            f"samples: expected images in [0, 1], got values from {images.min():.9g} to {images.max():.9g}"
        )
    if indices.shape != images.shape[:1] or not np.issubdtype(indices.dtype, np.integer):
        raise ConfigError(
            f"samples: expected indices, integers of shape ({len(images)},), one for each of the images, got "
            f"{indices.dtype} of shape {indices.shape}"
        )
    if indices.min() < 0 or indices.max() >= len(x):
        raise ConfigError(
            f"samples: expected indices of the {len(x)} audited images, 0 to {len(x) - 1}, got "
            f"{indices.min()} to {indices.max()}"
        )
    if len(np.unique(indices)) < len(indices):
        values, counts = np.unique(indices, return_counts=True)
        raise ConfigError(
            f"samples: expected one sample of an image, got {counts.max()} of {values[counts.argmax()]}"
        )


def say_outside(asked: Asked) -> None:
    """Logs how many of the samples that were brought along lie outside the ball, and so count for nothing."""
    for images, rows in asked.samples.values():
        kept = pool.inside(images, asked.originals[rows], asked.norm, asked.epsilon)
        outside = int((kept != images).any((1, 2, 3)).sum())
        if outside:
            log.warning(
                "samples: %d of %d lie outside the ball of %s %g; the images as they are stand in for these",
                outside, len(images), asked.norm, asked.epsilon,
            )  # fmt: skip
