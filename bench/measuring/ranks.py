"""How far two rankings agree.

Here belongs what is said of the order of figures; their intervals are in ``intervals``.
"""

import math

import pandas as pd
from scipy import stats


def rank_correlation(one: pd.Series, other: pd.Series) -> tuple[float, int]:
    """Spearman's rank correlation over the entries that both have, and how many these are.

    NaN for fewer than three entries, or where one of both is constant.

    Source: Spearman (1904).
    """
    both = one.notna() & other.notna()
    if both.sum() < 3 or len(one[both].unique()) < 2 or len(other[both].unique()) < 2:
        return math.nan, int(both.sum())
    return float(stats.spearmanr(one[both], other[both]).statistic), int(both.sum())
