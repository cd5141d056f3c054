import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from bench.attacks import criteria
from bench.measuring import passes as measured
from bench.passing import counted


def test_all_targets_are_every_wrong_class() -> None:
    assert criteria.all_targets(np.array([1, 0, 1]), 3).tolist() == [0, 2, 1, 2, 0, 2]
    assert criteria.all_targets(np.array([], np.int64), 3).shape == (0,)


def test_targets_are_wrong_uniform_and_an_images_own() -> None:
    labels = np.arange(9000) % 10
    targets = criteria.random_targets(labels, 10, 5)
    assert not (targets == labels).any()
    counts = np.bincount((targets - labels) % 10, minlength=10)[1:]
    assert stats.chisquare(counts).pvalue > 1e-4
    assert np.array_equal(criteria.random_targets(labels[:100], 10, 5), targets[:100])


def test_distances_of_a_known_change() -> None:
    before = np.zeros((2, 1, 2, 2), np.float32)
    after = before.copy()
    after[0, 0, 0] = (0.6, -0.8)
    moved = measured.distances(before, after)
    assert moved["l0_values"].tolist() == [2, 0]
    for name, value in (("l1", 1.4), ("l2", 1.0), ("linf", 0.8), ("mad_255", 1.4 / 4 * 255)):
        assert moved[name] == pytest.approx([value, 0], rel=1e-6)


def test_distances_of_many_images_are_those_of_each() -> None:
    draws = np.random.default_rng(0)
    originals, perturbed = draws.random((2, 2 * measured.CHUNK + 1, 1, 2, 3), dtype=np.float32)
    norms = np.linalg.norm((perturbed - originals.astype(float)).reshape(len(originals), -1), axis=1)
    np.testing.assert_allclose(measured.distances(originals, perturbed)["l2"], norms)


def test_papers_mad_of_jsma_is_its_share_of_changed_pixels() -> None:
    # "Dropout in Testing Phase", Table 2: 10.563 is what 32.5 fully changed pixels of 784 make
    before = np.zeros((1, 1, 28, 28), np.float32)
    after = before.copy()
    after.reshape(-1)[:32] = 1
    assert measured.distances(before, after)["mad_255"][0] == pytest.approx(32 / 784 * 255)


class Coin(nn.Module):
    """Two classes; class 1 with probability ``p``, a throw for every image of every pass."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = torch.rand(len(x), generator=self.generator) < self.p
        return torch.stack([(~heads).float(), heads.float()], 1)


def test_fresh_draws_measure_a_known_chance() -> None:
    labels = torch.zeros(50, dtype=torch.int64)
    goal = criteria.criterion("untargeted", labels, labels + 1, None)
    fresh = measured.fresh_draws(Coin(0.3), torch.zeros(50, 1, 2, 2), goal, labels, 100, 20)
    # five standard errors of 5,000 throws
    assert fresh.success.mean() / 100 == pytest.approx(0.3, abs=0.033)
    assert (fresh.right + fresh.success == 100).all()
    assert 0 < fresh.success.std() / 100 < 0.1


def test_the_first_draw_is_told_apart() -> None:
    labels = torch.zeros(200, dtype=torch.int64)
    fresh = measured.fresh_draws(Coin(0.5), torch.zeros(200, 1, 2, 2), None, labels, 2, 20)
    throws = [
        measured.logits(coin, torch.zeros(200, 1, 2, 2), 20).argmax(1) for coin in [Coin(0.5)] for _ in "ab"
    ]
    assert fresh.right_first.tolist() == (throws[0] == 0).tolist() != (throws[1] == 0).tolist()
    assert (fresh.right == (throws[0] == 0).int().numpy() + (throws[1] == 0).int().numpy()).all()
    assert not fresh.success.any()


class Same(Coin):
    """As ``Coin``, but all images of a pass share its throw."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x[:1]).expand(len(x), 2)


@pytest.mark.parametrize("kind", [Coin, Same])
def test_what_draws_share_is_seen_in_their_counts(kind: type[Coin]) -> None:
    labels = torch.zeros(40, dtype=torch.int64)
    goal = criteria.criterion("untargeted", labels, labels + 1, None)
    fresh = measured.fresh_draws(kind(0.5), torch.zeros(40, 1, 2, 2), goal, labels, 30, 40)
    again = kind(0.5)
    fooled = np.array([again(torch.zeros(40, 1, 2, 2)).argmax(1).sum() for _ in range(30)])
    assert fresh.success_by_draw.tolist() == fooled.tolist()
    assert fresh.right_by_draw.tolist() == (40 - fooled).tolist()
    assert fresh.success_by_draw.sum() == fresh.success.sum()
    assert set(fooled) <= {0, 40} if kind is Same else len(set(fooled)) > 5


def test_without_a_goal_no_draw_is_a_success() -> None:
    labels = torch.zeros(5, dtype=torch.int64)
    fresh = measured.fresh_draws(Coin(0.5), torch.zeros(5, 1, 2, 2), None, labels, 3, 5)
    assert fresh.success_by_draw.tolist() == [0, 0, 0]
    assert fresh.right_by_draw.sum() == fresh.right.sum() > 0


def test_passes_are_counted_an_image_each() -> None:
    model = nn.Linear(3, 2).requires_grad_(False)
    with counted(model) as passes:
        x = torch.zeros(7, 3, requires_grad=True)
        out = model(x)
        out[:, 0].sum().backward(retain_graph=True)
        out[:, 1].sum().backward()
        with torch.no_grad():
            model(x[:2])
    assert (passes.forward, passes.backward) == (9, 14)
    model(torch.zeros(4, 3))
    assert passes.forward == 9
