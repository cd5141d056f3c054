from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from recording import record, settings

from bench import axes
from bench.analysis import figures
from bench.results.columns import COLUMNS
from bench.results.store import NOT_APPLICABLE, OK
from bench.results.sweep import Sweep, Table


def table(cells: list[dict[str, Any]]) -> Table:
    """A table of what is given, and of what a figure asks for besides."""
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
    given = [c for c in cells[0] if "." in c]
    figure = [c.name for c in COLUMNS if c.name not in axes.NAMES]
    return Table(frame.reindex(columns=[*axes.NAMES, *given, *figure]), (*axes.NAMES, *given))


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
    monkeypatch.setattr(figures.matrices, "_panel", lambda *args: None)
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


def cells_of(monkeypatch: pytest.MonkeyPatch, table: Table, folder: Path) -> dict[str, list[list[list[str]]]]:
    """What stands in the cells of each picture, panel by panel, row by row."""
    found: dict[str, list[list[list[str]]]] = {}

    def look(figure: Any, path: Path, **kwargs: Any) -> None:
        panels = []
        for axis in figure.axes:
            rows, columns = len(axis.get_yticklabels()), len(axis.get_xticklabels())
            words = [["" for _ in range(columns)] for _ in range(rows)]
            for text in axis.texts:
                x, y = text.get_position()
                words[int(y)][int(x)] += text.get_text()
            panels.append(words)
        found[path.name] = panels
        found[f"{path.name} axes"] = [
            [
                [t.get_text() for t in figure.axes[0].get_yticklabels()],
                [t.get_text() for t in figure.axes[0].get_xticklabels()],
            ]
        ]

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", look)
    figures.heatmaps(table, folder)
    return found


def test_heatmap_shows_each_value_in_its_place_and_each_hole_with_its_reason(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cells_of(monkeypatch, Sweep(sweep).table(), sweep)
    name = "heatmap_attack_scheme_digits_two-conv_untargeted.png"
    assert found[f"{name} axes"] == [[["fgsm", "df"], ["none", "fc"]]]
    success, accuracy, mad = found[name]
    assert success == [["50.0\n40 to 60", "failed"], ["n/a", "missing"]]
    assert accuracy[0][0] == "50.0\n40 to 60"
    assert mad == [["10.0\n9 to 11", "failed"], ["n/a", "missing"]]


def test_heatmap_of_rates_is_ordered_by_size_with_the_default_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for test in (0.9, None, 0.1):
        for train in (0.5, 0.0):
            config = settings(train_rate=train, test_rate=test)
            rows.append(record(f"{train}{test}", config, success=0.1 + 0.5 * train + 0.1 * (test or 0)))
    found = cells_of(monkeypatch, Table.of(rows), tmp_path)
    name = "heatmap_train_rate_test_rate_digits_two-conv_untargeted.png"
    assert found[f"{name} axes"] == [[["0", "0.5"], ["default", "0.1", "0.9"]]]
    assert [cell.split("\n")[0] for cell in found[name][0][1]] == ["35.0", "36.0", "44.0"]


def test_pictures_of_an_earlier_call_are_removed(tmp_path: Path) -> None:
    (tmp_path / "kept.png").touch()
    figures.heatmaps(Table.of([record("a", settings())]), tmp_path)
    (first,) = tmp_path.glob("heatmap_*.png")
    other = settings(criterion={"name": "targeted"})
    figures.heatmaps(Table.of([record("b", other)]), tmp_path)
    (second,) = tmp_path.glob("heatmap_*.png")
    assert second.name != first.name
    assert (tmp_path / "kept.png").exists()


def test_curves_run_along_the_rates_and_carry_their_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {0.9: 0.2, 0.1: 0.6, 0.5: 0.4}
    rows = [record(str(q), settings(train_rate=0.5, test_rate=q), s) for q, s in rates.items()]
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **kwargs: drawn.append(figure))
    figures.curves(Table.of(rows).frame, tmp_path / "curves.png", "title")
    accuracy, success, distance = drawn[0].axes
    assert [a.get_title() for a in drawn[0].axes] == [
        "test accuracy, %",
        "attack success on fresh draws, %",
        "L2 norm over the claimed successes",
    ]
    for axis in (accuracy, success):
        (line,) = axis.lines
        assert list(line.get_xdata()) == [0.1, 0.5, 0.9]
        assert list(line.get_ydata()) == [60, 40, 20]
        (band,) = axis.collections
        ends = band.get_paths()[0].vertices[:, 1]
        assert (ends.min(), ends.max()) == pytest.approx((10, 70))
    assert list(distance.lines[0].get_ydata()) == [10, 10, 10]
