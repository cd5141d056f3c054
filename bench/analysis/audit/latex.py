"""What a paper takes from an audit: a table in LaTeX, and a paragraph for its section on method.

Here belong words. What they say is computed elsewhere.
"""

import math
from collections.abc import Sequence

import pandas as pd

from bench import __version__

HEAD = ("clean", "real", "any of 10", "twin", "fixed", "worth", "worth, ten tries", "verdict")


def table(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """Rows of ``audit.csv`` as a table of LaTeX (booktabs).

    Args:
        frame: The rows.
        names: Of its columns those that tell rows apart.
    """
    lines = [
        rf"\begin{{tabular}}{{{'l' * len(names)}{'r' * (len(HEAD) - 1)}l}}",
        r"\toprule",
        " & ".join(map(escaped, (*names, *HEAD))) + r" \\",
        r"\midrule",
    ]
    for _, row in frame.iterrows():
        figures = [
            number(row["clean_pct"]),
            ends(row, "real_pct"),
            number(row["any_of_10_pct"]),
            number(row["twin_pct"]),
            number(row["fixed_pct"]),
            ends(row, "worth_points"),
            ends(row, "worth_any_of_10_points"),
        ]
        verdict = row["verdict"] if isinstance(row["verdict"], str) else ""
        words = [escaped(value(row[name])) for name in names]
        lines.append(" & ".join([*words, *figures, escaped(verdict)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def method(frame: pd.DataFrame, command: str, versions: Sequence[str]) -> str:
    """A paragraph that says how the rows were come by.

    Args:
        frame: The rows.
        command: What was run, or ``bench.audit``.
        versions: Of what it was run with, such as ``torch 2.13.0``.
    """
    balls = sorted(
        {(str(norm), float(eps)) for norm, eps in zip(frame["norm"], frame["epsilon"], strict=True)}
    )
    said = ", ".join(f"{'L-infinity' if norm == 'linf' else 'L2'} {epsilon:g}" for norm, epsilon in balls)
    efforts = ", ".join(dict.fromkeys(frame["effort"]))
    sentences = [
        "We audited each defence against an attacker who knows the weights, the operation and its rates, but "
        f"not the draw, which is a new one at each query ({said}; {span(frame['images'])} test images, right "
        "or wrong).",
        f"A fixed plan ({efforts}) of {span(frame['attacks'])} attacks was run on the defence, on the same "
        "network without its randomness (the twin), and on draws that the attacker knows, with "
        f"{span(frame['passes'])} passes an image, a forward one counting a third.",
        "All samples make one pool: of each image the worst was chosen on draws of its own and scored on "
        f"{span(frame['draws'])} others; the twin has to withstand all of them.",
        "Worth is the difference of both accuracies, for one query and for ten tries, with 95 % intervals "
        "over images (and over draws, where images of a pass share one).",
        "Attacks that adapt to the defence by more than its gradients and its twin were not tried.",
        f"bench {__version__} with {', '.join(versions)}: {command}",
    ]
    return " ".join(sentences) + "\n"


def span(values: pd.Series) -> str:
    """One number, or from the least to the largest."""
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def number(given: float) -> str:
    """With one decimal; nothing for what wasn't measured."""
    return "" if math.isnan(given) else f"{given:.1f}"


def ends(row: pd.Series, column: str) -> str:
    """A figure and its interval."""
    if math.isnan(row[column]):
        return ""
    return f"{row[column]:.1f} [{row[f'{column}_low']:.1f}, {row[f'{column}_high']:.1f}]"


def value(given: object) -> str:
    """What names a row, as a word."""
    if isinstance(given, float):
        return "" if math.isnan(given) else f"{given:g}"
    return "" if given is None else str(given)


def escaped(word: str) -> str:
    """A word as LaTeX prints it."""
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in word)
