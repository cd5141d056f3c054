from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench import aggregate, figures
from bench.records import NOT_APPLICABLE, OK


def table(cells: list[dict[str, Any]]) -> pd.DataFrame:
    """As ``aggregate.table`` makes it, of what is given and what a figure asks for besides."""
    names = {
        "dataset": "digits",
        "model": "two_conv",
        "scheme": "fc",
        "attack": "pgd",
        "criterion": "untargeted",
    }
    rest = {"train_rate": None, "test_rate": None, "seed": 0, "status": OK, "images": 10}
    shown = dict.fromkeys(("fresh_success_pct", "fresh_accuracy_pct", "mad_255_mean"), 50.0)
    frame = pd.DataFrame([{**names, **rest, **shown, **cell} for cell in cells])
    return frame.reindex(columns=[*dict.fromkeys([*aggregate.COLUMNS, *frame.columns])])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of every picture that is saved, as its reader sees them."""
    words: list[str] = []
    save = Figure.savefig

    def note(figure: Figure, *args: Any, **kwargs: Any) -> None:
        save(figure, *args, **kwargs)
        for text in figure.findobj(matplotlib.text.Text):
            plain, is_math = text._preprocess_math(text.get_text())
            assert not is_math, plain
            words.append(plain)

    monkeypatch.setattr(Figure, "savefig", note)
    return words


def test_every_name_has_a_picture_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what is in them is not looked at
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **kwargs: Path(path).touch())
    monkeypatch.setattr(figures, "_panel", lambda *args: None)
    names = [
        "DF+",
        "DF-",
        "df",
        "df_",
        "名前 データ",
        "データ",
        "a b",
        "a_b",
        "a-b",
        "A_b",
        "$x$",
        "a/b",
        "..",
        "x" * 300,
    ]
    names += ["x" * 299 + "y", "é", "e"]
    paths = figures.heatmaps(table([{"dataset": name} for name in names]), tmp_path)
    assert len(set(paths)) == len(names)
    assert sorted(paths) == sorted(tmp_path.glob("*.png"))
    # where a file system doesn't tell cases apart, too
    assert len({path.name.lower() for path in paths}) == len(names)


def test_a_plain_name_is_its_picture_s(tmp_path: Path) -> None:
    frame = table([{"scheme": scheme, "attack.options.steps": 20} for scheme in ("none", "fc")])
    assert [p.name for p in figures.heatmaps(frame, tmp_path)] == [
        "heatmap_attack_scheme_digits_two-conv_untargeted.png"
    ]
    swept = table([{"test_rate": rate} for rate in (0.1, 0.5)])
    assert [p.name for p in figures.heatmaps(swept, tmp_path)] == [
        "heatmap_train_rate_test_rate_digits_two-conv_untargeted.png"
    ]


def test_a_name_with_dollars_is_no_formula(
    tmp_path: Path, drawn: list[str], recwarn: pytest.WarningsRecorder
) -> None:
    names = ["$\\frac{1}$ of", "p=$0.5, q=$^", "\\$", "Schéma 名前"]
    cells = [{"scheme": name, "dataset": "$\\frac$", "attack": "$^$"} for name in names]
    figures.heatmaps(table(cells), tmp_path)
    assert set(names) <= set(drawn)
    assert any(word.startswith("dataset $\\frac$, ") for word in drawn)
    assert "$^$" in drawn
    # nor is a letter that the font lacks something to be said on every terminal
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_a_sweep_of_nothing_but_holes_is_drawn(tmp_path: Path, drawn: list[str]) -> None:
    hole = {"status": NOT_APPLICABLE, "reason": "why", "images": None, "fresh_success_pct": None}
    figures.heatmaps(table([{**hole, "scheme": scheme} for scheme in ("none", "fc")]), tmp_path)
    assert drawn.count("n/a") == 6
    reasons = ["samples: failed: it broke", "recogniser: no such thing", "of another form"]
    pairs = pd.DataFrame(
        {
            "generated_under": ["none", "none", "fc", "fc"],
            "recognised_by": ["none", "fc"] * 2,
            "reason": [*reasons, ""],
        }
    )
    square = pd.DataFrame(np.full((3, 3), np.nan), *[["none", "fc", "mean"]] * 2)
    name = {"dataset": "digits", "attack": "pgd", "criterion": "untargeted"}
    (path,) = figures.transfer([(name, pairs, square)], tmp_path)
    assert path.exists()
    assert {"failed", "no such thing", "of another form"} <= set(drawn)


def test_of_nothing_no_picture_is_made(tmp_path: Path) -> None:
    assert figures.games([], tmp_path) == figures.transfer([], tmp_path) == []


@pytest.mark.parametrize("count", [1, 10, 25])
def test_every_pixel_s_gradient_has_a_colour_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    colours: list[Any] = []
    line = matplotlib.axes.Axes.axvline
    monkeypatch.setattr(
        matplotlib.axes.Axes, "axvline", lambda a, x, color: (colours.append(color), line(a, x, color=color))
    )
    points = [{"network": "n", "defence": "d", "pixel": f"0 0 {i}", "gradient": 0.5} for i in range(count)]
    points *= 2
    figures.gradient_densities(pd.DataFrame(points), tmp_path / "points.png")
    assert len(set(colours)) == count


def test_a_notebook_s_backend_stays_and_no_figure_is_left_open(tmp_path: Path) -> None:
    before = matplotlib.rcParams._get_backend_or_none()
    try:
        matplotlib.rcParams["backend"] = "svg"
        figures.heatmaps(table([{}]), tmp_path)
        assert matplotlib.rcParams["backend"] == "svg"
    finally:
        matplotlib.rcParams["backend"] = before or "agg"
    import matplotlib.pyplot as plt

    assert not plt.get_fignums()
