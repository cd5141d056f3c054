"""The figures of a row, against plain means, SciPy and the intervals' own tests."""

import numpy as np
import pytest

from bench.analysis.audit.figures import Answers, any_of, figures
from bench.measuring import intervals, tries

RNG = np.random.default_rng(0)
CHANCES = RNG.random(40)
RIGHT = RNG.random((60, 40)) < CHANCES
TWIN = CHANCES > 0.5
FIXED = (RNG.random((3, 40)) < 0.5).mean(0)


@pytest.mark.parametrize("shared", [False, True])
def test_figures_are_means_over_images(shared: bool) -> None:
    found = figures(Answers(RIGHT, shared), TWIN, FIXED, ~TWIN, None)
    wrong = (~RIGHT).sum(0)
    ten = tries.withstands(wrong, 60, 10)
    assert found.real.mean == pytest.approx(RIGHT.mean())
    assert found.any_of_10 == pytest.approx(ten.mean())
    assert found.majority == pytest.approx(tries.majority(wrong, 60, 11).mean())
    assert (found.twin, found.baseline, found.fixed) == pytest.approx(
        (TWIN.mean(), 1 - TWIN.mean(), FIXED.mean())
    )
    assert found.worth is not None
    assert found.operation is not None
    assert found.secrecy is not None
    assert found.worth.mean == pytest.approx(RIGHT.mean() - TWIN.mean())
    # worth is what the operation does and what not knowing the draw does
    assert found.worth.mean == pytest.approx(found.operation.mean + found.secrecy.mean)
    assert found.worth_any_of_10 is not None
    assert found.worth_any_of_10.mean == pytest.approx(ten.mean() - TWIN.mean())
    assert found.any_of_10_less_fixed is not None
    assert found.any_of_10_less_fixed.mean == pytest.approx(ten.mean() - FIXED.mean())
    assert found.over_baseline is not None
    assert found.over_baseline.mean == pytest.approx(RIGHT.mean() - (~TWIN).mean())


def test_what_was_not_measured_is_not_there() -> None:
    found = figures(Answers(RIGHT, False), None, None, None, None)
    assert (found.twin, found.fixed, found.baseline) == (None, None, None)
    assert (found.worth, found.secrecy, found.operation, found.over_baseline) == (None, None, None, None)


def test_draws_that_are_shared_widen_every_interval_of_one_query_and_ten_tries() -> None:
    # all images of a pass are right together more often
    rng = np.random.default_rng(1)
    together = rng.random((20, 1)) < 0.5
    right = np.where(together, rng.random((20, 40)) < 0.95, rng.random((20, 40)) < 0.4)
    apart, both = (figures(Answers(right, shared), TWIN, FIXED, None, None) for shared in (False, True))
    for name in ("real", "worth", "secrecy", "worth_any_of_10"):
        one, other = getattr(apart, name), getattr(both, name)
        assert other.high - other.low > 1.03 * (one.high - one.low), name


def test_images_that_share_a_known_draw_are_a_cluster() -> None:
    groups = np.arange(40) // 10
    right = np.ones((60, 40), dtype=bool)
    fixed = np.repeat([1.0, 0.0, 1.0, 0.0], 10)
    apart, together = (figures(Answers(right, False), TWIN, fixed, None, g) for g in (None, groups))
    assert apart.secrecy is not None
    assert together.secrecy is not None
    assert together.secrecy.high - together.secrecy.low > 2 * (apart.secrecy.high - apart.secrecy.low)
    assert together.worth == apart.worth


def test_a_figure_by_pass_is_of_pseudo_values() -> None:
    answers = Answers(RIGHT, True)
    expected = intervals.paired_by_pass(intervals.pseudo_values(any_of(10).of_draws, RIGHT) - TWIN)
    assert answers.less(TWIN.astype(float), any_of(10)) == expected
