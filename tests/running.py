"""Running the command from tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bench
from bench.results.store import Store


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


def fresh(store: Store, record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """On which share of a record's fresh draws the criterion holds, and the true label is given, by row."""
    seen = store.kept("looks", record["looks"]["fresh"]).values
    success, right = (np.array(seen[name]) / seen["draws"] for name in ("success", "right"))
    return success, right


def hears_ctrl_c() -> None:
    """For ``preexec_fn``: a shell's background jobs ignore Ctrl-C, and hand that on to what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(arguments: Sequence[str], folder: Path) -> "subprocess.Popen[str]":
    """Starts the command as a process of its own, in a folder of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-m", "bench.run", *arguments],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip
