"""Attacks of other libraries: what they are told, what comes back, and what they may not touch.

Stand-ins for the libraries, each of which takes one step; and the libraries themselves, where they are installed.
"""

import contextlib
import importlib
import logging
import logging.config
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import TargetedMisclassification
from standing_in import FILES, TOPS, module, peers
from torch import Tensor, nn
from torch.nn import functional as F

from bench.attacks import TopKMisclassification, others
from bench.attacks.eot import averaged

Peers = Callable[..., contextlib.AbstractContextManager[None]]


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Peers:
    """``with only("art"):`` the stand-in of that library can be imported, and no other's."""
    return lambda *libraries: peers(tmp_path, monkeypatch, *libraries)


@pytest.fixture
def every(only: Peers) -> Iterator[None]:
    with only(*FILES):
        yield


class Net(nn.Module):
    """Two layers; says of each pass how many rows there were, and whether anything was in training mode."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(16, 8), nn.Dropout(0.9), nn.Tanh(), nn.Linear(8, 4)
            )
        self.passes: list[int] = []
        self.trained: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(len(x))
        self.trained.append(any(part.training for part in self.modules()))
        return self.layers(x)


Given = tuple[fb.PyTorchModel, Net, Tensor, Tensor]


@pytest.fixture
def given() -> Given:
    net = Net().eval()
    images = torch.from_numpy(np.random.default_rng(0).uniform(0.45, 0.55, (5, 1, 4, 4)).astype(np.float32))
    labels = net(images).argmax(-1)
    net.passes.clear()
    return fb.PyTorchModel(net, bounds=(0, 1), device="cpu"), net, images, labels


def step(net: Net, x: Tensor, y: Tensor, epsilon: float, norm: str, targeted: bool) -> Tensor:
    """What the stand-ins do, clipped to epsilon."""
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(net(x), y, reduction="sum"), x)
    g = g.sign() if norm == "linf" else g / g.flatten(1).norm(dim=1)[:, None, None, None]
    return (x + (-epsilon if targeted else epsilon) * g).detach()


MAKE: dict[str, Callable[..., others.Peer]] = {
    "torchattacks": lambda norm, **o: others.TorchAttacks("PGDL2" if norm == "l2" else "PGD", norm, **o),
    "art": lambda norm, **o: others.ART(norm=norm, **o),
    "adv_lib": lambda norm, **o: others.AdvLib(norm=norm, **o),
    "pyautoattack": lambda norm, **o: others.AutoAttack(norm=norm, **o),
}
SEEN = {"art": "art.attacks.evasion", "adv_lib": "adv_lib.attacks"}
NAMES = {"art": "adversarial-robustness-toolbox", "adv_lib": "adv-lib"}


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("library", list(MAKE))
def test_each_gets_epsilon_norm_and_goal_and_is_held_to_them(
    library: str, norm: str, targeted: bool, every: None, given: Given, capsys: pytest.CaptureFixture[str]
) -> None:
    model, net, images, labels = given
    attack = MAKE[library](norm)
    assert attack.peers == {NAMES.get(library, library): "9.1"}
    wanted = (labels + 1) % 4 if targeted else labels
    criterion = TargetedMisclassification(wanted) if targeted else fb.criteria.Misclassification(labels)
    before = images.clone()
    if targeted and library == "pyautoattack":
        with pytest.raises(ValueError, match="^unsupported criterion: AutoAttack is untargeted$"):
            attack(model, images, criterion, epsilons=0.2)
        return
    raw, clipped, success = attack(model, images, criterion, epsilons=0.2)
    expected = step(net, images, wanted, 0.2, norm, targeted)
    torch.testing.assert_close(clipped, expected)
    # it went twice as far
    torch.testing.assert_close(raw - images, 2 * (expected - images))
    assert torch.equal(success, criterion(clipped, net(clipped)))
    assert torch.equal(images, before)
    said = module(SEEN.get(library, library)).seen[-1]
    assert said["eps"] == 0.2
    assert said["targeted"] == targeted
    assert said["place"] == images.device
    # it put its model in training mode, in which the network would drop what it gives
    assert not any(net.trained)
    assert not net.training
    assert capsys.readouterr() == ("", "")


def test_what_leaves_the_bounds_is_brought_back(every: None, given: Given) -> None:
    model, _, images, labels = given
    for make in MAKE.values():
        raw, clipped, _ = make("linf")(model, images, labels, epsilons=0.8)
        for found in (raw, clipped):
            assert found.min() == 0
            assert found.max() == 1


def test_every_library_gets_what_is_its_own(every: None, given: Given) -> None:
    model, _, images, labels = given

    def seen(attack: others.Peer, library: str) -> dict[str, Any]:
        attack(model, images, labels, epsilons=0.2)
        return module(SEEN.get(library, library)).seen[-1]

    said = seen(others.TorchAttacks("PGD", steps=40, rel_stepsize=0.1), "torchattacks")
    assert (said["alpha"], said["steps"]) == (pytest.approx(0.02), 40)
    assert seen(others.TorchAttacks("PGD"), "torchattacks")["alpha"] == 2 / 255
    assert seen(others.TorchAttacks("APGD", "l2"), "torchattacks")["norm"] == "L2"
    assert seen(others.TorchAttacks("APGD", seed=3), "torchattacks")["seed"] == 3
    said = seen(others.ART(rel_stepsize=0.1, max_iter=40), "art")
    assert (said["norm"], said["eps_step"], said["max_iter"]) == ("inf", pytest.approx(0.02), 40)
    assert (said["batch_size"], said["verbose"]) == (5, False)
    assert seen(others.ART(norm="l2"), "art")["norm"] == 2
    assert seen(others.AdvLib(n_iter=7), "adv_lib")["n_iter"] == 7
    assert seen(others.AdvLib(norm="l2"), "adv_lib")["norm"] == 2
    assert seen(others.AdvLib("pgd_linf"), "adv_lib")["eps"] == 0.2
    said = seen(others.AutoAttack("custom", attacks=["square"], apgd={"n_iter": 7}), "pyautoattack")
    assert (said["version"], said["attacks"], said["n_iter"]) == ("custom", ["square"], 7)
    assert said["batch_size"] == 5
    said = seen(others.AutoAttack("rand"), "pyautoattack")
    assert (said["version"], said["attacks"], said["n_iter"]) == ("rand", None, 100)


def test_arts_expectation_is_over_rows_of_one_pass_and_no_prediction(every: None, given: Given) -> None:
    model, net, images, labels = given
    once = others.ART()(model, images, labels, epsilons=0.2)
    assert net.passes == [1, 5, 5, 5]
    net.passes.clear()
    attack = others.ART(samples=4)
    found = attack(model, images, labels, epsilons=0.2)
    # how many classes; the gradient; its own prediction, and the look at the result
    assert net.passes == [1, 20, 5, 5]
    # of a network that stands still the mean is the same
    torch.testing.assert_close(found[1], once[1])
    rows = attack._expectation().forward(images, labels)
    assert torch.equal(rows[0], torch.cat([images] * 4))
    assert torch.equal(rows[1], torch.cat([labels] * 4))


def test_the_seeds_of_a_library_come_from_the_global_generator(every: None, given: Given) -> None:
    model, _, images, labels = given
    for attack, library in (
        (others.TorchAttacks("APGD"), "torchattacks"),
        (others.AutoAttack(), "pyautoattack"),
    ):
        seeds = []
        for seed in (1, 1, 2):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                attack(model, images, labels, epsilons=0.2)
            seeds.append(module(library).seen[-1]["seed"])
        assert seeds[0] == seeds[1] != seeds[2]


def test_what_autoattack_does_to_loggers_and_tracing_is_undone(
    every: None, given: Given, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, _, images, labels = given
    logger, tracing = logging.getLogger("auto-attack"), sys.gettrace()

    def trace(*arguments: Any) -> None: ...

    sys.settrace(trace)
    try:
        others.AutoAttack("rand")(model, images, labels, epsilons=0.2)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(tracing)
    # it warns of a random defence on any but its rand version, and so does its stand-in on all
    assert not caplog.records
    assert not logger.disabled
    assert capsys.readouterr() == ("", "")


def test_arts_word_on_how_everybody_logs_is_not_heard(only: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(logging.config, "dictConfig", heard.append)
    with only("art"):
        others.ART()
        assert heard == []
        logging.config.dictConfig({"version": 1})
        assert len(heard) == 1


def test_adv_lib_does_without_what_only_its_distances_and_plots_use(only: Peers) -> None:
    with only("adv_lib"):
        others.AdvLib()
        # neither loads, and nobody else is told that it does
        assert {"torchvision", "visdom"}.isdisjoint(sys.modules)
        # a second one finds what is loaded
        others.AdvLib("pgd_linf")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            others.TorchAttacks,
            "it needs torchattacks: pip install --no-deps torchattacks; No module named 'torchattacks'",
        ),
        (
            others.ART,
            "it needs adversarial-robustness-toolbox: pip install adversarial-robustness-toolbox; No module named 'art'",
        ),
        (others.AdvLib, "it needs adv-lib: pip install --no-deps adv-lib; No module named 'adv_lib'"),
        (
            others.AutoAttack,
            "it needs pyautoattack: pip install pyautoattack; No module named 'pyautoattack'",
        ),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_installs_it(
    make: Callable[[], others.Peer], words: str, only: Peers
) -> None:
    with only(), pytest.raises(ImportError) as error:
        make()
    assert str(error.value) == words


def test_no_library_is_imported_before_one_of_its_attacks_is_made(
    only: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with only(*FILES):
        monkeypatch.delitem(sys.modules, "bench.attacks.others")
        found = importlib.import_module("bench.attacks.others")
        assert set(TOPS).isdisjoint(sys.modules)
        found.TorchAttacks()
        assert set(TOPS) & set(sys.modules) == {"torchattacks"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: others.TorchAttacks(norm="l1"), "expected norm to be one of linf, l2, got 'l1'"),
        (lambda: others.TorchAttacks("PDG"), "expected name to be one of APGD, Attack, EOTPGD, PGD, PGDL2, got 'PDG'"),
        (lambda: others.TorchAttacks("PGDL2"), "expected norm to be l2, the only one of PGDL2, got 'linf'"),
        (lambda: others.TorchAttacks("PGD", "l2"), "expected norm to be linf, the only one of PGD, got 'l2'"),
        (lambda: others.TorchAttacks("PGD", stesp=3), "expected an option of PGD to be one of alpha, steps, got 'stesp'"),
        (lambda: others.TorchAttacks("PGD", eps=3), "expected an option of PGD to be one of alpha, steps, got 'eps'"),
        (lambda: others.TorchAttacks("PGD", alpha=1, rel_stepsize=1), "rel_stepsize: PGD has no alpha, or it is given as well"),
        (lambda: others.TorchAttacks("APGD", rel_stepsize=1), "rel_stepsize: APGD has no alpha, or it is given as well"),
        (lambda: others.ART("PDG"), "expected name to be one of DeepFool, ProjectedGradientDescent, got 'PDG'"),
        (lambda: others.ART(samples=0), "expected samples to be at least 1, got 0"),
        (lambda: others.AdvLib("pgd"), "expected name to be one of apgd, fga, pgd_linf, step, got 'pgd'"),
        (lambda: others.AdvLib("pgd_linf", "l2"), "expected norm to be linf, the only one of pgd_linf, got 'l2'"),
        (lambda: others.AutoAttack("fast"), "expected version to be one of standard, rand, plus, custom, got 'fast'"),
        (lambda: others.AutoAttack("custom"), "expected attacks with version custom alone, got None with custom"),
        (lambda: others.AutoAttack(attacks=["fab"]), "expected attacks with version custom alone, got ['fab'] with standard"),
        (lambda: others.AutoAttack("custom", attacks=["pgd"]), "expected attacks to be one of apgd-ce, apgd-dlr, apgd-t, fab, fab-t, square, got 'pgd'"),
        (lambda: others.AutoAttack(n_iter=3), "expected options to be one of apgd, apgd_targeted, fab, square, got 'n_iter'"),
        (lambda: others.AutoAttack(apgd=3), "expected names and values of apgd, got 3"),
        (lambda: others.AutoAttack(apgd={"n_iters": 3}), "apgd of AutoAttack has no attribute n_iters"),
    ],
)  # fmt: skip
def test_what_a_library_does_not_have_is_refused_with_one_line(
    make: Callable[[], others.Peer], words: str, every: None
) -> None:
    with pytest.raises(ValueError, match=".") as error:
        make()
    assert str(error.value) == words


def test_goals_that_a_library_can_not_serve_are_refused(every: None, given: Given) -> None:
    model, _, images, labels = given
    topk, targeted = TopKMisclassification(labels, k=2), TargetedMisclassification((labels + 1) % 4)
    for make in MAKE.values():
        with pytest.raises(ValueError, match="^unsupported criterion: TopK"):
            make("linf")(model, images, topk, epsilons=0.2)
    for attack, name in (
        (others.TorchAttacks("APGD"), "APGD of torchattacks"),
        (others.ART("DeepFool", "l2"), "DeepFool of ART"),
        (others.AdvLib("fga"), "fga of adv-lib"),
    ):
        with pytest.raises(ValueError, match=f"^unsupported criterion: {name} is untargeted$"):
            attack(model, images, targeted, epsilons=0.2)
    # and so is an image that isn't in [0, 1], or isn't PyTorch's
    wide = fb.PyTorchModel(Net().eval(), bounds=(0, 255), device="cpu")
    with pytest.raises(
        ValueError, match=r"^expected a PyTorch tensor in \(0, 1\), got Tensor in \(0, 255\)$"
    ):
        MAKE["adv_lib"]("linf")(wide, images, labels, epsilons=0.2)


def test_of_another_library_eot_averages_what_it_sees(every: None, given: Given) -> None:
    model, net, images, labels = given
    attack = averaged(others.AdvLib(), 3)
    _, clipped, _ = attack(model, images, labels, epsilons=0.2)
    assert net.passes == [15, 15]
    assert attack.peers == {"adv-lib": "9.1"}
    torch.testing.assert_close(clipped, step(net, images, labels, 0.2, "linf", False))


REAL: dict[str, tuple[str, Callable[[str], others.Peer]]] = {
    "torchattacks": (
        "torchattacks",
        lambda norm: others.TorchAttacks("PGD" if norm == "linf" else "PGDL2", norm, 0.1, steps=20),
    ),
    "EOTPGD": ("torchattacks", lambda norm: others.TorchAttacks("APGD", norm, steps=20, eot_iter=2)),
    "Square": ("torchattacks", lambda norm: others.TorchAttacks("Square", norm, n_queries=500)),
    "ART": ("art", lambda norm: others.ART(norm=norm, rel_stepsize=0.1, max_iter=20)),
    "ART EoT": (
        "art",
        lambda norm: others.ART(norm=norm, samples=3, rel_stepsize=0.1, max_iter=20, num_random_init=2),
    ),
    "adv-lib": ("adv_lib", lambda norm: others.AdvLib(norm=norm, n_iter=20)),
    "AutoAttack": (
        "pyautoattack",
        lambda norm: others.AutoAttack("custom", norm, ["apgd-ce"], apgd={"n_iter": 20, "n_restarts": 1}),
    ),
    "AutoAttack rand": ("pyautoattack", lambda norm: others.AutoAttack("rand", norm, apgd={"n_iter": 5})),
}


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("which", list(REAL))
def test_a_library_that_is_installed_finds_more_than_one_gradient_step(
    which: str,
    norm: str,
    digits_model: tuple[fb.PyTorchModel, Tensor, Tensor],
    capsys: pytest.CaptureFixture[str],
) -> None:
    package, make = REAL[which]
    pytest.importorskip(package)
    model, images, labels = digits_model
    epsilon = {"linf": 0.15, "l2": 1.0}[norm]
    one = fb.attacks.FGSM() if norm == "linf" else fb.attacks.FGM()
    least = one(model, images, labels, epsilons=epsilon)[2].float().mean()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _, clipped, success = make(norm)(model, images, labels, epsilons=epsilon)
    distance = {"linf": fb.distances.linf, "l2": fb.distances.l2}[norm](images, clipped)
    assert distance.max() <= epsilon + 1e-5
    assert clipped.min() >= 0
    assert clipped.max() <= 1
    assert torch.equal(success, model(clipped).argmax(-1) != labels)
    found = success.float().mean()
    assert found >= (least if "Square" not in which else least / 2)
    assert found > 0.2
    assert capsys.readouterr().out == ""
