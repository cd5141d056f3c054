"""Audits at ``standard`` beside what is known to be true of planted defences.

    python scripts/planted.py

Prints a line for each: the truth, what was measured and its interval, the twin, worth, the verdict. Ends
with status 1 if one is off by over two points or two standard errors, whichever is more, or if what hides
gradients is called *nothing found*. A few minutes on one core; nothing is kept.
"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import truths  # type: ignore[import-not-found]
from truths import Truth

PLANTED = {
    "noise at the image, Linf": lambda: truths.noisy(0.1, "linf", 0.05),
    "noise of a pass, L2": lambda: truths.noisy(0.1, "l2", 0.1, "pass"),
    "dropout of six units": truths.dropped,
    "a mixture of two": truths.contradicting,
    "a gain that is real": truths.a_real_gain,
    "logits by 10,000": lambda: truths.masked(truths.Scaled),
}
MASKED = {
    "levels without a gradient": lambda: truths.masked(truths.Rounded),
    "a gradient turned round": lambda: truths.masked(truths.Misleading),
}
POINTS = 2.0


def main() -> int:
    """Audits them all; the exit status."""
    torch.set_num_threads(1)
    wrong = 0
    for name, make in {**PLANTED, **MASKED}.items():
        began = time.perf_counter()
        truth: Truth = make()
        found = truth.audit("standard")
        row = found.table.iloc[0]
        error = (row["real_pct_high"] - row["real_pct_low"]) / (2 * 1.96)
        off = row["real_pct"] - truth.real
        if name in PLANTED:
            right = abs(off) <= max(POINTS, 2 * error)
        else:
            # broken to within the points, or suspicious
            right = found.verdict.name != "nothing found" and (
                found.verdict.name == "suspicious" or off <= POINTS
            )
        wrong += not right
        print(
            f"{'ok ' if right else 'OFF'} {name:26} true {truth.real:5.1f}  real {row['real_pct']:5.1f} "
            f"[{row['real_pct_low']:.1f}, {row['real_pct_high']:.1f}]  twin {row['twin_pct']:5.1f}  "
            f"worth {row['worth_points']:5.1f}  {time.perf_counter() - began:4.0f} s  {found.verdict}",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
