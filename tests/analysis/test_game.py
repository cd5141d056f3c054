import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import Outcome, Run

from bench import axes
from bench.analysis import game
from bench.checks import ConfigError
from bench.cli import main
from bench.results.columns import COLUMNS
from bench.results.store import Store
from bench.results.sweep import Table, write_manifest

QUICK = ("scheme=fc", "samples=12", "training.epochs=5", "evaluation.draws=6", "transfer=false")
DEFENCES = ("fc test_rate=0.0", "fc test_rate=0.5", "fc test_rate=0.95")


def test_matching_pennies() -> None:
    found = game.solve(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert found.value == pytest.approx(0.5)
    assert found.attacker == pytest.approx([0.5, 0.5])
    assert found.defender == pytest.approx([0.5, 0.5])
    assert (found.maximin, found.minimax, found.saddle) == (0, 1, False)


def test_rock_paper_scissors() -> None:
    found = game.solve(np.array([[50.0, 0.0, 100.0], [100.0, 50.0, 0.0], [0.0, 100.0, 50.0]]))
    assert found.value == pytest.approx(50)
    assert found.attacker == pytest.approx([1 / 3] * 3)
    assert found.defender == pytest.approx([1 / 3] * 3)


def test_a_game_of_two_by_three_that_was_solved_by_hand() -> None:
    # rows mixed p to 1 - p make columns 2 and 3 equal where 5 - 2p = 2 + 9p, and column 1 costs more
    found = game.solve(np.array([[1.0, 3.0, 11.0], [8.0, 5.0, 2.0]]))
    assert found.value == pytest.approx(49 / 11)
    assert found.attacker == pytest.approx([3 / 11, 8 / 11])
    assert found.defender == pytest.approx([0, 9 / 11, 2 / 11])
    assert (found.attack, found.maximin, found.defence, found.minimax) == (1, 2, 1, 5)


def test_a_saddle_point_is_both_sides_answer() -> None:
    found = game.solve(np.array([[7.0, 2.0, 5.0], [6.0, 4.0, 8.0], [3.0, 1.0, 9.0]]))
    assert (found.attack, found.defence, found.saddle) == (1, 1, True)
    assert found.value == found.maximin == found.minimax == 4
    assert list(found.attacker) == list(found.defender) == [0, 1, 0]


def test_a_dominated_strategy_is_not_played() -> None:
    # pennies, with an attack worse than the first and a defence that concedes more than the second
    found = game.solve(np.array([[1.0, 0.0, 0.3], [0.0, 1.0, 1.2], [0.9, -0.1, 0.2]]))
    assert found.attacker == pytest.approx([0.5, 0.5, 0])
    assert found.defender == pytest.approx([0.5, 0.5, 0])
    assert found.attacker[2] == found.defender[2] == 0
    assert found.value == pytest.approx(0.5)


def test_names_and_scale_change_nothing() -> None:
    payoff = np.array([[1.0, 3.0, 11.0], [8.0, 5.0, 2.0]])
    found, rows, columns = game.solve(payoff), [1, 0], [2, 0, 1]
    shuffled = game.solve(payoff[rows][:, columns])
    assert shuffled.value == pytest.approx(found.value)
    assert shuffled.attacker == pytest.approx(found.attacker[rows])
    assert shuffled.defender == pytest.approx(found.defender[columns])
    scaled = game.solve(7 * payoff - 3)
    assert scaled.value == pytest.approx(7 * found.value - 3)
    assert scaled.attacker == pytest.approx(found.attacker)
    # the sides change places
    turned = game.solve(-payoff.T)
    assert turned.value == pytest.approx(-found.value)
    assert turned.attacker == pytest.approx(found.defender)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 5), (6, 2), (8, 8)])
def test_neither_side_can_do_better_alone_whatever_the_payoffs(shape: tuple[int, int]) -> None:
    draws = np.random.default_rng(sum(shape))
    for _ in range(20):
        payoff = 100 * draws.random(shape).round(1)
        found = game.solve(payoff)
        for mix in (found.attacker, found.defender):
            assert mix.min() >= 0
            assert mix.sum() == pytest.approx(1)
        # two linear programs, one the other's dual: what one side is sure of is what the other concedes
        assert (found.attacker @ payoff).min() == pytest.approx(found.value)
        assert (payoff @ found.defender).max() == pytest.approx(found.value)
        assert found.maximin - 1e-9 <= found.value <= found.minimax + 1e-9
        # what the interval of the value rests on
        assert game.solve(payoff + draws.random(shape)).value >= found.value - 1e-9


def table(*rows: dict, swept: tuple[str, ...] = ()) -> Table:
    """A table of records, of what matters here."""
    same = {
        "dataset": "digits",
        "model": "two_conv",
        "criterion": "untargeted",
        "train_rate": 0.5,
        "test_rate": 0.5,
        "seed": 0,
        "status": "ok",
        "clean_accuracy_no_scheme_pct": 99.0,
        "clean_accuracy_pct": 99.0,
    }
    names = (*axes.NAMES, *swept)
    parts = [part for column in COLUMNS for part in column.parts if part not in names]
    return Table(pd.DataFrame([{**same, **row} for row in rows]).reindex(columns=[*names, *parts]), names)


def cell(attack: str, scheme: str, success: float, **others: object) -> dict:
    bounds = {"fresh_success_pct_low": success - 10, "fresh_success_pct_high": success + 10}
    return {"attack": attack, "scheme": scheme, "fresh_success_pct": success, **bounds, **others}


PENNIES = (cell("a", "x", 90), cell("b", "x", 10), cell("a", "y", 10), cell("b", "y", 90))


def test_rows_are_attacks_columns_are_defences_and_the_bounds_make_the_values() -> None:
    frame = table(*(r if r["scheme"] == "y" else {**r, "clean_accuracy_pct": 97.0} for r in PENNIES))
    (found,) = game.games(frame)
    assert list(found.payoffs.index) == ["a", "b"]
    assert list(found.payoffs.columns) == ["x", "y"]
    assert found.payoffs.loc["b", "x"] == 10
    equilibrium, pairs = game.answer(found)
    assert equilibrium["value_pct"] == pytest.approx(50)
    assert equilibrium["value_pct_low"] == pytest.approx(40)
    assert equilibrium["value_pct_high"] == pytest.approx(60)
    assert equilibrium["defender"] == {"x": pytest.approx(0.5), "y": pytest.approx(0.5)}
    # of one game or the other, as often as it is played
    assert equilibrium["accuracy_pct"] == pytest.approx(98)
    assert len(pairs) == 4
    assert not equilibrium["saddle_point"]


def test_a_swept_setting_belongs_to_its_side_or_makes_another_game() -> None:
    swept = ("attack.epsilon", "model.options.width", "samples")
    rows = [
        {
            **cell("fgsm", "x", 10.0 * i),
            "attack.epsilon": e,
            "model.options.width": w,
            "samples": s,
        }
        for i, (e, w, s) in enumerate((e, w, s) for s in (10, 20) for w in (8, 16) for e in (0.1, 0.3))
    ]
    one, other = game.games(table(*rows, swept=swept))
    assert one.name == {"dataset": "digits", "criterion": "untargeted", "seed": 0, "samples": 10}
    assert list(one.payoffs.index) == ["fgsm attack.epsilon=0.1", "fgsm attack.epsilon=0.3"]
    # the width is the defender's
    assert list(one.payoffs.columns) == ["x model.options.width=8", "x model.options.width=16"]
    assert one.payoffs.to_numpy().tolist() == [[0, 20], [10, 30]]
    assert other.payoffs.to_numpy().tolist() == [[40, 60], [50, 70]]


def test_seeds_are_games_of_their_own() -> None:
    first, second = game.games(
        table(*PENNIES, *({**r, "seed": 1, "fresh_success_pct": 5.0} for r in PENNIES))
    )
    assert (first.name["seed"], second.name["seed"]) == (0, 1)
    assert first.payoffs.to_numpy().max() == 90
    assert (second.payoffs == 5).all(axis=None)


def test_a_defence_that_costs_too_much_is_left_out() -> None:
    costs = {"x": 98.6, "y": 98.0, "z": 97.0}
    rows = [cell("a", scheme, 50, clean_accuracy_pct=accuracy) for scheme, accuracy in costs.items()]
    # the best accuracy is that of a network without its scheme, 99; a loss of 1.0 is too much for 1.0
    (found,) = game.games(table(*rows), max_loss=1.0)
    assert list(found.payoffs.columns) == ["x"]
    assert found.left_out == {d: f"costs {c:.2f} points of accuracy" for d, c in (("y", 1), ("z", 2))}
    (found,) = game.games(table(*rows), max_loss=1.1)
    assert list(found.payoffs.columns) == ["x", "y"]
    (found,) = game.games(table(*rows))
    assert list(found.payoffs.columns) == ["x", "y", "z"]
    (found,) = game.games(table(*rows), max_loss=0.1)
    assert found.payoffs.empty


def test_a_hole_leaves_out_what_lacks_most() -> None:
    nan = np.nan
    full = pd.DataFrame([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], index=["a", "b", "c"], columns=["x", "y", "z"])
    assert game.without_holes(full)[0].equals(full)
    # an attack that lacks two of three, rather than two defences that lack one
    left, reasons = game.without_holes(full.mask(np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]], bool)))
    assert (list(left.index), list(left.columns)) == (["a", "c"], ["x", "y", "z"])
    assert reasons == {"b": "has no result with y, z"}
    # of an attack and a defence that lack as much, the defence
    left, reasons = game.without_holes(full.mask(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)))
    assert (list(left.index), list(left.columns)) == (["a", "b", "c"], ["x", "z"])
    assert reasons == {"y": "has no result with b"}
    left, reasons = game.without_holes(pd.DataFrame([[nan, nan]], index=["a"], columns=["x", "y"]))
    assert not left.size
    assert reasons


def test_a_finished_record_counts_wherever_a_hole_of_the_same_settings_is() -> None:
    hole = {**cell("b", "y", np.nan, status="missing"), "clean_accuracy_pct": np.nan}
    for rows in ((*PENNIES, hole), (hole, *PENNIES)):
        (found,) = game.games(table(*rows))
        assert found.payoffs.loc["b", "y"] == 90
        assert not found.left_out
    (found,) = game.games(table(*PENNIES[:3], hole))
    assert found.left_out == {"y": "has no result with b"}
    assert list(found.payoffs.index) == ["a", "b"]


def test_cells_of_different_networks_are_no_game() -> None:
    other = {**PENNIES[3], "clean_accuracy_no_scheme_pct": 98.0}
    with pytest.raises(ConfigError, match="^y: different networks, of 99.00 and 98.00 % accuracy"):
        game.games(table(*PENNIES[:3], other))


@pytest.fixture
def bench_game(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs ``python -m bench game`` in this process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        status = 0
        try:
            main(["game", *arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def played(bench_run: Run, output_dir: Path) -> list[str]:
    """Two sweeps, each with an attack of its own."""
    for attack in ("pgd", "deepfool"):
        if (output_dir / f"game_{attack}").exists():
            continue
        rates = ("train_rate=0.5", "test_rate=0,0.5,0.95")
        outcome = bench_run("-m", f"attack={attack}", *rates, f"name=game_{attack}", *QUICK)
        assert outcome.status == 0, outcome.err
    return [str(output_dir / f"game_{attack}") for attack in ("pgd", "deepfool")]


def test_the_game_of_two_sweeps_is_what_their_records_say(
    bench_game: Callable[..., Outcome], played: list[str]
) -> None:
    outcome = bench_game(*played)
    assert outcome.status == 0, outcome.err
    folder = Path(played[0])
    pairs = pd.read_csv(folder / "game.csv")
    assert set(pairs["defender"]) == set(DEFENCES)
    for sweep, attack in zip(played, ("pgd", "deepfool"), strict=True):
        row = pd.read_csv(Path(sweep) / "results.csv").sort_values("test_rate")
        seen = pairs[pairs["attacker"] == attack].set_index("defender").loc[list(DEFENCES)]
        for ours, theirs in (
            ("payoff_pct", "fresh_success_pct"),
            ("payoff_pct_high", "fresh_success_pct_high"),
            ("accuracy_pct", "clean_accuracy_pct"),
        ):
            assert list(seen[ours]) == pytest.approx(list(row[theirs])), (attack, ours)
    (equilibrium,) = json.loads((folder / "equilibrium.json").read_text())
    square = pairs.pivot(index="attacker", columns="defender", values="payoff_pct")
    assert equilibrium["value_pct"] == pytest.approx(game.solve(square.to_numpy()).value)
    assert equilibrium["minimax"]["value_pct"] == square.max().min()
    shares = {side: pairs.drop_duplicates(side)[f"{side}_share"].sum() for side in ("attacker", "defender")}
    assert shares == {"attacker": pytest.approx(1), "defender": pytest.approx(1)}
    assert f"value {equilibrium['value_pct']:.1f} %" in outcome.out
    assert (folder / "game_digits_untargeted.png").stat().st_size > 1000


def test_a_defender_who_must_stay_accurate_takes_a_smaller_rate(
    bench_game: Callable[..., Outcome], played: list[str]
) -> None:
    assert bench_game(*played).status == 0
    (free,) = json.loads((Path(played[0]) / "equilibrium.json").read_text())
    results = pd.read_csv(Path(played[0]) / "results.csv")
    best = results["clean_accuracy_no_scheme_pct"].max()
    losses = (best - results.set_index("test_rate")["clean_accuracy_pct"]).to_dict()
    assert losses[0.5] < losses[0.95]
    limit = (losses[0.5] + losses[0.95]) / 2
    outcome = bench_game(*played, "--max-loss", str(limit))
    assert outcome.status == 0, outcome.err
    (held,) = json.loads((Path(played[0]) / "equilibrium.json").read_text())
    assert f"  left out: {DEFENCES[2]} costs {losses[0.95]:.2f} points of accuracy\n" in outcome.out
    assert set(held["left_out"]) == {DEFENCES[2]}
    assert held["max_loss"] == limit
    assert held["accuracy_pct"] > best - limit
    # with fewer defences to choose from the attacker can't fare worse
    assert held["value_pct"] >= free["value_pct"] - 1e-9


def test_a_missing_cell_leaves_a_strategy_out_and_says_so(
    bench_game: Callable[..., Outcome], played: list[str], output_dir: Path, tmp_path: Path
) -> None:
    manifests = [json.loads((Path(sweep) / "cells.json").read_text()) for sweep in played]
    cells = [entry for manifest in manifests for entry in manifest["cells"]]
    cells[1]["key"] = "0" * 16
    write_manifest(tmp_path, Store(output_dir / "store"), cells)
    outcome = bench_game(str(tmp_path))
    assert outcome.status == 0, outcome.err
    assert f"  left out: {DEFENCES[1]} has no result with pgd\n" in outcome.out
    assert set(pd.read_csv(tmp_path / "game.csv")["defender"]) == {DEFENCES[0], DEFENCES[2]}
    for entry in cells:
        entry["key"] = "0" * 16
    write_manifest(tmp_path, Store(output_dir / "store"), cells)
    outcome = bench_game(str(tmp_path))
    assert outcome.status == 1
    assert outcome.err == "error: no game has an attack and a defence left\n"
    # what an earlier call has found is not there any more to be taken for this one's
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.json"]


def test_bad_arguments_get_one_line(bench_game: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "cells.json").touch()
    nothing = tmp_path / "nothing"
    cases = {
        (str(nothing),): f"error: {nothing}: no sweep was started there (it has no cells.json)\n",
        (str(tmp_path), "--max-loss", "0"): "error: --max-loss: expected points of accuracy over 0, got 0\n",
    }
    for arguments, words in cases.items():
        outcome = bench_game(*arguments)
        assert (outcome.status, outcome.err) == (2, words)
