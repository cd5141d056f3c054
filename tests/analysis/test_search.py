import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest
from running import Outcome

from bench import cell
from bench.analysis import search
from bench.cli import main
from bench.measuring import passes
from bench.results.store import Store
from bench.training import kept

QUICK = ("model=four_conv", "model.options.padding=1", "attack=fgsm_fixed", "samples=8", "training.epochs=4")


class StandIn:
    """Networks with known accuracies, that notes what it is asked."""

    def __init__(self, candidates: Mapping[float, float], under: Callable[[float], float]):
        self.candidates, self.under = candidates, under
        self.trained: list[float] = []
        self.evaluated: list[tuple[float, float]] = []

    def accuracy(self, train_rate: float) -> float:
        self.trained.append(train_rate)
        return self.candidates[train_rate]

    def evaluate(self, train_rate: float, test_rate: float) -> float:
        self.evaluated.append((train_rate, test_rate))
        return self.under(test_rate)

    def search(self, max_loss: float, step: float) -> search.Found:
        return search.search(self.accuracy, self.evaluate, list(self.candidates), max_loss, step)


THREE = {0.3: 98.0, 0.5: 99.0, 0.7: 97.0}


def test_it_takes_the_most_accurate_network_and_the_largest_rate_that_costs_little() -> None:
    # 99, 98.6, 98.2, 97.8, ...: the third step costs 1.2
    stand_in = StandIn(THREE, lambda rate: 99 - 4 * rate)
    found = stand_in.search(1.0, 0.1)
    assert (found.train_rate, found.test_rate, found.broken) == (0.5, 0.2, True)
    assert found.candidates == THREE
    assert stand_in.trained == [0.3, 0.5, 0.7]
    # the network is fixed, and nothing is evaluated beyond the first rate that costs too much
    assert stand_in.evaluated == [(0.5, 0.0), (0.5, 0.1), (0.5, 0.2), (0.5, 0.3)]
    assert found.trace == [(rate, 99 - 4 * rate) for _, rate in stand_in.evaluated]


def test_it_stops_at_the_first_rate_that_costs_too_much_although_a_later_one_would_not() -> None:
    stand_in = StandIn(THREE, lambda rate: 90.0 if rate == 0.2 else 99.0)
    assert stand_in.search(1.0, 0.1).test_rate == 0.1
    assert stand_in.evaluated[-1] == (0.5, 0.2)


def test_no_dropout_is_the_answer_where_the_first_step_costs_too_much() -> None:
    stand_in = StandIn(THREE, lambda rate: 99.0 if rate == 0 else 90.0)
    found = stand_in.search(1.0, 0.1)
    assert (found.test_rate, found.broken) == (0.0, True)
    assert stand_in.evaluated == [(0.5, 0.0), (0.5, 0.1)]


@pytest.mark.parametrize(
    ("step", "visited"),
    [(0.3, [0.3, 0.6, 0.9]), (0.25, [0.25, 0.5, 0.75]), (0.1, [k / 10 for k in range(1, 10)]), (0.7, [0.7])],
)
def test_it_never_reaches_1_however_little_dropout_costs(step: float, visited: list[float]) -> None:
    stand_in = StandIn(THREE, lambda rate: 99.0)
    found = stand_in.search(1.0, step)
    # exactly the rates that a person would write: another last bit would be another cell
    assert [rate for _, rate in stand_in.evaluated] == [0.0, *visited]
    assert (found.test_rate, found.broken) == (visited[-1], False)


def test_a_loss_of_exactly_what_is_allowed_is_too_much() -> None:
    # "while a > a_max - epsilon"; in floating point the first difference is below 0.3, the second above 0.1
    for best, under, loss in ((99.0, 98.7, 0.3), (97.6, 97.5, 0.1)):
        assert best - under != loss
        stand_in = StandIn({0.3: best}, lambda rate, under=under: under if rate >= 0.2 else under + 0.01)
        assert stand_in.search(loss, 0.1).test_rate == 0.1


def test_of_equally_accurate_networks_the_first_is_taken() -> None:
    assert StandIn({0.7: 99.0, 0.3: 99.0}, lambda rate: 99.0).search(1.0, 0.5).train_rate == 0.7


@pytest.fixture
def bench_search(output_dir: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs ``python -m bench search`` in this process, into the shared folder."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        status = 0
        try:
            main(["search", f"output_dir={output_dir}", *arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


# every second step of the rate, from a network that is poor enough to lose by it
SEARCH = (*QUICK, "--train-rates", "0.3", "0.6", "--step", "0.2", "--max-loss", "2")


def test_its_trace_is_what_the_records_say(bench_search: Callable[..., Outcome], output_dir: Path) -> None:
    outcome = bench_search(*SEARCH, "name=traced")
    assert outcome.status == 0, outcome.err
    folder, store = output_dir / "traced", Store(output_dir / "store")
    trace = pd.read_csv(folder / "trace.csv")
    result = json.loads((folder / "result.json").read_text())
    kept = [store.read(key) for key in trace["key"]]
    assert [r["config"]["test_rate"] for r in kept] == [0.0, 0.2, 0.4, 0.6, 0.8][: len(trace)]
    for column, metric in (("clean_accuracy_pct", "clean_accuracy"), ("fresh_success_pct", "fresh_success")):
        assert list(trace[column]) == pytest.approx([100 * r["metrics"][metric]["mean"] for r in kept])
    # the requirement holds for every rate but the last, which is why it is the last
    best = 100 * kept[0]["metrics"]["clean_accuracy_no_scheme"]["mean"]
    losses = best - trace["clean_accuracy_pct"]
    assert (losses[:-1] < 2).all()
    assert losses.iloc[-1] >= 2
    assert result["stopped_by"] == "max_loss"
    assert result["test_rate"] == trace["test_rate"].iloc[-2]
    assert result["fresh_success_pct"] == trace["fresh_success_pct"].iloc[-2]
    assert result["undefended"]["clean_accuracy_pct"] == trace["clean_accuracy_pct"][0] == best
    # the network is the more accurate one, as its own cell says as well
    candidates = {c["train_rate"]: c["accuracy_pct"] for c in result["candidates"]}
    assert set(candidates) == {0.3, 0.6}
    assert result["train_rate"] == max(candidates, key=lambda rate: candidates[rate])
    assert set(trace["train_rate"]) == {result["train_rate"]}
    assert result["accuracy_without_scheme_pct"] == candidates[result["train_rate"]] == pytest.approx(best)
    assert (folder / "trace.png").stat().st_size > 1000
    assert f"train_rate={result['train_rate']:g} test_rate={result['test_rate']:g}" in outcome.out


def test_a_second_search_computes_nothing(
    bench_search: Callable[..., Outcome], output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench_search(*SEARCH, "name=traced").status == 0
    trace = (output_dir / "traced" / "trace.csv").read_text()
    records = {p: p.stat().st_mtime_ns for p in (output_dir / "store").glob("*/*.json")}
    # an attack would be followed by its evaluation
    monkeypatch.delattr(passes, "fresh_draws")
    again = bench_search(*SEARCH, "name=again")
    assert again.status == 0, again.err
    assert (output_dir / "again" / "trace.csv").read_text() == trace
    assert {p: p.stat().st_mtime_ns for p in (output_dir / "store").glob("*/*.json")} == records


def test_an_interrupted_search_keeps_what_it_has(
    bench_search: Callable[..., Outcome], output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ran = cell.run, []

    def interrupted(ready: cell.Cell) -> dict:
        if ran:
            raise KeyboardInterrupt
        ran.append(run(ready))
        return ran[0]

    monkeypatch.setattr(cell, "run", interrupted)
    outcome = bench_search(*SEARCH, "name=interrupted", "seed=5")
    assert outcome.status == 130
    assert outcome.err.startswith("interrupted: ")
    record = Store(output_dir / "store").done(ran[0]["key"])
    assert record is not None
    assert record["config"]["test_rate"] == 0.0


def test_a_cell_that_fails_ends_the_search_with_its_reason(
    bench_search: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(passes, "fresh_draws")
    outcome = bench_search(*SEARCH, "name=failing", "seed=6")
    assert outcome.status == 1
    assert outcome.err.startswith("error: train_rate=")
    assert "test_rate=0: AttributeError: " in outcome.err


def test_bad_settings_get_one_line_and_no_training(
    bench_search: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*args: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(kept, "trained", trained)
    cases = {
        ("--step", "0"): "--step: expected a number in [0.001, 1), got 0",
        ("--step", "1"): "--step: expected a number in [0.001, 1), got 1",
        ("--max-loss", "0"): "--max-loss: expected points of accuracy over 0, got 0",
        ("--max-loss", "nan"): "--max-loss: expected points of accuracy over 0, got nan",
        ("--train-rates", "0.3", "1"): "--train-rates: expected a rate in [0, 1), got 1.0",
        ("scheme=none",): "scheme: none has no site, so that there is no rate to search for",
        (
            "scheme=sap",
        ): "scheme: at site conv of sap more draws per activation is weaker, and the search raises",
        ("scheme=fc",): "scheme.sites.fc: four_conv has no such site; allowed: ",
        ("train_rate=0.3",): "train_rate: it is what is searched for; leave it out, and see --train-rates",
        ("test_rate=0.3",): "test_rate: it is what is searched for; leave it out, and see --step",
        ("sampels=3",): "sampels: no such key; allowed: dataset, model",
        ("attack=deepfool", "criterion=targeted"): "attack deepfool can't serve targeted",
        ("attack=nope",): "attack=nope: no such choice; allowed: ",
        ("samples=501",): "samples: digits has 500 test images, got 501",
    }
    for arguments, words in cases.items():
        outcome = bench_search(*QUICK, *arguments)
        assert outcome.status == 2, arguments
        (line,) = outcome.err.strip().splitlines()
        assert line.startswith("error: "), line
        assert words in line, (arguments, line)


def test_a_scheme_of_the_users_own_folder_is_searched(
    bench_search: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "my files" / "scheme").mkdir(parents=True)
    (tmp_path / "my files" / "scheme" / "mine.yaml").write_text("sites:\n  fc1: 0.5\n  fc9: 0.5\n")
    outcome = bench_search(*QUICK, "--config-dir", str(tmp_path / "my files"), "scheme=mine")
    # it is found, and looked at
    assert outcome.status == 2
    assert outcome.err.startswith("error: scheme.sites.fc9: four_conv has no such site; allowed: input, conv")
    outcome = bench_search(*QUICK, "--config-dir", str(tmp_path / "nowhere"), "scheme=mine")
    assert outcome.err == f"error: --config-dir: no folder {tmp_path / 'nowhere'}\n"
    outcome = bench_search(*QUICK, "--step", "much")
    assert (outcome.status, outcome.err) == (2, "error: argument --step: invalid float value: 'much'\n")
