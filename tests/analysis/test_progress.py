"""Stores as a running sweep has them, and what is left of it, reckoned by hand."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import record, settings

from bench.analysis.progress import progress
from bench.results import files
from bench.results.store import Store
from bench.results.sweep import write_manifest

CLASSES = {"lbfgs": "bench.attacks.LBFGSAttack", "fgsm": "bench.attacks.GradientSignAttack"}
ALL = ("one/lbfgs", "one/fgsm", "other/lbfgs", "other/fgsm")


class Running:
    """A sweep that was started a while ago: cells of 10 images, 10 fresh draws, a cell named scheme/attack."""

    def __init__(self, folder: Path):
        self.store, self.results = Store(folder / "store"), folder / "sweep"

    def start(self, ago: float, *cells: str, network: str | None = None) -> None:
        entries = [
            {"key": key(c), "config": config(c), "checkpoint": network and c.split("/")[0]} for c in cells
        ]
        write_manifest(self.results, self.store, entries)
        stamp(self.results / "cells.json", ago)

    def done(self, cell: str, ago: float = 0.0, **seconds: float) -> None:
        """A cell that was done so long ago, and the seconds that it took."""
        self.store.write(key(cell), {**record(key(cell), config(cell)), "seconds": seconds})
        stamp(self.store.record_path(key(cell)), ago)

    def trained(self, network: str, ago: float, seconds: float) -> None:
        path = self.store.path("checkpoints", network)
        files.write_tensors(path, "checkpoints", network, {"weights": torch.zeros(1)}, {"seconds": seconds})
        stamp(path, ago)

    def said(self, transfer: bool = False) -> str:
        return progress(self.results, transfer)


def key(cell: str) -> str:
    return cell.replace("/", "-")


def config(cell: str) -> dict[str, Any]:
    scheme, attack, *seed = cell.split("/")
    return {
        **settings(),
        "scheme": {
            "name": scheme,
            "sites": {} if scheme == "none" else {"fc": 0.5},
            **({"passes": 10} if scheme == "ten" else {}),
        },
        "attack": {"name": attack, "_target_": CLASSES.get(attack, "my.Attack"), "options": {}},
        "evaluation": {"draws": 10},
        "seed": int(seed[0]) if seed else 0,
    }


def stamp(path: Path, ago: float) -> None:
    os.utime(path, (time.time() - ago, time.time() - ago))


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_an_attack_that_was_not_run_yet_takes_as_long_as_its_passes_say(running: Running) -> None:
    running.start(40, *ALL)
    running.done("one/lbfgs", total=40, attack=34, evaluation=2.5)
    # 46 passes to 136 are 11.5 s to 34. one/fgsm 11.5 + 2.5; other/lbfgs 34 + 2.5, and 3.5 for the test set that is
    # passed under a scheme's first cell; other/fgsm 11.5 + 2.5; pictures 3: 71 s
    assert running.said() == "1 of 4 done, about 70 s left"


def test_an_attack_that_was_run_takes_as_long_again(running: Running) -> None:
    running.start(45, *ALL)
    running.done("one/lbfgs", ago=5, total=40, attack=34, evaluation=2.5)
    running.done("one/fgsm", total=5, attack=2, evaluation=2.5)
    # other/lbfgs 40, other/fgsm 2 + 2.5 + 0.5, pictures 3: 48 s
    assert running.said() == "2 of 4 done, about 50 s left"


def test_an_attack_of_which_nothing_is_known_takes_as_long_as_the_others(running: Running) -> None:
    running.start(12, "one/mine", "one/lbfgs", "one/fgsm")
    running.done("one/lbfgs", ago=1, total=10, attack=10)
    running.done("one/fgsm", total=2, attack=2)
    # the mean of 10 and 2, pictures 3
    assert running.said() == "2 of 3 done, about 9 s left"


def test_the_cross_recognition_is_left_too(running: Running) -> None:
    running.start(40, *ALL)
    running.done("one/lbfgs", total=40, attack=34, evaluation=2.5)
    # 100 passes in 2.5 s. Of each of two attacks, two schemes look at the samples of two: 8 times 2.5 s, and 71 s
    assert running.said(transfer=True) == "1 of 4 done, about 90 s left"
    for cell, ago in (("one/fgsm", 2), ("other/lbfgs", 1), ("other/fgsm", 0)):
        running.done(cell, ago, total=2.5, evaluation=2.5)
    # 20 s and pictures
    assert running.said(transfer=True) == "4 of 4 done, about 25 s left"
    assert running.said() == "4 of 4 done, about 3 s left"


def test_where_nothing_is_random_an_image_is_passed_once(running: Running) -> None:
    running.start(10, "none/lbfgs", "one/lbfgs")
    running.done("none/lbfgs", total=10, attack=8, evaluation=1)
    # ten times 1 s, the attack's 8, 1 for the test set, pictures 3; the recogniser without a scheme makes 2 x 10
    # passes of the 10 in a second, the other 2 x 100
    assert running.said() == "1 of 2 done, about 20 s left"
    assert running.said(transfer=True) == "1 of 2 done, about 45 s left"


def test_ten_passes_an_answer_take_ten_times_as_long(running: Running) -> None:
    running.start(10, "one/lbfgs", "ten/lbfgs")
    running.done("one/lbfgs", total=10, attack=8, evaluation=1)
    # 80 for the attack, 10 for its samples, 1 for the test set, pictures 3
    assert running.said() == "1 of 2 done, about 95 s left"


def test_what_lies_between_cells_is_expected_again(running: Running) -> None:
    running.start(50, *ALL)
    running.done("one/lbfgs", total=40, attack=34, evaluation=2.5)
    # 10 s more for each of three
    assert running.said() == "1 of 4 done, about 100 s left"


def test_cells_that_run_side_by_side_take_a_part_of_their_time(running: Running) -> None:
    running.start(20, *ALL)
    running.done("one/lbfgs", total=40, attack=34, evaluation=2.5)
    # half of 68, and the pictures, which nothing runs beside
    assert running.said() == "1 of 4 done, about 35 s left"


def test_networks_that_are_not_trained_yet_take_as_long_as_those_that_are(running: Running) -> None:
    running.start(140, *ALL, network="a scheme's own")
    # 100 of the cell's 140 seconds trained it, until 40 s ago
    running.trained("one", ago=40, seconds=100)
    running.done("one/lbfgs", total=140, attack=34, evaluation=2.5)
    # 71 s as above, and 100
    assert running.said() == "1 of 4 done, about 3 min left"
    running.trained("other", ago=0, seconds=30)
    # another 30 s of the run went into it, which leaves 10 s for a cell of 40: a quarter of 68, and 3
    assert running.said() == "1 of 4 done, about 20 s left"


def test_of_the_first_networks_to_be_trained_nothing_is_known(running: Running) -> None:
    running.start(40, *ALL, network="a scheme's own")
    running.done("one/lbfgs", total=40, attack=34, evaluation=2.5)
    assert running.said() == "1 of 4 done, about 70 s left and 2 networks to train"


def test_what_an_earlier_run_has_left_took_no_time_and_tells_of_it(running: Running) -> None:
    running.done("one/lbfgs", ago=9999, total=40, attack=34, evaluation=2.5)
    running.start(5, *ALL)
    # nothing of this run is done yet
    assert running.said() == "1 of 4 done"
    running.done("one/fgsm", total=5, attack=2, evaluation=2.5)
    assert running.said() == "2 of 4 done, about 50 s left"


def test_a_cell_that_failed_took_its_time_all_the_same(running: Running) -> None:
    running.start(20, "one/lbfgs/0", "one/lbfgs/1")
    running.done("one/lbfgs/0", total=20)
    assert running.said() == "1 of 2 done, about 25 s left"


@pytest.mark.parametrize(("attack", "words"), [
    (4, "7 s"), (0.2, "3 s"), (39, "40 s"), (105, "110 s"), (118, "2 min"), (597, "10 min"),
])  # fmt: skip
def test_under_two_minutes_it_is_seconds(running: Running, attack: float, words: str) -> None:
    running.start(attack, "one/lbfgs/0", "one/lbfgs/1")
    running.done("one/lbfgs/0", total=attack, attack=attack)
    # as long again, and 3 s of pictures
    assert running.said() == f"1 of 2 done, about {words} left"
