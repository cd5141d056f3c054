"""What identifies a network given as an object: what can change its outputs, and nothing else."""

import copy
import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from bench.results import identity
from bench.results.fingerprint import Unidentified


@dataclass
class Settings:
    """An object of one's own in a network."""

    width: int = 3


class Net(nn.Module):
    """A network with attributes of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.3))
        self.head = nn.LSTM(2, 2)
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("unkept", torch.ones(2), persistent=False)
        self.scale = 2.0
        self.sizes = [(1, 2), {"a": None}, {3, "b", "c"}]
        self.mean = np.zeros(3)
        self.loose = torch.zeros(2)
        self.hidden = [nn.Linear(2, 2)]
        self.activation = torch.relu
        self.norm = functools.partial(nn.functional.normalize, dim=1)
        self.settings = Settings()
        self.own = self.helper

    def helper(self) -> None:
        """Bound to the network, and held by it."""


def found(net: nn.Module) -> str:
    text = json.dumps(identity.network(net), sort_keys=True)
    assert "0x" not in text
    return text


def test_what_changes_no_output_changes_nothing() -> None:
    before = found(Net())
    assert found(Net()) == before
    assert found(Net().eval()) == before
    assert found(Net().requires_grad_(False)) == before
    net = Net()
    net.body[0].register_forward_hook(hook).remove()
    assert found(net) == before
    # a copy is the same network
    net.own = None
    assert found(net) == found(copy.deepcopy(net))


def hook(*args: object) -> None:
    """Somebody's."""


def other_hook(*args: object) -> None:
    """Somebody else's."""


def scaled(by: float) -> Callable[..., None]:
    """Hooks that differ in what is around them."""

    def act(*args: object) -> None:
        assert by

    return act


def with_default(x: int = 1) -> None:
    """A function with something of its own."""


def test_whatever_can_change_an_output_changes_it() -> None:
    def change(net: Net, name: str, value: object) -> None:
        setattr(net, name, value)

    changes: list[Callable[[Net], object]] = [
        lambda net: net,
        lambda net: change(net, "scale", 3.0),
        lambda net: change(net, "scale", "2.0"),
        lambda net: net.sizes.append(0),
        lambda net: net.sizes[1].update(a=False),
        lambda net: net.sizes[2].add(4),
        lambda net: net.mean.__setitem__(0, 1.0),
        lambda net: net.loose.add_(1),
        lambda net: net.kept.add_(1),
        lambda net: net.unkept.add_(1),
        lambda net: net.body[0].weight.data.mul_(2),
        lambda net: net.body[1].running_mean.add_(1),
        lambda net: change(net.body[1], "eps", 0.1),
        lambda net: change(net.body[2], "p", 0.4),
        lambda net: net.hidden[0].weight.data.mul_(2),
        lambda net: change(net, "activation", torch.tanh),
        lambda net: net.norm.keywords.update(dim=0),
        lambda net: change(net.settings, "width", 4),
        lambda net: change(net, "own", hook),
        lambda net: change(net, "own", scaled(1.0)),
        lambda net: change(net, "own", scaled(2.0)),
        lambda net: net.body[0].register_forward_hook(hook),
        lambda net: net.body[0].register_forward_hook(other_hook),
        lambda net: net.body[0].register_forward_pre_hook(hook),
        lambda net: net.body[1].register_forward_hook(hook),
        lambda net: net.register_full_backward_hook(hook),
        lambda net: change(net, "body", nn.Sequential(*net.body, nn.ReLU())),
        lambda net: change(net, "again", net.body),
        lambda net: change(net, "again", Net().body),
        lambda net: parametrizations.spectral_norm(net.body[0]),
    ]
    seen = []
    for make in changes:
        net = Net()
        make(net)
        seen.append(found(net))
    assert [seen.index(one) for one in seen] == list(range(len(changes)))


def test_what_cannot_be_told_apart_is_refused_by_its_path() -> None:
    def said(name: str, value: object) -> str:
        net = Net()
        setattr(net.body[1], name, value)
        with pytest.raises(Unidentified) as caught:
            identity.network(net)
        (line,) = str(caught.value).splitlines()
        return line

    assert (
        said("f", lambda x: x) == "body.1.f: a lambda can't be told from another; use a function of a module"
    )
    assert said("f", [1, {"a": functools.partial(lambda x: x)}]).startswith("body.1.f[1]['a']: a lambda")
    assert said("f", open(__file__)) == "body.1.f: a _io.TextIOWrapper can't be told from another of its kind"  # noqa: SIM115
    assert said("g", nn.LazyLinear(2)).startswith("the network: body.1.g.weight has no size yet; ")
    assert said("g", torch.jit.script(nn.ReLU())) == (
        "body.1.g: compiled, and its source isn't to be had; give the module itself"
    )
    typed: dict[str, type[nn.Module]] = {}
    exec("from torch import nn\nclass Typed(nn.Module): pass", {"__name__": "typed"}, typed)
    assert said("g", typed["Typed"]()) == (
        "body.1.g: typed.Typed: its source isn't to be had; put it into a module of its own"
    )
    deep: list[object] = []
    for _ in range(3000):
        deep = [deep]
    assert said("f", deep).endswith("Net: it holds objects too deep to be told apart")
    net = Net()
    net.register_forward_hook(lambda *_: None)
    with pytest.raises(Unidentified, match="^the network: a hook: a lambda can't be told"):
        identity.network(net)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "mynet.py"
    sys.modules.pop("mynet", None)


MINE = """
import torch
from torch import nn

class Base(nn.Module):
    def forward(self, x):
        return x + {add}

def make(scale):
    torch.manual_seed(0)
    class Net(Base):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.words = {{"one", "two", "three", "four"}}
        def scaled(self, x):
            return x * scale
    return Net()
"""


def test_an_edited_class_and_one_made_with_something_else_are_others(mine: Path) -> None:
    mine.write_text(MINE.format(add=1))
    net = importlib.import_module("mynet")
    before = found(net.make(1.0))
    assert found(net.make(1.0)) == before
    assert found(net.make(2.0)) != before
    mine.write_text("# words\n" + MINE.format(add=1))
    assert found(net.make(1.0)) == before
    mine.write_text(MINE.format(add=20))
    assert found(net.make(1.0)) != before


def test_a_network_is_the_same_in_another_process(mine: Path) -> None:
    mine.write_text(MINE.format(add=1))
    here = found(importlib.import_module("mynet").make(1.0))
    script = "import json, mynet; from bench.results import identity; print(json.dumps(identity.network(mynet.make(1.0)), sort_keys=True))"
    path = os.pathsep.join([str(mine.parent), str(Path(identity.__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == here
