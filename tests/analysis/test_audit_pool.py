"""Each image's worst sample: chosen on some draws, scored on others, against truths in closed form."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.analysis.audit import pool

IMAGES, SAMPLES = 60, 12
LABELS = torch.zeros(IMAGES, dtype=torch.int64)


class Coin(nn.Module):
    """Gives an image the wrong label with the chance that is its first pixel, each sample by draws of its own.

    Which of them is told by the second pixel.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.seed = seed
        self.passed = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passed += len(x)
        drawn = torch.rand(len(x), SAMPLES, generator=self.generator)
        chance, sample = x.flatten(1).T
        wrong = drawn.gather(1, (sample * SAMPLES).round().long()[:, None])[:, 0] < chance
        return nn.functional.one_hot(wrong.long(), 2).float()


class Opened:
    """Opens coins, and remembers which."""

    def __init__(self) -> None:
        self.coins: list[Coin] = []

    @contextmanager
    def __call__(self, seed: int) -> Iterator[Coin]:
        self.coins.append(Coin(seed))
        yield self.coins[-1]


def images(chances: np.ndarray) -> list[Tensor]:
    of = np.broadcast_to(np.arange(len(chances))[:, None] / SAMPLES, chances.shape)
    return [torch.from_numpy(two).float().view(-1, 1, 1, 2) for two in np.stack([chances, of], -1)]


def counted(opened: Opened, given: list[Tensor], seed: int) -> np.ndarray:
    """On how many draws of the first round each sample of each image was wrong."""
    return (~pool.first_round(opened, given, LABELS, seed, 500)).sum(1)


def test_no_draw_that_chooses_scores() -> None:
    opened = Opened()
    given = images(np.full((SAMPLES, IMAGES), 0.5))
    counts = counted(opened, given, 3)
    which, _ = pool.second_round(opened, given, LABELS, 3, 500, counts)
    right = pool.scored(opened, given, LABELS, 3, 500, which)
    first, again, last = (opened.coins[i].seed for i in (0, SAMPLES, -1))
    assert len({first, again, last}) == 3
    assert [c.seed for c in opened.coins] == [first] * SAMPLES + [again] * pool.BEST + [last]
    assert opened.coins[0].passed == IMAGES * pool.FIRST
    assert opened.coins[SAMPLES].passed == IMAGES * pool.SECOND
    assert right.shape == (pool.SCORED, IMAGES)
    # all samples are alike: the luckiest of twelve would be wrong on a good deal more than half of its draws
    assert abs(right.mean() - 0.5) < 4 * 0.5 / np.sqrt(right.size)
    assert counts.max(0).mean() / pool.FIRST > 0.58


def test_two_rounds_find_the_worst_of_samples_that_are_nearly_alike() -> None:
    chances = np.full((SAMPLES, IMAGES), 0.3)
    worst = np.random.default_rng(0).integers(SAMPLES, size=IMAGES)
    chances[worst, np.arange(IMAGES)] = 0.45
    opened, given = Opened(), images(chances)
    counts = counted(opened, given, 0)
    which, shares = pool.second_round(opened, given, LABELS, 0, 500, counts)
    one_round = (counts.argmax(0) == worst).mean()
    assert (which == worst).mean() > max(0.9, one_round)
    found = shares[worst, np.arange(IMAGES)]
    assert abs(found.mean() - 0.45) < 0.02
    right = pool.scored(opened, given, LABELS, 0, 500, which)
    assert abs(1 - right.mean() - 0.45) < 0.03


def test_a_sample_that_fooled_all_first_draws_is_settled() -> None:
    chances = np.zeros((3, IMAGES))
    chances[1] = 1
    opened, given = Opened(), images(chances)
    counts = counted(opened, given, 0)
    which, _ = pool.second_round(opened, given, LABELS, 0, 500, counts)
    assert (which == 1).all()
    assert not pool.scored(opened, given, LABELS, 0, 500, which).any()


def test_all_samples_see_the_same_draws() -> None:
    given = [images(np.full((3, IMAGES), 0.4))[0]] * 3
    counts = counted(Opened(), given, 0)
    assert (counts == counts[0]).all()
    assert counts[0].std() > 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_lies_outside_the_ball_counts_unperturbed(norm: str) -> None:
    originals = np.full((4, 1, 2, 2), 0.5, dtype=np.float32)
    moved = originals + np.array([0.1, 0.1001, 0.05, 0.3], dtype=np.float32)[:, None, None, None]
    found = pool.inside(moved, originals, norm, 0.1 if norm == "linf" else 0.2)
    np.testing.assert_array_equal(found[[0, 2]], moved[[0, 2]])
    np.testing.assert_array_equal(found[[1, 3]], originals[[1, 3]])
