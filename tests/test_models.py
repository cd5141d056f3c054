import pytest
import torch
from running import Run
from torch import nn

from bench import schemes
from bench.composing import compose
from bench.defended import Defended
from bench.models import FourConv, TwoConv

PAPERS = {
    "mnist": ((1, 28, 28), {"width": 32, "units": 200}, 1024),
    "cifar10": ((3, 32, 32), {"width": 64, "units": 256}, 3200),
}

SITES = {name: compose([f"model={name}"]).model.sites for name in ("two_conv", "four_conv")}


@pytest.mark.parametrize("name", PAPERS)
def test_four_conv_is_the_papers_network(name: str) -> None:
    shape, options, features = PAPERS[name]
    width, units = options["width"], options["units"]
    model = FourConv(shape, 10, **options)
    # "Defensive Dropout", Table 1
    assert [tuple(p.shape) for p in model.parameters() if p.ndim > 1] == [
        (width, shape[0], 3, 3), (width, width, 3, 3),
        (2 * width, width, 3, 3), (2 * width, 2 * width, 3, 3),
        (units, features), (units, units), (10, units),
    ]  # fmt: skip
    kinds = [type(m).__name__ for m in model.layers]
    block = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert kinds == [*block, *block, "Flatten", *["Linear", "ReLU"] * 2, "Linear"]
    assert all(m.kernel_size == 2 for m in model.modules() if isinstance(m, nn.MaxPool2d))
    assert model(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("name", PAPERS)
def test_every_site_is_reached_after_its_relu(name: str) -> None:
    shape, options, _ = PAPERS[name]
    model = FourConv(shape, 10, **options)
    sites = SITES["four_conv"]
    seen: dict[str, list[tuple[int, ...]]] = {site: [] for site in sites}

    def spy(site: str) -> schemes.Operation:
        def look(x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
            seen[site].append(tuple(x.shape[1:]))
            assert x.min() >= 0
            return x

        return look

    defended = Defended(model, sites, {site: (spy(site), 0.5) for site in sites})
    with defended.model(0) as behind:
        behind(torch.rand(2, *shape))
    width, units, side = options["width"], options["units"], shape[1]
    inner = (side - 4) // 2
    assert seen == {
        "input": [shape],
        "conv": [
            (width, side - 2, side - 2), (width, side - 4, side - 4),
            (2 * width, inner - 2, inner - 2), (2 * width, inner - 4, inner - 4),
        ],
        "fc1": [(units,)],
        "fc2": [(units,)],
    }  # fmt: skip


def test_padding_keeps_the_size() -> None:
    model = FourConv((1, 8, 12), 10, width=4, units=5, padding=1)
    assert model(torch.zeros(1, 1, 8, 12)).shape == (1, 10)
    assert next(m for m in model.modules() if isinstance(m, nn.Linear)).in_features == 8 * 2 * 3


def test_smallest_image_is_sixteen_pixels_wide() -> None:
    assert FourConv((1, 16, 16), 10)(torch.zeros(1, 1, 16, 16)).shape == (1, 10)
    for sides in ((15, 16), (16, 15)):
        with pytest.raises(ValueError, match=f"images of {sides[0]}x{sides[1]} are too small for padding 0"):
            FourConv((1, *sides), 10)


def test_too_small_an_image_is_refused_in_one_line(bench_run: Run) -> None:
    for arguments in ((), ("-m", "attack=fgsm,pgd")):
        outcome = bench_run(*arguments, "model=four_conv", "samples=2")
        assert outcome.status == 2
        expected = "error: model.options: four_conv: images of 8x8 are too small for padding 0; use 1"
        assert outcome.err.strip() == expected


def test_two_conv_needs_four_pixels() -> None:
    assert TwoConv((1, 4, 4), 10)(torch.zeros(1, 1, 4, 4)).shape == (1, 10)
    for sides in ((3, 4), (4, 3)):
        with pytest.raises(ValueError, match=f"images of {sides[0]}x{sides[1]} are too small"):
            TwoConv((1, *sides), 10)
