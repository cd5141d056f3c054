from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.training import kept
from bench.training.fit import TrainingError
from bench.training.pretrained import Pretrained
from bench.training.weightfiles import WeightsError


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def test_weights_come_from_a_file_from_one_for_each_part_or_stay_as_they_were(tmp_path: Path) -> None:
    given = net()
    torch.save({"model": {f"net.{name}": t for name, t in given.state_dict().items()}}, tmp_path / "whole.pt")
    for i, part in enumerate(given):
        save_file(dict(part.state_dict()), tmp_path / f"{i}.safetensors")
    parts = {str(i): str(tmp_path / f"{i}.safetensors") for i in range(2)}
    for way in (Pretrained(str(tmp_path / "whole.pt"), "model", "net."), Pretrained(parts)):
        network = way(net())
        assert all(torch.equal(t, given.state_dict()[name]) for name, t in network.state_dict().items())
    untouched = net()
    before = {name: t.clone() for name, t in untouched.state_dict().items()}
    assert Pretrained()(untouched) is untouched
    assert all(torch.equal(t, before[name]) for name, t in untouched.state_dict().items())
    with pytest.raises(WeightsError, match=r"nothing\.pt"):
        Pretrained(str(tmp_path / "nothing.pt"))(net())


@pytest.mark.parametrize(("options", "words"), [
    ({"clean_pct": 101}, "expected clean_pct from 0 to 100, got 101"),
    ({"clean_pct": -1}, "expected clean_pct from 0 to 100, got -1"),
    ({"clean_pct": "84.9 %"}, "expected clean_pct from 0 to 100, got 84.9 %"),
    ({"weights": 5}, "expected weights to name a file, or one for each submodule, got 5"),
    ({"key": "model"}, "key and prefix are of a file: give weights, too"),
    ({"prefix": "net."}, "key and prefix are of a file: give weights, too"),
])  # fmt: skip
def test_options_that_mean_nothing_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Pretrained(**options)


def test_an_accuracy_far_from_the_published_one_is_one_line_with_the_one_without_preprocessing() -> None:
    right = np.arange(200) < 170  # 85 %
    for published in (83.0, 87.0, 85):
        kept.check_published(published, right, "cifar10", None)
    for published in (82.9, 87.1):
        with pytest.raises(TrainingError) as refused:
            kept.check_published(published, right, "cifar10", lambda: 12.34)
        words = str(refused.value)
        assert words.startswith(f"training.clean_pct: {published:g} % as published, measured 85.0 % [")
        assert "] on 200 images of cifar10; without preprocessing 12.3 %; is it the right file" in words
    with pytest.raises(TrainingError) as refused:
        kept.check_published(50, right, "cifar10", None)
    assert "preprocessing 1" not in str(refused.value)
