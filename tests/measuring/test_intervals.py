import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from bench.measuring import intervals, tries
from bench.measuring.intervals import Estimate


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The script that simulates coverage."""
    path = Path(__file__).parents[2] / "scripts" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


@pytest.mark.parametrize("successes", [0, 3, 50, 100])
def test_interval_of_a_proportion_is_wilsons(successes: int) -> None:
    shares = np.repeat([1.0, 0.0], [successes, 100 - successes])
    expected = stats.binomtest(successes, 100).proportion_ci(method="wilson")
    found = intervals.estimate(shares)
    assert found == pytest.approx((successes / 100, expected.low, expected.high), abs=1e-12)


def test_interval_of_nothing_is_nan() -> None:
    for found in (
        intervals.estimate(np.zeros(0)),
        intervals.mean_interval(np.zeros(0)),
        intervals.mean_of([]),
    ):
        assert all(math.isnan(v) for v in found)


def test_images_that_agree_have_the_interval_of_all_their_draws() -> None:
    # eight targets of nine for each of ten images: 80 of 90
    expected = stats.binomtest(80, 90).proportion_ci(method="wilson")
    rows = np.tile(np.repeat([1.0, 0.0], [8, 1]), 10)
    found = intervals.estimate(rows, np.repeat(np.arange(10), 9))
    assert found == pytest.approx((8 / 9, expected.low, expected.high))
    # 17 draws of 20 for each of 30 images
    expected = stats.binomtest(17 * 30, 20 * 30).proportion_ci(method="wilson")
    assert intervals.estimate(np.full(30, 0.85)) == pytest.approx((0.85, expected.low, expected.high))


@pytest.mark.parametrize("images", [1, 2, 3, 10, 100, 1000])
@pytest.mark.parametrize("share", [0.0, 0.05, 1 / 3, 0.5, 0.85, 8 / 9, 1.0])
def test_no_share_is_certain(share: float, images: int) -> None:
    found = intervals.estimate(np.full(images, share))
    assert width(found) > 0
    assert 0 <= found.low <= found.mean <= found.high <= 1
    # what rounding makes of equal shares is no spread
    rounded = np.full(images, share) + np.where(np.arange(images) % 2, 1, -1) * 1e-16
    assert intervals.estimate(rounded.clip(0, 1)) == pytest.approx(found, abs=1e-9)


def test_one_image_tells_no_more_than_one_draw_however_often_it_is_drawn() -> None:
    alone = intervals.estimate(np.array([0.85]))
    assert width(alone) > 0.7
    nine = intervals.estimate(np.full(9, 0.85), np.zeros(9))
    assert nine == pytest.approx(alone)


def test_two_images_that_agree_by_chance_feign_no_certainty() -> None:
    assert width(intervals.estimate(np.array([0.85, 0.85]))) > 0.5


def test_more_draws_of_the_same_images_do_not_feign_certainty() -> None:
    assert width(intervals.estimate(np.array([1.0, 0.0] * 10))) > 0.35


def test_rows_of_one_image_count_as_one_image() -> None:
    shares = np.random.default_rng(1).integers(0, 2, 40).astype(float)
    images = np.arange(40)
    alone = intervals.estimate(shares)
    # one row an image: nothing to gather, whatever the images are called
    assert intervals.estimate(shares, images) == pytest.approx(alone)
    assert intervals.estimate(shares, 7 * images[::-1]) == pytest.approx(alone)
    # copies tell nothing new
    nine, of = np.repeat(shares, 9), np.repeat(images, 9)
    copied, believed = intervals.estimate(nine, of), intervals.estimate(nine)
    assert copied == pytest.approx(alone)
    assert width(copied) > 2 * width(believed)
    distances, moved = intervals.mean_interval(nine, of), intervals.mean_interval(shares)
    assert distances == pytest.approx(moved)
    assert width(distances) > 2 * width(intervals.mean_interval(nine))


def test_an_image_of_many_rows_weighs_as_one_image() -> None:
    # 90 rows are one image's: of eleven images the other ten hardly count
    rows = np.concatenate([np.ones(90), np.tile([1.0, 0.0], 5)])
    of = np.concatenate([np.zeros(90), 1 + np.arange(10)])
    assert width(intervals.estimate(rows, of)) > 0.5


# how many samples each figure needs: a mean over shares and one share
REPEATS, AT_HALF = 30, 700


@pytest.mark.parametrize(
    ("concentration", "draws", "rows"),
    [(None, 1, 1), (None, 20, 1), (None, 1, 9), (2.0, 20, 1), (0.5, 20, 1), (0.5, 20, 9), (10.0, 1, 9)],
)
def test_intervals_of_shares_hold_the_truth_as_often_as_they_say(
    coverage: ModuleType, concentration: float | None, draws: int, rows: int
) -> None:
    setting, rng = coverage.Setting(concentration, draws, rows), np.random.default_rng(0)
    for images in (10, 30, 100):
        found = [coverage.of_shares(setting, p, images, REPEATS, rng) for p in coverage.TRUTHS]
        # 93 % less the standard error of 330 samples
        assert np.mean(found) >= 93 - 1.4, images
    assert coverage.of_shares(setting, 0.5, 30, AT_HALF, rng) <= 97.5 + 0.6


def sandwich(outcomes: np.ndarray, clusters: list[tuple[int, ...]]) -> float:
    """The clustered variance of the mean of all passes, each cell of ``clusters`` naming its cluster."""
    mean, sums = outcomes.mean(), {}
    for cell, cluster in zip(np.ndindex(outcomes.shape), clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + outcomes[cell] - mean
    factor = len(sums) / (len(sums) - 1)
    return float(factor * sum(v**2 for v in sums.values()) / outcomes.size**2)


def passed(images: int, draws: int, image_effect: float, draw_effect: float, seed: int) -> np.ndarray:
    """Booleans of shape (images, draws)."""
    rng = np.random.default_rng(seed)
    logits = image_effect * rng.normal(size=(images, 1)) + draw_effect * rng.normal(size=draws)
    return rng.random((images, draws)) < 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize(
    ("images", "draws", "image_effect", "draw_effect", "rows", "one_way"),
    [
        (12, 9, 1.0, 1.0, 1, False),
        (12, 9, 1.0, 1.0, 3, False),
        # the difference is less than one of its parts
        (9, 12, 0.5, 2.0, 1, True),
        (9, 12, 0.5, 2.0, 3, True),
        (30, 8, 2.0, 0.5, 1, True),
    ],
)
def test_shared_draws_have_the_two_way_clustered_variance(
    images: int, draws: int, image_effect: float, draw_effect: float, rows: int, one_way: bool
) -> None:
    outcomes = passed(images * rows, draws, image_effect, draw_effect, 0)
    cells = list(np.ndindex(outcomes.shape))
    by_image = sandwich(outcomes, [(row // rows,) for row, _ in cells])
    by_draw = sandwich(outcomes, [(draw,) for _, draw in cells])
    both_ways = by_image + by_draw - sandwich(outcomes, cells)
    assert (both_ways < max(by_image, by_draw)) == one_way
    variance, mean = max(by_image, by_draw) if one_way else both_ways, outcomes.mean()
    t, z = stats.t.ppf(0.975, min(images, draws) - 1), stats.norm.ppf(0.975)
    n = mean * (1 - mean) / variance * (z / t) ** 2
    assert min(images, draws) < n < outcomes.size
    # where Wilson's interval ends, the mean is z standard errors away
    found = intervals.two_way(outcomes.sum(1), outcomes.sum(0), np.repeat(np.arange(images), rows))
    assert found.mean == pytest.approx(mean)
    for end in found[1:]:
        assert abs(mean - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n))


@pytest.mark.parametrize("images", [1, 2, 10, 100])
@pytest.mark.parametrize("draws", [1, 2, 20, 100])
def test_no_share_of_shared_draws_is_certain(images: int, draws: int) -> None:
    whole = np.ones((images, draws), dtype=bool)
    halves = [np.arange(images)[:, None] < images / 2, np.arange(draws)[None] < draws / 2]
    for outcomes in (whole, ~whole, *(whole & half for half in halves)):
        found = intervals.two_way(outcomes.sum(1), outcomes.sum(0))
        assert 0 <= found.low <= found.mean <= found.high <= 1
        # what holds in all of few draws, or for all of few images, is no surer than so many throws
        n = min(images, draws)
        expected = stats.binomtest(n, n).proportion_ci(method="wilson")
        assert width(found) >= expected.high - expected.low - 1e-12


def test_copies_of_images_tell_nothing_new_of_shared_draws() -> None:
    outcomes = passed(30, 20, 1.0, 1.0, 1)
    alone = intervals.two_way(outcomes.sum(1), outcomes.sum(0))
    assert intervals.two_way(outcomes.sum(1), outcomes.sum(0), 7 * np.arange(30)[::-1]) == pytest.approx(
        alone
    )
    copied = np.repeat(outcomes, 9, axis=0)
    known = intervals.two_way(copied.sum(1), copied.sum(0), np.repeat(np.arange(30), 9))
    believed = intervals.two_way(copied.sum(1), copied.sum(0))
    assert width(known) >= width(alone) > width(believed)


def test_counts_of_other_passes_make_no_interval() -> None:
    with pytest.raises(ValueError, match="^3 successes by image, but 2 by draw$"):
        intervals.two_way(np.array([1, 2]), np.array([2, 0]))
    for nothing in (np.zeros((0, 5), int), np.zeros((5, 0), int)):
        assert all(math.isnan(v) for v in intervals.two_way(nothing.sum(1), nothing.sum(0)))


@pytest.mark.parametrize("draw_effect", [0.0, 0.5, 2.0])
def test_intervals_of_shared_draws_hold_the_truth_as_often_as_they_say(
    coverage: ModuleType, draw_effect: float
) -> None:
    setting, rng = coverage.Shared(100, 100, 1.0, draw_effect), np.random.default_rng(0)
    for truth in (0.1, 0.5, 0.9):
        # up to the standard error of 1000 samples
        assert 93 - 0.8 <= coverage.of_shared(setting, truth, 1000, rng) <= 97.5 + 0.5, truth


def test_intervals_between_images_alone_are_too_narrow_for_shared_draws(coverage: ModuleType) -> None:
    setting, rng = coverage.Shared(100, 100, 1.0, 2.0), np.random.default_rng(0)
    for truth in (0.1, 0.5, 0.9):
        assert coverage.of_images_alone(setting, truth, 60, rng) < 85


def test_interval_of_a_mean_is_students() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = intervals.mean_interval(values)
    assert found == pytest.approx((3.75, expected.low, expected.high))
    assert math.isnan(intervals.mean_interval(values[:1]).low)


def test_what_is_the_same_by_construction_has_no_width() -> None:
    # Linf at a fixed epsilon
    assert intervals.mean_interval(np.full(16, 0.25)) == (0.25, 0.25, 0.25)


def test_intervals_of_other_figures_hold_the_truth_as_often_as_they_say(coverage: ModuleType) -> None:
    rng = np.random.default_rng(0)
    assert 92 <= coverage.of_means(30, 500, rng) <= 97.5
    assert 91 <= coverage.of_ratios(30, 500, rng) <= 97.5
    # cells of the same images are not independent: as if they were, 72 % would hold the truth
    assert coverage.of_column_means(30, 500, rng) >= 93


def test_a_ratio_has_no_interval_where_no_mean_is_seen() -> None:
    assert intervals.ratio(np.ones(3), np.array([1.0, -2.0, 0.5]))[0] == math.inf
    mean, low, high = intervals.ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    # the images agree
    assert (mean, low, high) == (0.5, 0.5, 0.5)
    mean, low, high = intervals.ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 5.0]))
    assert low < mean < high


def test_a_mean_over_cells_of_the_same_images_is_no_surer_than_they_are() -> None:
    one = Estimate(1.0, 0.8, 1.2)
    assert intervals.mean_of([one] * 4) == pytest.approx(one)
    # five copies of one cell are that cell
    cell = intervals.mean_interval(np.random.default_rng(0).gamma(4, 0.25, 30))
    assert intervals.mean_of([cell] * 5) == pytest.approx(cell)
    assert intervals.mean_of([Estimate(1, 0, 3), Estimate(3, 2, 4)]) == (2, 1, 3.5)


def proportion(successes: int, n: int) -> Estimate:
    return intervals.estimate(np.repeat([1.0, 0.0], [successes, n - successes]))


def test_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe (1998), Table II, example (a): 56/70 - 48/80
    found = intervals.difference(proportion(56, 70), proportion(48, 80))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_a_paired_difference_is_agresti_and_mins() -> None:
    # 12 images right under one alone, 5 under the other alone, of 100
    differences = np.array([1.0] * 12 + [-1.0] * 5 + [0.0] * 83)
    found = intervals.paired(differences)
    centre = (12 - 5) / 102
    variance = ((12.5 + 5.5) - (12.5 - 5.5) ** 2 / 102) / 102**2
    half = stats.t.ppf(0.975, 99) * np.sqrt(variance)
    assert found.mean == pytest.approx(0.07)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))
    assert found.p == pytest.approx(2 * stats.t.sf(centre / np.sqrt(variance), 99))


def test_differences_that_are_all_nothing_have_an_interval_of_some_width() -> None:
    found = intervals.paired(np.zeros(50))
    assert found.mean == 0
    assert found.low < -0.03
    assert found.high > 0.03
    assert found.p == 1
    both = intervals.paired_by_pass(np.zeros((40, 50)))
    assert both == found._replace(low=both.low, high=both.high)
    assert both.low < -0.03


def test_a_paired_difference_by_pass_has_the_two_way_clustered_variance() -> None:
    rng = np.random.default_rng(0)
    cells = rng.normal(0.2, 0.1, (30, 40)) + 0.2 * rng.normal(size=(30, 1)) + 0.05 * rng.normal(size=40)
    found = intervals.paired_by_pass(cells)
    images = cells.mean(0)
    values = np.concatenate([images, [1, -1, 0]])
    weights = np.concatenate([np.ones(40), [0.5, 0.5, 1]])
    centre = np.average(values, weights=weights)
    of_images = np.average((values - centre) ** 2, weights=weights) / 42
    of_passes = cells.mean(1).var(ddof=1) / 30
    of_cells = cells.var(ddof=1) / cells.size
    variance = of_images + of_passes - of_cells
    assert variance > max(of_images, of_passes)
    half = stats.t.ppf(0.975, 29) * np.sqrt(variance)
    assert (found.mean, found.low, found.high) == pytest.approx((cells.mean(), centre - half, centre + half))


def test_pseudo_values_of_a_mean_are_its_draws() -> None:
    right = np.random.default_rng(0).random((12, 5)) < 0.6
    found = intervals.pseudo_values(lambda wrong, draws: 1 - wrong / draws, right)
    np.testing.assert_allclose(found, right, atol=1e-9)
    # of any of two they have the figure itself for a mean, since it is unbiased
    found = intervals.pseudo_values(lambda wrong, draws: tries.withstands(wrong, draws, 2), right)
    np.testing.assert_allclose(found.mean(0), tries.withstands((~right).sum(0), 12, 2), atol=1e-9)


def test_images_of_a_cluster_go_together() -> None:
    rng = np.random.default_rng(0)
    own = rng.choice([-1.0, 0.0, 1.0], 12)
    alone, often = intervals.paired(own), intervals.paired(np.repeat(own, 10), np.repeat(np.arange(12), 10))
    # ten copies of each image tell what one does, but for the two images that are added
    assert often.high - often.low == pytest.approx(alone.high - alone.low, rel=0.15)
    assert intervals.paired(np.repeat(own, 10)).high - often.mean < 0.5 * (often.high - often.mean)
    each = intervals.paired(own, np.arange(12))
    assert each == alone
    passes = np.repeat(own, 10) + 0 * np.zeros((30, 1))
    by_pass = intervals.paired_by_pass(passes, np.repeat(np.arange(12), 10))
    assert by_pass == pytest.approx(often, rel=0.05)


def test_holm_raises_p_values_as_published() -> None:
    # by hand: 4 x 0.01, 3 x 0.013, 2 x 0.02, 1 x 0.5, each no less than the one before
    assert intervals.holm([0.5, 0.01, 0.02, 0.013]) == pytest.approx([0.5, 0.04, 0.04, 0.04])
    assert intervals.holm([0.6, 0.7]) == [1.0, 1.0]
    assert intervals.holm([]) == []


@pytest.mark.parametrize("images", [20, 100])
@pytest.mark.parametrize("shape", [(0.2, 0.2), (1, 1), (4, 1)])
def test_paired_differences_hold_the_truth_as_often_as_they_say(
    coverage: ModuleType, images: int, shape: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    for twin in (0.1, 0.5, 0.9):
        assert coverage.of_paired(images, shape, twin, 400, rng) >= 92.5


@pytest.mark.parametrize("draw_effect", [0.0, 0.5, 2.0])
def test_paired_differences_by_pass_hold_the_truth_as_often_as_they_say(
    coverage: ModuleType, draw_effect: float
) -> None:
    rng = np.random.default_rng(0)
    setting = coverage.Shared(100, 100, 1.0, draw_effect)
    for truth in (0.1, 0.5, 0.9):
        assert coverage.of_paired_by_pass(setting, truth, 200, rng) >= 92
