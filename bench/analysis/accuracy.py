"""Accuracy under each scheme of a sweep, on the training set and on the test set.

Here belongs what is seen of a record's network by passing whole sets of images through it, one draw each; no
attack is run here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench import looks, parts, plan
from bench.checks import ConfigError
from bench.measuring import intervals, passes
from bench.reader import STRANGER, Reader
from bench.results import fingerprint
from bench.results.files import Unreadable, log
from bench.results.store import OK, Store
from bench.results.sweep import Sweep

COLUMNS = ("accuracy_pct", "accuracy_pct_low", "accuracy_pct_high")


def table(results: Path | Sweep, reader: Reader = STRANGER) -> pd.DataFrame:
    """Accuracy on training and test set under each scheme, one draw for each image.

    What was looked at before is read from the store.

    Args:
        results: A sweep, or its folder.
        reader: Whose code may run, and where data is.

    Returns:
        Columns ``data_set`` (training or testing), ``scheme``, ``accuracy_pct`` with ``_low`` and ``_high``,
        ``images``; no rows, which is logged, of a network that can't be restored.

    Raises:
        ConfigError: as ``Sweep``.
    """
    sweep = Sweep.of(results)
    first: dict[str, dict[str, Any]] = {}
    for record in sweep.records:
        if record["status"] == OK:
            first.setdefault(record["cell"]["scheme"], record)
    rows = []
    for scheme, record in first.items():
        try:
            if not sweep.store.reference:
                plan.check_alike(record, reader)
            seen = {name: _look(name, record, sweep.store, reader) for name in ("training", "testing")}
        except (ConfigError, Unreadable) as error:
            log.warning("accuracy under %s: %s", scheme, " ".join(str(error).split()))
            continue
        for name, right in seen.items():
            values = [100 * v for v in intervals.estimate(right.astype(float))]
            accuracy = dict(zip(COLUMNS, values, strict=True))
            rows.append({"data_set": name, "scheme": scheme, **accuracy, "images": len(right)})
    return pd.DataFrame(rows, columns=["data_set", "scheme", *COLUMNS, "images"])


def _look(name: str, record: Mapping[str, Any], store: Store, reader: Reader) -> Any:
    """Which images of a half a record's network gets right, booleans of shape (images,)."""
    seed = fingerprint.derive_seed(record["config"]["seed"], f"accuracy {name}")
    looker = looks.Looker.of(record)

    def make() -> dict[str, Any]:
        restored = plan.restore(record, store, reader)
        data = parts.dataset(restored.config)
        if data.fingerprint != record["data"]["fingerprint"]:
            raise ConfigError(
                f"dataset={restored.config.dataset.name}: not the data that the record was made with"
            )
        if name == "training":
            images, labels = data.x_train, data.y_train
        else:
            images, labels = data.x_test, data.y_test
        where = restored.defended.device
        inputs, truth = (torch.from_numpy(part).to(where) for part in (images, labels))
        with restored.defended.model(seed) as model:
            return {"right": looks.flags(passes.correct(model, inputs, truth, looker.batch_size))}

    decides = {"data": record["data"]["fingerprint"], "half": name, "seed": seed}
    return looks.unflagged(looks.look(store, looker, "accuracy", decides, make).values["right"])
