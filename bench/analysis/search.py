"""Algorithm 1 of "Defensive Dropout": the rate in training, and the largest rate at test time worth having.

Here belongs which cells the search visits and when it stops. What a cell is and how it runs is
``cell``'s business; the folder that a search leaves is a sweep's, so that every command that reads
records reads it too. ``python -m bench search dataset=mnist model=four_conv attack=fgsm_fixed``
takes the settings of ``python -m bench.run``. As in the paper, accuracy is the test set's throughout.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench import cell, parts, plan
from bench.analysis import figures
from bench.checks import ConfigError
from bench.composing import compose
from bench.config import Config
from bench.plan import Cell
from bench.results.files import write_document, write_text
from bench.results.store import OK
from bench.results.sweep import Sweep, write_manifest
from bench.schemes import strength_of

FIGURES = {
    "clean_accuracy_pct": ("accuracy %", 2),
    "claimed_success_pct": ("claimed %", 1),
    "fresh_success_pct": ("success %", 1),
    "l2_mean": ("L2", 2),
}
"""Columns of the printed trace: the table's name, the printed one, and decimals."""


class Failed(Exception):
    """A network or a cell that a search needs failed: one line that names its rates."""


@dataclass(frozen=True)
class Found:
    """What a search found, and what it saw on the way; accuracies in %.

    Attributes:
        train_rate: r, the candidate whose network is the most accurate without its scheme.
        test_rate: r', the last rate evaluated that met the requirement; 0 if the first step broke it.
        candidates: For each r its accuracy without the scheme, in the order given.
        trace: r' and the accuracy under it, in the order evaluated, 0 first.
        broken: Whether the last of the trace broke the requirement; else no rate below 1 was left.
    """

    train_rate: float
    test_rate: float
    candidates: dict[float, float]
    trace: list[tuple[float, float]]
    broken: bool


def search(
    accuracy: Callable[[float], float],
    evaluate: Callable[[float, float], float],
    train_rates: Sequence[float],
    max_loss: float,
    step: float,
) -> Found:
    """Algorithm 1, with what it trains and measures given from outside.

    Evaluates r' = 0 as well, which the algorithm doesn't need: it is the baseline of the others.

    Args:
        accuracy: Test accuracy in % of the network trained at a rate r, without its scheme.
        evaluate: Test accuracy in % at a pair of r and r'; this is where the attack is run.
        train_rates: Candidates of r, in [0, 1); of equal ones the first is taken.
        max_loss: How many points of accuracy the defence has to cost less than, over 0.
        step: By how much r' is raised, in [0.001, 1).

    Source: "Defensive Dropout", section 3.4, Algorithm 1.
    """
    candidates = {rate: accuracy(rate) for rate in train_rates}
    train_rate, best = max(candidates.items(), key=lambda item: item[1])
    trace = [(0.0, evaluate(train_rate, 0.0))]
    for test_rate in rates_above(step):
        trace.append((test_rate, evaluate(train_rate, test_rate)))
        # accuracies are shares of images, whose differences are exact only up to rounding
        if round(best - trace[-1][1], 9) >= max_loss:
            return Found(train_rate, trace[-2][0], candidates, trace, broken=True)
    return Found(train_rate, trace[-1][0], candidates, trace, broken=False)


def rates_above(step: float) -> list[float]:
    """Every multiple of ``step`` between 0 and 1, neither of them included."""
    # rounded, so that a rate is the same cell as the one that a person writes
    return list(itertools.takewhile(lambda rate: rate < 1, (round(k * step, 9) for k in itertools.count(1))))


def settle(overrides: Sequence[str], config_dir: Path | None = None) -> Config:
    """The settings that all cells of a search share.

    Args:
        overrides, config_dir: As ``composing.compose`` takes them.

    Raises:
        HydraException, OmegaConfBaseException, ConfigError: for settings that can't be used.
    """
    defaults = ("scheme=defensive_dropout", "name=search")
    config = compose([*defaults, *overrides], config_dir)
    for key, option in (("train_rate", "--train-rates"), ("test_rate", "--step")):
        if getattr(config, key) is not None:
            raise ConfigError(f"{key}: it is what is searched for; leave it out, and see {option}")
    acting = parts.scheme(config)
    if not acting:
        raise ConfigError(f"scheme: {config.scheme.name} has no site, so that there is no rate to search for")
    for site, (operation, _) in acting.items():
        strength = strength_of(operation)
        if not strength.grows:
            raise ConfigError(
                f"scheme: at site {site} of {config.scheme.name} more {strength.name} is weaker, and the "
                "search raises a rate, of which more has to be stronger"
            )
    return config


class Cells:
    """The cells that a search may visit, all of them checked, and what is said while they run.

    Args:
        config: The settings that they share.
        train_rates, step: As ``search`` takes them.
        say: Called with a line on each of them that is done.

    Raises:
        ConfigError: for a cell that can't be used.
    """

    def __init__(self, config: Config, train_rates: Sequence[float], step: float, say: Callable[[str], None]):
        self.config = config
        self.say = say
        self.folder = Path(config.output_dir) / config.name
        self.train_rates, self.test_rates = list(train_rates), [0.0, *rates_above(step)]
        self.cells = {
            (r, q): plan.prepare(dataclasses.replace(config, train_rate=r, test_rate=q))
            for r in self.train_rates
            for q in self.test_rates
        }
        self.visited: list[Cell] = []

    def accuracy(self, train_rate: float) -> float:
        """Test accuracy in % of a candidate's network without its scheme; trains it first if need be.

        Raises:
            Failed: for a network that can't be trained or measured.
        """
        start = time.perf_counter()
        ready = self.cells[train_rate, 0.0]
        try:
            right, seconds = cell.clean(ready)
        except cell.SAID as error:
            raise Failed(f"train_rate={train_rate:g}: {' '.join(str(error).split())}") from None
        accuracy = 100 * float(right.mean())
        others = [self.cells[rate, 0.0] for rate in self.train_rates]
        left = sum(not c.store.path("checkpoints", c.checkpoint).exists() for c in others)
        say = f"train_rate {train_rate:g}: accuracy {accuracy:.2f} %"
        self._say(say, start, f"{left} more to train" if left else "", left * seconds)
        return accuracy

    def evaluate(self, train_rate: float, test_rate: float) -> float:
        """Test accuracy in % at a pair of rates, after the attack on it; from the store if it is there.

        Raises:
            Failed: for a cell that fails.
        """
        start = time.perf_counter()
        ready = self.cells[train_rate, test_rate]
        self.visited.append(ready)
        cells = [plan.entry(c.config, c.key, c.trains) for c in self.visited]
        write_manifest(self.folder, ready.store, cells)
        record = cell.run(ready)
        if record["status"] != OK:
            raise Failed(f"train_rate={train_rate:g} test_rate={test_rate:g}: {record['reason']}")
        metrics = record["metrics"]
        accuracy, claimed, success = (
            100 * metrics[name]["mean"] for name in ("clean_accuracy", "claimed_success", "fresh_success")
        )
        others = [self.cells[train_rate, rate] for rate in self.test_rates[len(self.visited) :]]
        left = sum(c.store.done(c.key) is None for c in others)
        say = (
            f"test_rate {test_rate:g}: accuracy {accuracy:.2f} %, "
            f"attack claims {claimed:.1f} %, on fresh draws {success:.1f} %"
        )
        self._say(
            say, start, f"at most {left} more to attack" if left else "", left * record["seconds"]["total"]
        )
        return float(accuracy)

    def _say(self, words: str, start: float, left: str, expected: float) -> None:
        rest = f"; {left}, about {expected / 60:.1f} min" if left else ""
        self.say(f"{words}; {time.perf_counter() - start:.1f} s{rest}")


def write(found: Found, max_loss: float, step: float, folder: Path) -> tuple[str, list[Path]]:
    """Writes a search's ``trace.csv``, ``trace.png`` and ``result.json``.

    Args:
        found: What ``search`` gave.
        max_loss, step: What it was given.
        folder: Where the cells that it visited are listed, and where the files go.

    Returns:
        Its trace and its answer as a person reads them; and what was written.
    """
    frame = Sweep(folder).table().frame
    answer = frame[frame["test_rate"] == found.test_rate].iloc[0]
    baseline = frame[frame["test_rate"] == 0].iloc[0]
    best = found.candidates[found.train_rate]
    result = {
        "train_rate": found.train_rate,
        "test_rate": found.test_rate,
        "accuracy_without_scheme_pct": best,
        **{column: _number(answer[column]) for column in FIGURES},
        "undefended": {column: _number(baseline[column]) for column in FIGURES},
        "max_loss": max_loss,
        "step": step,
        "candidates": [{"train_rate": r, "accuracy_pct": a} for r, a in found.candidates.items()],
        "stopped_by": "max_loss" if found.broken else "no rate left below 1",
    }
    paths = [folder / name for name in ("trace.csv", "trace.png", "result.json")]
    write_text(paths[0], frame.to_csv(index=False))
    named = [str(answer[n]) for n in ("dataset", "model", "scheme", "attack", "criterion")]
    title = f"{', '.join(named)}: test rate {found.test_rate:g} for less than {max_loss:g} points of accuracy"
    figures.curves(frame, paths[1], title)
    write_document(paths[2], "search", folder.name, result)
    last, accuracy = found.trace[-1]
    why = f"{last:g} costs {best - accuracy:.2f} points" if found.broken else "no rate is left below 1"
    said = (
        f"train_rate={found.train_rate:g} test_rate={found.test_rate:g} ({why}): "
        f"accuracy {answer['clean_accuracy_pct']:.2f} % of {best:.2f} %, attack success on fresh draws "
        f"{answer['fresh_success_pct']:.1f} % of {baseline['fresh_success_pct']:.1f} % undefended"
    )
    return f"{_printed(frame)}\n{said}", paths


def _number(value: Any) -> float | None:
    """None for what isn't there, such as the L2 norm where no attack succeeded: JSON has no NaN."""
    return None if pd.isna(value) else float(value)


def _printed(frame: pd.DataFrame) -> str:
    shown = pd.DataFrame({"test_rate": frame["test_rate"].map("{:g}".format)})
    for column, (name, decimals) in FIGURES.items():
        low, high = (frame.get(f"{column}_{end}", frame[column]) for end in ("low", "high"))
        shown[name] = [
            "-" if pd.isna(v) else f"{v:.{decimals}f} ({a:.{decimals}f} to {b:.{decimals}f})"
            for v, a, b in zip(frame[column], low, high, strict=True)
        ]
    return shown.to_string(index=False)
