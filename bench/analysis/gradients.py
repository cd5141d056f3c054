"""How much the attacker's gradient differs between draws of a random defence, beside what attacks achieve.

Here belongs the drawing of gradients through the networks and schemes of a sweep's records, and what is
said of them; no attack is run here. "Defensive Dropout" explains by the gradients' variance why a
higher rate at test time holds better, and why stochastic activation pruning does not (section 3.3,
Fig. 4). By itself: ``python -m bench gradients outputs/sweep``.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from bench import axes, looks, parts, plan
from bench.checks import ConfigError
from bench.datasets.arrays import unit
from bench.measuring import gradients, intervals, ranks
from bench.reader import STRANGER, Reader
from bench.results import files as records
from bench.results import fingerprint, sweep
from bench.results.files import Unreadable
from bench.results.store import OK, Store, tensors
from bench.results.sweep import Sweep

COLUMNS = {
    "checkpoint": "the network: store/checkpoints/<checkpoint>.safetensors",
    "gradient_images": "images that the gradient was drawn at, the record's first ones",
    "gradient_draws": "gradients drawn at each of them",
    "variance": "of a value's gradient over draws, mean over values and images; (logits a unit pixel)^2",
    "noise_to_signal": "that variance over the square of the draws' mean gradient; inf: no mean is seen",
    "cosine": "between two draws' gradients, mean over pairs and images; 1: they are alike",
}
"""What ``gradients.csv`` adds to columns of ``results.csv``; a measure's ``_low`` and ``_high`` are its 95 %
interval over images."""

MEASURES = {"variance": (0.0, math.inf), "noise_to_signal": (0.0, math.inf), "cosine": (-1.0, 1.0)}
"""Each measure and where it can lie."""
OUTCOMES = ("clean_accuracy_pct", "claimed_success_pct", "fresh_success_pct")
FIGURES = tuple(f"{name}{end}" for name in (*MEASURES, *OUTCOMES) for end in ("", "_low", "_high"))
LAST = ("checkpoint", "gradient_images", "gradient_draws", *FIGURES, "reason", "key")
"""What stands in a table behind what names a cell."""


def table(
    sweeps: Sequence[Path | Sweep],
    draws: int = 50,
    images: int = 20,
    seed: int = 0,
    reader: Reader = STRANGER,
) -> pd.DataFrame:
    """One row a cell of the sweeps, in their order.

    Records that differ in nothing but the attack share their gradients, and what was drawn before is
    read from the store.

    Args:
        sweeps: The sweeps, or their folders.
        draws: Gradients for each image, at least 2; the paper draws 50.
        images: How many of each record's images, at least 1.
        seed: Of the draws, and of the target of an image that was attacked at several.
        reader: Whose code may run, and where data is.

    Returns:
        What names a cell, ``COLUMNS`` and the bounds, test accuracy and success of the attack as in
        ``results.csv``, and ``reason`` where there are no gradients.
    """
    rows = []
    opened = [Sweep.of(one) for one in sweeps]
    sweep.table(*opened).say_missing(*opened)
    for row, measured in _measured(opened, draws, images, seed, reader):
        if isinstance(measured, str):
            row["reason"] = measured
        else:
            row["gradient_images"], row["gradient_draws"] = len(measured["variance"]), draws
            for name, value in (
                ("variance", intervals.mean_interval(measured["variance"])),
                ("noise_to_signal", intervals.ratio(measured["variance"], measured["signal"])),
                ("cosine", intervals.mean_interval(measured["cosine"])),
            ):
                # Student's interval doesn't know where a measure ends
                low, high = np.clip([value.low, value.high], *MEASURES[name])
                row |= {name: value.mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=[*named(frame), *LAST])


def named(frame: pd.DataFrame) -> list[str]:
    """What names a cell in a table of gradients."""
    return [str(c) for c in frame if c not in LAST]


def correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of each measure with the attack's success on fresh draws.

    Over the cells of one network that differ in nothing but the scheme and its rate at test time, where
    there are three or more of them; and over those of each scheme by itself.

    Args:
        frame: As ``table`` gives it.

    Returns:
        What names the cells, ``schemes``, ``measure``, ``spearman`` (NaN where one of both is
        constant) and ``rows``.
    """
    # one network: gradients of two are not of one scale
    shared = [c for c in [*named(frame), "checkpoint"] if not axes.at_test(c)]
    rows = []
    for values, group in frame[frame["variance"].notna()].groupby(shared, sort=False, dropna=False):
        of = [one for _, one in group.groupby("scheme", sort=False)]
        for part in [group, *of] if len(of) > 1 else of:
            for name in MEASURES:
                rho, count = ranks.rank_correlation(part[name], part["fresh_success_pct"])
                found = {"schemes": " ".join(part["scheme"].unique()), "measure": name, "spearman": rho}
                if count >= 3:
                    rows.append({**dict(zip(shared, values, strict=True)), **found, "rows": count})
    return pd.DataFrame(rows, columns=[*shared, "schemes", "measure", "spearman", "rows"])


def points(
    sweeps: Sequence[Path | Sweep],
    draws: int = 50,
    images: int = 20,
    pixels: int = 5,
    seed: int = 0,
    reader: Reader = STRANGER,
) -> pd.DataFrame:
    """Every draw of some values' gradients at one image, as in "Defensive Dropout", Fig. 4.

    The image is the first that the records have. Its values are taken in an order drawn from the seed, for
    all defences of a network the same, from the half with the larger gradients: beside the spike of a value
    without a gradient no density can be seen.

    Args:
        sweeps, draws, images, seed, reader: As for ``table``.
        pixels: How many values: one channel of one pixel each, at least 1.

    Returns:
        Columns ``network``, ``defence``, ``pixel`` (channel, row and column), ``gradient``.
    """
    networks: dict[str, dict[str, np.ndarray]] = {}
    for row, measured in _measured([Sweep.of(one) for one in sweeps], draws, images, seed, reader):
        # a reference has no single draws
        if not isinstance(measured, str) and "first" in measured:
            trained = "" if pd.isna(row["train_rate"]) else f", train rate {row['train_rate']:g}"
            image = f"image {measured['indices'][0]}, target {measured['targets'][0]}"
            network = f"{row['dataset']} {row['model']}{trained}, {image} ({row['checkpoint'][:6]})"
            own = [c for c in row if axes.at_test(c)]
            defence = " ".join(str(row[c]) for c in own if pd.notna(row[c]))
            networks.setdefault(network, {})[defence] = measured["first"]
    found = []
    for network, defences in networks.items():
        shape = next(iter(defences.values())).shape[1:]
        order = np.random.default_rng(fingerprint.derive_seed(seed, "pixels")).permutation(math.prod(shape))
        size = np.mean([np.abs(first).mean(0).ravel() for first in defences.values()], axis=0)
        seen = (size >= np.median(size)) & (size > 0)
        for at in order[seen[order]][:pixels]:
            pixel = np.unravel_index(at, shape)
            for defence, first in defences.items():
                named = {"network": network, "defence": defence, "pixel": " ".join(map(str, pixel))}
                found += [{**named, "gradient": float(g)} for g in first[:, *pixel]]
    return pd.DataFrame(found, columns=["network", "defence", "pixel", "gradient"])


def _measured(
    sweeps: Sequence[Sweep], draws: int, images: int, seed: int, reader: Reader
) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray] | str]]:
    """Each cell's name and outcomes, with what was measured of its gradients, or why nothing was."""
    whole = sweep.table(*sweeps)
    bounds = [f"{name}_{end}" for name in OUTCOMES for end in ("low", "high")]
    # two sweeps may share a cell
    frame = whole.frame.drop_duplicates("key").reindex(
        columns=[*whole.names, *OUTCOMES, *bounds, "reason", "key", "status"]
    )
    for values in tqdm(
        frame.itertuples(index=False),
        total=len(frame), desc="gradients", unit="cell", disable=None, leave=False,
    ):  # fmt: skip
        row = dict(zip(frame.columns, values, strict=True))
        status = row.pop("status")
        if status != OK:
            yield row, f"{status}: {row['reason']}"
            continue
        store, record = _found(sweeps, row["key"])
        try:
            measured = _of_record(record, store, draws, images, seed, reader)
        except (ConfigError, Unreadable) as error:
            yield row, " ".join(str(error).split())
        else:
            yield {**row, "checkpoint": record["checkpoint"]["key"]}, measured


def _found(sweeps: Sequence[Sweep], key: str) -> tuple[Store, Mapping[str, Any]]:
    """The record of a key that is in at least one of the sweeps, under that one's settings, and its store."""
    return next(
        (one.store, record)
        for one in sweeps
        for record in one.records
        if record["key"] == key and record["status"] == OK
    )


def _of_record(
    record: Mapping[str, Any], store: Store, draws: int, images: int, seed: int, reader: Reader
) -> dict[str, np.ndarray]:
    """What ``measure`` says of its first images, which these are, and the draws at the first of them."""
    looker = looks.Looker.of(record)
    rows = _rows(np.array(record["images"]["indices"]), images, seed)
    indices, targets = (np.array(record["images"][name])[rows] for name in ("indices", "targets"))
    if not store.reference:
        plan.check_alike(record, reader)
    decides = {
        "data": record["data"]["fingerprint"],
        "rows": [indices.tolist(), targets.tolist()],
        "draws": draws,
        "seed": seed,
    }

    def drawn() -> dict[str, torch.Tensor]:
        restored = plan.restore(record, store, reader)
        config, defended = restored.config, restored.defended
        data = parts.dataset(config)
        if data.fingerprint != record["data"]["fingerprint"]:
            raise ConfigError(f"dataset={config.dataset.name}: not the data that the record was made with")
        inputs, goals = torch.from_numpy(unit(data.x_test[indices])), torch.from_numpy(targets)
        with defended.model(fingerprint.derive_seed(seed, "gradients")) as model:
            where = defended.device
            found = gradients.draw(model, inputs.to(where), goals.to(where), draws, config.batch_size).numpy()
        seen = {**gradients.measure(found), "indices": indices, "targets": targets, "first": found[:, 0]}
        return tensors(seen)

    kept = looks.look(store, looker, "gradients", decides, drawn, (gradients,), "gradients")
    return {name: tensor.numpy() for name, tensor in kept.values.items()}


def _rows(indices: np.ndarray, images: int, seed: int) -> np.ndarray:
    """The first images' rows in a record; where an image has several, one that it and the seed decide."""
    rows = []
    for index in list(dict.fromkeys(indices.tolist()))[:images]:
        one = np.random.default_rng(fingerprint.derive_seed(seed, f"target of image {index}"))
        rows.append(one.choice(np.flatnonzero(indices == index)))
    return np.array(rows)


def terminal(frame: pd.DataFrame) -> str:
    """The table as a person reads it: the columns that vary, and the figures."""
    shown = [c for c in named(frame) if len(frame[c].unique()) > 1] or ["scheme", "attack"]
    short = frame[[*shown, *MEASURES, *OUTCOMES]].rename(columns=lambda c: c.replace("_pct", " %"))
    text = short.to_string(index=False, float_format=lambda v: f"{v:.3g}", na_rep="-")
    return "\n".join([text, *(f"  {reason}" for reason in frame["reason"].dropna().unique())])


def write(
    sweeps: Sequence[Path | Sweep],
    into: Path,
    draws: int = 50,
    images: int = 20,
    pixels: int = 5,
    seed: int = 0,
    reader: Reader = STRANGER,
) -> tuple[str, list[Path]]:
    """Writes ``gradients.csv``, ``gradient_correlations.csv`` and the pictures.

    Args:
        sweeps, draws, images, pixels, seed, reader: As for ``points``.
        into: The folder that they are written to.

    Returns:
        Both tables as a person reads them; and what was written.

    Raises:
        ConfigError: as ``Sweep``; or where there are such files, and nothing of them could be made again.
    """
    from bench.analysis import figures

    opened = [Sweep.of(one) for one in sweeps]
    frame = table(opened, draws, images, seed, reader)
    related = correlations(frame)
    said = [terminal(frame)]
    if len(related):
        shown = [c for c in related if len(related[c].unique()) > 1 or c in ("measure", "spearman", "rows")]
        said.append(related[shown].to_string(index=False, float_format=lambda v: f"{v:.3g}", na_rep="-"))
    paths = [into / "gradients.csv", into / "gradient_correlations.csv"]
    if paths[0].exists():
        plan.check_not_outdated(into, list(frame.get("reason", [])))
    records.write_text(paths[0], frame.to_csv(index=False))
    records.write_text(paths[1], related.to_csv(index=False))
    drawn = points(opened, draws, images, pixels, seed, reader)
    if len(drawn):
        paths.append(into / "gradients.png")
        figures.gradient_densities(drawn, paths[-1])
    if frame["variance"].notna().any():
        paths.append(into / "gradient_variance.png")
        figures.gradient_measures(frame[frame["variance"].notna()], paths[-1])
    return "\n".join(said), paths
