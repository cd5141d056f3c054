"""Randomness of a network's own: how it is drawn and switched on for a pass, and switched off for its twin.

Here belongs what is done to a network around one pass, and undone after it. How many passes make an answer is
in ``combining``; which pass has which seed, in ``defended``.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.sites import SiteError, among


@dataclass(frozen=True)
class Own:
    """How a network draws by itself.

    All of it is set before each pass and put back after it.

    Args:
        draw: What draws anew: a method of the network, by its name, or, where the network has none, of each
            module that has it; or a function that is called with the network. None: the pass itself draws.
        choose: Attributes that are set to one of several values, drawn by this project's generator: for each
            name the values, on every module that has it.
        probabilities: Of the values, in their order, for each name or, where there is one name, for that;
            None: all are as likely.
        each: Whether each module has a draw of its own; else one is for all.
        train_mode: Modules in training mode, by their class or their path: their own flag alone.
        on: Attributes that are set for the defence, on every module that has them; a tensor is filled.
        off: Attributes that are set for the twin, likewise; or the path of a submodule that is the twin.
        twin: Another network that is the twin, in place of ``off``.
        seeded: Whether passes of one seed are equal; False where a network draws from what no seed reaches.

    Raises:
        ValueError: for what contradicts itself, in one line that begins with the argument's name.
    """

    draw: str | Callable[[nn.Module], Any] | None = None
    choose: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    probabilities: Mapping[str, Sequence[float]] | Sequence[float] | None = None
    each: bool = False
    train_mode: Sequence[type[nn.Module] | str] = ()
    on: Mapping[str, Any] = field(default_factory=dict)
    off: Mapping[str, Any] | str | None = None
    twin: nn.Module | None = None
    seeded: bool = True

    def __post_init__(self) -> None:
        if self.off is not None and self.twin is not None:
            raise ValueError("twin: off says already what the twin is; give one of them")
        for name, values in self.choose.items():
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ValueError(f"choose.{name}: expected a list of values, got {values!r}")
        given = self.weights
        for name, shares in given.items():
            if name not in self.choose:
                raise ValueError(f"probabilities: expected those of {', '.join(self.choose)}, got {name}")
            count = len(self.choose[name])
            good = len(shares) == count and min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6
            if not good:
                raise ValueError(
                    f"probabilities: expected {count} numbers from 0 that sum to 1, got {list(shares)}"
                )

    @property
    def weights(self) -> Mapping[str, Sequence[float]]:
        """The probabilities of each name that has some."""
        if self.probabilities is None:
            return {}
        if isinstance(self.probabilities, Mapping):
            return self.probabilities
        if len(self.choose) != 1:
            raise ValueError(f"probabilities: expected them by name, for {len(self.choose)} names of choose")
        return dict.fromkeys(self.choose, self.probabilities)

    @property
    def has_twin(self) -> bool:
        """Whether the network without its randomness is to be had."""
        return self.off is not None or self.twin is not None

    def check(self, network: nn.Module) -> None:
        """Raises SiteError, of one line that begins with the argument's name, for what a network hasn't got."""
        paths = dict(network.named_modules())
        if isinstance(self.draw, str) and not self._drawing(network):
            methods = {n for m in network.modules() for n in _methods(m)}
            raise SiteError(f"draw: no module has a method {self.draw!r}; {among(self.draw, sorted(methods))}")
        for key in ("choose", "on", "off"):
            named = getattr(self, key)
            for name in named if isinstance(named, Mapping) else ():
                if not list(_having(network, name)):
                    known = sorted({n for m in network.modules() for n in _attributes(m)})
                    raise SiteError(f"{key}: no module has an attribute {name!r}; {among(name, known)}")
        for one in (*self.train_mode, *([self.off] if isinstance(self.off, str) else [])):
            key = "off" if one is self.off else "train_mode"
            if isinstance(one, str) and (one not in paths or not one):
                raise SiteError(f"{key}: no submodule {one!r}; {among(one, [p for p in paths if p])}")
            if isinstance(one, type) and not any(isinstance(m, one) for m in network.modules()):
                kinds = sorted({type(m).__name__ for m in network.modules()})
                raise SiteError(f"{key}: no submodule is a {one.__name__}; there are {', '.join(kinds)}")

    def _drawing(self, network: nn.Module) -> list[nn.Module]:
        assert isinstance(self.draw, str)
        if callable(getattr(network, self.draw, None)):
            return [network]
        return [m for m in network.modules() if callable(getattr(m, self.draw, None))]

    def tensors(self, network: nn.Module, twin: bool = False) -> dict[str, Tensor]:
        """What stands in place of parameters and buffers in a pass: those that are to be filled, by name."""
        named = self.off if twin else self.on
        found = {}
        for name, value in named.items() if isinstance(named, Mapping) else ():
            for path, module in network.named_modules():
                held = module._parameters.get(name, module._buffers.get(name))
                if held is not None:
                    found[f"{path}.{name}".removeprefix(".")] = torch.full_like(held, value, requires_grad=False)
        return found

    @contextmanager
    def acting(self, network: nn.Module, generator: torch.Generator, twin: bool = False) -> Iterator[None]:
        """A network as it is for one pass; for a twin's, without its randomness.

        Args:
            network: The network.
            generator: What ``choose`` is drawn from.
            twin: Whether its randomness is off.
        """
        with ExitStack() as stack:
            if twin:
                for name, value in self.off.items() if isinstance(self.off, Mapping) else ():
                    _set(stack, network, name, [value] * len(list(_having(network, name))))
                yield
                return
            for name, value in self.on.items():
                _set(stack, network, name, [value] * len(list(_having(network, name))))
            for name, values in self.choose.items():
                modules = list(_having(network, name))
                shares = torch.tensor(self.weights.get(name, [1.0] * len(values)), dtype=torch.float64)
                count = len(modules) if self.each else 1
                drawn = torch.multinomial(
                    shares.to(generator.device), count, replacement=True, generator=generator
                ).tolist()
                _set(stack, network, name, [values[i] for i in (drawn if self.each else drawn * len(modules))])
            for module in network.modules():
                if any(isinstance(module, one) for one in self.train_mode if isinstance(one, type)):
                    _flag(stack, module)
            for one in self.train_mode:
                if isinstance(one, str):
                    _flag(stack, network.get_submodule(one))
            if isinstance(self.draw, str):
                for module in self._drawing(network):
                    getattr(module, self.draw)()
            elif self.draw is not None:
                self.draw(network)
            yield


def _having(network: nn.Module, name: str) -> Iterator[nn.Module]:
    return (m for m in network.modules() if name in _attributes(m))


def _attributes(module: nn.Module) -> set[str]:
    """What of a module may be set: its own attributes and those of its class that are no functions."""
    of_class = {
        n
        for kind in type(module).__mro__[: -(len(nn.Module.__mro__))]
        for n, v in vars(kind).items()
        if not callable(v) and not isinstance(v, classmethod | staticmethod)
    }
    own = {n for n in vars(module) if n not in vars(_PLAIN)} | of_class
    return {n for n in own | set(module._parameters) | set(module._buffers) if not n.startswith("__")}


def _methods(module: nn.Module) -> set[str]:
    kinds = type(module).__mro__[: -(len(nn.Module.__mro__))]
    return {n for kind in kinds for n, v in vars(kind).items() if inspect.isfunction(v) and n[:1] != "_"}


_PLAIN = nn.Module()


def _set(stack: ExitStack, network: nn.Module, name: str, values: Sequence[Any]) -> None:
    """Sets an attribute, module by module, until the stack is closed; tensors are replaced elsewhere."""
    for module, value in zip(_having(network, name), values, strict=True):
        if name in module._parameters or name in module._buffers:
            continue
        own = name in vars(module)
        stack.callback(_put_back, module, name, getattr(module, name), own)
        setattr(module, name, value)


def _put_back(module: nn.Module, name: str, value: Any, own: bool) -> None:
    if own:
        setattr(module, name, value)
    else:
        vars(module).pop(name, None)


def _flag(stack: ExitStack, module: nn.Module) -> None:
    stack.callback(setattr, module, "training", module.training)
    module.training = True
