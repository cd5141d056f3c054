"""A network, weights and data of somebody's own: one YAML file each, and a line where they don't fit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from owning import Own, writer
from safetensors.torch import save_file
from torch import nn

from bench import cell, listing, parts, plan
from bench.checks import ConfigError, NotApplicable
from bench.composing import compose
from bench.datasets import digits

MEAN, STD = 0.3, 0.4
NETS = """
import torch
from torch import nn

class Net(nn.Module):
    '''Knows of nothing but its own width.'''
    def __init__(self, width=16, form="tensor"):
        super().__init__()
        self.form = form
        if form == "a GPU":
            raise AssertionError("Torch not compiled with CUDA enabled")
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU())
        self.fc = nn.Linear(width, 12)
        self.never = nn.ReLU()
        self.pair = Pair()

    def forward(self, x):
        h = self.body(x)
        z = self.fc(self.pair(h)[0])
        if self.form == "cuda":
            return z.cuda()
        if self.form == "one row":
            return z[:1]
        return {"tensor": z, "soft": z.softmax(1), "dict": {"scores": z, "h": h}}[self.form]

    @classmethod
    def made(cls, width):
        return cls(width)

class Pair(nn.Module):
    def forward(self, x):
        return x, x

def wrapped(width=16):
    return nn.DataParallel(Net(width))
"""
MODEL = f"""
_target_: nets.Net
sites: {{input: "", hidden: body.2}}
preprocessing: {{mean: {MEAN}, std: {STD}}}
"""
MIXED = """
sites:
  input: {operation: noise, rate: 0.05}
  hidden: 0.5
"""
FILES = {
    "model/net": MODEL,
    "model/made": MODEL.replace("nets.Net", "nets.Net.made") + "options: {width: 16}\n",
    "model/wrapped": MODEL.replace("nets.Net", "nets.wrapped"),
    "scheme/hidden": "sites: {hidden: 0.5}\n",
    "scheme/mixed": MIXED,
    "dataset/test_alone": "_target_: bench.datasets.npz\noptions: {file: test.npz}\n",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    with writer(tmp_path, monkeypatch) as write:
        yield write


class Mine:
    """A trained network in a file, half the digits as a test set, and settings that name both."""

    def __init__(self, folder: Path, own: Own):
        module, self.found = own("nets", NETS, **FILES)
        data = digits(Path(), test_size=500)
        torch.manual_seed(0)
        self.net = module.Net()
        images, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
        optimizer = torch.optim.Adam(self.net.parameters(), 1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(self.net((images - MEAN) / STD), labels).backward()
            optimizer.step()
        self.folder, self.weights = folder, folder / "net.safetensors"
        save_file(self.net.state_dict(), self.weights)
        # classes 3 and 7 are missing: gaps are the network's business
        seen = ~np.isin(data.y_test, (3, 7))
        self.x, self.y = data.x_test[seen], data.y_test[seen]
        np.savez(folder / "test.npz", x_test=self.x, y_test=self.y)

    def right(self, preprocessed: bool = True) -> float:
        """Its accuracy in %, by plain PyTorch."""
        x = torch.from_numpy(self.x)
        outputs = self.net((x - MEAN) / STD if preprocessed else x)
        return 100 * float((outputs.argmax(1).numpy() == self.y).mean())

    def cell(self, *overrides: str) -> plan.Cell:
        given = [
            "model=net", "training=pretrained", f"training.weights={self.weights}", "dataset=test_alone", f"data_dir={self.folder}",
            "samples=6", "evaluation.draws=3", f"output_dir={self.folder / 'out'}",
        ]  # fmt: skip
        names = {o.partition("=")[0] for o in overrides}
        return plan.prepare(
            compose([*(g for g in given if g.partition("=")[0] not in names), *overrides, *self.found])
        )

    def refused(self, *overrides: str) -> str:
        with pytest.raises(ConfigError) as refused:
            self.cell(*overrides)
        assert "\n" not in str(refused.value)
        return str(refused.value)


@pytest.fixture
def mine(tmp_path: Path, own: Own) -> Mine:
    return Mine(tmp_path, own)


def test_weights_of_ones_own_are_evaluated_as_they_are(mine: Mine) -> None:
    ready = mine.cell("scheme=hidden", "attack=pgd")
    record = cell.run(ready)
    assert (record["status"], ready.classes, ready.trains) == ("ok", 12, None)
    assert 100 * record["metrics"]["clean_accuracy_no_scheme"]["mean"] == pytest.approx(mine.right())
    assert mine.right() > 85
    # nothing was trained, and no second copy of the weights is kept
    assert not list((mine.folder / "out").glob("**/checkpoints/*"))
    # found again from the record alone, and the very same file
    restored = plan.restore(record, ready.store, reader(mine))
    for name, value in mine.net.state_dict().items():
        assert torch.equal(restored.defended.network.state_dict()[name], value)
    assert cell.run(ready) == record
    first = mine.cell("scheme=hidden", "attack=fgsm_fixed")
    torch.save(
        {"state_dict": {f"module.{n}": v for n, v in mine.net.state_dict().items()}}, mine.folder / "net.pt"
    )
    same = mine.cell("scheme=hidden", "attack=fgsm_fixed", f"training.weights={mine.folder / 'net.pt'}")
    assert same.samples == first.samples
    # other weights under this name are another network
    with torch.no_grad():
        mine.net.fc.bias += 1
    save_file(mine.net.state_dict(), mine.weights)
    assert mine.cell("scheme=hidden", "attack=fgsm_fixed").samples != first.samples
    with pytest.raises(Exception, match="not the weights that record"):
        plan.restore(record, ready.store, reader(mine))


def reader(mine: Mine) -> object:
    from bench.reader import Reader

    return Reader(("bench", "foolbox", "nets"), str(mine.folder))


def test_published_accuracy_that_is_far_off_is_one_line(mine: Mine) -> None:
    accuracy, raw = mine.right(), mine.right(preprocessed=False)
    assert cell.run(mine.cell(f"training.clean_pct={accuracy - 1.9}"))["status"] == "ok"
    record = cell.run(mine.cell(f"training.clean_pct={accuracy - 2.1}"))
    assert record["status"] == "failed"
    assert record["reason"].startswith(
        f"training.clean_pct: {accuracy - 2.1:g} % as published, measured {accuracy:.1f} % ["
    )
    assert f"; without preprocessing {raw:.1f} %; " in record["reason"]
    assert mine.refused("training.clean_pct=101") == "training: expected clean_pct from 0 to 100, got 101"


def test_a_scheme_may_do_different_things_at_different_sites(mine: Mine) -> None:
    ready = mine.cell("scheme=mixed")
    assert {site: (type(o).__name__, rate) for site, (o, rate) in ready.scheme.items()} == {
        "input": ("Noise", 0.05),
        "hidden": ("Dropout", 0.5),
    }
    assert [paths for paths, _, _ in ready.identity["acting"]] == [["body.2"], [""]]
    assert cell.run(ready)["metrics"]["fresh_draws"] == 3
    for override, words in (
        ("test_rate=0.2", "test_rate: the sites of scheme mixed have different operations; use null, and scheme.sites.SITE.rate"),
        ("train_rate=0.2", "train_rate: the sites of scheme mixed have different operations"),
        ("scheme.sites.input.rate=-1", "scheme.sites.input.rate: expected a standard deviation of at least 0, got -1"),
        ("scheme.sites.hidden=1.5", "scheme.sites.hidden: expected a rate in [0, 1), got 1.5"),
        ("scheme.sites.input.operation=niose", "scheme.sites.input.operation: expected one of dropout, noise, activation_pruning, resize_pad, got niose; did you mean noise?"),
        ("scheme.sites.input.rat=1", "scheme.sites.input: expected one of operation, rate, got rat"),
    ):  # fmt: skip
        assert words in mine.refused("scheme=mixed", override)


def test_pairs_that_can_not_be_are_told_from_mistakes(mine: Mine) -> None:
    for overrides, words in (
        (("scheme=fc",), "scheme.sites.fc: net has no such site; allowed: input, hidden"),
        (("scheme=hidden", "train_rate=0.5"), "train_rate: pretrained fits nothing; use null"),
    ):
        with pytest.raises(NotApplicable) as hole:
            mine.cell(*overrides)
        assert str(hole.value) == words
    assert mine.refused("training.epochs=3") == "training.epochs: pretrained fits nothing; leave it out"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("+model.sites.other=body.3",), "model.sites.other: no submodule 'body.3'; did you mean body.2 or body.1 or body.0?"),
        (("+model.sites.other=never",), "model.sites.other: submodule 'never' of net is never reached in a pass; some that are: body"),
        (("+model.sites.other=pair",), "model.sites.other: submodule 'pair' of net gives tuple, expected a tensor"),
        (("+model.sites.other=null",), "model.sites.other: expected a path of a submodule, or several, got None"),
        (("training.weights=5",), "training: expected weights to name a file, or one for each submodule, got 5"),
        (("training.weights={bodi: x.pt}",), "training.weights: Net has no submodule bodi; allowed: body"),
        (("+model.options.form=dict",), "model: net gives dict of scores, h, expected a tensor of logits (batch, classes): say where they are by model.outputs"),
        (("+model.options.form=dict", "model.outputs=logits"), "model.outputs: the network gives dict, in which there is no 'logits'"),
        (("model.outputs={from: fd}",), "model.outputs: no submodule 'fd'; did you mean fc?"),
        (("+model.options.form=one row",), "model: net gives torch.float32 of shape (1, 12) for 3 images"),
        (("+model.options.form=a GPU",), "Torch not compiled with CUDA enabled; it asks for a GPU itself, and there is none here"),
        (("+model.options.form=cuda",), "it asks for a GPU itself, and there is none here"),
        (("model.preprocessing={mean: [1, 2, 3], std: 1}",), "model.preprocessing: 3 channels, and images of test_alone have 1"),
        (("model.preprocessing={mean: 0.5, std: 0}",), "model.preprocessing: expected a std over 0, got 0"),
        (("+model.options.widht=3",), "model.options.widht: Net takes no such option; allowed: width, form"),
        (("+model.options.width=9",), "training.weights: "),
        (("training.weights=nowhere.pt",), "training.weights: nowhere.pt: "),
        (("training=standard", "training.weights=null"), "training.weights: Standard takes no such option"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_before_anything_runs(
    mine: Mine, overrides: tuple[str, ...], words: str
) -> None:
    assert words in mine.refused(*overrides)


def test_memory_that_runs_out_in_training_names_the_size_of_its_batches(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(cell.kept, "fit", full)
    _, found = own("nets", NETS, **{"model/wide": "_target_: nets.Net\nsites: {}\n"})
    record = cell.run(plan.prepare(compose(["model=wide", f"output_dir={tmp_path / 'out'}", *found])))
    said = "out of memory with training.batch_size 128: set a lower one (CUDA out of memory.)"
    assert record["reason"] == said


def test_a_label_beyond_the_outputs_is_one_line(mine: Mine) -> None:
    np.savez(mine.folder / "test.npz", x_test=mine.x, y_test=np.where(mine.y == 9, 12, mine.y))
    assert mine.refused() == "dataset=test_alone: label 12 found, and net has 12 outputs, 0 to 11"


def test_a_network_comes_from_a_method_a_wrapper_or_whatever_makes_one(mine: Mine) -> None:
    expected = mine.cell().samples["defended"]["network"]
    for model in ("made", "wrapped"):
        ready = mine.cell(f"model={model}")
        network = parts.behind(
            ready.config, plan.kept.foreign(ready.training, (1, 8, 8), torch.device("cpu")).network, {}
        )
        with network.model(0) as model_:
            x = torch.from_numpy(mine.x)
            assert torch.equal(model_(x), mine.net((x - MEAN) / STD))
        assert ready.samples["defended"]["network"] != expected


def test_probabilities_are_said_and_a_submodule_s_outputs_taken_instead(mine: Mine) -> None:
    soft = cell.run(mine.cell("+model.options.form=soft", "attack=deepfool"))
    assert [
        w for w in soft["warnings"] if "look like probabilities" in w and "model.outputs={from: PATH}" in w
    ]
    taken = cell.run(mine.cell("+model.options.form=soft", "model.outputs={from: fc}", "attack=deepfool"))
    plain = cell.run(mine.cell("attack=deepfool"))
    assert taken["warnings"] == plain["warnings"] == []
    assert taken["metrics"] == plain["metrics"]
    assert taken["samples"]["sha256"] == plain["samples"]["sha256"] != soft["samples"]["sha256"]


def test_ls_sites_prints_paths_and_shapes(mine: Mine) -> None:
    config = compose(
        [
            "model=net", "+model.sites.again=body.2", "+model.sites.lost=body.9",
            "dataset=test_alone", f"data_dir={mine.folder}", *mine.found,
        ]
    )  # fmt: skip
    lines = listing.sites(config).splitlines()
    assert lines[0].split() == ["path", "output", "what", "it", "is", "site"]
    table = {line.split()[0]: line.split() for line in lines[1:]}
    assert table['""'][1:] == ["1x8x8", "the", "image,", "before", "preprocessing", "input"]
    assert table["body.2"] == ["body.2", "16", "ReLU", "hidden,", "again"]
    assert table["body.9"] == ["body.9", "-", "no", "such", "submodule", "lost"]
    assert table["pair"][1] == "(tuple)"
    assert lines[-3].endswith("never reached in a pass")
