import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from bench.schemes import ResizeAndPad


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(n: int, height: int, width: int, rate: float) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """One image n times, what became of it, and where it went: top, left, height, width of each.

    Where it went is read off a channel that is white everywhere.
    """
    x = torch.rand(1, 3, height, width, generator=generator(1)) + 0.5
    x[:, 2] = 1
    x = x.expand(n, -1, -1, -1)
    found = ResizeAndPad()(x, rate, generator())
    boxes = []
    for white in found[:, 2].numpy() > 0.5:
        rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
        boxes.append((rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    return x, found, np.array(boxes)


@pytest.mark.parametrize(("height", "width", "rate"), [(28, 28, 0.15), (13, 9, 0.5), (8, 20, 0.3)])
def test_it_is_interpolation_and_padding(height: int, width: int, rate: float) -> None:
    x, found, boxes = moved(60, height, width, rate)
    for image, result, (top, left, h, w) in zip(x, found, boxes, strict=True):
        small = functional.interpolate(
            image[None], size=(int(h), int(w)), mode="bilinear", align_corners=False, antialias=False
        )[0]
        around = (left, width - left - w, top, height - top - h)
        expected = functional.pad(small, tuple(map(int, around)))
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
        # what is outside is nothing, not nearly nothing
        assert (result[expected == 0] == 0).all()


@pytest.mark.parametrize(("side", "rate"), [(28, 0.15), (9, 0.5), (8, 0.3)])
def test_every_size_and_place_is_equally_likely(side: int, rate: float) -> None:
    _, _, boxes = moved(4000, side, side, rate)
    least = math.ceil(side * (1 - Fraction(str(rate))))
    # the shape stays
    assert (boxes[:, 2] == boxes[:, 3]).all()
    sizes = np.bincount(boxes[:, 2], minlength=side + 1)
    assert sizes[:least].sum() == 0
    assert stats.chisquare(sizes[least:]).pvalue > 1e-4
    assert any(size % 2 for size in np.unique(boxes[:, 2]))
    for size in range(least, side):
        of = boxes[boxes[:, 2] == size]
        for axis in (0, 1):
            places = np.bincount(of[:, axis], minlength=side - size + 1)
            assert len(places) == side - size + 1
            assert stats.chisquare(places).pvalue > 1e-4
        # the two are drawn apart
        assert len(np.unique(of[:, :2], axis=0)) == (side - size + 1) ** 2


def test_sides_that_differ_shrink_together() -> None:
    _, _, boxes = moved(2000, 12, 24, 0.5)
    assert boxes[:, 2].min() == 6
    assert boxes[:, 3].min() == 12
    assert np.abs(boxes[:, 3] - 2 * boxes[:, 2]).max() <= 2


def test_smallest_size_is_the_rates_at_every_side() -> None:
    for side in (5, 10, 15, 28, 32, 60):
        for percent in (5, 10, 20, 30, 45, 50):
            _, _, boxes = moved(400, side, side, percent / 100)
            assert boxes[:, 2].min() == math.ceil(side * (1 - Fraction(percent, 100))), (side, percent)


def test_a_rate_that_leaves_no_smaller_size_changes_nothing() -> None:
    x, found, boxes = moved(5, 28, 28, 0.01)
    assert (boxes == (0, 0, 28, 28)).all()
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5)


def test_each_image_has_its_own_fresh_at_each_pass() -> None:
    x = torch.rand(1, 1, 28, 28).expand(30, -1, -1, -1)
    draws = generator()
    first, second = (ResizeAndPad()(x, 0.3, draws) for _ in range(2))
    assert len(first.unique(dim=0)) > 20
    assert not torch.equal(first, second)
    torch.manual_seed(99)
    assert torch.equal(ResizeAndPad()(x, 0.3, generator()), first)


def test_gradients_flow_back_to_the_pixels() -> None:
    x = torch.rand(6, 1, 12, 12, dtype=torch.float64, generator=generator()).requires_grad_()
    weights = torch.rand(6, 1, 12, 12, dtype=torch.float64, generator=generator(1))
    (ResizeAndPad()(x, 0.4, generator(2)) * weights).sum().backward()
    assert x.grad.isfinite().all()
    # it is linear in the image, so that the gradient says all
    expected = (ResizeAndPad()(x.detach(), 0.4, generator(2)) * weights).sum()
    assert (x.grad * x.detach()).sum().item() == pytest.approx(expected.item())
    assert (x.grad != 0).flatten(1).any(1).all()
