"""Who reads records: whose code may run then, and where data is.

Here belongs what a record can't say by itself. What it says is read in ``plan``.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from bench.checks import ConfigError
from bench.config import Config, typed


@dataclass(frozen=True)
class Reader:
    """Who reads records: what a record can't say by itself, since it must not decide what code runs.

    Attributes:
        trusted: Top-level packages that its ``_target_`` may name.
        data_dir: Where data is; None: the environment variable ``BENCH_DATA_DIR``, or ``data``.
    """

    trusted: tuple[str, ...] = ("bench", "foolbox")
    data_dir: str | None = None

    def config(self, values: Mapping[str, Any]) -> Config:
        """The settings of a record.

        Args:
            values: Its ``config``.

        Raises:
            ConfigError: if they are not of this version.
        """
        rest = {
            "device": "auto",
            "data_dir": self.data_dir or os.environ.get("BENCH_DATA_DIR", "data"),
            "output_dir": "outputs",
            "name": "sweep",
            "transfer": True,
            "trusted_modules": list(self.trusted),
        }
        data = dict(values["dataset"])
        # nor what is fetched, and to where
        data["options"] = {k: v for k, v in data["options"].items() if k not in ("url", "urls")}
        try:
            return typed({**values, **rest, "dataset": data})
        except OmegaConfBaseException as error:
            words = " ".join(str(error).split())
            raise ConfigError(f"its settings are of another version ({words})") from None


STRANGER = Reader()
"""Somebody who trusts nothing but this project and Foolbox."""
