"""A network behind a scheme: the one object that everything which looks at images is passed through.

Here belongs how operations act at a network's sites, and what a pass through it gives. Which operations
there are is in ``schemes``, how weights come about in ``training``, what is measured in ``measuring``.

A site is a name for paths of submodules, whose outputs an operation replaces; the path ``""`` is the image
itself, in [0, 1], before preprocessing. No network has to be written for it: sites are forward hooks.
"""

import contextlib
import contextvars
import copy
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench import process, watching
from bench.combining import COMBINE, combined
from bench.own import Own, OwnError, State, standing_in
from bench.results import fingerprint
from bench.results import identity as identities
from bench.results.identity import HOOKS
from bench.schemes.dropout import Dropout
from bench.schemes.strength import Operation, strength_of
from bench.sites import IMAGE, SiteError, among, normalised, unwrapped

Scheme = Mapping[str, tuple[Operation, float]]
"""What acts where: for each site's name its operation and how strongly."""

_now: contextvars.ContextVar[int | None] = contextvars.ContextVar("whose pass this is", default=None)
_given: contextvars.ContextVar[list[Any] | None] = contextvars.ContextVar("whose outputs", default=None)
_numbers = itertools.count(1)


class NotFinite(RuntimeError):
    """Outputs of a network that are NaN or infinite: it says nothing of these images."""


def check_finite(outputs: Tensor) -> None:
    """Raises NotFinite, saying for which images, unless all logits, shape (images, classes), are numbers."""
    bad = torch.nonzero(~outputs.isfinite().all(-1)).flatten()
    if len(bad):
        raise NotFinite(
            f"logits that are not finite numbers, for {len(bad)} of {len(outputs)} images in one pass, "
            f"first for image {int(bad[0])}: {[round(v, 3) for v in outputs[bad[0]].tolist()]}"
        )


def is_random(scheme: Scheme) -> bool:
    """Whether something draws in a pass: an operation that says nothing else, at a strength that acts."""
    acting = [operation for operation, rate in scheme.values() if strength_of(operation).acts(rate)]
    return any(getattr(operation, "random", True) for operation in acting)


class Preprocessing:
    """What happens to an image before the network sees it: ``(image - mean) / std``, by channel.

    Args:
        mean, std: A number, or one for each channel, in units of the bounds [0, 1]; ``std`` over 0.

    Raises:
        ValueError: for a ``std`` that isn't over 0, or as many numbers as no image has channels.
    """

    def __init__(self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0):
        self.mean, self.std = (torch.as_tensor(v, dtype=torch.float32).reshape(-1, 1, 1) for v in (mean, std))
        if not (self.std > 0).all():
            raise ValueError(f"expected a std over 0, got {std}")
        if {len(self.mean), len(self.std)} - {1} and len({len(self.mean), len(self.std)} - {1}) > 1:
            raise ValueError(
                f"expected as many values of std as of mean, got {len(self.std)}, {len(self.mean)}"
            )

    @property
    def channels(self) -> int:
        """How many channels it speaks of; 1: any."""
        return max(len(self.mean), len(self.std))

    @property
    def identity(self) -> list[list[float]]:
        """Its numbers."""
        return [self.mean.flatten().tolist(), self.std.flatten().tolist()]

    def __call__(self, images: Tensor) -> Tensor:
        """Images of shape (batch, channels, height, width)."""
        mean, std = (v.to(images.device, images.dtype) for v in (self.mean, self.std))
        return (images - mean) / std


@dataclass(frozen=True)
class Handling:
    """How passes of a network that draws by itself are made, by what was found out of them.

    Attributes:
        copies: Names of tensors that a pass changes: each pass gets copies of them, since a backward pass
            through several draws would else use the last draw's for all.
        copy_images: Whether each pass gets a copy of its images, since it writes into them.
        size: How many images every pass has, padded if need be; None: any number.
    """

    copies: tuple[str, ...] = ()
    copy_images: bool = False
    size: int | None = None


AS_IT_IS = Handling()
"""Passes that are made as they are."""


class Defended:
    """A network, its sites, and what acts there.

    Args:
        network: Gives logits, shape (batch, classes), for images in [0, 1], shape (batch, channels, height,
            width). ``DataParallel`` is taken by its module.
        sites: For each site's name one path of a submodule, or several; ``""`` is the image.
        scheme: For each site's name its strength, of dropout, or ``(operation, strength)``; a strength at
            which its operation does nothing is as if it weren't named. Or an ``Own``: the network draws by
            itself.
        preprocessing: What happens to an image before the network sees it; None: nothing.
        outputs: Where the logits are if the network gives more: an index or a key, or ``{"from": path}``, a
            submodule's output. ``{"stacked": n}``, or both: it has n draws of the batch in one output, draw
            by draw, which make one answer. None: what it gives, or that by name of ``logits`` in it.
        passes: How many passes make one answer where something is random, at least 1.
        combine: How they, and stacked draws, are combined, one of ``combining.COMBINE``.
        known: What decides its outputs, where it is known: ``network``, and ``operations`` by site. None:
            told by the objects themselves.

    Raises:
        SiteError: for a site without paths, a path that isn't there, a scheme's site that isn't named, or
            what an ``Own`` names and the network hasn't got.
        ValueError: for a strength that is out of its operation's range.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Mapping[str, str | Sequence[str]] | None = None,
        scheme: Mapping[str, float | tuple[Operation, float]] | Own | None = None,
        *,
        preprocessing: Preprocessing | None = None,
        outputs: Any = None,
        passes: int = 1,
        combine: str = COMBINE[0],
        known: Mapping[str, Any] | None = None,
    ):
        self.network = unwrapped(network)
        self.sites = normalised(sites or {})
        self.preprocessing = preprocessing
        self.outputs = outputs
        self.known = known
        self.own = scheme if isinstance(scheme, Own) else None
        # whether the network's own randomness is off: it is the twin
        self.off = False
        # what it has drawn for every pass, where somebody fixed that
        self.state: State | None = None
        self.handling: Handling | None = None
        at = scheme.sites if isinstance(scheme, Own) else scheme
        self.scheme = _acting(self.sites, at or {})
        if self.own is not None:
            self.own.check(self.network)
            _by_themselves.add(self.network)
            if isinstance(self.own.off, str):
                # a pass of the one is a pass of the other
                _by_themselves.add(self.network.get_submodule(self.own.off))
        if passes < 1:
            raise ValueError(f"passes: expected at least 1, got {passes}")
        if combine not in COMBINE:
            raise ValueError(f"combine: expected one of {', '.join(COMBINE)}, got {combine}")
        # where nothing is random all of them are alike
        self.passes = passes if self.random else 1
        self.combine = combine
        # by every name that a module has
        modules = dict(self.network.named_modules(remove_duplicate=False))
        named = [(site, path) for site, paths in self.sites.items() for path in paths if path != IMAGE]
        if isinstance(outputs, Mapping) and "from" in outputs:
            named.append(("outputs", outputs["from"]))
        for site, path in named:
            if path not in modules or not path:
                raise SiteError(f"{site}: no submodule {path!r}; {among(path, [m for m in modules if m])}")

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        return next((t.device for t in tensors), torch.device("cpu"))

    @property
    def random(self) -> bool:
        """Whether two passes over the same image must differ.

        An operation that draws nothing says so with an attribute ``random = False``.
        """
        return is_random(self.scheme) or self.draws_itself

    @property
    def draws_itself(self) -> bool:
        """Whether the network itself draws, beside what acts at its sites."""
        return self.own is not None and self.own.itself and not self.off

    @property
    def modules(self) -> list[nn.Module]:
        """The network, and the operations and stand-ins that are modules themselves."""
        others = [o for o, _ in self.scheme.values()]
        others += list(self.own.stand_ins.values()) if self.own is not None else []
        return [self.network, *(o for o in others if isinstance(o, nn.Module))]

    @property
    def twin(self) -> "Defended | None":
        """The same network with nothing random; None where its own randomness can't be switched off."""
        own = self.own
        if own is None or not self.draws_itself:
            return self.behind({})
        if own.off is None and own.twin is None:
            return None
        given = own.twin if isinstance(own.twin, Defended) else self
        other = given.behind({})
        other.handling, other.off, other.state = None, True, None
        if given is not self:
            return other
        if isinstance(own.off, str):
            other.network, other.sites, other.outputs = self.network.get_submodule(own.off), {}, None
            other.own = None
            if self.known is not None:
                other.known = {"network": {"of": self.known["network"], "part": own.off}, "operations": {}}
        elif own.twin is not None:
            other.network, other.sites, other.own = unwrapped(own.twin), {}, None
        return other

    def behind(self, scheme: Scheme) -> "Defended":
        """The same network behind another scheme, of which one pass makes an answer."""
        other = copy.copy(self)
        other.scheme, other.passes = _acting(self.sites, scheme), 1
        return other

    def states(self, most: int) -> "list[tuple[float, Defended]] | None":
        """The same in each state that its draws can be in, and how likely that is.

        It is for networks that draw by ``choose`` alone; whether something else draws as well has to be seen
        by passes.

        Args:
            most: How many there may be.

        Returns:
            None where there are more, or where what draws is no short list; where several passes make an
            answer, too.
        """
        own = self.own
        if own is None or not self.draws_itself or not own.choose or own.draw is not None:
            return None
        stacked = isinstance(self.outputs, Mapping) and "stacked" in self.outputs
        if is_random(self.scheme) or self.passes > 1 or stacked:
            return None
        found = own.states(self.network, most)
        return None if found is None else [(share, self._in(state)) for share, state in found]

    def _in(self, state: State) -> "Defended":
        other = copy.copy(self)
        other.state = state
        return other

    def handled(self, handling: Handling) -> "Defended":
        """The same, its passes made as was found out that they have to be."""
        other = copy.copy(self)
        other.handling = handling
        return other

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its outputs, but for seeds, as JSON-able values.

        Raises:
            Unidentified: for a network or an operation that nothing can be told of.
        """
        if self.known is None:
            changing = () if self.handling is None else self.handling.copies
            network = identities.network(self.network, changing)
            operations = {
                s: identities.thing(o, f"the operation at {s}") for s, (o, _) in self.scheme.items()
            }
        else:
            network, operations = self.known["network"], self.known["operations"]
        rates = {site: rate for site, (_, rate) in self.scheme.items()}
        return identity_of(
            network,
            self.sites,
            operations,
            rates,
            self.preprocessing,
            self.outputs,
            self.passes,
            self.combine,
            own_identity(self.own, self.off),
        )

    @contextmanager
    def model(self, seed: int, as_it_is: bool = False, known: bool = False) -> Iterator[nn.Module]:
        """The network as an attacker and a measurement see it: a module that draws anew in each pass.

        Inside the block the network, and an operation that is a module, are in evaluation mode and frozen;
        after it, as they were. Several of one network may be open at once, in several threads too, and are
        closed in any order: in a pass through one of them, only what it has acts.

        Args:
            seed: Of everything that its operations, or the network itself, draw.
            as_it_is: Whether passes get the network's own tensors and images, to see what they do to them.
            known: Whether every answer is of the same draws, as somebody sees it who knows them: an image at
                a place of a batch has one draw, as long as the batch is of one size.
        """
        one = self.handled(AS_IT_IS) if as_it_is else self
        generator = torch.Generator(self.device).manual_seed(seed)
        with still(*self.modules), one.acting(generator, seeded=True) as model:
            model.known = known
            yield model.eval()

    @contextmanager
    def acting(self, generator: torch.Generator, seeded: bool = False) -> Iterator["Behind"]:
        """As ``model``, drawing from a generator of one's own, and in the mode that the network is in.

        Args:
            generator: What operations are given.
            seeded: Whether each pass seeds the global generators, by the generator's seed and its number.
        """
        model = Behind(self, generator, seeded and (bool(self.scheme) or self.draws_itself))
        with ExitStack() as hooks:
            if self.own is not None:
                for part in self.network.modules():
                    if not isinstance(part, torch.jit.ScriptModule):
                        hooks.enter_context(_hooked(part, _never_on_the_way_back, before=True))
                for path, stand_in in self.own.stand_ins.items():
                    part, (keep, act) = self.network.get_submodule(path), standing_in(path, stand_in)
                    hooks.enter_context(_hooked(part, model.mine(keep), before=True))
                    hooks.enter_context(_hooked(part, model.mine(act)))
            for site in sorted(self.scheme):
                for path in self.sites[site]:
                    if path != IMAGE:
                        part = self.network.get_submodule(path)
                        hooks.enter_context(_hooked(part, model.hook(site, path)))
            yield model


def _acting(
    sites: Mapping[str, Sequence[str]], scheme: Mapping[str, float | tuple[Operation, float]]
) -> dict[str, tuple[Operation, float]]:
    """What acts, and how strongly, at the sites where it does."""
    found = {}
    for site, given in scheme.items():
        operation, rate = given if isinstance(given, tuple) else (Dropout(), given)
        strength = strength_of(operation)
        strength.check(site, rate)
        if site not in sites:
            raise SiteError(f"{site}: the network has no such site; {among(site, sites)}")
        if strength.acts(rate):
            found[site] = (operation, rate)
    return found


@dataclass
class _Held:
    """A module or a parameter that somebody has open: its mode, or whether it was to have a gradient."""

    was: bool
    by: int = 0


_held: dict[nn.Module | nn.Parameter, _Held] = {}
_holding = threading.Lock()


_hooking = threading.Lock()
_hooks: set[int] = set()
"""Numbers of the hooks of what is open, or passes, at this moment."""


@contextmanager
def _hooked(part: nn.Module, hook: Callable[..., Any], before: bool = False) -> Iterator[None]:
    with _hooking:
        handle = part.register_forward_pre_hook(hook) if before else part.register_forward_hook(hook)
        _hooks.add(handle.id)
    try:
        yield
    finally:
        with _hooking:
            handle.remove()
            _hooks.discard(handle.id)


@contextmanager
def hooks_kept(model: nn.Module) -> Iterator[None]:
    """Hooks that an attack leaves in a network, or takes away, would be there, or be missing, later.

    Those of what another thread opens or closes meanwhile come and go.
    """
    # those of what is compiled to TorchScript can't be taken out, nor put in
    every = (getattr(part, name) for part in model.modules() for name in HOOKS)
    all_of = [hooks for hooks in every if isinstance(hooks, dict)]
    with _hooking:
        before = [dict(hooks) for hooks in all_of]
    try:
        yield
    finally:
        with _hooking:
            for hooks, kept in zip(all_of, before, strict=True):
                both = {**kept, **hooks}
                hooks.clear()
                hooks.update((n, h) for n, h in both.items() if n in _hooks or (n in kept and not _own(h)))


def _own(hook: Any) -> bool:
    return getattr(hook, "__module__", None) == __name__


@contextmanager
def still(*networks: nn.Module) -> Iterator[None]:
    """Networks in evaluation mode and frozen for as long as anybody has them open, and then as they were."""
    parts: list[nn.Module | nn.Parameter] = []
    for network in networks:
        parts += [*network.modules(), *network.parameters()]
    with _holding:
        for part in parts:
            was = part.training if isinstance(part, nn.Module) else part.requires_grad
            _held.setdefault(part, _Held(was)).by += 1
    try:
        with _holding:
            for network in networks:
                network.eval()
            # one by one: a module compiled to TorchScript has no method for it
            for part in parts:
                # what was made in inference mode has no gradient anyway, and can't be told so
                if isinstance(part, nn.Parameter) and not part.is_inference():
                    part.requires_grad_(False)
        yield
    finally:
        with _holding:
            for part in parts:
                _held[part].by -= 1
                if _held[part].by:
                    continue
                was = _held.pop(part).was
                if isinstance(part, nn.Module):
                    part.training = was
                elif not part.is_inference():
                    part.requires_grad_(was)


def _never_on_the_way_back(module: nn.Module, inputs: Any) -> None:
    if _now.get() is None and torch._C._current_graph_task_id() != -1:
        raise OwnError(
            f"own: the network passes a {type(module).__name__} again on the way back (checkpointing), where "
            "it draws otherwise; switch that off"
        )


_by_themselves: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
"""Networks that draw by themselves, and their twins."""


def _alone(network: nn.Module) -> AbstractContextManager[Any]:
    """Held in a pass of a network that draws by itself, whose attributes are all threads'.

    It is what a seeded pass holds, and whoever looks at what passes change.
    """
    return process.alone if network in _by_themselves else contextlib.nullcontext()


class _Drawing(nn.Module):
    """One pass of a network, what it draws first included."""

    def __init__(self, network: nn.Module, draw: Callable[[nn.Module], object]):
        super().__init__()
        self.network = network
        self.draw = draw

    def forward(self, x: Tensor) -> Any:
        """What the network gives."""
        self.draw(self.network)
        return self.network(x)


class Behind(nn.Module):
    """A network in whose passes a scheme acts, and in no other's.

    Args:
        defended: The network, and what acts at its image; at its submodules only while ``acting`` lasts.
        generator: Where everything is drawn from.
        seeded: Whether each pass seeds the global generators, for operations that draw from these.
    """

    def __init__(self, defended: Defended, generator: torch.Generator, seeded: bool = False):
        super().__init__()
        self.network = defended.network
        # a number, since a copy of this module is to act as it does
        self.number = next(_numbers)
        self.generator = generator
        self.scheme = defended.scheme
        self.before = [site for site in sorted(self.scheme) if IMAGE in defended.sites[site]]
        self.preprocessing = defended.preprocessing
        self.outputs = defended.outputs
        self.passes = defended.passes
        self.combine = defended.combine
        self.seeded = seeded
        self.made = 0
        self.known = False
        self.defended = defended

    def forward(self, x: Tensor) -> Any:
        """Logits of shape (batch, classes) for images in [0, 1] of shape (batch, channels, height, width).

        Of several passes, or of a stack of draws, they are those of the one answer. The gradient is 0 where
        an operation, or the network itself, lets none through (JPEG by a library).
        """
        if self.defended.own is not None and self.defended.handling is None:
            self._find_out(x)
        if self.known:
            self.generator.manual_seed(self.generator.initial_seed())
            self.made = 0
        size = self.handling.size
        if size is None or len(x) == size:
            return self._answer(x)
        chunks = x.split(size)
        every = [c[torch.arange(size, device=c.device) % len(c)] for c in chunks]
        return torch.cat([self._answer(c)[: len(given)] for given, c in zip(chunks, every, strict=True)])

    def _answer(self, x: Tensor) -> Any:
        if self.passes == 1:
            return self._pass(x)
        return combined(torch.stack([self._pass(x) for _ in range(self.passes)]), self.combine)

    def _find_out(self, x: Tensor) -> None:
        """What passes change, seen before the first one that counts; the draws of these are their own."""
        # what another thread's pass sets meanwhile is no change
        with process.alone, self.defended.model(0, as_it_is=True) as model:
            names, written = watching.changed(self.network, model, x.detach())
        self.defended.handling = Handling(names, written)

    @property
    def handling(self) -> Handling:
        """How passes are made; as they are, where nothing was found out."""
        return self.defended.handling or AS_IT_IS

    def _pass(self, x: Tensor) -> Any:
        """One pass; what it draws from the global generators is of its own seed, and they are put back."""
        if not self.seeded:
            return self._passed(x)
        seed = fingerprint.derive_seed(self.generator.initial_seed(), f"pass {self.made}")
        self.made += 1
        with process.seeded(seed, x.device):
            return self._passed(x)

    def _passed(self, x: Tensor) -> Any:
        image = x
        mine = _now.set(self.number)
        try:
            if self.handling.copy_images:
                x = x.clone()
            for site in self.before:
                operation, rate = self.scheme[site]
                x = operation(x, rate, self.generator)
                if getattr(operation, "clip", False):
                    x = x.clamp(0, 1)
            if self.preprocessing is not None:
                x = self.preprocessing(x)
            logits = self._stacked(self._logits(x), len(image))
        finally:
            _now.reset(mine)
        if not isinstance(logits, Tensor) or logits.requires_grad or not torch.is_grad_enabled():
            return logits
        return logits + 0 * image.flatten(1)[:, :1] if image.requires_grad else logits

    def _stacked(self, logits: Any, images: int) -> Any:
        """One answer of a stack of draws, where the network gives one."""
        if not isinstance(self.outputs, Mapping) or "stacked" not in self.outputs:
            return logits
        draws = self.outputs["stacked"]
        if self.training and isinstance(logits, Tensor) and len(logits) == images:
            # in training one draw is enough to many
            return logits
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != draws * images:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise SiteError(
                f"outputs: the network gives {given} for {images} images, expected {draws} draws of each, "
                f"draw by draw: shape ({draws * images}, classes)"
            )
        return combined(logits.view(draws, images, -1), self.combine)

    def _logits(self, x: Tensor) -> Any:
        if isinstance(self.outputs, Mapping) and "from" in self.outputs:
            path = self.outputs["from"]
            kept: list[Any] = []

            def keep(module: nn.Module, inputs: Any, output: Any) -> None:
                # another thread may be passing through the same network
                if _given.get() is kept:
                    kept.append(output)

            with _hooked(self.network.get_submodule(path), keep):
                mine = _given.set(kept)
                try:
                    self._called(x)
                finally:
                    _given.reset(mine)
            if not kept:
                raise SiteError(f"outputs: submodule {path!r} is never reached in a pass")
            return kept[-1]
        given = self._called(x)
        if self.outputs is not None and not isinstance(self.outputs, Mapping):
            try:
                return given[self.outputs]
            except (KeyError, IndexError, TypeError) as error:
                sized = range(len(given)) if hasattr(given, "__len__") else ()
                parts = ", ".join(map(str, given if isinstance(given, Mapping) else sized))
                raise SiteError(
                    f"outputs: the network gives {type(given).__name__}, in which there is no "
                    f"{self.outputs!r} ({type(error).__name__}); allowed: {parts or 'from: a submodule'}"
                ) from None
        if isinstance(given, Mapping) and "logits" in given:
            return given["logits"]
        return given if isinstance(given, Tensor) else getattr(given, "logits", given)

    def _called(self, x: Tensor) -> Any:
        """What the network gives in a pass, with what is its own drawn and set, and put back after it."""
        network, own, off = self.network, self.defended.own, self.defended.off
        if own is None:
            with _alone(network):
                return network(x)
        state = self.defended.state
        with _alone(network), own.acting(network, self.generator, off, state) as filled, ExitStack() as stack:
            tensors = {**filled, **self._copies(filled, stack)}
            draw = own.drawn if self.defended.draws_itself else _nothing
            if not tensors:
                draw(network)
                return network(x)
            tensors = {f"network.{name}": tensor for name, tensor in tensors.items()}
            # each name is here; a module of two paths would be left with what was put in by the first
            return functional_call(_Drawing(network, draw), tensors, (x,), tie_weights=False)

    def _copies(self, filled: Mapping[str, Tensor], stack: ExitStack) -> dict[str, Tensor]:
        """Copies of parameters and buffers that the pass changes; of other tensors they are put in here."""
        # a module may have several paths
        set_already = {
            (self.network.get_submodule(n.rpartition(".")[0]), n.rpartition(".")[2]) for n in filled
        }
        # one tensor of several names is one
        made: dict[Tensor, Tensor] = {}
        found = {}
        for name in self.handling.copies:
            path, _, last = name.rpartition(".")
            module = self.network.get_submodule(path)
            if isinstance(module._modules, dict) and last in module._modules:
                # the pass puts another in its place
                stack.callback(module._modules.__setitem__, last, module._modules[last])
            slots: list[Any] = [module._parameters, module._buffers, vars(module)]
            for held in slots:
                # a module compiled to TorchScript has the same tensors for ever
                if not isinstance(held, dict):
                    continue
                tensor = held.get(last)
                if last in held and (held is not slots[-1] or isinstance(tensor, Tensor)):
                    stack.callback(held.__setitem__, last, tensor)
                elif held is not slots[-1]:
                    stack.callback(held.pop, last, None)
                if isinstance(tensor, Tensor):
                    if tensor not in made:
                        made[tensor] = tensor.detach().clone()
                    if held is slots[-1]:
                        held[last] = made[tensor]
                    elif (module, last) not in set_already:
                        found[name] = made[tensor]
        return found

    def mine(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """A hook that is one only when the pass is this one's."""
        number = self.number

        def act(*given: Any) -> Any:
            return hook(*given) if _now.get() == number else None

        return act

    def hook(self, site: str, path: str) -> Callable[..., Any]:
        """What acts at a path when the pass is this one's."""
        operation, rate = self.scheme[site]
        number, generator = self.number, self.generator

        def act(module: nn.Module, inputs: Any, output: Any) -> Any:
            if _now.get() != number:
                if _now.get() is None and torch._C._current_graph_task_id() != -1:
                    raise SiteError(
                        f"{site}: the network passes {path!r} again on the way back (checkpointing), where "
                        "another draw would act; switch that off"
                    )
                return output
            if not isinstance(output, Tensor):
                raise SiteError(
                    f"{site}: submodule {path!r} gives {type(output).__name__}, expected a tensor; "
                    "name one inside it"
                )
            return operation(output, rate, generator)

        return act


def _nothing(network: nn.Module) -> None:
    """Draws nothing."""


def identity_of(
    network: Any,
    sites: Mapping[str, Sequence[str]],
    operations: Mapping[str, Any],
    rates: Mapping[str, float],
    preprocessing: Preprocessing | None,
    outputs: Any,
    passes: int = 1,
    combine: str = COMBINE[0],
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What decides the outputs of a network behind a scheme, whatever its sites are called.

    Args:
        network: What stands for the network and its weights.
        sites: Each site's paths.
        operations: What stands for the operation at each site.
        rates: How strongly it acts, at the sites where it does.
        preprocessing, outputs, passes, combine: As for ``Defended``.
        own: What stands for randomness of the network's own, and for stand-ins; None: there are none.
    """
    stacked = isinstance(outputs, Mapping) and "stacked" in outputs
    # where one pass is an answer nothing of it is said, as before there were several
    answer = {"answer": [passes, combine]} if passes > 1 or stacked else {}
    return {
        **answer,
        **({} if own is None else {"own": dict(own)}),
        "network": network,
        "acting": [[list(sites[site]), operations[site], rates[site]] for site in sorted(rates)],
        "preprocessing": preprocessing and preprocessing.identity,
        "outputs": outputs,
    }


def own_identity(own: Own | None, off: bool = False) -> dict[str, Any] | None:
    """What stands for randomness of a network's own in a key, and for stand-ins; None: there are none.

    Args:
        own: How the network draws.
        off: Whether its randomness is off.

    Raises:
        Unidentified: for a function, or a stand-in, that can't be told from another.
    """
    if own is None:
        return None
    said: dict[str, Any] = {"stand_ins": dict(own.stand_ins)} if own.stand_ins else {}
    if own.itself and not off:
        keys = ("draw", "choose", "probabilities", "each", "train_mode", "on")
        said |= {key: _plain(getattr(own, key)) for key in keys}
    elif off and isinstance(own.off, Mapping) and own.off:
        said["off"] = _plain(own.off)
    return identities.thing(said, "scheme") if said else None


def _plain(value: Any) -> Any:
    """The same in dictionaries and lists, in which settings and arguments are alike."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def of_twin(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the outputs of the same network with nothing acting."""
    outputs = identity["outputs"]
    stacked = isinstance(outputs, Mapping) and "stacked" in outputs
    answer = {"answer": [1, identity["answer"][1]]} if stacked else {}
    return {**{k: v for k, v in identity.items() if k != "answer"}, **answer, "acting": []}
