"""Accuracy after several tries, and of a majority, against enumeration and SciPy's distribution."""

import itertools

import numpy as np
import pytest
from scipy import stats

from bench.measuring import tries


@pytest.mark.parametrize(("draws", "count"), [(6, 1), (6, 3), (6, 6), (7, 5)])
def test_both_figures_are_shares_of_all_choices_of_draws(draws: int, count: int) -> None:
    for wrong in range(draws + 1):
        seen = [True] * wrong + [False] * (draws - wrong)
        choices = list(itertools.combinations(seen, count))
        none = np.mean([not any(one) for one in choices])
        assert tries.withstands(np.array([wrong]), draws, count)[0] == pytest.approx(none, abs=1e-12)
        if count % 2:
            most = np.mean([sum(one) < count / 2 for one in choices])
            assert tries.majority(np.array([wrong]), draws, count)[0] == pytest.approx(most, abs=1e-12)


def test_both_figures_are_unbiased_however_few_draws_there_are() -> None:
    for draws, p in ((20, 0.1), (100, 0.03), (11, 0.4)):
        wrong = np.arange(draws + 1)
        chances = stats.binom.pmf(wrong, draws, p)
        assert chances @ tries.withstands(wrong, draws, 10) == pytest.approx((1 - p) ** 10, abs=1e-9)
        most = stats.binom.cdf(5, 11, p)
        assert chances @ tries.majority(wrong, draws, 11) == pytest.approx(most, abs=1e-9)
    # as the plug-in is not
    wrong = np.arange(21)
    plugged = stats.binom.pmf(wrong, 20, 0.1) @ (1 - wrong / 20) ** 10
    assert plugged == pytest.approx(0.432, abs=1e-3)


def test_one_try_is_the_share_of_right_draws() -> None:
    wrong = np.array([[0, 5], [12, 20]])
    np.testing.assert_allclose(tries.withstands(wrong, 20, 1), 1 - wrong / 20, atol=1e-12)
    np.testing.assert_allclose(tries.majority(wrong, 20, 1), 1 - wrong / 20, atol=1e-12)


def test_numbers_that_make_no_sense_are_refused() -> None:
    for count in (0, 21):
        with pytest.raises(
            ValueError, match=f"tries: expected from 1 to the 20 draws that there are, got {count}"
        ):
            tries.withstands(np.array([1]), 20, count)
    for count in (0, 10, 21):
        with pytest.raises(
            ValueError, match=f"voters: expected an odd number up to the 20 draws .* got {count}"
        ):
            tries.majority(np.array([1]), 20, count)
