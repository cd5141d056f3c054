"""What the library opens: datasets, and sweeps that the command has run.

Here belongs what is read. What a dataset or a sweep is made of is in ``datasets`` and ``results``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from bench import given, plan, probe
from bench.calling import tried, undisturbed
from bench.checks import ConfigError
from bench.datasets.arrays import unit
from bench.defended import Defended as AnyDefended
from bench.given import Defended, Images
from bench.measuring import passes
from bench.outcomes import Shown
from bench.reader import Reader
from bench.results import sweep
from bench.results.files import Unreadable
from bench.results.store import OK


class Dataset:
    """A dataset's images, as ``load_dataset`` gives it.

    Attributes:
        name: Its name.
        shape: (channels, height, width) of an image.
    """

    def __init__(self, name: str, data: Any):
        self.name = name
        self.shape: tuple[int, int, int] = data.shape
        self._data = data

    def train(self, count: int | None = None) -> tuple[Tensor, Tensor]:
        """The first images for training, and their labels, shapes and types as those of ``test``."""
        return self._first("train", count)

    def test(
        self,
        count: int | None = None,
        right_by: nn.Module | AnyDefended | None = None,
        *,
        batch_size: int = 500,
        threads: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """The first test images, and their labels.

        Args:
            count: How many; None: all.
            right_by: Only images that this network gets right, without a scheme: those that the command would
                attack. There may be fewer of them.
            batch_size: Images a pass of it.
            threads: Of PyTorch meanwhile.

        Returns:
            float32 in [0, 1], shape (n, channels, height, width); int64, shape (n,). The labels know which
            images they are of, as long as they are used as they are, so that ``evaluate`` draws the command's
            random targets for them.

        Raises:
            ConfigError: for more images than there are, or a network that they can't be passed through.
        """
        images, labels = self._first("test", count)
        places = np.arange(len(labels))
        if right_by is not None:
            batch_size = given.integer("batch_size", batch_size, 1)
            images, labels = self._first("test", None)
            one = right_by if isinstance(right_by, AnyDefended) else Defended(right_by)
            bare = one.twin
            if bare is None:
                raise ConfigError(
                    "right_by: its randomness can't be switched off; give a network that is not random"
                )
            with undisturbed(one, None, threads):
                images = images.to(one.device)
                if one.draws_itself:
                    # its twin may draw what it makes no use of
                    _, _, bare = tried(one, Images.of_tensors(images, labels), batch_size)
                    assert bare is not None
                else:
                    probe.network(bare, type(one.network).__name__, images[: probe.IMAGES], 0)
                with bare.model(0) as model:
                    outputs = passes.logits(model, images, batch_size).cpu()
            images = images.cpu()
            places = np.flatnonzero((outputs.argmax(-1) == labels).numpy())[:count]
            images, labels = images[places], labels[places]
        setattr(labels, given.PLACE, (len(self._data.y_test), places))
        return images, labels

    def _first(self, half: str, count: int | None) -> tuple[Tensor, Tensor]:
        x, y = getattr(self._data, f"x_{half}"), getattr(self._data, f"y_{half}")
        if count is not None:
            count = given.integer("count", count, 1)
        if count is not None and count > len(x):
            raise ConfigError(f"count: {self.name} has {len(x)} {half} images, got {count}")
        # copies: nobody's change is to be the next one's data
        return torch.tensor(unit(x[:count])), torch.tensor(y[:count])


class _Samples(Mapping[str, Tensor]):
    """For each cell's key its adversarial images, read when they are asked for."""

    def __init__(self, one: "Sweep"):
        self._sweep = one

    def __getitem__(self, key: str) -> Tensor:
        return self._sweep.arrays(key)["perturbed"]

    def __iter__(self) -> Iterator[str]:
        return (record["key"] for record in self._sweep.cells if record["status"] == OK)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Sweep:
    """A sweep that the command has run, as ``open_sweep`` gives it.

    Attributes:
        table: A row for each cell, with the columns of results.csv; printed, those that matter most.
        cells: For each cell, in the table's order, its record: ``key``, ``status``, ``cell`` (what names it),
            ``config``, ``metrics``, ...
        samples: For each finished cell's key its adversarial images, float32 in [0, 1].
    """

    def __init__(self, one: sweep.Sweep, reader: Reader):
        self._sweep, self._reader = one, reader
        self.table: pd.DataFrame = Shown.of(one.table())
        self.cells: list[Mapping[str, Any]] = list(one.records)
        self.samples: Mapping[str, Tensor] = _Samples(self)

    def arrays(self, key: str) -> dict[str, Tensor]:
        """All that is kept of a finished cell's samples, a row for each attacked image.

        Returns:
            ``perturbed`` (rows, channels, height, width), ``indices`` of the test images, ``labels``,
            ``targets``, ``claimed``, and what else the attack could tell.

        Raises:
            KeyError: for a key that no finished cell has.
            ConfigError: for samples that are missing or damaged.
        """
        try:
            found = self._sweep.store.samples(self._record(key))
        except Unreadable as error:
            raise ConfigError(str(error)) from None
        return {name: torch.from_numpy(array) for name, array in found.items()}

    def defended(self, key: str) -> Defended:
        """A finished cell's network behind its scheme, made again from its checkpoint; nothing is trained.

        Raises:
            KeyError: for a key that no finished cell has.
            ConfigError: if it can't be made as it was: a package that isn't trusted, other code, other
                versions, a checkpoint that is missing.
        """
        try:
            return Defended.of(plan.restore(self._record(key), self._sweep.store, self._reader).defended)
        except Unreadable as error:
            raise ConfigError(str(error)) from None

    def _record(self, key: str) -> Mapping[str, Any]:
        for record in self.cells:
            if record["key"] == key and record["status"] == OK:
                return record
        raise KeyError(f"{key}: no finished cell of {self._sweep.folder} has this key")
