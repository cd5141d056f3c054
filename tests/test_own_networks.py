"""Networks that draw by themselves, each by a few lines of YAML: what is found out of them, and what is measured."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import defences
import numpy as np
import pandas as pd
import pytest
import torch
from running import Run
from safetensors.torch import load_file
from torch import Tensor, nn

import bench
from bench import cell, cli, datasets, plan
from bench.composing import compose
from bench.defended import Behind, Defended
from bench.reader import Reader
from bench.results.store import Store

TRUSTED = "trusted_modules=[bench,foolbox,defences]"
QUICK = (
    "training.epochs=5", "training.learning_rate=1e-2", "attack=pgd", "attack.options.steps=5", "attack.epsilon=0.35",
    "samples=40", "evaluation.draws=60",
)  # fmt: skip
PASSES = 200
"""Of each image in a loop of its own."""


def set_all(net: nn.Module, **values: Any) -> None:
    for module in net.modules():
        for name, value in values.items():
            if hasattr(module, name):
                setattr(module, name, value)


def training(net: nn.Module, kind: type[nn.Module]) -> None:
    for module in net.modules():
        if isinstance(module, kind):
            module.train()


def mean_of(answers: list[Tensor]) -> Tensor:
    return torch.stack([one.softmax(-1) for one in answers]).mean(0)


# one answer of each network, drawn anew: in plain PyTorch, and with nothing of bench


def as_it_is(net: Any, x: Tensor) -> Tensor:
    return net(x)


def projected(net: Any, x: Tensor) -> Tensor:
    net.redraw()
    return net(x)


def first_of_two(net: Any, x: Tensor) -> Tensor:
    return net(x)[0]


def self_ensemble(net: Any, x: Tensor) -> Tensor:
    training(net, defences.TrainingNoise)
    # which writes into its images
    return mean_of([net(x.clone()) for _ in range(5)])


def stacked(net: Any, x: Tensor) -> Tensor:
    training(net, nn.Dropout)
    return mean_of(list(net(x).view(10, len(x), -1)))


def one_by_one(net: Any, x: Tensor) -> Tensor:
    training(net, nn.Dropout)
    return mean_of([net(x) for _ in range(10)])


def each_its_bits(net: Any, x: Tensor) -> Tensor:
    net.before.num_bits, net.between.num_bits = random.choices([1, 2, 3, 8], k=2)
    return net(x)


def bits_of_all(net: Any, x: Tensor) -> Tensor:
    set_all(net, num_bits=random.choices([1, 2, 8], [0.5, 0.3, 0.2])[0])
    return net(x)


def either(net: Any, x: Tensor) -> Tensor:
    net.active = random.choices([0, 1], [0.9, 0.1])[0]
    return net(x)


def as_likely(net: Any, x: Tensor) -> Tensor:
    net.active = random.choices([0, 1])[0]
    return net(x)


def vote(net: Any, x: Tensor) -> Tensor:
    net.sigma = 0.25
    return torch.stack([nn.functional.one_hot(net(x).argmax(-1), 10) for _ in range(10)]).sum(0)


def one_pass(net: Any, x: Tensor) -> Tensor:
    training(net, nn.Dropout)
    training(net, defences.TrainingNoise)
    net.sigma = 0.25
    return net(x.clone())


def whole(net: Any) -> nn.Module:
    return net


def quiet(**values: Any) -> Callable[[nn.Module], nn.Module]:
    def off(net: nn.Module) -> nn.Module:
        set_all(net, **values)
        return net

    return off


def without_sigma(net: Any) -> nn.Module:
    for layer in (net.one, net.two):
        layer.sigma_weight.data.fill_(-torch.inf)
    return nn.Sequential(net, _First())


class _First(nn.Module):
    def forward(self, given: tuple[Tensor, Tensor]) -> Tensor:
        return given[0]


@dataclass(frozen=True)
class Case:
    """A network, and how its randomness is said.

    Attributes:
        network: Its name in ``defences``.
        scheme: The scheme's YAML; empty for one of ``conf``.
        answer: One answer of the network in plain PyTorch, drawn anew: logits or probabilities.
        off: The network without its randomness, in plain PyTorch; None: there is none.
        shared_by: What a draw is shared by.
        outputs: Where its logits are, as the model's YAML says it.
        options: What it is made with.
        changes: Which tensors a pass changes; ``changes_off``: one of its twin.
        writes: Whether it writes into its images.
        smooth: Whether the gradient is that of its outputs, so that differences tell it, too.
        more: What is said on the command line.
        wrong: An answer that would come of a mistake, and has another success.
    """

    network: str
    scheme: str
    answer: Callable[[Any, Tensor], Tensor]
    off: Callable[[Any], nn.Module] | None
    shared_by: str
    outputs: Any = None
    options: Mapping[str, int] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    changes_off: tuple[str, ...] = ()
    writes: bool = False
    smooth: bool = True
    more: tuple[str, ...] = ()
    wrong: Callable[[Any, Tensor], Tensor] | None = None

    def made(self, state: Mapping[str, Tensor]) -> nn.Module:
        """The network with these weights, in evaluation mode."""
        net: nn.Module = getattr(defences, self.network)((1, 8, 8), 10, **self.options)
        net.load_state_dict(dict(state))
        return net.eval()


EPS = ("one.eps", "two.eps")
CASES = {
    "weight_noise": Case("WeightNoise", "on: {noise: true}\noff: {noise: false}\ntrain_draws: true\n", as_it_is, quiet(noise=False), "pass"),
    "mixed_noise": Case("MixedNoise", "own: true\noff: {noise: false, sd: 0}\ntrain_draws: true\n", as_it_is, quiet(noise=False, sd=0.0), "both"),
    "filters": Case("ProjectionFilters", "draw: redraw\ntrain_draws: true\n", projected, None, "pass", options={"drawn": 16}, changes=("conv.weight",)),
    "bayesian": Case("Bayesian", "off: {sigma_weight: -.inf}\ntrain_draws: true\n", first_of_two, without_sigma, "pass", 0, changes=EPS, changes_off=EPS),
    "self_ensemble": Case("SelfEnsemble", "train_mode: [defences.TrainingNoise]\noff: {}\npasses: 5\ntrain_draws: true\n", self_ensemble, whole, "image", writes=True, wrong=one_pass),
    "stacked": Case("Dropped", "train_mode: [torch.nn.Dropout]\noff: {}\n", stacked, lambda net: nn.Sequential(net, _Stacked()), "image", {"stacked": 10}),
    "mc_dropout": Case("Dropped", "", one_by_one, whole, "image", options={"draws": 1}, more=("scheme.passes=10",), wrong=one_pass),
    "bits": Case("Quantised", "choose: {num_bits: [1, 2, 3, 8]}\neach: true\noff: {num_bits: 16}\nstand_ins: {before: identity, between: identity}\n", each_its_bits, quiet(num_bits=16), "pass", smooth=False),
    "bits_of_all": Case("Quantised", "choose: {num_bits: [1, 2, 8]}\nprobabilities: [0.5, 0.3, 0.2]\noff: {num_bits: 16}\nstand_ins: {before: identity, between: identity}\n", bits_of_all, quiet(num_bits=16), "pass", smooth=False),
    "transformed": Case("Transformed", "own: true\noff: {on: false}\ntrain_draws: true\n", as_it_is, quiet(on=False), "both"),
    "one_of_two": Case("OneOfTwo", "choose: {active: [0, 1]}\nprobabilities: [0.9, 0.1]\noff: nets.0\ntrain_draws: true\n", either, lambda net: net.nets[0], "pass", wrong=as_likely),
    "smoothed": Case("Smoothed", "on: {sigma: 0.25}\noff: {sigma: 0}\npasses: 10\ncombine: vote\n", vote, whole, "image", smooth=False, wrong=one_pass),
}  # fmt: skip


class _Stacked(nn.Module):
    """Ten equal draws are one."""

    def forward(self, given: Tensor) -> Tensor:
        return given[: len(given) // 10]


every = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a user's own, and the folder that results go to."""
    folder = tmp_path_factory.mktemp("networks")
    for group in ("model", "scheme"):
        (folder / "my" / group).mkdir(parents=True)
    for name, case in CASES.items():
        said = {"options": case.options, "outputs": case.outputs}
        more = "".join(
            f"{key}: {json.dumps(value)}\n" for key, value in said.items() if value not in (None, {})
        )
        write(folder, f"model/{name}", f"_target_: defences.{case.network}\n{more}")
        if case.scheme:
            write(folder, f"scheme/{name}", case.scheme)
    write(folder, "model/plain", "_target_: defences.Plain\n")
    return folder


def write(folder: Path, name: str, text: str) -> None:
    (folder / "my" / f"{name}.yaml").write_text(text)


def given(folder: Path, name: str, *overrides: str) -> list[str]:
    """What is given on the command line for a case."""
    return [
        f"model={name}",
        f"scheme={name}",
        TRUSTED,
        *QUICK,
        f"output_dir={folder / 'out'}",
        *CASES[name].more,
        *overrides,
    ]


def ready(folder: Path, *arguments: str) -> plan.Cell:
    return plan.prepare(compose(arguments, folder / "my"))


_records: dict[tuple[Path, str], dict[str, Any]] = {}


def record_of(bench_run: Run, folder: Path, name: str, *overrides: str) -> dict[str, Any]:
    """The record of a case, run by the command."""
    asked = (folder, json.dumps([name, *overrides]))
    if asked not in _records:
        outcome = bench_run("--config-dir", str(folder / "my"), *given(folder, name, *overrides))
        assert outcome.status == 0, outcome.err
        record = Store(folder / "out" / "store").read(Path(outcome.out.strip().splitlines()[-1]).stem)
        assert record is not None
        _records[asked] = record
    return _records[asked]


def weights_of(folder: Path, record: Mapping[str, Any], twin: bool = False) -> dict[str, Tensor]:
    checkpoint = record["checkpoint"]["twin"] if twin else record["checkpoint"]
    return load_file(folder / "out" / "store" / "checkpoints" / f"{checkpoint['key']}.safetensors")


def digits_of_the_test() -> tuple[Tensor, Tensor]:
    data = datasets.load(datasets.digits, Path(), {"test_size": 500}, None)
    return torch.from_numpy(datasets.unit(data.x_test)), torch.from_numpy(data.y_test)


def lines_of_draws(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> list[str]:
    capsys.readouterr()
    cli.main(["ls", "draws", "--config-dir", str(folder / "my"), *arguments])
    return capsys.readouterr().out.splitlines()


SHARED = {
    "image": "each image has its own",
    "pass": "one for all images of a pass",
    "both": "partly one for all images of a pass, partly each image's own",
}


@every
def test_what_is_found_out_of_draws_is_printed_and_stands_in_the_record(
    name: str, bench_run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, store = CASES[name], folder / "out" / "store"
    before = {path for kind in ("samples", "records") for path in (store / kind).glob("*")}
    lines = lines_of_draws(capsys, folder, *given(folder, name))
    # nothing is attacked
    assert {path for kind in ("samples", "records") for path in (store / kind).glob("*")} == before
    assert lines[0].startswith(f"draws: {SHARED[case.shared_by]} (a part that is a pass's: p = ")
    changed = f"is changed by a pass: {', '.join(case.changes)}" if case.changes else "is left as it was"
    expected = [
        "seeds: two passes of one seed are equal",
        f"network: {changed}",
        f"images: are {'written into by a pass' if case.writes else 'left as they were'}",
        "batches: every size that was tried passes",
        "other images of a batch: change nothing of an image's logits",
        "gradient at the image: there, finite and not zero",
    ]
    assert lines[1:7] == expected
    if case.off is None:
        assert lines[7:] == [
            "twin: there is none, since nothing says how its randomness is switched off (scheme.off, scheme.twin)"
        ]
    else:
        changed = (
            f"is changed by a pass: {', '.join(case.changes_off)}"
            if case.changes_off
            else "is left as it was"
        )
        of_twin = ["draws: none, passes over the same images are equal", *expected]
        of_twin[2:4] = [f"network: {changed}", "images: are left as they were"]
        assert lines[7:] == [f"twin: {line}" for line in of_twin]

    record = record_of(bench_run, folder, name)
    drawn = record["draws"]
    assert (drawn["shared_by"], drawn["repeats"], drawn["changes_images"]) == (
        case.shared_by,
        True,
        case.writes,
    )
    assert tuple(drawn["changes"]) == case.changes
    assert (drawn["sizes"], drawn["company"], drawn["gradient"]) == ({}, False, "ok")
    assert ("twin" in drawn) == (case.off is not None) == (record["twin"] is not None)
    if case.off is not None:
        twin = drawn["twin"]
        assert (twin["shared_by"], tuple(twin["changes"]), twin["changes_images"]) == (
            "nothing",
            case.changes_off,
            False,
        )
    said = [words.partition(": ")[2] for words in record["warnings"]]
    assert any(words.startswith("images of a pass share a draw") for words in said) == (
        case.shared_by != "image"
    )
    assert any(words.startswith("a pass writes into its images") for words in said) == case.writes


@every
def test_success_on_fresh_draws_is_that_of_a_loop_in_plain_pytorch(
    name: str, bench_run: Run, folder: Path
) -> None:
    case, record = CASES[name], record_of(bench_run, folder, name)
    store = Store(folder / "out" / "store")
    samples = load_file(store.folder / record["samples"]["file"])
    net = case.made(weights_of(folder, record))
    images, labels = samples["perturbed"], samples["labels"]
    fooled = successes(net, case.answer, images, labels)
    found = record["metrics"]["fresh_success"]
    assert found["low"] <= fooled.mean() <= found["high"]
    # they are far closer than that, since images are the same: as two means of draws are
    looked = np.array(store.kept("looks", record["looks"]["fresh"]).values["by_draw"][0]) / len(labels)
    assert looked.mean() == pytest.approx(found["mean"])
    error = np.sqrt(fooled.var() / len(fooled) + looked.var() / len(looked))
    assert abs(fooled.mean() - found["mean"]) < 3.5 * error
    if case.wrong is not None:
        assert abs(successes(net, case.wrong, images, labels).mean() - found["mean"]) > 3.5 * error


def successes(
    net: nn.Module, answer: Callable[[Any, Tensor], Tensor], images: Tensor, labels: Tensor
) -> np.ndarray:
    """Which share of images fools each of some passes of all of them."""
    torch.manual_seed(1), np.random.seed(1), random.seed(1)  # noqa: NPY002
    with torch.no_grad():
        return np.array(
            [float((answer(net, images).argmax(-1) != labels).double().mean()) for _ in range(PASSES)]
        )


@every
def test_accuracy_without_a_scheme_is_that_of_the_network_switched_off(
    name: str, bench_run: Run, folder: Path
) -> None:
    case, record = CASES[name], record_of(bench_run, folder, name)
    if case.off is None:
        assert "clean_accuracy_no_scheme" not in record["metrics"]
        return
    images, labels = digits_of_the_test()
    net = case.off(case.made(weights_of(folder, record)))
    with torch.no_grad():
        right = net(images).argmax(-1) == labels
    assert record["metrics"]["clean_accuracy_no_scheme"]["mean"] == float(right.double().mean())
    # those are what is attacked
    assert record["images"]["indices"] == right.nonzero().flatten().tolist()[:40]


def restored(folder: Path, record: Mapping[str, Any]) -> Defended:
    reader = Reader(("bench", "foolbox", "defences"))
    return plan.restore(record, Store(folder / "out" / "store"), reader).defended


def gradients(
    defended: Defended, images: Tensor, weights: Tensor, as_it_is: bool = False
) -> tuple[Tensor, Tensor]:
    """The gradient of a sum of four passes, and the sum of the gradients of each of the four."""
    x = images.clone().requires_grad_()
    with defended.model(3, as_it_is=as_it_is) as model:
        (of_sum,) = torch.autograd.grad(sum((model(x) * weights).sum() for _ in range(4)), x)
    total = torch.zeros_like(images)
    for number in range(4):
        with defended.model(3, as_it_is=as_it_is) as model:
            for _ in range(number):
                model(images)
            total += torch.autograd.grad((model(x) * weights).sum(), x)[0]
    return of_sum, total


@every
def test_the_gradient_of_a_sum_of_passes_is_the_sum_of_their_gradients(
    name: str, bench_run: Run, folder: Path
) -> None:
    case, record = CASES[name], record_of(bench_run, folder, name)
    defended = restored(folder, record)
    defended.network.double()
    images = digits_of_the_test()[0][:6].double()
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(6, 10, generator=generator, dtype=torch.float64)
    of_sum, total = gradients(defended, images, weights)
    assert torch.allclose(of_sum, total, rtol=1e-9, atol=1e-12)
    assert float(total.abs().max()) > 0.01
    if case.smooth:
        # both might be wrong alike
        step = 1e-6 * torch.randn(images.shape, generator=generator, dtype=torch.float64)
        values = []
        for moved in (images + step, images - step):
            with defended.model(3) as model, torch.no_grad():
                values.append(sum(float((model(moved) * weights).sum()) for _ in range(4)))
        assert (values[0] - values[1]) / 2 == pytest.approx(float((total * step).sum()), rel=1e-5)


def test_without_copies_the_gradient_of_several_passes_is_another(bench_run: Run, folder: Path) -> None:
    """What each pass is given its own of: filters, buffers, images."""
    weights = torch.randn(6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = digits_of_the_test()[0][:6].double()
    torch.manual_seed(0)
    filters = defences.ProjectionFilters((1, 8, 8), 10, drawn=16).double()
    own = bench.Defended(filters, scheme=bench.Own(draw="redraw"))
    # a backward pass uses the last draw's filters for all
    of_sum, total = (one.flatten() for one in gradients(own, images, weights, as_it_is=True))
    assert float(torch.cosine_similarity(of_sum, total, dim=0)) == pytest.approx(0.5, abs=0.1)
    assert float((of_sum.sign() != total.sign()).double().mean()) == pytest.approx(1 / 3, abs=0.1)
    # with copies these are alike, and those that are right
    right, again = (one.flatten() for one in gradients(own, images, weights))
    assert torch.allclose(right, total)
    assert torch.allclose(again, total)
    # nor can what is written into have a gradient
    defended = restored(folder, record_of(bench_run, folder, "self_ensemble"))
    defended.network.double()
    with pytest.raises(RuntimeError, match="in-place operation"):
        gradients(defended, images, weights, as_it_is=True)


def test_values_are_chosen_for_each_module_and_with_their_probabilities(bench_run: Run, folder: Path) -> None:
    for name, shares, each in (("bits", [0.25] * 4, True), ("bits_of_all", [0.5, 0.3, 0.2], False)):
        defended = restored(folder, record_of(bench_run, folder, name))
        parts = [part for part in defended.network.modules() if isinstance(part, defences.Precision)]
        seen = bits_seen(parts)
        with defended.model(0) as model, torch.no_grad():
            for _ in range(1000):
                model(torch.zeros(1, 1, 8, 8))
        pairs = np.array(seen).reshape(1000, 2)
        values = [1, 2, 3, 8] if each else [1, 2, 8]
        for column in pairs.T:
            assert [float((column == v).mean()) for v in values] == pytest.approx(shares, abs=0.06)
        equal = float((pairs[:, 0] == pairs[:, 1]).mean())
        # two draws of four are equal once in four times
        assert equal == (pytest.approx(0.25, abs=0.06) if each else 1)
        # and what the class says is there again
        assert [part.num_bits for part in parts] == [16, 16]


def bits_seen(parts: list[defences.Precision]) -> list[int]:
    """To which the number of bits is added at each pass of each."""
    seen: list[int] = []
    for part in parts:
        part.register_forward_pre_hook(lambda module, inputs: seen.append(module.num_bits))
    return seen


AGAIN = """
import json, sys
from pathlib import Path
from bench import cell, plan
from bench.composing import compose
for arguments in json.loads(sys.argv[2]):
    print(json.dumps(cell.run(plan.prepare(compose(arguments, Path(sys.argv[1]))))))
"""


def without_times(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "seconds"}


def test_a_cell_gives_the_same_in_another_process_after_other_cells(
    bench_run: Run, folder: Path, tmp_path: Path
) -> None:
    first = {name: record_of(bench_run, folder, name) for name in CASES}
    # the networks, and nothing that was seen of them
    shutil.copytree(folder / "out" / "store" / "checkpoints", tmp_path / "out" / "store" / "checkpoints")
    order = list(reversed(CASES))
    asked = [given(folder, name, f"output_dir={tmp_path / 'out'}") for name in order]
    path = [str(Path(cell.__file__).parent.parent), str(Path(defences.__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(folder / "my"), json.dumps(asked)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    for name, line in zip(order, done.stdout.splitlines(), strict=True):
        assert without_times(json.loads(line)) == without_times(first[name]), name


def test_what_is_kept_is_found_again_without_a_pass(
    bench_run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    whole = Behind._pass
    monkeypatch.setattr(Behind, "_pass", lambda self, x: (passes.append(len(x)), whole(self, x))[1])
    for name in ("filters", "self_ensemble", "one_of_two"):
        record = record_of(bench_run, folder, name)
        copied = shutil.copytree(folder / "out", tmp_path / name)
        one = ready(folder, *given(folder, name, f"output_dir={copied}"))
        assert one.key == record["key"]
        passes.clear()
        assert cell.run(one) == record
        assert passes == []
        # of the record alone everything that it is joined from is there
        one.store.record_path(one.key).unlink()
        assert without_times(cell.run(one)) == without_times(record)
        assert passes == []
        # and that passes are counted here at all
        for path in (copied / "store" / "looks").glob("*"):
            path.unlink()
        one.store.record_path(one.key).unlink()
        assert without_times(cell.run(one)) == without_times(record)
        assert sum(passes) > 60 * 40


def test_settings_of_draws_share_no_key(folder: Path) -> None:
    asked = {
        "bits": (
            (), ("scheme.choose.num_bits=[1,2,3,7]",), ("scheme.choose.num_bits=[1,2,8,3]",), ("scheme.each=false",),
            ("scheme.probabilities=[0.4,0.3,0.2,0.1]",), ("scheme.probabilities=[0.1,0.2,0.3,0.4]",), ("scheme.off.num_bits=8",),
            ("scheme.off=null",), ("scheme.off=null", "scheme.twin=plain"), ("scheme.stand_ins.before=torch.nn.ReLU",), ("scheme.passes=2",),
            ("scheme.passes=2", "scheme.combine=vote"), ("scheme.passes=2", "scheme.combine=mean_logit"),
            ("scheme.on={num_bits: 3}",), ("scheme.train_mode=[before]",), ("scheme.train_draws=true",),
        ),
        "smoothed": ((), ("scheme.on.sigma=0.2",), ("scheme.passes=11",), ("scheme.combine=mean_probability",)),
        "one_of_two": ((), ("scheme.off=nets.1",), ("scheme.off={active: 1}",), ("scheme.off={active: 0}",)),
        "stacked": ((), ("scheme.train_mode=[dropout]",), ("scheme.combine=vote",), ("scheme.off=null",)),
        "filters": ((), ("scheme.draw=null", "scheme.on={drawn: 3}", "scheme.draw=defences.redrawn"),),
    }  # fmt: skip
    samples: dict[str, tuple[str, ...]] = {}
    for name, variants in asked.items():
        for overrides in variants:
            one = ready(folder, *given(folder, name, *overrides))
            said = json.dumps(one.samples, sort_keys=True)
            assert said not in samples, (overrides, samples[said])
            samples[said] = (name, *overrides)
            assert one.twin_identity != one.identity


def test_the_command_line_goes_before_a_file_s_on_and_off(folder: Path) -> None:
    """Which YAML reads as true and false there, and Hydra as words here."""
    write(folder, "scheme/switches", "on: {sigma: 0.2, sd: 1}\noff: {on: false, sigma: 0}\n")
    for overrides, on, off in (
        ((), {"sigma": 0.2, "sd": 1}, {"on": False, "sigma": 0}),
        (("scheme.on.sigma=0.3",), {"sigma": 0.3, "sd": 1}, {"on": False, "sigma": 0}),
        (("scheme.off.sigma=1", "scheme.off.more=2"), {"sigma": 0.2, "sd": 1}, {"on": False, "sigma": 1, "more": 2}),
        (("scheme.off.on=true",), {"sigma": 0.2, "sd": 1}, {"on": True, "sigma": 0}),
        (("scheme.off=null",), {"sigma": 0.2, "sd": 1}, None),
        (("scheme.off=nets.0", "scheme.on={sd: 3}"), {"sigma": 0.2, "sd": 3}, "nets.0"),
    ):  # fmt: skip
        scheme = compose(["scheme=switches", *overrides], folder / "my").scheme
        assert (scheme.on, scheme.off) == (on, off), overrides
    scheme = compose(["scheme=own", "scheme.off={sigma: 0}"]).scheme
    assert (scheme.on, scheme.off) == ({}, {"sigma": 0})
    scheme = compose(["scheme=none"]).scheme
    assert (scheme.on, scheme.off) == ({}, None)


TWINS = {
    "attributes": ("transformed", ()),
    "a tensor that is filled": ("bayesian", ()),
    "training mode alone": ("stacked", ()),
    "a submodule": ("one_of_two", ()),
    "another file": ("transformed", ("scheme.off=null", "scheme.twin=plain")),
    "none": ("transformed", ("scheme.off=null",)),
    "of stacked outputs, another file": ("stacked", ("scheme.off=null", "scheme.twin=plain")),
    "of several passes": ("self_ensemble", ()),
    "beside stand-ins": ("bits", ()),
}


@pytest.mark.parametrize("kind", TWINS)
def test_what_decides_a_twin_s_outputs_is_known_before_anything_runs(
    kind: str, bench_run: Run, folder: Path
) -> None:
    name, overrides = TWINS[kind]
    record = record_of(bench_run, folder, name, *overrides)
    twin = restored(folder, record).twin
    planned = ready(folder, *given(folder, name, *overrides)).twin_identity
    assert record["twin"] == planned == (None if twin is None else twin.identity)
    assert (planned is None) == (kind == "none")
    # and nothing that was seen of the one is taken for the other
    looks = record["looks"]
    assert len(set(looks.values())) == len(looks) == (2 if twin is None else 3)


def trained_alone(bench_run: Run, folder: Path) -> dict[str, Any]:
    """The record of the network that is twin of others, under no scheme."""
    return record_of(bench_run, folder, "transformed", "model=plain", "scheme=none")


def test_another_file_s_network_is_the_twin_and_trained_as_it_is_alone(bench_run: Run, folder: Path) -> None:
    for name in ("transformed", "weight_noise"):
        record = record_of(bench_run, folder, name, "scheme.off=null", "scheme.twin=plain")
        alone = trained_alone(bench_run, folder)
        twin = record["checkpoint"]["twin"]
        assert twin == alone["checkpoint"] != {k: record["checkpoint"][k] for k in ("key", "sha256")}
        # what was seen of it alone was not seen again
        assert record["looks"]["clean_no_scheme"] == alone["looks"]["clean"]
        measured = record["metrics"]["clean_accuracy_no_scheme"]
        assert measured == alone["metrics"]["clean_accuracy"]
        images, labels = digits_of_the_test()
        net = defences.Plain((1, 8, 8), 10)
        net.load_state_dict(weights_of(folder, record, twin=True))
        assert measured["mean"] == float((net(images).argmax(-1) == labels).double().mean())


def test_weights_from_a_file_are_the_twin_s_too(bench_run: Run, folder: Path) -> None:
    record = record_of(bench_run, folder, "transformed")
    file = folder / "out" / "store" / "checkpoints" / f"{record['checkpoint']['key']}.safetensors"
    arguments = [
        "--config-dir", str(folder / "my"), "model=transformed", "scheme=transformed", TRUSTED, "training=pretrained",
        f"training.weights={file}", "attack=fgsm", "samples=5", "evaluation.draws=5", f"output_dir={folder / 'out'}",
        "scheme.train_draws=false",
    ]  # fmt: skip
    keys = set()
    for more in ((), ("scheme.off=null", "scheme.twin=plain")):
        outcome = bench_run(*arguments, *more)
        assert outcome.status == 0, outcome.err
        found = Store(folder / "out" / "store").read(Path(outcome.out.strip().splitlines()[-1]).stem)
        assert found is not None
        # the one network switched off, and another of the same weights
        clean = "clean_accuracy_no_scheme"
        assert found["metrics"][clean] == record["metrics"][clean]
        sha256 = found["checkpoint"]["sha256"]
        assert (
            found["checkpoint"].get("twin", {}).get("sha256", sha256)
            == sha256
            == record["checkpoint"]["sha256"]
        )
        keys.add(found["samples"]["key"])
    assert len(keys) == 2


def test_without_a_twin_what_needs_one_is_empty_and_says_so(
    bench_run: Run, folder: Path, tmp_path: Path
) -> None:
    arguments = given(folder, "filters", f"output_dir={tmp_path}", "samples=5", "evaluation.draws=5")
    outcome = bench_run("-m", "--config-dir", str(folder / "my"), *arguments, "scheme=none,filters")
    # the network without a scheme is random nowhere, so that it can be asked for as well
    assert outcome.status == 0, outcome.err
    none, filters = pd.read_csv(tmp_path / "sweep" / "results.csv").to_dict("records")
    assert none["clean_accuracy_no_scheme_pct"] > 50
    assert pd.isna(filters["clean_accuracy_no_scheme_pct"])
    assert filters["clean_accuracy_pct"] > 50
    said = "scheme filters: there is no twin to compare with, since its randomness can't be switched off (scheme.off); attacked are images that it gets right on one draw"
    assert said in filters["warnings"]
    assert "twin" not in str(none["warnings"])


def test_a_network_draws_in_training_where_that_is_said(bench_run: Run, folder: Path) -> None:
    """Otherwise it is trained as its twin; and as under no scheme, where that has nothing set."""

    def checkpoint(name: str, *overrides: str) -> str:
        return ready(folder, *given(folder, name, *overrides)).checkpoint

    drawn, quiet = (checkpoint("transformed", f"scheme.train_draws={said}") for said in ("true", "false"))
    assert drawn != quiet
    state = {}
    for said in ("true", "false"):
        record = record_of(bench_run, folder, "transformed", f"scheme.train_draws={said}")
        assert record["checkpoint"]["key"] == (drawn if said == "true" else quiet)
        state[said] = weights_of(folder, record)
    alone = weights_of(folder, trained_alone(bench_run, folder))
    # of one seed, and the same arithmetic, as the network that has nothing random
    assert all(torch.equal(state["false"][name], alone[name]) for name in alone)
    assert not any(torch.equal(state["true"][name], alone[name]) for name in alone)

    # filters that are drawn in training are left as they were first
    first = defences.ProjectionFilters((1, 8, 8), 10, drawn=16)
    weights = {}
    for said in ("true", "false"):
        record = record_of(bench_run, folder, "filters", f"scheme.train_draws={said}")
        weights[said] = weights_of(folder, record)["conv.weight"]
    assert not torch.equal(weights["true"], weights["false"])
    assert first.conv.weight.shape == weights["true"].shape

    # what has nothing set for its twin is trained as under any other scheme
    assert checkpoint("mc_dropout") == checkpoint("mc_dropout", "scheme=none")
    assert (
        checkpoint("stacked")
        == checkpoint("stacked", "scheme=none")
        == checkpoint("stacked", "scheme.off=null")
    )
    assert checkpoint("bits") != checkpoint("bits", "scheme=none")


KEYS = "name, sites, operation, train_sites, passes, combine, own, draw, choose, probabilities, each, train_mode, on, off, twin, seeded, train_draws, stand_ins"
TYPOS = ("draws=redraw", "chose={num_bits: [4]}", "probability=[1]", "eahc=true", "train_modes=[fc1]", "onn={sigma: 1}", "of={sigma: 0}", "twins=plain", "seed=false", "train_drawn=true", "stand_in={fc1: identity}", "pass=3", "combined=vote", "own_=true")  # fmt: skip


def line_of(bench_run: Run, folder: Path, *arguments: str) -> str:
    """The one line that is said of bad settings, before anything was trained or written."""
    outcome = bench_run(
        "--config-dir", str(folder / "my"), TRUSTED, *arguments, f"output_dir={folder / 'bad'}"
    )
    assert outcome.status == 2, (arguments, outcome.err)
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("error: "), line
    assert not (folder / "bad" / "store").exists(), arguments
    return line.removeprefix("error: ")


@pytest.mark.parametrize("typo", TYPOS)
def test_a_typo_in_a_key_is_one_line_with_those_that_there_are(
    typo: str, bench_run: Run, folder: Path
) -> None:
    key = typo.partition("=")[0]
    line = line_of(bench_run, folder, "model=filters", "scheme=own", f"scheme.{typo}")
    assert line == f"scheme.{key}: no such key; allowed: {KEYS}"


BAD = [
    ("filters", "draw: redrow", "scheme.draw: no module has a method 'redrow'; did you mean redraw?"),
    ("bits", "draw: set_bits", "scheme.draw: no module has a method 'set_bits'; "),
    ("needy", "draw: redraw_by", "scheme.draw: redraw_by can't be called (missing a required argument: 'how'); name a function that is called with the network"),
    ("filters", "draw: os.system", "scheme.draw: os.system is outside trusted_modules (bench, foolbox, defences); add yours: "),
    ("filters", "draw: defences.nothing", "scheme.draw: "),
    ("filters", "draw: 5", "scheme.draw: "),
    ("bits", "choose: {num_bits: 4}", "scheme.choose.num_bits: expected a list of values, got 4"),
    ("bits", "choose: {num_bits: []}", "scheme.choose.num_bits: expected a list of values, got []"),
    ("bits", "choose: {num_bit: [4, 8]}", "scheme.choose.num_bit: no module has such an attribute; did you mean num_bits?"),
    ("bits", "choose: {num_bits: [4, 8]}\nprobabilities: [0.5, 0.6]", "scheme.probabilities: expected 2 numbers from 0 that sum to 1, got [0.5, 0.6]"),
    ("bits", "choose: {num_bits: [4, 8]}\nprobabilities: [1.5, -0.5]", "scheme.probabilities: expected 2 numbers from 0 that sum to 1, got [1.5, -0.5]"),
    ("bits", "choose: {num_bits: [4, 8]}\nprobabilities: [0.5, 0.3, 0.2]", "scheme.probabilities: expected 2 numbers from 0 that sum to 1, got [0.5, 0.3, 0.2]"),
    ("bits", "choose: {num_bits: [4, 8]}\nprobabilities: {bits: [0.5, 0.5]}", "scheme.probabilities: expected those of num_bits, got bits"),
    ("bits", "own: true\nprobabilities: [0.5, 0.5]", "scheme.probabilities: expected them by name, for 0 names of choose"),
    ("bits", "sites: {}\nprobabilities: [0.5, 0.5]", "scheme.probabilities: only where the network draws by itself; add own: true"),
    ("bits", "choose: {num_bits: [4, 8]}\neach: sometimes", "scheme.each: "),
    ("stacked", "train_mode: [torch.nn.Dropuot]", "scheme.train_mode: "),
    ("stacked", "train_mode: [torch.nn.BatchNorm2d]", "scheme.train_mode: no submodule is a BatchNorm2d; there are Dropout, Dropped, Linear"),
    ("stacked", "train_mode: [dropuot]", "scheme.train_mode: no submodule 'dropuot'; did you mean dropout?"),
    ("stacked", "train_mode: [os.path]", "scheme.train_mode: no submodule 'os.path'; "),
    ("stacked", "train_mode: [defences.pixels]", "scheme.train_mode: pixels is not a class of modules"),
    ("stacked", "train_mode: dropout", "scheme.train_mode: expected a list, [VALUE, ...]"),
    ("stacked", "train_mode: {dropout: true}", "scheme=bad: a list stands where names and values belong, or names and values where a list does; choose, on, stand_ins and sites take names and values, train_mode a list"),
    ("bits", "choose: [4, 8]", "scheme=bad: a list stands where names and values belong, or names and values where a list does; choose, "),
    ("bits", "choose: num_bits", "scheme.choose: expected names and values, {NAME: VALUE, ...}"),
    ("one_of_two", "choose: {active: [0, 1]}\noff: nosuch.path", "scheme.off: no submodule 'nosuch.path'; allowed: nets, nets.0, nets.0.fc1"),
    ("one_of_two", "choose: {active: [0, 1]}\noff: 3", "scheme.off: expected names and values, or a submodule's path, got 3"),
    ("one_of_two", "choose: {active: [0, 1]}\noff: {activ: 0}", "scheme.off.activ: no module has such an attribute; did you mean active?"),
    ("one_of_two", "choose: {active: [0, 1]}\noff: nets.0\ntwin: plain", "scheme.twin: scheme.off says already what the twin is; give one of them"),
    ("one_of_two", "choose: {active: [0, 1]}\ntwin: nosuch", "scheme.twin: nosuch: no such choice; allowed: "),
    ("one_of_two", "choose: {active: [0, 1]}\ntwin: 3", "scheme.twin: expected a file of conf/model, got 3"),
    ("one_of_two", "choose: {active: [0, 1]}\ntwin: weight_noise", "scheme.twin: the twin is random: two passes over the same images differ; name a network that is not, or leave twin out, and there is no twin"),
    ("weight_noise", "own: true\noff: {}", "scheme.off: the twin is random: two passes over the same images differ; switch off by attributes what draws, or name its submodule, or leave off out"),
    ("weight_noise", "on: {noise: true}\nstand_ins: {nosuch: identity}", "scheme.stand_ins: no submodule 'nosuch'; allowed: fc1, fc2"),
    ("weight_noise", "on: {noise: true}\nstand_ins: {fc1: os.system}", "scheme.stand_ins"),
    ("weight_noise", "on: {noise: true}\nstand_ins: {fc1: identiti}", "scheme.stand_ins.fc1: expected identity, or the dotted name of a module or a function, got identiti"),
    ("weight_noise", "on: {noise: true}\nstand_ins: {fc1: torch.nn.Linear}", "scheme.stand_ins.fc1: torch.nn.Linear can't be made (TypeError: "),
    ("weight_noise", "on: {noises: true}", "scheme.on.noises: no module has such an attribute; did you mean noise?"),
    ("weight_noise", "on: {alpha: much}", "scheme.on.alpha: is a tensor of torch.float32, which can't be filled by 'much' ("),
    ("weight_noise", "on: noise", "scheme.on: expected names and values, {NAME: VALUE, ...}"),
    ("weight_noise", "on: {noise: true}\npasses: 0", "scheme.passes: expected at least 1, got 0"),
    ("weight_noise", "on: {noise: true}\npasses: many", "scheme.passes: "),
    ("weight_noise", "on: {noise: true}\ncombine: votes", "scheme.combine: expected one of mean_probability, mean_logit, vote, got votes; did you mean vote?"),
    ("weight_noise", "on: {noise: true}\nseeded: maybe", "scheme.seeded: "),
    ("weight_noise", "sites: {}\ntrain_draws: true", "scheme.train_draws: only where the network draws by itself; add own: true"),
    ("weight_noise", "sites: {}\nseeded: false", "scheme.seeded: only where the network draws by itself; add own: true"),
    ("plain", "own: true", "scheme: nothing is random: passes over the same images are equal; say what draws (draw, choose, train_mode, on), or use scheme=none; scheme=mc_dropout is nn.Dropout on"),
    ("plain", "train_mode: [fc1]\noff: {}", "scheme: nothing is random: passes over the same images are equal; "),
]  # fmt: skip


@pytest.mark.parametrize(("model", "scheme", "words"), BAD)
def test_what_a_scheme_s_file_says_wrongly_is_one_line_before_anything_is_trained(
    model: str, scheme: str, words: str, bench_run: Run, folder: Path
) -> None:
    write(folder, "scheme/bad", scheme)
    write(folder, "model/needy", "_target_: defences.Needy\n")
    line = line_of(bench_run, folder, f"model={model}", "scheme=bad")
    assert line.startswith(words)


def test_a_network_that_is_random_though_nobody_said_so_is_refused(bench_run: Run, folder: Path) -> None:
    for name in ("weight_noise", "transformed", "bayesian"):
        line = line_of(bench_run, folder, f"model={name}", "scheme=none")
        assert line.startswith(f"model: {name} draws by itself although no site is random (")
        assert line.endswith(
            "; scheme=own is for a network that does, scheme=mc_dropout for one with nn.Dropout on"
        )
    # nor has every network what could be on
    line = line_of(bench_run, folder, "model=plain", "scheme=mc_dropout")
    assert line == "scheme.train_mode: no submodule is a _DropoutNd; there are Linear, Plain"
