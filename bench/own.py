"""Randomness of a network's own: how it is drawn and switched on for a pass, and switched off for its twin.

Here belongs what is done to a network around one pass and undone after it, and what stands in for a submodule
on the way back. How many passes make an answer is in ``combining``; which pass has which seed, in
``defended``.
"""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.checks import fraction
from bench.sites import SiteError, among


class OwnError(SiteError):
    """What a network that draws by itself hasn't got: one line, which begins with the key of it."""

    @property
    def line(self) -> str:
        """The same, with the section of the settings that it is about."""
        return f"scheme.{self}"


State = Mapping[str, Sequence[int]]
"""What ``choose`` has drawn: for each name, and each module that has it, the place of its value."""

IDENTITY = "identity"
"""The stand-in that lets a gradient through as it is."""


@dataclass(frozen=True)
class Own:
    """A network that draws by itself, and how.

    Everything is set before each pass and put back after it; nothing is deep-copied.

    Args:
        draw: What draws anew: a method of the network, by its name, or, where the network has none, of each
            submodule that has it; or a function that is called with the network. None: the pass itself does.
        choose: Attributes that are set to one of several values, drawn by this project's generator: for each
            name its values. It is set on every module that has it; a tensor is filled.
        probabilities: Of the values, in their order: for each name, or, where there is one name, for that.
            None: all are as likely.
        each: Whether each module has a draw of its own; else one is for all.
        train_mode: Modules in training mode, by their class or their path: their own flag alone, not their
            children's. It is set whatever a network's ``eval()`` may do.
        on: Attributes that are set for the defence, on every module that has them; a tensor is filled.
        off: What is set for the twin, likewise, while nothing above is; ``{}`` where that is enough. Or the
            path of a submodule that alone is the twin. None: there is no twin, unless ``twin`` is one.
        twin: Another network that is the twin, in place of ``off``.
        seeded: Whether two passes of one seed have to be equal; False for a network that draws from what no
            seed reaches.
        stand_ins: For a submodule without a gradient, by its path, what the gradient is taken of instead:
            ``"identity"``, or a module or a function of its input (BPDA; Athalye et al. 2018, section 4.1).
            What comes out of it is as ever.
        sites: What acts at sites beside it, as ``Defended`` takes a scheme.
        own: Whether the network draws by itself. None: unless ``sites`` and ``stand_ins`` are all
            that is said.

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
    twin: Any = None
    seeded: bool = True
    stand_ins: Mapping[str, Any] = field(default_factory=dict)
    sites: Mapping[str, Any] = field(default_factory=dict)
    own: bool | None = None

    def __post_init__(self) -> None:
        if self.draw is not None and not isinstance(self.draw, str) and not callable(self.draw):
            raise ValueError(f"draw: expected a method's name, or a function, got {self.draw!r}")
        for key in ("choose", "on", "stand_ins", "sites"):
            if not isinstance(getattr(self, key), Mapping):
                raise ValueError(f"{key}: expected names and values, got {getattr(self, key)!r}")
        if self.off is not None and not isinstance(self.off, str | Mapping):
            raise ValueError(f"off: expected names and values, or a submodule's path, got {self.off!r}")
        if self.off is not None and self.twin is not None:
            raise ValueError("twin: off says already what the twin is; give one of them")
        if isinstance(self.train_mode, str | type) or not isinstance(self.train_mode, Sequence):
            raise ValueError(f"train_mode: expected a list of classes or paths, got {self.train_mode!r}")
        for one in self.train_mode:
            if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, nn.Module)):
                raise ValueError(f"train_mode: expected classes of modules, or paths, got {one!r}")
        for name, values in self.choose.items():
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ValueError(f"choose.{name}: expected a list of values, got {values!r}")
        for name, shares in self.weights.items():
            self._check_shares(name, shares)
        for path, one in self.stand_ins.items():
            if one != IDENTITY and not callable(one):
                raise ValueError(f"stand_ins.{path}: expected {IDENTITY}, or a module, got {one!r}")
        if not self.itself:
            given = [key for key in ("off", "twin") if getattr(self, key) is not None]
            if given or not self.seeded:
                raise ValueError(f"{given[0] if given else 'seeded'}: the network draws nothing by itself")

    def _check_shares(self, name: str, shares: Any) -> None:
        if name not in self.choose:
            raise ValueError(
                f"probabilities: expected those of {', '.join(self.choose) or 'choose'}, got {name}"
            )
        count = len(self.choose[name])
        listed = isinstance(shares, Sequence) and not isinstance(shares, str)
        numbers = listed and all(isinstance(s, int | float) and not isinstance(s, bool) for s in shares)
        # as far as a few decimals go
        if not (numbers and len(shares) == count and min(shares) >= 0 and abs(sum(shares) - 1) < 1e-3):
            said = list(shares) if listed else shares
            raise ValueError(f"probabilities: expected {count} numbers from 0 that sum to 1, got {said}")

    @property
    def itself(self) -> bool:
        """Whether the network draws by itself."""
        if self.own is not None:
            return self.own
        said = any((self.draw, self.choose, self.train_mode, self.on))
        twin = self.off is not None or self.twin is not None
        return said or twin or not (self.sites or self.stand_ins)

    @property
    def weights(self) -> Mapping[str, Any]:
        """The probabilities of each name that has some."""
        if self.probabilities is None:
            return {}
        if isinstance(self.probabilities, Mapping):
            return self.probabilities
        if len(self.choose) != 1:
            raise ValueError(f"probabilities: expected them by name, for {len(self.choose)} names of choose")
        return dict.fromkeys(self.choose, self.probabilities)

    def check(self, network: nn.Module) -> None:
        """Raises OwnError, one line that begins with the argument's name, for what a network hasn't got."""
        paths = [path for path, _ in network.named_modules(remove_duplicate=False) if path]
        if isinstance(self.draw, str):
            for module in self._drawing(network):
                _check_call(self.draw, getattr(module, self.draw))
        for key in ("choose", "on", "off"):
            named = getattr(self, key)
            for name in named if isinstance(named, Mapping) else ():
                if not list(_having(network, name)):
                    known = sorted({n for m in network.modules() for n in _attributes(m)})
                    raise OwnError(f"{key}.{name}: no module has such an attribute; {among(name, known)}")
        named_paths = [("train_mode", one) for one in self.train_mode if isinstance(one, str)]
        named_paths += [("off", self.off)] if isinstance(self.off, str) else []
        named_paths += [("stand_ins", path) for path in self.stand_ins]
        for key, path in named_paths:
            if path not in paths and (key, path) != ("train_mode", ""):
                raise OwnError(f"{key}: no submodule {path!r}; {among(path, paths)}")
        for one in self.train_mode:
            if isinstance(one, type) and not any(_is(m, one) for m in network.modules()):
                kinds = sorted({type(m).__name__ for m in network.modules()})
                raise OwnError(f"train_mode: no submodule is a {one.__name__}; there are {', '.join(kinds)}")

    def states(self, network: nn.Module, most: int) -> list[tuple[float, State]] | None:
        """What ``choose`` can draw in a pass, each with its probability; None if there are more.

        Those that are never drawn aren't among them.

        Args:
            network: The network.
            most: How many there may be.
        """
        names = []
        for name, values in self.choose.items():
            shares = self.weights.get(name, [1.0] * len(values))
            likely = [(place, share / sum(shares)) for place, share in enumerate(shares) if share > 0]
            modules = sum(1 for _ in _having(network, name))
            free = modules if self.each else 1
            if len(likely) ** free > most:
                return None
            names.append(
                [
                    (
                        math.prod(share for _, share in some),
                        (name, tuple(place for place, _ in some) * (modules // free)),
                    )
                    for some in itertools.product(likely, repeat=free)
                ]
            )
        if math.prod(map(len, names)) > most:
            return None
        return [
            (math.prod(share for share, _ in some), dict(of for _, of in some))
            for some in itertools.product(*names)
        ]

    @contextmanager
    def acting(
        self, network: nn.Module, generator: torch.Generator, off: bool = False, state: State | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """A network as it is for one pass, but for what ``draw`` draws; or for one of its twin.

        Args:
            network: The network.
            generator: What ``choose`` is drawn from.
            off: Whether its randomness is off.
            state: What ``choose`` has drawn, one of ``states``; None: it draws.

        Yields:
            What is to stand in place of parameters and buffers, by name: those that are filled.
        """
        filled: dict[str, Tensor] = {}
        with ExitStack() as stack:

            def put(key: str, name: str, values: Sequence[Any]) -> None:
                for (path, module), value in zip(_having(network, name), values, strict=True):
                    _put(stack, filled, f"{key}.{name}", path, module, name, value)

            def count(name: str) -> int:
                return sum(1 for _ in _having(network, name))

            if off:
                for name, value in self.off.items() if isinstance(self.off, Mapping) else ():
                    put("off", name, [value] * count(name))
            else:
                for name, value in self.on.items():
                    put("on", name, [value] * count(name))
                for name, values in self.choose.items():
                    if state is None:
                        put("choose", name, self._drawn(name, values, count(name), generator))
                    else:
                        put("choose", name, [values[place] for place in state[name]])
            for module in self._training(network):
                stack.callback(setattr, module, "training", module.training)
                module.training = not off
            yield filled

    def _drawn(self, name: str, values: Sequence[Any], modules: int, generator: torch.Generator) -> list[Any]:
        shares = torch.tensor(self.weights.get(name, [1.0] * len(values)), dtype=torch.float64)
        # on the generator's device, which may not have double precision
        shares = shares.float().to(generator.device)
        drawn = torch.multinomial(shares, modules if self.each else 1, replacement=True, generator=generator)
        return [values[i] for i in (drawn.tolist() if self.each else drawn.tolist() * modules)]

    def _training(self, network: nn.Module) -> list[nn.Module]:
        kinds = [one for one in self.train_mode if isinstance(one, type)]
        found = [m for m in network.modules() if any(_is(m, kind) for kind in kinds)]
        return found + [network.get_submodule(one) for one in self.train_mode if isinstance(one, str)]

    def drawn(self, network: nn.Module) -> None:
        """Draws anew.

        Raises:
            OwnError: if what draws fails.
        """
        if self.draw is None:
            return
        try:
            if isinstance(self.draw, str):
                for module in self._drawing(network):
                    getattr(module, self.draw)()
            else:
                _of(network, self.draw)(network)
        except OwnError:
            raise
        # somebody's code may raise anything at all
        except Exception as error:
            name = self.draw if isinstance(self.draw, str) else getattr(self.draw, "__qualname__", "it")
            words = " ".join(str(error).split())
            raise OwnError(f"draw: {name} fails ({type(error).__name__}: {words})") from error

    def _drawing(self, network: nn.Module) -> list[nn.Module]:
        assert isinstance(self.draw, str)
        if callable(getattr(network, self.draw, None)):
            return [network]
        found = [m for m in network.modules() if callable(getattr(m, self.draw, None))]
        if not found:
            methods = sorted({n for m in network.modules() for n in _methods(m)})
            raise OwnError(f"draw: no module has a method {self.draw!r}; {among(self.draw, methods)}")
        return found


def _is(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of a class, or of the same one of a module that was imported afresh for it."""
    name = (kind.__module__, kind.__qualname__)
    return any(one is kind or (one.__module__, one.__qualname__) == name for one in type(module).__mro__)


def _of(network: nn.Module, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function, or the same one of the module that was imported afresh for a network."""
    name, home = getattr(function, "__qualname__", "."), getattr(function, "__module__", None)
    if "." in name or home != type(network).__module__:
        return function
    found: Callable[..., Any] = getattr(type(network).forward, "__globals__", {}).get(name, function)
    return found


class StraightThrough(torch.autograd.Function):
    """One tensor forward, the gradient of another."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, stand_in: Tensor) -> Tensor:
        """Gives ``value``; both are of one shape."""
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        """Gives the gradient to the stand-in."""
        return None, gradient


def standing_in(path: str, stand_in: Any) -> tuple[Callable[..., None], Callable[..., Any]]:
    """Hooks that leave a submodule's output as it is, and take its gradient of a stand-in.

    Args:
        path: The submodule's.
        stand_in: ``IDENTITY``, or what is called with the submodule's first input.

    Returns:
        One for before the submodule, and one for after it.
    """
    came: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        came.clear()
        if torch.is_grad_enabled() and not (inputs and isinstance(inputs[0], Tensor)):
            raise OwnError(
                f"stand_ins: submodule {path!r} is called without a tensor as its first argument (one by "
                "keyword doesn't count), of which a gradient could be taken instead"
            )
        if torch.is_grad_enabled() and inputs[0].requires_grad:
            # the submodule may write into it
            came.append(inputs[0].clone())

    def act(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if not came:
            return output
        given = came.pop()
        try:
            other = given if stand_in == IDENTITY else stand_in(given)
        # whatever stands in may raise anything at all
        except Exception as error:
            words = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise OwnError(f"stand_ins: what stands in for submodule {path!r} fails ({words})") from error
        if not isinstance(output, Tensor) or not isinstance(other, Tensor) or output.shape != other.shape:
            shapes = [tuple(o.shape) if isinstance(o, Tensor) else type(o).__name__ for o in (output, other)]
            raise OwnError(f"stand_ins: submodule {path!r} gives {shapes[0]}, its stand-in {shapes[1]}")
        return StraightThrough.apply(output.detach(), other)

    return keep, act


def _having(network: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    return ((path, m) for path, m in network.named_modules() if name in _attributes(m))


def _attributes(module: nn.Module) -> set[str]:
    """What of a module may be set: its own attributes, and those of its class that are no functions."""
    of_class = {
        name
        for kind in type(module).__mro__
        if kind not in nn.Module.__mro__
        for name, value in vars(kind).items()
        if not callable(value) and not isinstance(value, classmethod | staticmethod)
    }
    own = set(vars(module)) - set(vars(_PLAIN))
    return {n for n in own | of_class | set(module._parameters) | set(module._buffers) if n[:2] != "__"}


_PLAIN = nn.Module()


def _methods(module: nn.Module) -> set[str]:
    kinds = [kind for kind in type(module).__mro__ if kind not in nn.Module.__mro__]
    return {n for kind in kinds for n, v in vars(kind).items() if inspect.isfunction(v) and n[:1] != "_"}


def _check_call(name: str, method: Any) -> None:
    """Raises OwnError for a method that can't be called without arguments."""
    try:
        inspect.signature(method).bind()
    except TypeError as error:
        raise OwnError(
            f"draw: {name} can't be called ({error}); name a function that is called with the network"
        ) from None
    except ValueError:
        # some that are written in C don't say what they take
        return


def _put(
    stack: ExitStack, filled: dict[str, Tensor], key: str, path: str, module: nn.Module, name: str, value: Any
) -> None:
    """Sets an attribute until the stack is closed; a parameter or a buffer is only said.

    What can't be set is said of the setting ``key``.
    """
    held = module._parameters.get(name, module._buffers.get(name))
    before = getattr(module, name)
    if isinstance(before, Tensor) or (isinstance(before, int | float) and not isinstance(before, bool)):
        value = fraction(value)
    if isinstance(before, Tensor):
        value = _filled(key, before, value)
    if held is not None:
        filled[f"{path}.{name}".removeprefix(".")] = value
        return
    # what is its class's alone is taken away again, else what was there is put back
    own = name in vars(module) or isinstance(inspect.getattr_static(type(module), name, None), property)
    try:
        setattr(module, name, value)
    except (AttributeError, TypeError, ValueError) as error:
        raise OwnError(f"{key}: can't be set to {value!r} ({error})") from None
    if own:
        stack.callback(setattr, module, name, before)
    else:
        stack.callback(vars(module).pop, name, None)


def _filled(key: str, tensor: Tensor, value: Any) -> Tensor:
    try:
        filled = torch.full_like(tensor.detach(), value)
        # whole numbers are cut off without a word
        if not (filled.is_floating_point() or filled.is_complex() or (filled == value).all()):
            raise ValueError(f"it would hold {filled.flatten()[0].item()}")
    except (TypeError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())
        raise OwnError(
            f"{key}: is a tensor of {tensor.dtype}, which can't be filled by {value!r} ({words})"
        ) from None
    return filled
