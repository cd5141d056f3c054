import math

import numpy as np
import pandas as pd
import pytest

from bench.measuring.ranks import rank_correlation


def test_rank_correlation_leaves_holes_out() -> None:
    published, measured = pd.Series([1, 2, np.nan, 4]), pd.Series([10, 20, 5, 40])
    assert rank_correlation(published, measured) == (pytest.approx(1.0), 3)
    assert math.isnan(rank_correlation(published, pd.Series([1.0] * 4))[0])


def test_rank_correlation_is_of_ranks_and_needs_three_of_them() -> None:
    one = pd.Series([1.0, 2, 3, 4])
    assert rank_correlation(one, pd.Series([1.0, 10, 1e3, 1e9])) == (pytest.approx(1.0), 4)
    assert rank_correlation(one, pd.Series([1e9, 1e3, 10, 1])) == (pytest.approx(-1.0), 4)
    assert math.isnan(rank_correlation(one[:2], pd.Series([1.0, 2]))[0])
