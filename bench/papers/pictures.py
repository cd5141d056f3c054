"""Pictures of a paper's report: printed tables beside measured ones, and samples as papers show them.

Here belongs what is chosen to be drawn; how it is drawn is in ``figures``.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import parts
from bench.analysis import figures
from bench.checks import ConfigError
from bench.datasets import unit
from bench.papers.published import MEAN
from bench.papers.report import Page, Swept
from bench.reader import STRANGER, Reader


def pair(
    page: Page,
    name: str,
    frame: pd.DataFrame,
    keys: Sequence[str],
    title: str,
    order: Sequence[str],
    whole: bool = True,
) -> None:
    """Draws a table, printed and measured.

    Args:
        page: Where it goes.
        name: The file's.
        frame: As ``published.beside`` gives it.
        keys: Row and column.
        title: Its title.
        order: Of the columns, and of the rows where these are of the same kind.
        whole: Whether the colours begin at 0; else at the least figure.
    """
    rows, columns = keys
    least = 0.0 if whole else float(np.nanmin(frame[["published", "measured"]].to_numpy(float)))
    down = [*order, MEAN] if set(frame[rows]) <= {*order, MEAN} else None
    across = [*order, MEAN] if MEAN in set(frame[columns]) else order
    path = page.file(f"{name}.png")
    figures.pair(frame, rows, columns, path, title, across, down, decimals=1 if whole else 2, bottom=least)


def fooled(
    swept: Swept,
    attacks: Mapping[str, str],
    schemes: Mapping[str, str],
    count: int = 8,
    reader: Reader = STRANGER,
) -> dict[str, Any] | None:
    """Images that every attack fooled under every scheme, one of a class.

    Args:
        swept: The sweep.
        attacks, schemes: Which, and what they are called.
        count: How many images at most.
        reader: Whose code may run, and where data is.

    Returns:
        ``originals`` (count, channels, height, width), ``labels``, ``targets``, and ``rows``: for each
        attack and scheme its samples; None if no image serves.

    Raises:
        ConfigError, Unreadable: where data or samples aren't those that the records were made with.
    """
    assert swept.sweep is not None
    store = swept.sweep.store
    kept: dict[tuple[str, str], dict[int, int]] = {}
    found = {}
    record = None
    for attack, scheme in itertools.product(attacks, schemes):
        hit = swept.done[(swept.done["attack"] == attack) & (swept.done["scheme"] == scheme)]
        if hit.empty:
            return None
        record = store.read(hit["key"].iloc[0])
        assert record is not None
        samples = found[attack, scheme] = store.samples(record)
        claimed = np.flatnonzero(samples["claimed"])
        kept[attack, scheme] = {int(samples["indices"][i]): int(i) for i in claimed}
    # labels and targets are the image's, whoever attacked it
    of = dict(zip(samples["indices"], zip(samples["labels"], samples["targets"], strict=True), strict=True))
    chosen: list[int] = []
    for index in sorted(set.intersection(*(set(k) for k in kept.values()))):
        if of[index][0] not in [of[i][0] for i in chosen]:
            chosen.append(index)
    chosen = sorted(chosen[:count], key=lambda i: of[i][0])
    if not chosen:
        return None
    assert record is not None
    config = reader.config(record["config"])
    data = parts.dataset(config)
    if data.fingerprint != record["data"]["fingerprint"]:
        raise ConfigError(f"dataset={config.dataset.name}: not the data that the record was made with")
    return {
        "originals": unit(data.x_test[chosen]),
        "labels": [int(of[i][0]) for i in chosen],
        "targets": [int(of[i][1]) for i in chosen],
        "rows": {
            f"{attacks[a]}\n{schemes[s]}": found[a, s]["perturbed"][[rows[i] for i in chosen]]
            for (a, s), rows in kept.items()
        },
    }
