"""Attacks of other libraries, with Foolbox's call: torchattacks, ART, adv-lib, AutoAttack.

Here belongs how each is asked: the model as a module, epsilon, norm and goal as it takes them. Its algorithm
is its own. None of them is imported before one of its attacks is made.

They see images in [0, 1], a batch at a time, of which they may pass any part; what they print is dropped. All
of them are PyTorch's alone.
"""

import contextlib
import importlib
import importlib.metadata
import inspect
import io
import logging
import logging.config
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import eagerpy as ep
import torch
from foolbox.attacks.base import FixedEpsilonAttack, get_criterion, raise_if_kwargs
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.distances import Distance, l2, linf
from foolbox.models import Model
from torch import Tensor, nn

NORMS: dict[str, Distance] = {"linf": linf, "l2": l2}
"""What epsilon may be the size in."""

ONLY = {
    "linf": (
        "FGSM", "BIM", "RFGSM", "PGD", "EOTPGD", "FFGSM", "TPGD", "MIFGSM", "UPGD", "DIFGSM", "TIFGSM",
        "Jitter", "NIFGSM", "PGDRS", "SINIFGSM", "VMIFGSM", "VNIFGSM", "SPSA", "PIFGSM", "PIFGSMPP",
        "pgd_linf", "carlini_wagner_linf", "CarliniLInfMethod",
    ),
    "l2": ("CW", "DeepFool", "EADEN", "PGDL2", "PGDRSL2", "ddn", "carlini_wagner_l2", "CarliniL2Method"),
}  # fmt: skip
"""Attacks of one norm that have no argument of that name: asked in another, they would do next to nothing."""


class Peer(FixedEpsilonAttack):
    """An attack of another library at a given epsilon.

    What it gives is clipped to epsilon and the bounds, and called a success where one more pass says so.

    Args:
        library: The distribution's name.
        module: What is imported of it.
        command: What installs it.
        norm: That of epsilon: ``linf`` or ``l2``.

    Attributes:
        peers: The library's version, by its name.

    Raises:
        ImportError: if it isn't there, or doesn't load.
        ValueError: for another norm.
    """

    def __init__(self, library: str, module: str, command: str, norm: str):
        if norm not in NORMS:
            raise ValueError(f"expected norm to be one of {', '.join(NORMS)}, got {norm!r}")
        self.norm = norm
        self.module = module
        try:
            with _quiet():
                self.load()
        except ImportError as error:
            words = " ".join(str(error).split())
            raise ImportError(f"it needs {library}: {command}; {words}") from None
        self.peers = {library: _version(library, module)}

    @property
    def distance(self) -> Distance:
        """In which epsilon is meant."""
        return NORMS[self.norm]

    def load(self) -> Any:
        """The library's module."""
        return importlib.import_module(self.module)

    @abstractmethod
    def craft(
        self, model: nn.Module, images: Tensor, labels: Tensor, targeted: bool, epsilon: float
    ) -> Tensor | Any:
        """Adversarial images, a tensor or an array.

        Args:
            model: Gives logits, shape (batch, classes), in whatever mode it is.
            images: In [0, 1], shape (batch, channels, height, width).
            labels: Classes to lead away from, or to if ``targeted``, shape (batch,).
            targeted: Which of these.
            epsilon: The largest perturbation.
        """

    def run(
        self,
        model: Model,
        inputs: Any,
        criterion: Any,
        *,
        epsilon: float,
        progress: Any = None,
        **kwargs: Any,
    ) -> Any:
        raise_if_kwargs(kwargs)
        x, restore_type = ep.astensor_(inputs)
        if not isinstance(x.raw, Tensor) or tuple(model.bounds) != (0, 1):
            kind = type(x.raw).__name__
            raise ValueError(f"expected a PyTorch tensor in (0, 1), got {kind} in {tuple(model.bounds)}")
        images = x.raw.detach().clone()
        labels, targeted = _goal(criterion)
        with _quiet():
            found = self.craft(_Logits(model, images), images, labels, targeted, epsilon)
        made = torch.as_tensor(found, dtype=images.dtype, device=images.device).detach()
        return restore_type(ep.astensor(made.clamp(*model.bounds)))


class TorchAttacks(Peer):
    """An attack of torchattacks (Kim, 2020): ``PGD``, ``EOTPGD``, ``APGD``, ``Square`` and others.

    Args:
        name: Its class.
        norm: That of epsilon: ``linf`` or ``l2``, which has to be the attack's.
        rel_stepsize: Its step, ``alpha``, as a share of epsilon; None: as its options say.
        options: What it is made with besides.

    Raises:
        ImportError: without torchattacks.
        ValueError: for a name, a norm or an option that it hasn't got.
    """

    def __init__(
        self, name: str = "PGD", norm: str = "linf", rel_stepsize: float | None = None, **options: Any
    ):
        super().__init__("torchattacks", "torchattacks", "pip install --no-deps torchattacks", norm)
        self.name = name
        made = _named(self.load(), name, _is_class("Attack", self.load()))
        self.options = _checked(name, made, options, norm, given=("model", "eps", "norm"))
        self.rel_stepsize = _step(name, made, "alpha", rel_stepsize, options)

    def craft(
        self, model: nn.Module, images: Tensor, labels: Tensor, targeted: bool, epsilon: float
    ) -> Tensor | Any:
        made = getattr(self.load(), self.name)
        norm = {"linf": "Linf", "l2": "L2"}[self.norm]
        ours = {"norm": norm, "eps": epsilon, "alpha": _times(self.rel_stepsize, epsilon), "seed": _seed()}
        attack = made(model, **{**_taken(made, ours), **self.options})
        if targeted and "targeted" not in attack.supported_mode:
            raise ValueError(f"unsupported criterion: {self.name} of torchattacks is untargeted")
        if targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        return attack(images, labels)


class ART(Peer):
    """An attack of the Adversarial Robustness Toolbox (Nicolae et al., 2018) on its ``PyTorchClassifier``.

    Args:
        name: Its class, of ``art.attacks.evasion``.
        norm: That of epsilon: ``linf`` or ``l2``.
        samples: Draws that each gradient of a loss is averaged over, at least 1: ART's expectation over
            transformation, with the identity as the transformation. They are rows of one pass, and so draws
            only where a draw belongs to the image.
        rel_stepsize: Its step, ``eps_step``, as a share of epsilon; None: as its options say.
        options: What it is made with besides.

    Raises:
        ImportError: without ART.
        ValueError: for a name, a norm or an option that it hasn't got.
    """

    def __init__(
        self,
        name: str = "ProjectedGradientDescent",
        norm: str = "linf",
        samples: int = 1,
        rel_stepsize: float | None = None,
        **options: Any,
    ):
        library = "adversarial-robustness-toolbox"
        super().__init__(library, "art.attacks.evasion", f"pip install {library}", norm)
        self.name = name
        if samples < 1:
            raise ValueError(f"expected samples to be at least 1, got {samples}")
        self.samples = samples
        made = _named(self.load(), name, inspect.isclass)
        ours = ("estimator", "classifier", "eps", "norm", "targeted", "batch_size", "verbose")
        self.options = _checked(name, made, options, norm, given=ours)
        self.rel_stepsize = _step(name, made, "eps_step", rel_stepsize, options)

    def load(self) -> Any:
        # once imported it says how all of the process logs, and closes the handlers that are there
        configure = logging.config.dictConfig
        logging.config.dictConfig = lambda config: None
        try:
            return super().load()
        finally:
            logging.config.dictConfig = configure

    def craft(
        self, model: nn.Module, images: Tensor, labels: Tensor, targeted: bool, epsilon: float
    ) -> Tensor | Any:
        made = getattr(self.load(), self.name)
        if targeted and "targeted" not in inspect.signature(made).parameters:
            raise ValueError(f"unsupported criterion: {self.name} of ART is untargeted")
        ours = {
            "norm": {"linf": "inf", "l2": 2}[self.norm],
            "eps": epsilon,
            "eps_step": _times(self.rel_stepsize, epsilon),
            "targeted": targeted,
            "batch_size": len(images),
            "verbose": False,
        }
        attack = made(self._estimator(model, images), **{**_taken(made, ours), **self.options})
        return attack.generate(images.cpu().numpy(), labels.cpu().numpy())

    def _estimator(self, model: nn.Module, images: Tensor) -> Any:
        with torch.no_grad():
            classes = model(images[:1]).shape[-1]
        classification = importlib.import_module("art.estimators.classification")
        return classification.PyTorchClassifier(
            model=model,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(images.shape[1:]),
            nb_classes=classes,
            clip_values=(0.0, 1.0),
            preprocessing_defences=self._expectation() if self.samples > 1 else None,
            device_type="gpu" if images.is_cuda else "cpu",
        )

    def _expectation(self) -> Any:
        eot = importlib.import_module("art.preprocessing.expectation_over_transformation.pytorch")

        class Identity(eot.EoTPyTorch):  # type: ignore[name-defined]
            def _transform(self, x: Any, y: Any, **kwargs: Any) -> tuple[Any, Any]:
                return x, y

            def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
                # ART's own takes a prediction, of which there are no labels, for so many images, too; and it
                # puts an image's draws beside each other, where here all images stand, and then again
                if y is None:
                    return x, y
                draws = self.nb_samples
                return x.repeat(draws, *(1,) * (x.ndim - 1)), y.repeat(draws, *(1,) * (y.ndim - 1))

        return Identity(nb_samples=self.samples, clip_values=(0.0, 1.0))


class AdvLib(Peer):
    """An attack of adv-lib (Rony et al.): ``apgd``, ``pgd_linf``, ``fmn``, ``ddn``, ``alma`` and others.

    What looks for the smallest perturbation has no epsilon, and what it gives is clipped.

    Args:
        name: Its function, of ``adv_lib.attacks``.
        norm: That of epsilon: ``linf`` or ``l2``, which has to be the attack's.
        options: What it is called with besides.

    Raises:
        ImportError: without adv-lib.
        ValueError: for a name, a norm or an option that it hasn't got.
    """

    def __init__(self, name: str = "apgd", norm: str = "linf", **options: Any):
        super().__init__("adv-lib", "adv_lib.attacks", "pip install --no-deps adv-lib", norm)
        self.name = name
        made = _named(self.load(), name, inspect.isfunction)
        ours = ("model", "inputs", "labels", "targeted", "eps", "ε", "norm")
        self.options = _checked(name, made, options, norm, given=ours)

    def load(self) -> Any:
        if self.module in sys.modules:
            return sys.modules[self.module]
        # of the one it wants a network for a distance, of the other plots
        with _done_without("torchvision", "visdom"):
            return super().load()

    def craft(
        self, model: nn.Module, images: Tensor, labels: Tensor, targeted: bool, epsilon: float
    ) -> Tensor | Any:
        made = getattr(self.load(), self.name)
        if targeted and "targeted" not in inspect.signature(made).parameters:
            raise ValueError(f"unsupported criterion: {self.name} of adv-lib is untargeted")
        norm = {"linf": float("inf"), "l2": 2.0}[self.norm]
        ours = {"norm": norm, "eps": epsilon, "ε": epsilon, "targeted": targeted}
        return made(model, images, labels, **{**_taken(made, ours), **self.options})


class AutoAttack(Peer):
    """AutoAttack (Croce and Hein, 2020), as ``pyautoattack`` packs it. Untargeted.

    An image that it doesn't find anything for comes back as it was. Its ``rand`` version keeps an image where
    one draw after each attack is fooled.

    Args:
        version: ``standard``, ``rand``, ``plus`` or ``custom``.
        norm: That of epsilon: ``linf`` or ``l2``.
        attacks: Of ``custom``: which, of ``apgd-ce``, ``apgd-dlr``, ``apgd-t``, ``fab``, ``fab-t`` and
            ``square``.
        options: Attributes of its parts, ``apgd``, ``apgd_targeted``, ``fab`` and ``square``, such as
            ``{"apgd": {"n_iter": 20}}``. With less than ten classes ``apgd_targeted`` and ``fab`` need
            ``n_target_classes``, one less than there are.

    Raises:
        ImportError: without pyautoattack.
        ValueError: for a version, an attack, a norm or an option that it hasn't got.
    """

    VERSIONS = ("standard", "rand", "plus", "custom")
    ATTACKS = ("apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square")
    PARTS = ("apgd", "apgd_targeted", "fab", "square")

    def __init__(
        self,
        version: str = "standard",
        norm: str = "linf",
        attacks: Sequence[str] | None = None,
        **options: Mapping[str, Any],
    ):
        super().__init__("pyautoattack", "pyautoattack", "pip install pyautoattack", norm)
        _choice("version", version, self.VERSIONS)
        if (version == "custom") != bool(attacks):
            raise ValueError(f"expected attacks with version custom alone, got {attacks} with {version}")
        for name in attacks or ():
            _choice("attacks", name, self.ATTACKS)
        for part, values in options.items():
            _choice("options", part, self.PARTS)
            if not isinstance(values, Mapping):
                raise ValueError(f"expected names and values of {part}, got {values!r}")
        self.version = version
        self.attacks = list(attacks) if attacks else None
        self.options = {part: dict(values) for part, values in options.items()}
        self._made(nn.Identity(), "cpu", 1.0)

    def craft(
        self, model: nn.Module, images: Tensor, labels: Tensor, targeted: bool, epsilon: float
    ) -> Tensor | Any:
        if targeted:
            raise ValueError("unsupported criterion: AutoAttack is untargeted")
        attack = self._made(model, images.device, epsilon)
        said, tracing = attack.logger.disabled, sys.gettrace()
        attack.logger.disabled = True
        try:
            return attack.run_standard_evaluation(images, labels, batch_size=len(images))[0]
        finally:
            attack.logger.disabled = said
            # it traces a pass, and leaves no trace function of anybody's
            sys.settrace(tracing)

    def _made(self, model: nn.Module, device: Any, epsilon: float) -> Any:
        norm = {"linf": "Linf", "l2": "L2"}[self.norm]
        attack = self.load().AutoAttack(
            model,
            attacks=self.attacks,
            device=device,
            eps=epsilon,
            norm=norm,
            seed=_seed(),
            version=self.version,
        )
        for part, values in self.options.items():
            for name, value in values.items():
                if not hasattr(getattr(attack, part), name):
                    raise ValueError(f"{part} of AutoAttack has no attribute {name}")
                setattr(getattr(attack, part), name, value)
        return attack


class _Logits(nn.Module):
    """A model of Foolbox's as a module.

    It has none of the network's modules, so that whatever mode it is put in, and wherever it is moved, the
    network stays as it is, and so does what is random in it.
    """

    def __init__(self, model: Model, images: Tensor):
        super().__init__()
        self.model = model
        # by which libraries find out where it is
        self.place = nn.Parameter(images.new_zeros(0), requires_grad=False)
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.model(x)


def _goal(criterion: Any) -> tuple[Tensor, bool]:
    """Classes, and whether they are to be reached."""
    wanted = get_criterion(criterion)
    if isinstance(wanted, Misclassification):
        return wanted.labels.raw, False
    if isinstance(wanted, TargetedMisclassification):
        return wanted.target_classes.raw, True
    raise ValueError(f"unsupported criterion: {wanted}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that is printed is seen."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _done_without(*modules: str) -> Iterator[None]:
    """Modules that aren't there, or don't load, can be imported as empty ones."""
    empty = []
    for name in modules:
        try:
            importlib.import_module(name)
        # a torchvision that was built for another PyTorch raises a RuntimeError
        except Exception:
            empty.append(name)
            sys.modules[name] = stand_in = ModuleType(name)
            stand_in.__dict__["models"] = None
    try:
        yield
    finally:
        for name in empty:
            sys.modules.pop(name, None)


def _version(library: str, module: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        found = sys.modules.get(module.partition(".")[0])
        return str(getattr(found, "__version__", "unknown"))


def _seed() -> int:
    """For libraries that seed the global generators: else with the same number each time, or the time."""
    return int(torch.randint(2**31 - 1, ()))


def _is_class(base: str, module: Any) -> Callable[[Any], bool]:
    """Whether something is a class, and one derived from that name of a module, where there is one."""
    of = getattr(module, base, object)
    return lambda found: inspect.isclass(found) and issubclass(found, of)


def _named(module: Any, name: str, kind: Callable[[Any], bool]) -> Any:
    allowed = sorted(key for key, value in vars(module).items() if kind(value) and not key.startswith("_"))
    _choice("name", name, allowed)
    return getattr(module, name)


def _choice(key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"expected {key} to be one of {', '.join(allowed)}, got {value!r}")


def _checked(
    name: str, made: Callable[..., Any], options: Mapping[str, Any], norm: str, given: Sequence[str]
) -> dict[str, Any]:
    """Options, all of which the attack takes, in a norm that it has."""
    for other, names in ONLY.items():
        if other != norm and name in names:
            raise ValueError(f"expected norm to be {other}, the only one of {name}, got {norm!r}")
    allowed = [key for key in inspect.signature(made).parameters if key not in given]
    for option in options:
        _choice(f"an option of {name}", option, allowed)
    return dict(options)


def _step(
    name: str, made: Callable[..., Any], key: str, relative: float | None, options: Mapping[str, Any]
) -> float | None:
    """A step as a share of epsilon, for an attack that has one."""
    if relative is not None and (key not in inspect.signature(made).parameters or key in options):
        raise ValueError(f"rel_stepsize: {name} has no {key}, or it is given as well")
    return relative


def _times(relative: float | None, epsilon: float) -> float | None:
    return None if relative is None else relative * epsilon


def _taken(made: Callable[..., Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """What an attack takes of what is known."""
    known = inspect.signature(made).parameters
    return {key: value for key, value in ours.items() if key in known and value is not None}
