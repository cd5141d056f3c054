"""Stand-ins for libraries of attacks, so that no test needs one: each takes one step, twice as far as it may.

Each has what of its library ``bench.attacks.others`` calls, prints, and puts its model in training mode.
"""

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

STEP = """
import sys, logging, torch
__version__ = "9.1"
seen = []

def step(model, x, y, eps, l2, targeted, **more):
    print("talking")
    model.train()
    seen.append(dict(eps=eps, l2=l2, targeted=targeted, place=next(model.parameters()).device, **more))
    x = x.detach().clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(x), y, reduction="sum")
    (g,) = torch.autograd.grad(-loss if targeted else loss, x)
    g = g / g.flatten(1).norm(dim=1)[:, None, None, None] if l2 else g.sign()
    return x.detach() + 2 * eps * g
"""

FILES = {
    "torchattacks": {
        "torchattacks/__init__.py": STEP
        + """
class Attack:
    supported_mode = ["default", "targeted"]
    targeted = False
    def set_mode_targeted_by_label(self, quiet=False):
        self.targeted = True
        if not quiet:
            raise AssertionError

class PGD(Attack):
    def __init__(self, model, eps=8 / 255, alpha=2 / 255, steps=10):
        self.model, self.eps, self.l2, self.more = model, eps, False, dict(alpha=alpha, steps=steps)
    def __call__(self, images, labels):
        return step(self.model, images, labels, self.eps, self.l2, self.targeted, **self.more)

class EOTPGD(PGD):
    def __init__(self, model, eps=8 / 255, alpha=2 / 255, steps=10, eot_iter=2):
        super().__init__(model, eps, alpha, steps)

class PGDL2(PGD):
    def __init__(self, model, eps=1.0, alpha=0.2, steps=10):
        super().__init__(model, eps, alpha, steps)
        self.l2 = True

class APGD(PGD):
    supported_mode = ["default"]
    def __init__(self, model, norm="Linf", eps=8 / 255, steps=10, seed=0):
        super().__init__(model, eps)
        self.l2, self.more = norm == "L2", dict(norm=norm, steps=steps, seed=seed)
"""
    },
    "art": {
        "art/__init__.py": 'import logging.config\nlogging.config.dictConfig({"version": 1})\n__version__ = "9.1"\n',
        "art/attacks/__init__.py": "",
        "art/attacks/evasion.py": STEP
        + """
import numpy as np
class ProjectedGradientDescent:
    def __init__(self, estimator, norm=np.inf, eps=0.3, eps_step=0.1, max_iter=100, targeted=False,
                 num_random_init=0, batch_size=32, verbose=True):
        self.estimator, self.eps, self.l2, self.targeted = estimator, eps, norm == 2, targeted
        seen.append(dict(eps_step=eps_step, max_iter=max_iter, batch_size=batch_size, verbose=verbose, norm=norm,
                         eps=eps, targeted=targeted, place=next(estimator.model.parameters()).device))
    def generate(self, x, y):
        print("talking")
        g = self.estimator.loss_gradient(torch.from_numpy(x), torch.from_numpy(y)) * (-1 if self.targeted else 1)
        self.estimator.predict(torch.from_numpy(x))
        g = g / g.flatten(1).norm(dim=1)[:, None, None, None] if self.l2 else g.sign()
        return (torch.from_numpy(x) + 2 * self.eps * g).numpy()

class DeepFool:
    def __init__(self, classifier, max_iter=100, batch_size=1, verbose=True):
        pass
""",
        "art/estimators/__init__.py": "",
        "art/estimators/classification.py": """
class PyTorchClassifier:
    def __init__(self, model, loss, input_shape, nb_classes, clip_values=None, preprocessing_defences=None,
                 device_type="gpu"):
        self.model, self.loss, self.classes, self.before = model, loss, nb_classes, preprocessing_defences
        assert device_type == "cpu" and clip_values == (0.0, 1.0) and len(input_shape) == 3
    def prepared(self, x, y):
        return (x, y) if self.before is None or not self.before.apply_predict else self.before.forward(x, y)
    def loss_gradient(self, x, y):
        self.model.train()
        x = x.clone().requires_grad_()
        moved, y = self.prepared(x, y)
        self.loss(self.model(moved), y).backward()
        return x.grad
    def predict(self, x):
        import torch
        with torch.no_grad():
            found = self.model(self.prepared(x, None)[0])
        assert found.shape == (len(x), self.classes)
        return found
""",
        "art/preprocessing/__init__.py": "",
        "art/preprocessing/expectation_over_transformation/__init__.py": "",
        "art/preprocessing/expectation_over_transformation/pytorch.py": """
class EoTPyTorch:
    def __init__(self, nb_samples, clip_values, apply_fit=False, apply_predict=True):
        self.nb_samples, self.apply_predict = nb_samples, apply_predict
""",
    },
    "adv_lib": {
        "adv_lib/__init__.py": '__version__ = "9.1"\n',
        "adv_lib/attacks/__init__.py": "from torchvision import models\nimport visdom\n"
        + STEP
        + """
def apgd(model, inputs, labels, eps, norm, targeted=False, n_iter=100, eot_iter=1):
    return step(model, inputs, labels, eps, norm == 2, targeted, norm=norm, n_iter=n_iter)

def pgd_linf(model, inputs, labels, ε, targeted=False, steps=40):
    return step(model, inputs, labels, ε, False, targeted, steps=steps)

def fga(model, inputs, labels):
    return step(model, inputs, labels, 1.0, False, False)
""",
        # as one that was built for another PyTorch
        "torchvision/__init__.py": 'raise RuntimeError("operator torchvision::nms does not exist")\n',
        "visdom/__init__.py": 'raise ImportError("no visdom")\n',
    },
    "pyautoattack": {
        "pyautoattack/__init__.py": STEP
        + """
class Part:
    n_iter = 100
class AutoAttack:
    def __init__(self, model, *, attacks=None, device="cpu", eps=0.3, norm="Linf", seed=None, version="standard"):
        self.model, self.eps, self.l2, self.logger = model, eps, norm == "L2", logging.getLogger("auto-attack")
        self.more = dict(attacks=attacks, device=device, seed=seed, version=version)
        self.apgd, self.fab, self.square, self.apgd_targeted = Part(), Part(), Part(), Part()
    def run_standard_evaluation(self, x, y, /, *, batch_size=250):
        self.logger.warning("it seems to be a randomized defense!")
        sys.settrace(None)
        torch.manual_seed(self.more["seed"])
        return step(self.model, x, y, self.eps, self.l2, False, batch_size=batch_size, n_iter=self.apgd.n_iter,
                    **self.more), y
"""
    },
}
"""For each library its files."""

TOPS = (*FILES, "torchvision", "visdom")


@contextmanager
def peers(folder: Path, monkeypatch: pytest.MonkeyPatch, *libraries: str) -> Iterator[None]:
    """Lets these libraries be imported, and none of the others, whatever is installed."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in TOPS}
    for name in before:
        del sys.modules[name]
    for library in libraries:
        for name, text in FILES[library].items():
            path = folder / "peers" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def version(distribution: str) -> str:
        raise importlib.metadata.PackageNotFoundError(distribution)

    class Absent:
        """Finds nothing outside the folder."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            top = name.partition(".")[0]
            if top in TOPS and not (folder / "peers" / top).is_dir():
                raise ModuleNotFoundError(f"No module named {top!r}", name=top)

    with monkeypatch.context() as patched:
        patched.setattr(importlib.metadata, "version", version)
        patched.syspath_prepend(str(folder / "peers"))
        patched.setattr(sys, "meta_path", [Absent, *sys.meta_path])
        importlib.invalidate_caches()
        try:
            yield
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] in TOPS]:
                del sys.modules[name]
            sys.modules.update(before)


def module(name: str) -> ModuleType:
    """One that is imported."""
    return sys.modules[name]
