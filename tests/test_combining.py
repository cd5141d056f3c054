"""Several passes that make one answer: their logits, their gradient, their count."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from torch import Tensor, nn

import bench
from bench.combining import combined
from bench.defended import Defended
from bench.passing import counted

LOGITS = torch.tensor([[[2.0, 0.0, -1.0]], [[0.0, 3.0, 0.5]], [[1.0, 0.9, 0.0]]])
"""Three passes of one image."""


def test_answers_are_the_log_of_the_mean_probability_the_mean_logit_or_the_vote() -> None:
    passes = LOGITS.numpy()[:, 0]
    assert combined(LOGITS, "mean_logit")[0].numpy() == pytest.approx(passes.mean(0))
    mean = softmax(passes, axis=1).mean(0)
    assert combined(LOGITS, "mean_probability")[0].numpy() == pytest.approx(np.log(mean))
    # two votes, one, and none, which counts as half a one
    assert combined(LOGITS, "vote")[0].exp().tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 6])
    with pytest.raises(ValueError, match="expected one of mean_probability, mean_logit, vote, got median"):
        combined(LOGITS, "median")


@pytest.mark.parametrize("how", ["mean_probability", "vote"])
def test_a_vote_has_the_gradient_of_the_mean_probability(how: str) -> None:
    logits = LOGITS.double().requires_grad_()
    combined(logits, how)[0, 1].backward()
    # of log(mean over passes of p_1), by hand
    shares = softmax(LOGITS.double().numpy()[:, 0], axis=1)
    expected = shares[:, 1:2] * (np.eye(3)[1] - shares) / shares[:, 1].sum()
    assert logits.grad is not None
    assert logits.grad[:, 0].numpy() == pytest.approx(expected)


def test_an_answer_is_finite_however_sure_a_pass_is() -> None:
    sure = torch.tensor([[[500.0, 0.0]], [[0.0, 500.0]]])
    for how in ("mean_probability", "vote"):
        assert combined(sure, how)[0].tolist() == pytest.approx([math.log(0.5)] * 2)


def shift(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """An operation whose gradient at a value differs from draw to draw."""
    return values * (1 + rate * torch.randn(values.shape, generator=generator, dtype=values.dtype))


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def test_gradients_go_through_all_passes(network: nn.Sequential) -> None:
    images = torch.rand(2, 1, 2, 2, dtype=torch.float64)

    def gradients(passes: int, times: int) -> Tensor:
        defended = Defended(
            network, {"hidden": "2"}, {"hidden": (shift, 0.5)}, passes=passes, combine="mean_logit"
        )
        given = images.clone().requires_grad_()
        with defended.model(3) as model:
            sum(model(given)[:, 1].sum() for _ in range(times)).backward()
        assert given.grad is not None
        return given.grad

    # the mean of four passes has a quarter of the sum of four gradients, of the very same draws
    assert torch.allclose(gradients(4, 1), gradients(1, 4) / 4)


def test_a_pass_is_one_of_the_network(network: nn.Sequential) -> None:
    defended = Defended(network, {"hidden": "2"}, {"hidden": (shift, 0.5)}, passes=5)
    made = []
    network.register_forward_hook(lambda *_: made.append(1))
    with defended.model(0) as model, counted(model) as passes:
        image = torch.rand(3, 1, 2, 2, dtype=torch.float64, requires_grad=True)
        model(image).sum().backward()
    assert len(made) == 5
    assert (passes.forward, passes.backward) == (15, 15)
    # where nothing is random they would all be alike
    made.clear()
    with defended.twin.model(0) as model, counted(model) as passes:
        model(image.detach())
    assert (len(made), passes.forward) == (1, 3)


class Stacked(nn.Module):
    """Gives three answers for each image, draw by draw: the image's pixels plus 0, 1 and 2 at the first."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.cat([flat + draw * torch.eye(flat.shape[1])[0] for draw in range(3)])


def test_stacked_draws_are_one_answer() -> None:
    images = torch.rand(2, 1, 2, 2)
    defended = Defended(Stacked(), outputs={"stacked": 3}, combine="mean_logit")
    with defended.model(0) as model:
        assert torch.allclose(model(images), images.flatten(1) + torch.eye(4)[0])
    wrong = bench.Defended(Stacked(), outputs={"stacked": 4})
    with pytest.raises(bench.ConfigError, match=r"gives \(9, 4\) for 3 images, expected 4 draws of each"):
        bench.measure(wrong, images, torch.tensor([0, 1]))


def test_more_passes_are_another_network_one_pass_is_the_same(network: nn.Sequential) -> None:
    def identity(passes: int, combine: str = "vote", rate: float = 0.5) -> dict:
        scheme = {"hidden": rate}
        return Defended(network, {"hidden": "2"}, scheme, passes=passes, combine=combine).identity

    plain = Defended(network, {"hidden": "2"}, {"hidden": 0.5}).identity
    assert identity(1) == plain
    assert identity(2) != plain
    assert identity(2) != identity(3)
    assert identity(2) != identity(2, "mean_logit")
    assert identity(2, rate=0.0) == identity(1, rate=0.0)


def test_mc_dropout_answers_more_surely(network: nn.Sequential) -> None:
    images = torch.rand(50, 1, 2, 2, dtype=torch.float64)

    def spread(passes: int) -> float:
        defended = Defended(network, {"hidden": "2"}, {"hidden": 0.5}, passes=passes, combine="mean_logit")
        with defended.model(0) as model, torch.no_grad():
            return float(torch.stack([model(images) for _ in range(200)]).var(0).mean())

    # the variance of a mean of ten
    assert spread(10) == pytest.approx(spread(1) / 10, rel=0.1)


def test_a_scheme_says_how_many_passes_make_an_answer(bench_run, output_dir: Path) -> None:
    run = (
        "scheme=fc",
        "attack=pgd",
        "attack.options.steps=3",
        "samples=4",
        "training.epochs=2",
        "evaluation.draws=3",
    )
    outcome = bench_run("-m", *run, "scheme.passes=1,6", "name=passes")
    assert outcome.status == 0, outcome.err
    table = bench.open_sweep(output_dir / "passes").table
    assert list(table["scheme.passes"]) == [1, 6]
    assert list(table["forward_passes_per_image"] / table["forward_passes_per_image"].iloc[0]) == [1, 6]
    bad = bench_run("scheme=fc", "scheme.combine=median")
    assert (bad.status, bad.err) == (
        2, "error: scheme.combine: expected one of mean_probability, mean_logit, vote, got median\n"
    )  # fmt: skip
    assert (
        bench_run("scheme=fc", "scheme.passes=0").err == "error: scheme.passes: expected at least 1, got 0\n"
    )
    stacked = bench_run("scheme=fc", "model.outputs={stacked: 0}")
    assert stacked.err == "error: model.outputs.stacked: expected at least 1, got 0\n"


def test_the_library_takes_passes_too(network: nn.Sequential) -> None:
    images, labels = torch.rand(20, 1, 2, 2), torch.zeros(20, dtype=torch.int64)
    vote = bench.Defended(network.float(), {"hidden": "2"}, {"hidden": 0.5}, passes=9, combine="vote")
    result = bench.evaluate(vote, images, labels, {"pgd": ("pgd", 0.1)}, draws=4)
    assert result.table["forward_passes_per_image"].item() == 41 * 9
    with vote.model(5) as model, torch.no_grad():
        shares = 9 * model(images).exp()
    assert torch.allclose(shares, shares.round().clamp(min=0.5), atol=1e-5)
    for given, words in (
        ({"passes": 0}, "^passes: expected at least 1"),
        ({"combine": "mean"}, "^combine: "),
    ):
        with pytest.raises(bench.ConfigError, match=words):
            bench.Defended(network, {"hidden": "2"}, {"hidden": 0.5}, **given)


def test_the_log_of_a_mean_needs_no_exponential_of_a_large_number() -> None:
    large = LOGITS + 1000
    expected = logsumexp(np.log(softmax(LOGITS.numpy()[:, 0], axis=1)), axis=0) - math.log(3)
    assert combined(large, "mean_probability")[0].numpy() == pytest.approx(expected, abs=1e-4)
