"""The comparison with other libraries: what it counts, how it judges, and that absent ones don't matter."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parent.parent / "scripts" / "benchmark_attacks.py"
    spec = importlib.util.spec_from_file_location("benchmark_attacks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TwoPixels(nn.Module):
    """Two classes that lead by the first and the second pixel."""

    def forward(self, x):
        return x.flatten(1)[:, :2] * 1.0


@pytest.fixture
def problem(script):
    x = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.2, 0.5], [0.6, 0.4, 0.5]])[:, None, None]
    return script.Problem(TwoPixels().eval(), x, torch.zeros(3, dtype=int), torch.ones(3, dtype=int))


def test_meter_counts_images_both_ways_and_the_time_inside(script, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(script.time, "perf_counter", lambda: clock[0])

    class Ticking(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            clock[0] += 2
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            clock[0] += 3
            return gradient

    class Network(nn.Module):
        def forward(self, x):
            return Ticking.apply(x).flatten(1)[:, :2] * 1.0

    network = Network()
    x = torch.rand(3, 1, 1, 3, requires_grad=True)
    with script.Meter(network) as meter:
        with torch.no_grad():
            network(x)
        logits = network(x)
        clock[0] += 100
        logits[:, 0].sum().backward(retain_graph=True)
        clock[0] += 100
        torch.autograd.grad(logits[:, 1].sum(), x)
    network(x)
    assert meter.forward == 6
    assert meter.backward == 6
    assert meter.seconds == 2 + 2 + 3 + 3
    np.testing.assert_array_equal(x.grad.flatten(1), [[1, 0, 0]] * 3)


def test_success_and_distance_are_judged_here(script, problem):
    found = problem.x.clone()
    found[0, ..., 0] = 0.0  # reached, at a distance of 0.9 and one pixel
    found[1, ..., 1] = 1.2  # would reach it, but outside the bounds
    for order, targeted, expected in ((2, True, 0.9), (0, False, 1.0)):
        task = script.Task(order, targeted, {})
        success, distance = script.judge(task, problem, found)
        assert success == pytest.approx(1 / 3)
        assert distance == np.inf
        _, distance = script.judge(task, problem.first(1), found[:1])
        assert distance == pytest.approx(expected)


def test_each_is_compared_with_this_projects_own(script):
    rows = pd.DataFrame(
        {
            "task": ["a", "a", "a", "b", "c", "c"],
            "library": ["bench", "one", "two", "one", "bench", "one"],
            "seconds": [1.0, 4.0, 0.5, 1.0, 2.0, np.nan],
            "distance": [2.0, 3.0, np.inf, 1.0, np.inf, np.inf],
        }
    )
    compared = script.compare(rows)
    np.testing.assert_array_equal(compared["x seconds"], [1, 4, 0.5, np.nan, 1, np.nan])
    np.testing.assert_array_equal(compared["x distance"], [1, 1.5, np.inf, np.nan, np.nan, np.nan])


def test_command_lists_what_is_missing_and_measures_the_rest(script, problem, tmp_path, monkeypatch, capsys):
    def absent(p):
        importlib.import_module("no_such_library")

    def broken(p):
        raise RuntimeError("no good\nat all")

    monkeypatch.setattr(script, "load_problem", lambda overrides, images, seed: problem.first(images))
    monkeypatch.setitem(script.TASKS["deepfool"].libraries, "absent", absent)
    monkeypatch.setitem(script.TASKS["deepfool"].libraries, "broken", broken)
    script.main(
        [
            *("--images", "3", "--folder", str(tmp_path)),
            *("--tasks", "deepfool", "gradient sign, smallest"),
            *("--libraries", "bench", "Foolbox", "absent", "broken"),
        ]
    )
    table = pd.read_csv(tmp_path / "attacks.csv").set_index(["task", "library"])
    assert table.loc[("deepfool", "absent"), "status"] == "missing: No module named 'no_such_library'"
    assert table.loc[("deepfool", "broken"), "status"] == "failed: RuntimeError: no good"
    measured = table[table["status"] == "measured"]
    assert list(measured.index.get_level_values("library")) == ["bench", "Foolbox"] * 2
    assert (measured["success"] == 1).all()
    assert measured["in network"].between(0.001, 1).all()
    assert (measured["cpu seconds"] > 0).all()
    # half the gap of the middle image, over the root of two, with a small overshoot
    np.testing.assert_allclose(measured.loc["deepfool", "distance"], 0.6 / np.sqrt(2), rtol=0.03)
    assert (tmp_path / "attacks.png").stat().st_size > 10_000
    assert "no_such_library" in capsys.readouterr().out


def test_a_stopped_run_keeps_what_it_measured(script, problem, tmp_path, monkeypatch):
    def stopped(p):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "load_problem", lambda overrides, images, seed: problem)
    monkeypatch.setitem(script.TASKS["deepfool"].libraries, "stopped", stopped)
    with pytest.raises(KeyboardInterrupt):
        script.main(
            ["--folder", str(tmp_path), "--tasks", "deepfool", "--libraries", "bench", "Foolbox", "stopped"]
        )
    assert list(pd.read_csv(tmp_path / "attacks.csv")["library"]) == ["bench", "Foolbox"]


def test_problem_comes_from_the_harness(script, output_dir):
    p = script.load_problem(["training.epochs=1", f"output_dir={output_dir}"], images=20, seed=0)
    assert p.x.shape == (20, 1, 8, 8)
    assert (p.network(p.x).argmax(-1) == p.labels).all()
    assert (p.targets != p.labels).all()
    assert not any(parameter.requires_grad for parameter in p.network.parameters())
