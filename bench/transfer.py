"""Cross recognition: every scheme's network looks at every scheme's adversarial samples.

Here belongs who recognises whose samples, from records and saved samples; no attack is run here.
The idea is that of "Dropout in Testing Phase", Tables 3 and 5: column, the scheme that samples were
generated under; row, the scheme that recognises them; each cell, how often the true label is output.
By itself: ``python -m bench.transfer outputs/sweep``.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from bench import aggregate, cell, evaluation, fingerprint, records, schemes
from bench import config as settings
from bench.command import guarded
from bench.records import OK, Store
from bench.training import CheckpointError

DEFENCE = ("model", "scheme", "train_rate", "test_rate")
"""What of a cell's name says who recognises; the rest says who attacked, and what."""


def table(results: Path) -> pd.DataFrame:
    """Cross recognition of a sweep, one row for each pair of schemes and each attack and criterion.

    What was looked at before is read from the store.

    Args:
        results: A sweep's folder.

    Returns:
        Columns ``dataset``, ``attack``, ``criterion``, ``seed`` (and other swept settings of the
        attack), ``generated_under``, ``recognised_by``, ``accuracy_pct`` with ``_low`` and ``_high``,
        ``single_draw_pct``, ``samples``, ``draws``, ``seconds``, and ``reason`` for a hole. Empty
        where the sweep has fewer than two schemes.
    """
    frame = aggregate.table(results)
    store = aggregate.store_of(results)
    defence, attack = sides(frame)
    shown = [c for c in defence if len(frame[c].unique()) > 1] or ["scheme"]
    frame["defence"] = labels(frame, shown)
    if len(frame["defence"].unique()) < 2:
        return pd.DataFrame()
    rows = []
    looked = _Looker(store)
    pairs = sum(len(g) ** 2 for _, g in frame.groupby(attack, dropna=False))
    with tqdm(total=pairs, desc="cross recognition", unit="pair", disable=None, leave=False) as bar:
        for values, group in frame.groupby(attack, sort=False, dropna=False):
            cells = [dict(zip(group.columns, row, strict=True)) for row in group.itertuples(index=False)]
            for generated in cells:
                for recogniser in cells:
                    rows.append(
                        {
                            **dict(zip(attack, values, strict=True)),
                            "generated_under": generated["defence"],
                            "recognised_by": recogniser["defence"],
                            **looked.look(generated, recogniser),
                        }
                    )
                    bar.update()
    return pd.DataFrame(rows)


def sides(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Columns of an ``aggregate.table`` that say who defends, and those that say who attacked, and what."""
    named = list(frame.columns[: frame.columns.get_loc("status")])
    swept = [c for c in named if c not in cell.IDENTITY]
    # a swept setting of the network makes another defence, one of the attack another set of samples
    own = [c for c in swept if c.startswith(("model.", "scheme.", "training."))]
    return [*DEFENCE, *own], [c for c in named if c not in (*DEFENCE, *own)]


def labels(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """One name for each row: the first column's value, and the others as ``column=value``."""
    return frame[list(columns)].apply(_label, axis=1)


def _label(row: pd.Series) -> str:
    first, *others = row.items()
    words = [str(first[1]), *(f"{k}={'default' if pd.isna(v) else v}" for k, v in others)]
    return " ".join(words)


class _Looker:
    """Looks at samples once for each pair, however often it is asked."""

    def __init__(self, store: Store):
        self.store = store
        self.networks: dict[str, cell.Restored] = {}
        self.codes: dict[str, str] = {}
        self.versions = fingerprint.versions()

    def look(self, generated: Mapping[str, Any], recogniser: Mapping[str, Any]) -> dict[str, Any]:
        for who, what in ((generated, "samples"), (recogniser, "recogniser")):
            if who["status"] != OK:
                return {"reason": f"{what}: {who['status']}: {who['reason']}"}
        one, other = (self.store.read(who["key"]) for who in (generated, recogniser))
        assert one is not None
        assert other is not None
        try:
            code = self._code(other)
        except (HydraException, OmegaConfBaseException) as error:
            return {"reason": f"recogniser: {' '.join(str(error).split())}"}
        draws = other["metrics"]["fresh_draws"]
        seed = fingerprint.derive_seed(other["config"]["seed"], f"cross recognition of {one['key']}")
        decides = {
            "samples": one["samples"]["sha256"],
            "checkpoint": other["checkpoint"],
            "rates": other["test_rates"],
            "operation": other["config"]["scheme"]["operation"],
            "batch_size": other["config"]["batch_size"],
            "draws": draws,
            "seed": seed,
            "device": other["device"],
            "versions": self.versions,
            "code": code,
        }
        path = self.store.folder / "transfer" / f"{fingerprint.digest(decides)[:16]}.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        samples = self.store.samples(one["key"])
        claimed = samples["claimed"]
        if not claimed.any():
            return {"reason": "samples: the attack never succeeded"}
        try:
            network = self._network(other)
        except (HydraException, OmegaConfBaseException, CheckpointError) as error:
            return {"reason": f"recogniser: {' '.join(str(error).split())}"}
        torch.set_num_threads(network.config.threads)
        start = time.perf_counter()
        generator = torch.Generator(network.device).manual_seed(seed)
        schemes.install(network.model, network.rates, generator)
        images, labels = (
            torch.from_numpy(samples[name][claimed]).to(network.device) for name in ("perturbed", "labels")
        )
        seen = evaluation.recognise(
            network.model, images, labels, draws, network.config.batch_size, samples["indices"][claimed]
        )
        row = {
            "accuracy_pct": 100 * seen.accuracy.mean,
            "accuracy_pct_low": 100 * seen.accuracy.low,
            "accuracy_pct_high": 100 * seen.accuracy.high,
            "single_draw_pct": 100 * seen.single_draw,
            "samples": len(images),
            "draws": draws,
            "seconds": time.perf_counter() - start,
        }
        records.write_text(path, json.dumps(row) + "\n")
        return row

    def _code(self, record: Mapping[str, Any]) -> str:
        if record["key"] not in self.codes:
            config = settings.typed(record["config"])
            named = (("model", config.model), ("scheme.operation", config.scheme.operation))
            own = [settings.find(key, one._target_, config.trusted_modules) for key, one in named]
            self.codes[record["key"]] = fingerprint.code(evaluation, schemes, *own)
        return self.codes[record["key"]]

    def _network(self, record: Mapping[str, Any]) -> cell.Restored:
        if record["key"] not in self.networks:
            self.networks[record["key"]] = cell.restore(record, self.store)
        return self.networks[record["key"]]


def matrix(pairs: pd.DataFrame) -> pd.DataFrame:
    """The paper's form: row, who recognises; column, whose samples; with the means at the edges.

    Args:
        pairs: Rows of ``table`` for one attack and criterion.

    Returns:
        A table with a last row and a last column named ``mean``. A hole is NaN, and a mean over a
        hole is a mean of what there is.
    """
    order = list(dict.fromkeys(pairs["generated_under"]))
    square = pairs.pivot(index="recognised_by", columns="generated_under", values="accuracy_pct")
    square = square.loc[order, order]
    square["mean"] = square.mean(axis=1)
    square.loc["mean"] = square.mean(axis=0)
    # the paper leaves the corner empty
    square.loc["mean", "mean"] = math.nan
    return square


def groups(pairs: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """What names each attack and criterion of a table, and its rows."""
    named = list(pairs.columns[: list(pairs.columns).index("generated_under")])
    return [
        (dict(zip(named, values, strict=True)), group)
        for values, group in pairs.groupby(named, sort=False, dropna=False)
    ]


def write(results: Path) -> Sequence[Path]:
    """Writes ``transfer.csv`` and a heatmap for each attack and criterion, if there are two schemes or more.

    Args:
        results: A sweep's folder.

    Returns:
        What was written.
    """
    from bench import figures

    path = results / "transfer.csv"
    # an earlier sweep of the same name may have had more schemes
    for old in (path, *results.glob("transfer_*.png")):
        old.unlink(missing_ok=True)
    pairs = table(results)
    if pairs.empty:
        return []
    records.write_text(path, pairs.to_csv(index=False))
    return [path, *figures.transfer([(*g, matrix(g[1])) for g in groups(pairs)], results)]


@guarded
def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.transfer", description="Write a sweep's cross recognition."
    )
    parser.add_argument("results", type=Path, nargs="+", help="folders of sweeps, such as outputs/sweep")
    for folder in parser.parse_args().results:
        if not (folder / "cells.json").exists():
            parser.error(f"{folder}: no sweep was started there (it has no cells.json)")
        written = write(folder)
        print("\n".join(map(str, written)) or f"{folder}: fewer than two schemes, nothing to compare")


if __name__ == "__main__":
    main()
