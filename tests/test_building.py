"""A factory that changes its modules: every network has what was set for it, and no other's."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from owning import Own, writer
from running import Run

from bench import building

SOURCE = '''
import random
import numpy as np
import torch
from torch import nn

SCALE = 1
SEEN = []
TABLE = {"bits": 8}
RNG = np.random.default_rng(0)
NOISE = torch.zeros(3)
OWN = random.Random(1)
TORCHS = torch.Generator().manual_seed(1)

class Layer(nn.Module):
    count = 0

    def forward(self, x):
        return x * SCALE + TABLE["bits"] + Layer.count

class Steady(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1))

def steady():
    return Steady(64, 10)

def make(scale):
    global SCALE, ADDED
    SCALE = scale
    ADDED = 1
    SEEN.append(scale)
    TABLE["bits"] = scale
    RNG.normal()
    OWN.random()
    torch.rand(1, generator=TORCHS)
    NOISE.fill_(scale)
    Layer.count = scale
    layer = Layer()
    layer.weight = nn.Parameter(torch.randn(2))
    layer.drawn = (np.random.rand(), random.random())  # noqa: NPY002
    return layer

def fails():
    global SCALE
    SCALE = 7
    raise ValueError("no")

class Random(nn.Module):
    """Logits times a scale that is a global, as the factory sets it."""

    def __init__(self, shape, classes):
        super().__init__()
        self.fc = nn.Linear(shape[1] * shape[2], classes)

    def forward(self, x):
        logits = self.fc(x.flatten(1))
        return logits if self.training else logits + SCALE * torch.randn_like(logits)

def noisy(shape, classes, scale):
    global SCALE
    SCALE = scale
    return Random(shape, classes)

def quiet(network):
    assert SCALE > 1, "the network's own module has the scale that it was made with"
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    with writer(tmp_path, monkeypatch) as write:
        yield write


def test_each_network_keeps_the_globals_that_it_was_made_with(own: Own) -> None:
    module, _ = own("altering", SOURCE)
    one, two, three = (building.alone(module.make, {"scale": scale}) for scale in (2, 3, 1))
    x = torch.ones(1)
    assert [float(n(x)) for n in (one, two, three)] == [6, 9, 3]
    # and the module itself is as before
    assert (module.SCALE, module.SEEN, module.TABLE, module.Layer.count) == (1, [], {"bits": 8}, 0)
    assert not hasattr(module, "ADDED")
    assert not module.NOISE.any()
    assert module.RNG.normal() == np.random.default_rng(0).normal()
    assert module.OWN.random() == random.Random(1).random()
    expected = torch.rand(1, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.rand(1, generator=module.TORCHS), expected)
    assert sys.modules["altering"] is module
    assert float(module.Layer()(x)) == 9


def test_a_factory_that_changes_nothing_is_called_in_its_own_module(own: Own) -> None:
    module, _ = own("altering", SOURCE)
    assert type(building.alone(module.steady, {})) is module.Steady
    assert type(building.alone(module.Steady, {"in_features": 64, "out_features": 2})) is module.Steady


def test_the_network_is_made_of_the_draws_of_the_first_call(own: Own) -> None:
    module, _ = own("altering", SOURCE)

    def seeded() -> None:
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        random.seed(5)

    seeded()
    expected = torch.randn(2), (np.random.rand(), random.random())  # noqa: NPY002
    seeded()
    made = building.alone(module.make, {"scale": 2})
    assert torch.equal(made.weight, expected[0])
    assert made.drawn == expected[1]


def test_a_factory_that_fails_leaves_its_module_as_it_was(own: Own) -> None:
    module, _ = own("altering", SOURCE)
    with pytest.raises(ValueError, match="no"):
        building.alone(module.fails, {})
    assert module.SCALE == 1


def test_other_modules_of_its_package_are_its_own_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "defence"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "state.py").write_text("BITS = 8\n")
    (package / "nets.py").write_text(
        "from torch import nn\nfrom defence import state\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        return x * state.BITS\n"
        "def make(bits):\n    state.BITS = bits\n    return Net()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import defence.nets  # type: ignore[import-not-found]

    one, two = (building.alone(defence.nets.make, {"bits": bits}) for bits in (2, 3))
    assert [float(n(torch.ones(1))) for n in (one, two)] == [2, 3]
    assert defence.nets.state.BITS == 8
    for name in [n for n in sys.modules if n.partition(".")[0] == "defence"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_sweep_over_such_a_factory_gives_what_each_cell_gives_alone(
    own: Own, bench_run: Run, tmp_path: Path
) -> None:
    model = "_target_: altering.noisy\noptions: {{scale: {}}}\n"
    scheme = "draw: altering.quiet\n"
    _, found = own(
        "altering", SOURCE, **{"model/a": model.format(1.5), "model/b": model.format(3), "scheme/s": scheme}
    )
    quick = (
        "scheme=s",
        "attack=fgsm_fixed",
        "samples=20",
        "training.epochs=60",
        "evaluation.draws=5",
        *found,
    )
    both = bench_run("-m", "model=a,b", "transfer=false", *quick, f"output_dir={tmp_path / 'both'}")
    assert both.status == 0, both.err
    frame = pd.read_csv(tmp_path / "both" / "sweep" / "results.csv").set_index("model")
    for name in "ba":
        outcome = bench_run(
            "-m", f"model={name}", "transfer=false", *quick, f"output_dir={tmp_path / name}", f"name={name}"
        )
        assert outcome.status == 0, outcome.err
    alone = [pd.read_csv(tmp_path / n / n / "results.csv").set_index("model") for n in "ab"]
    columns = ["clean_accuracy_pct", "fresh_success_pct", "claimed_success_pct"]
    pd.testing.assert_frame_equal(frame[columns], pd.concat(alone)[columns])
    # the noise of the one drowns everything
    assert frame["clean_accuracy_pct"]["a"] > 5 + frame["clean_accuracy_pct"]["b"]
