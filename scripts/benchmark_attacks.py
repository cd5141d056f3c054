"""Measures this project's attacks against every library that has the same attack.

    pip install -e ".[peers,comparison]"
    pip install --no-deps torchattacks
    pip install "setuptools<80" wheel && pip install --no-build-isolation adv-lib
    python scripts/benchmark_attacks.py dataset=mnist data_dir=data --images 100 --folder outputs/attacks

Same network, images, targets and number of threads for all, on the CPU, in one process, one after the
other. The network and the data come from the harness: further arguments are settings as
``python -m bench.run`` takes them, and the network is trained first if the store doesn't have it. A
library that isn't installed, or doesn't load, is listed as missing. Some take minutes for 100 images:
``--tasks`` and ``--libraries`` leave others out.

What is measured, into ``<folder>/attacks.csv``, ``attacks.png`` and as a table on the terminal:

* success: the share of all images for which the criterion holds on what the attack returns, judged
  here, whatever the attack says; an image outside the bounds is no success.
* distance: the median over all images, a failure counting as infinitely far.
* forward, backward: passes per image, counted in the network itself. One of a batch of ten is ten.
* seconds: wall time of the whole call, the shortest of ``--repeats``. Before that each attack is run
  on two images, so that imports and first-time set-up don't count.
* cpu seconds: what the process used of the processor in the same call. Where it is much less than the
  seconds, the machine was busy with other things.
* in network: the share of the seconds spent inside the network: from the call of its forward to its
  return, and from the moment a gradient reaches its output to the moment it leaves its input.
* x seconds, x distance: these, divided by this project's own. Above 1, this project's is better.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest.mock import MagicMock

import foolbox as fb
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from foolbox.criteria import TargetedMisclassification
from torch import Tensor, nn

from bench import attacks, plan
from bench.attacks import criteria
from bench.composing import compose
from bench.datasets import unit
from bench.measuring import passes
from bench.training import kept

OURS = "bench"
EPSILON = 0.25
"""Of the gradient sign attack at a given epsilon: "Defensive Dropout"'s."""
GRID = 256
"""How many epsilons the search for the smallest one tries."""
GAMMA = 0.145
"""The share of the pixels that the saliency map attack may change."""
STEP_SIZE = 0.2
"""Of other libraries' C&W attacks at 10 x 100: of 0.05, 0.1, 0.2 and 0.4 the one with which Foolbox's got
nearest on 20 images of MNIST. With the usual 0.01 they rarely arrive in 100 steps."""
ROUNDING = 1e-6
"""A difference below this is none, in the bounds and in a count of changed pixels."""


@dataclass(frozen=True)
class Problem:
    """What every library is given.

    Attributes:
        network: A classifier of images in [0, 1], its parameters frozen.
        x: Images, shape (n, channels, height, width), all classified right.
        labels, targets: True classes, and wrong ones to reach, shape (n,).
    """

    network: nn.Module
    x: Tensor
    labels: Tensor
    targets: Tensor

    def first(self, n: int) -> "Problem":
        """The same with its first ``n`` images alone."""
        return Problem(self.network, self.x[:n], self.labels[:n], self.targets[:n])


def load_problem(overrides: Sequence[str], images: int, seed: int) -> Problem:
    """The harness's network and the first test images that it gets right.

    Args:
        overrides: Settings, as ``python -m bench.run`` takes them.
        images: How many images.
        seed: Of the targets.
    """
    ready = plan.prepare(compose(overrides))
    data = ready.dataset
    network = kept.trained(ready.training, data, ready.store, torch.device("cpu")).network
    x, labels = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
    right = np.flatnonzero(passes.correct(network, x, labels, 500))[:images]
    targets = criteria.random_targets(data.y_test[right], data.classes, seed)
    return Problem(network, unit(x[right]), labels[right], torch.from_numpy(targets))


# How each library is called. Each imports what it needs, so that those that aren't there don't matter.


def ours(attack: Any, targeted: bool) -> Callable[[Problem], Tensor]:
    """One of this project's attacks, or Foolbox's, which are called alike."""

    def call(p: Problem) -> Tensor:
        model = fb.PyTorchModel(p.network, bounds=(0, 1), device="cpu")
        goal = TargetedMisclassification(p.targets) if targeted else p.labels
        found: Tensor = attack(model, p.x, goal, epsilons=None)[0]
        return found

    return call


def ours_at_epsilon(p: Problem) -> Tensor:
    model = fb.PyTorchModel(p.network, bounds=(0, 1), device="cpu")
    goal = TargetedMisclassification(p.targets)
    found: Tensor = attacks.GradientSignAttack()(model, p.x, goal, epsilons=EPSILON)[1]
    return found


def foolbox_grid(p: Problem) -> Tensor:
    """Foolbox's gradient sign attack at every epsilon of the grid: it has no search of its own."""
    model = fb.PyTorchModel(p.network, bounds=(0, 1), device="cpu")
    grid = [(i + 1) / GRID for i in range(GRID)]
    _, tried, success = fb.attacks.LinfFastGradientAttack()(model, p.x, p.labels, epsilons=grid)
    first = success.int().argmax(dim=0)
    return torch.stack(tried)[first, torch.arange(len(first))]


def art(name: str, targeted: bool, /, **options: Any) -> Callable[[Problem], Tensor]:
    def call(p: Problem) -> Tensor:
        classifiers = importlib.import_module("art.estimators.classification")
        attack = getattr(importlib.import_module("art.attacks.evasion"), name)
        with torch.no_grad():
            classes = p.network(p.x[:1]).shape[1]
        classifier = classifiers.PyTorchClassifier(
            p.network,
            nn.CrossEntropyLoss(),
            p.x.shape[1:],
            classes,
            clip_values=(0, 1),
            device_type="cpu",
        )
        goal = p.targets if targeted else p.labels
        attacked = attack(classifier, batch_size=len(p.x), **options).generate(p.x.numpy(), goal.numpy())
        return torch.from_numpy(attacked)

    return call


def torchattacks(name: str, targeted: bool, **options: Any) -> Callable[[Problem], Tensor]:
    def call(p: Problem) -> Tensor:
        attack = getattr(importlib.import_module("torchattacks"), name)(p.network, **options)
        if targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        found: Tensor = attack(p.x, p.targets if targeted else p.labels)
        return found

    return call


def advertorch(name: str, *, alone: bool = False, **options: Any) -> Callable[[Problem], Tensor]:
    """``alone``: an image a call; with a batch its L-BFGS minimises the sum over all images as one."""

    def call(p: Problem) -> Tensor:
        stand_in_for_torchvision()
        # PyTorch dropped this function; advertorch imports it for an attack that isn't used here
        gradcheck = importlib.import_module("torch.autograd.gradcheck")
        if not hasattr(gradcheck, "zero_gradients"):
            gradcheck.zero_gradients = None  # type: ignore[attr-defined]
        attack = getattr(importlib.import_module("advertorch.attacks"), name)
        ready = attack(p.network, clip_min=0.0, clip_max=1.0, **options)
        size = 1 if alone else len(p.x)
        parts = zip(p.x.split(size), p.targets.split(size), strict=True)
        return torch.cat([ready.perturb(x, targets) for x, targets in parts])

    return call


def cleverhans_sign(p: Problem) -> Tensor:
    module = importlib.import_module("cleverhans.torch.attacks.fast_gradient_method")
    found: Tensor = module.fast_gradient_method(
        p.network, p.x, EPSILON, np.inf, clip_min=0.0, clip_max=1.0, y=p.targets, targeted=True
    )
    return found


def cleverhans_cw(p: Problem) -> Tensor:
    module = importlib.import_module("cleverhans.torch.attacks.carlini_wagner_l2")
    with torch.no_grad():
        classes = p.network(p.x[:1]).shape[1]
    found: Tensor = module.carlini_wagner_l2(
        p.network,
        p.x,
        classes,
        y=p.targets,
        targeted=True,
        lr=0.05,  # of 0.05, 0.1 and 0.2 the one with which this one got nearest
        binary_search_steps=10,
        max_iterations=100,
    )
    return found


def adv_lib(name: str, targeted: bool, /, **options: Any) -> Callable[[Problem], Tensor]:
    def call(p: Problem) -> Tensor:
        stand_in_for_torchvision()
        attack = getattr(importlib.import_module("adv_lib.attacks"), name)
        found: Tensor = attack(p.network, p.x, p.targets if targeted else p.labels, **options)
        return found

    return call


def stand_in_for_torchvision() -> None:
    """Lets adv-lib and advertorch load where torchvision doesn't: what is used of them doesn't need it."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):  # not there, or not of this PyTorch
        for part in ("", ".models", ".transforms", ".transforms.functional"):
            sys.modules[f"torchvision{part}"] = MagicMock()


@dataclass(frozen=True)
class Task:
    """One attack, and the libraries that have it.

    Attributes:
        distance: The norm's order: 0, 2 or infinity.
        targeted: Whether targets are to be reached, or labels to be left.
        libraries: By name, how each is called.
    """

    distance: float
    targeted: bool
    libraries: dict[str, Callable[[Problem], Tensor]]


TASKS = {
    "deepfool": Task(
        2,
        False,
        {
            OURS: ours(attacks.DeepFoolAttack(), False),
            "Foolbox": ours(fb.attacks.L2DeepFoolAttack(), False),
            "ART": art("DeepFool", False, max_iter=50, epsilon=0.02, verbose=False),
            "torchattacks": torchattacks("DeepFool", False, steps=50, overshoot=0.02),
            "adv-lib": adv_lib("df", False, steps=50),
        },
    ),
    "saliency map": Task(
        0,
        True,
        {
            OURS: ours(attacks.SaliencyMapAttack(gamma=GAMMA), True),
            "ART": art("SaliencyMapMethod", True, theta=1.0, gamma=GAMMA, verbose=False),
            "torchattacks": torchattacks("JSMA", True, theta=1.0, gamma=GAMMA),
            "advertorch": advertorch("JacobianSaliencyMapAttack", num_classes=10, theta=1.0, gamma=GAMMA),
        },
    ),
    "L-BFGS": Task(
        2,
        True,
        {
            OURS: ours(attacks.LBFGSAttack(), True),
            # without targeted=True it minimises one thing along the gradient of another: the flag turns the
            # sign of the loss, not of its gradient. With it, its defaults succeed on every image of MNIST.
            "advertorch": advertorch("LBFGSAttack", alone=True, num_classes=10, batch_size=1, targeted=True),
            "advertorch, one batch": advertorch("LBFGSAttack", num_classes=10, targeted=True),
        },
    ),
    "C&W L2": Task(
        2,
        True,
        {
            OURS: ours(attacks.CarliniWagnerL2Attack(search_steps=10, steps=100), True),
            # to get as near as Foolbox's 9 x 1000; of 0.02, 0.005 and 0.001 the one that got nearest on 20
            # images of MNIST
            f"{OURS}, tolerance 0.005": ours(
                attacks.CarliniWagnerL2Attack(search_steps=10, steps=100, tolerance=0.005), True
            ),
            "Foolbox": ours(
                fb.attacks.L2CarliniWagnerAttack(binary_search_steps=10, steps=100, stepsize=STEP_SIZE),
                True,
            ),
            # of 0.01, 0.02, 0.05 and STEP_SIZE the one that gets nearest on 15 images of CIFAR-10 (JPEG)
            "Foolbox, step 0.01": ours(
                fb.attacks.L2CarliniWagnerAttack(binary_search_steps=10, steps=100, stepsize=0.01), True
            ),
            "Foolbox, 9 x 1000": ours(
                fb.attacks.L2CarliniWagnerAttack(binary_search_steps=9, steps=1000, stepsize=0.01), True
            ),
            # ART's is left out: at these settings 20 images of MNIST took it more than two minutes
            "advertorch": advertorch(
                "CarliniWagnerL2Attack",
                num_classes=10,
                targeted=True,
                learning_rate=STEP_SIZE,
                binary_search_steps=10,
                max_iterations=100,
            ),
            "CleverHans": cleverhans_cw,
            "adv-lib": adv_lib(
                "carlini_wagner_l2",
                True,
                targeted=True,
                learning_rate=STEP_SIZE,
                binary_search_steps=10,
                max_iterations=100,
            ),
        },
    ),
    "C&W L0": Task(
        0,
        True,
        {
            OURS: ours(attacks.CarliniWagnerL0Attack(), True),
            # no Foolbox has C&W's; this is its strongest for the same norm. ART's is left out: 20 s an image
            "Foolbox, FMN": ours(fb.attacks.L0FMNAttack(steps=300), True),
        },
    ),
    "C&W Linf": Task(
        np.inf,
        True,
        {
            OURS: ours(attacks.CarliniWagnerLinfAttack(), True),
            # as for L0; ART's took 18 s an image, and succeeded on none of 10
            "Foolbox, FMN": ours(fb.attacks.LInfFMNAttack(steps=300), True),
            "adv-lib": adv_lib("carlini_wagner_linf", True, targeted=True),
        },
    ),
    "gradient sign": Task(
        np.inf,
        True,
        {
            OURS: ours_at_epsilon,
            "ART": art("FastGradientMethod", True, eps=EPSILON, targeted=True),
            "torchattacks": torchattacks("FGSM", True, eps=EPSILON),
            "advertorch": advertorch("GradientSignAttack", eps=EPSILON, targeted=True),
            "CleverHans": cleverhans_sign,
        },
    ),
    "gradient sign, smallest": Task(
        np.inf,
        False,
        {
            OURS: ours(attacks.GradientSignAttack(epsilon_steps=GRID), False),
            "Foolbox": foolbox_grid,
            "ART": art("FastGradientMethod", False, minimal=True, eps=1.0, eps_step=1 / GRID),
        },
    ),
}
"""Every attack of this project, with the settings that the libraries can share."""


def all_libraries() -> list[str]:
    """The names of all libraries, this project's first."""
    return list(dict.fromkeys(name for task in TASKS.values() for name in task.libraries))


class Meter:
    """Counts a network's passes and the seconds spent in them, while entered."""

    def __init__(self, network: nn.Module):
        self.network = network
        self.forward = self.backward = 0
        self.seconds = self._since = 0.0

    def __enter__(self) -> "Meter":
        self._hooks = (
            self.network.register_forward_pre_hook(self._enters),
            self.network.register_forward_hook(self._returns),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def _enters(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (x,) = inputs
        if x.requires_grad:
            # an alias, so that the hook is of this pass alone and not of the attack's own tensor
            x = x.view_as(x)
            if x.requires_grad:
                x.register_hook(self._gradient_leaves)
        self._since = time.perf_counter()
        return (x,)

    def _returns(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.seconds += time.perf_counter() - self._since
        self.forward += len(output)
        if output.requires_grad:
            output.register_hook(self._gradient_reaches)

    def _gradient_reaches(self, gradient: Tensor) -> None:
        self.backward += len(gradient)
        self._since = time.perf_counter()

    def _gradient_leaves(self, gradient: Tensor) -> None:
        self.seconds += time.perf_counter() - self._since


def judge(task: Task, p: Problem, found: Tensor) -> tuple[float, float]:
    """Success rate, and the median distance over all images."""
    found = found.detach()
    with torch.no_grad():
        predicted = p.network(found).argmax(-1)
    success = predicted == p.targets if task.targeted else predicted != p.labels
    success &= ((found >= -ROUNDING) & (found <= 1 + ROUNDING)).flatten(1).all(1)
    difference = (found - p.x).double().flatten(1)
    difference[difference.abs() < ROUNDING] = 0
    distances = torch.linalg.vector_norm(difference, task.distance, dim=1)
    distances[~success] = torch.inf
    return success.double().mean().item(), float(np.median(distances.numpy()))


def measure(task: Task, library: str, p: Problem, repeats: int) -> dict[str, Any]:
    """One row of the table: its figures, or why there are none."""
    call = task.libraries[library]
    try:
        call(p.first(2))
    except ImportError as error:
        return {"status": f"missing: {error}"}
    except Exception as error:  # a library that breaks says nothing about the others
        return {"status": f"failed: {type(error).__name__}: {error}".splitlines()[0]}
    best: dict[str, Any] = {}
    for _ in range(repeats):
        torch.manual_seed(0)
        with Meter(p.network) as meter:
            start, cpu_start = time.perf_counter(), time.process_time()
            found = call(p)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        if not best or seconds < best["seconds"]:
            best = {"seconds": seconds, "cpu seconds": cpu, "in network": meter.seconds / seconds}
    success, distance = judge(task, p, found)
    return {
        "status": "measured",
        "success": success,
        "distance": distance,
        "forward": meter.forward / len(p.x),
        "backward": meter.backward / len(p.x),
        **best,
    }


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds to each row how it fares against this project's of its task, if that was measured."""
    rows = rows.copy()
    for column in ("seconds", "distance"):
        if column not in rows:
            rows[column] = np.nan
        own = rows[rows["library"] == OURS].set_index("task")[column]
        rows[f"x {column}"] = rows[column] / rows["task"].map(own)
    return rows


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Distance against time, a panel for each task; attacks that fail on most images aren't there."""
    rows = rows[np.isfinite(rows["distance"])]
    names = list(dict.fromkeys(rows["task"]))
    if not names:
        return
    libraries = all_libraries()
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names) + 1.2, 3.2), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        panel = rows[rows["task"] == name]
        sns.scatterplot(
            panel,
            x="seconds",
            y="distance",
            hue="library",
            style="library",
            hue_order=libraries,
            style_order=libraries,
            palette="colorblind",
            s=70,
            ax=axis,
            legend=name == names[-1],
        )
        # whole decades, or their labels overlap
        low, high = np.log10(panel["seconds"].min()), np.log10(panel["seconds"].max())
        axis.set(xscale="log", xlim=(10 ** np.floor(low), 10 ** np.ceil(high + 1e-9)), title=name)
        axis.set(
            ylim=(0, 1.15 * panel["distance"].max()), ylabel=f"median L{TASKS[name].distance:g} distance"
        )
    sns.move_legend(axes[0, -1], "upper left", bbox_to_anchor=(1.02, 1), title=None, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    libraries = all_libraries()
    parser = argparse.ArgumentParser(description="Measures the attacks against other libraries' own.")
    parser.add_argument("overrides", nargs="*", help="settings of the harness, such as dataset=mnist")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1, help="the shortest time counts")
    parser.add_argument("--seed", type=int, default=0, help="of the targets")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--libraries", nargs="+", choices=libraries, default=libraries, metavar="LIBRARY")
    parser.add_argument("--folder", type=Path, default=Path("outputs/attacks"))
    options = parser.parse_intermixed_args(arguments)

    torch.set_num_threads(options.threads)
    problem = load_problem(options.overrides, options.images, options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.tasks:
        for library in TASKS[name].libraries:
            if library in options.libraries:
                row = measure(TASKS[name], library, problem, options.repeats)
                print(f"{name}: {library}: {row['status']}", file=sys.stderr, flush=True)
                rows.append({"task": name, "library": library, **row})
                table = compare(pd.DataFrame(rows))
                # at once, since a run that takes too long gets stopped
                table.to_csv(options.folder / "attacks.csv", index=False)
    draw(table, options.folder / "attacks.png")
    print(table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}"))
    print(options.folder / "attacks.csv", options.folder / "attacks.png", sep="\n")


if __name__ == "__main__":
    main()
