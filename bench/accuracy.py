"""Accuracy under each scheme of a sweep, on the training set and on the test set.

Here belongs what is seen of a record's network by passing whole sets of images through it, one draw each; no
attack is run here.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench import aggregate, cell, evaluation, fingerprint, records, schemes
from bench.config import STRANGER, ConfigError, Reader
from bench.measure import intervals
from bench.records import OK

COLUMNS = ("accuracy_pct", "accuracy_pct_low", "accuracy_pct_high")


def table(results: Path, reader: Reader = STRANGER) -> pd.DataFrame:
    """Accuracy on training and test set under each scheme, one draw for each image.

    What was looked at before is read from the store.

    Args:
        results: A sweep's folder.
        reader: Whose code may run, and where data is.

    Returns:
        Columns ``data_set`` (training or testing), ``scheme``, ``accuracy_pct`` with ``_low`` and ``_high``,
        ``images``; no rows, which is logged, of a network that can't be restored.

    Raises:
        ConfigError: as ``aggregate.Sweep.read``.
    """
    frame = aggregate.table(results)
    store = aggregate.store_of(results)
    rows = []
    for scheme, group in frame[frame["status"] == OK].groupby("scheme", sort=False):
        record = store.read(group["key"].iloc[0])
        assert record is not None
        try:
            if not store.kept:
                cell.check_alike(record, reader)
            asked = {
                "checkpoint": record["checkpoint"],
                "rates": record["test_rates"],
                "data": record["data"],
            }
            asked["operation"] = record["config"]["scheme"]["operation"]
            asked["how"] = [record["config"][name] for name in ("seed", "batch_size", "threads")]
            how = {"code": fingerprint.code(evaluation, schemes), "versions": fingerprint.versions()}
            how["read"] = record["read"]
            make = functools.partial(_look, record, store, reader)
            found = store.remember("accuracy", asked, make, how)
        except (ConfigError, records.Unreadable) as error:
            records.log.warning("accuracy under %s: %s", scheme, " ".join(str(error).split()))
            continue
        rows += [{"data_set": data_set, "scheme": scheme, **figures} for data_set, figures in found.items()]
    return pd.DataFrame(rows, columns=["data_set", "scheme", *COLUMNS, "images"])


def _look(record: Mapping[str, Any], store: records.Store, reader: Reader) -> dict[str, dict[str, float]]:
    network = cell.restore(record, store, reader)
    data = cell.dataset(network.config)
    if data.fingerprint != record["data"]["fingerprint"]:
        raise ConfigError(
            f"dataset={network.config.dataset.name}: not the data that the record was made with"
        )
    torch.set_num_threads(network.config.threads)
    found = {}
    for name, images, labels in (
        ("training", data.x_train, data.y_train),
        ("testing", data.x_test, data.y_test),
    ):
        seed = fingerprint.derive_seed(record["config"]["seed"], f"accuracy {name}")
        schemes.install(network.model, network.rates, torch.Generator(network.device).manual_seed(seed))
        inputs, truth = (torch.from_numpy(a).to(network.device) for a in (images, labels))
        right = evaluation.correct(network.model, inputs, truth, network.config.batch_size)
        estimate = (100 * v for v in intervals.estimate(right.astype(float)))
        found[name] = {**dict(zip(COLUMNS, estimate, strict=True)), "images": len(right)}
    return found
