import math

import numpy as np
import pytest
import torch
from scipy import stats

from bench.schemes import ActivationPruning

ROWS = 20_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer(activations: int) -> torch.Tensor:
    """Activations of very different sizes and of both signs, a few of them zero."""
    h = torch.randn(activations, generator=generator(1)) ** 3
    h[::7] = 0
    return h


def pruned(h: torch.Tensor, draws: int, rows: int = ROWS) -> torch.Tensor:
    return ActivationPruning()(h.expand(rows, -1), draws / len(h), generator())


# few draws are made one by one, many of them mostly at once
@pytest.mark.parametrize("draws", [1, 5, 20, 60, 300])
def test_each_activation_is_kept_as_often_as_it_is_drawn_and_keeps_its_mean(draws: int) -> None:
    h = layer(30)
    p = (h.abs() / h.abs().sum()).double()
    q = 1 - (1 - p) ** draws
    found = pruned(h, draws).double()
    kept = (found != 0).double().mean(0)
    # five standard errors
    assert ((kept - q).abs() <= 5 * (q * (1 - q) / ROWS).sqrt() + 1e-12).all()
    error = h.double().abs() * torch.where(q > 0, (1 - q) / q / ROWS, 0).sqrt()
    # a chance so small that it may not come up at all has no such error
    seen = q * ROWS > 50
    assert seen.sum() >= 10
    assert ((found.mean(0) - h).abs() <= 5 * error + 1e-5)[seen].all()
    # what is kept, is kept at one size
    sizes = torch.where(found != 0, found, math.nan).nanmean(0)[seen]
    torch.testing.assert_close(sizes, (h / q)[seen], rtol=1e-4, atol=0)


@pytest.mark.parametrize("draws", [3, 12, 60])
def test_what_is_kept_together_is_what_a_multinomial_draw_keeps(draws: int) -> None:
    h = layer(12)
    p = (h.abs().double() / h.abs().double().sum()).numpy()
    expected = np.random.default_rng(0).multinomial(draws, p / p.sum(), size=ROWS) > 0
    found = (pruned(h, draws) != 0).numpy()
    # draws share a total: one activation is kept the less often, the more often another one is
    for one in range(12):
        for other in range(one):
            both, alike = ((k[:, one] & k[:, other]).mean() for k in (found, expected))
            error = math.sqrt((both * (1 - both) + alike * (1 - alike)) / ROWS)
            assert abs(both - alike) <= 5 * error
    counts = [np.bincount(k.sum(1), minlength=13) for k in (found, expected)]
    table = np.array(counts)[:, np.sum(counts, 0) > 20]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_no_more_are_kept_than_were_drawn() -> None:
    h = torch.ones(50)
    for draws in (1, 2, 10, 40):
        kept = (pruned(h, draws, 2000) != 0).sum(1)
        assert kept.max() <= draws
        assert kept.min() >= 1
    assert ((pruned(layer(50), 1, 2000) != 0).sum(1) == 1).all()


def test_one_draw_leaves_the_whole_magnitude_in_one_place() -> None:
    h = layer(10)
    found = pruned(h, 1, 500)
    torch.testing.assert_close(found.abs().sum(1), h.abs().sum().expand(500))
    assert (found.sign() * h.sign() >= 0).all()


def test_a_layer_is_pruned_as_a_whole_and_each_image_by_itself() -> None:
    x = torch.rand(4, 3, 5, 5, generator=generator()) + 0.1
    found = ActivationPruning()(x, 1 / 75, generator())
    assert found.shape == x.shape
    assert ((found != 0).flatten(1).sum(1) == 1).all()
    same = ActivationPruning()(x[:1].expand(8, -1, -1, -1), 0.7, generator())
    assert len(same.unique(dim=0)) == 8


def test_gradients_pass_through_the_same_draw_and_scale() -> None:
    x = layer(40).expand(50, -1).clone().requires_grad_()
    found = ActivationPruning()(x, 0.9, generator())
    weights = torch.randn(found.shape, generator=generator(2))
    (found * weights).sum().backward()
    # no term for what the draw and its chances owe to x
    scale = torch.where(x != 0, found / x, 0).detach()
    torch.testing.assert_close(x.grad, scale * weights)
    assert x.grad[found == 0].abs().max() == 0


def test_a_layer_of_zeros_stays_so() -> None:
    x = torch.zeros(6, 20)
    x[1] = 1
    x.requires_grad_()
    found = ActivationPruning()(x, 1.2, generator())
    found.sum().backward()
    rest = [0, 2, 3, 4, 5]
    assert (found[rest] == 0).all()
    assert (found[1] != 0).any()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("per_activation", [2.3, 1.0, 0.22])
def test_where_all_are_alike_it_is_dropout_at_a_known_rate(per_activation: float) -> None:
    activations, rate = 1000, math.exp(-per_activation)
    found = ActivationPruning()(torch.full((200, activations), -2.0), per_activation, generator())
    kept = (found != 0).float()
    # the share that is pruned is (1 - 1/a)^r, which is that rate but for rounding; it varies less than dropout's
    assert abs(1 - kept.mean() - rate) < 2e-3
    torch.testing.assert_close(found[found != 0].mean().item(), -2 / (1 - rate), rtol=2e-3, atol=0)
    assert found.mean().item() == pytest.approx(-2, rel=5e-3)


def test_many_draws_keep_all() -> None:
    x = torch.rand(20, 100, generator=generator()) + 1
    found = ActivationPruning()(x, 20.7, generator())
    torch.testing.assert_close(found, x, rtol=1e-4, atol=0)


def test_half_precision_draws_and_scales_as_single_does() -> None:
    x = layer(5000).to(torch.bfloat16).expand(4, -1)
    found = ActivationPruning()(x, 0.5, generator())
    single = ActivationPruning()(x.float(), 0.5, generator())
    assert found.dtype == torch.bfloat16
    assert torch.equal(found != 0, single != 0)
    torch.testing.assert_close(found.float(), single, rtol=2**-6, atol=0)


def test_there_is_one_draw_at_least() -> None:
    found = ActivationPruning()(torch.ones(5, 100), 1e-9, generator())
    assert ((found != 0).sum(1) == 1).all()


def test_draws_come_from_the_given_generator_alone() -> None:
    x = layer(50).expand(10, -1)
    first = ActivationPruning()(x, 0.7, generator(3))
    torch.manual_seed(99)
    assert torch.equal(ActivationPruning()(x, 0.7, generator(3)), first)
    assert not torch.equal(ActivationPruning()(x, 0.7, generator(4)), first)
