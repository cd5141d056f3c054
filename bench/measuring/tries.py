"""What is left of accuracy when an attacker asks, or a defender answers, more than once.

Here belongs what counts of draws tell of several draws. Their intervals are in ``intervals``.
"""

import numpy as np
from scipy.special import gammaln


def withstands(wrong: np.ndarray, draws: int, tries: int) -> np.ndarray:
    """The chance that an image withstands so many fresh draws, each of which has to be right.

    It is the share of the choices of ``tries`` draws out of those seen in which none is wrong, ``C(N - k, M)
    / C(N, M)``: unbiased, where ``(1 - k / N)^M`` is too large at every N (of p = 0.1 and M = 10, 0.349, it
    is 0.432 at N = 20).

    Args:
        wrong: On how many draws each image is wrong, integers from 0 to ``draws``, any shape.
        draws: How many there were of each, N.
        tries: M, from 1 to ``draws``.

    Raises:
        ValueError: for more tries than draws, or less than 1.

    Source: Hoeffding (1948), the U-statistic; as a measure of defences, "Wor.Rob" of DiffHammer (Wang et al.
    2024, section 3.2), which takes M = N.
    """
    if not 1 <= tries <= draws:
        raise ValueError(f"tries: expected from 1 to the {draws} draws that there are, got {tries}")
    right = draws - np.asarray(wrong, dtype=np.float64)
    found: np.ndarray = np.exp(_log_choose(right, tries) - _log_choose(np.float64(draws), tries))
    return found


def majority(wrong: np.ndarray, draws: int, voters: int) -> np.ndarray:
    """The chance that of so many fresh draws more are right than wrong.

    It is the share of the choices of ``voters`` draws out of those seen in which most are right. Right and
    wrong bound a vote among several classes from below: wrong draws may disagree among themselves.

    Args:
        wrong, draws: As for ``withstands``.
        voters: An odd number, up to ``draws``.

    Raises:
        ValueError: for an even number, or more voters than draws.

    Source: the hypergeometric distribution; "MV.Rob" of DiffBreak (Kassis et al. 2025).
    """
    if not 1 <= voters <= draws or voters % 2 == 0:
        raise ValueError(
            f"voters: expected an odd number up to the {draws} draws that there are, got {voters}"
        )
    bad = np.asarray(wrong, dtype=np.float64)
    total = np.zeros(bad.shape)
    for against in range(voters // 2 + 1):
        choices = _log_choose(bad, against) + _log_choose(draws - bad, voters - against)
        total += np.exp(choices - _log_choose(np.float64(draws), voters))
    return total


def _log_choose(of: np.ndarray | np.float64, which: int) -> np.ndarray:
    """Minus infinity for more than there are."""
    found: np.ndarray = gammaln(of + 1) - gammaln(which + 1) - gammaln(of - which + 1)
    return found
