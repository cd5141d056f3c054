"""What identifies a network that is given as an object, so that it can stand in a key.

Here belongs what of a module decides its outputs. A network that ``bench`` builds itself is identified by
how it is built, which the configuration says.
"""

import functools
import inspect
import re
import types
import weakref
from collections import OrderedDict
from collections.abc import Collection, Mapping
from types import EllipsisType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.results import fingerprint
from bench.results.fingerprint import Unidentified
from bench.results.imports import distributions

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
"""Of a module: what somebody has registered to be called in a pass, or on the way back."""

OWN = frozenset(vars(nn.Module()))
"""The attributes that every module has, which are looked at by themselves, or change no output."""

PLAIN = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, Tensor, np.ndarray)
"""What a class of a script may have as attributes whose values are looked at."""

NAMELESS = "the network"
"""What the root is called, whose path is empty."""


def network(module: nn.Module, without: Collection[str] = ()) -> dict[str, Any]:
    """What identifies a network: its classes' code, what each submodule is set to, and all tensors.

    Of every submodule by its path: class, ``extra_repr``, the attributes in its ``__dict__`` and its hooks,
    each at whatever depth it holds plain values, tensors, functions, modules or objects of these. Code counts
    as ``fingerprint.code`` takes it, what a function has bound (defaults, variables around it, and those that
    it uses of a script) by value. The mode (``train()`` or ``eval()``) and ``requires_grad`` don't count, nor
    does the device. What a pass leaves behind in an attribute does, and so does which submodules are one and
    the same.

    Args:
        module: The network.
        without: Names of tensors that don't count, since a pass changes them.

    Returns:
        JSON-able; equal for the same network in another process.

    Raises:
        Unidentified: for what can't be told from another of its kind: a lambda, a class without source, an
            open file, a module compiled to TorchScript, weights without a size.
    """
    try:
        return _Walk(without).network(module)
    except RecursionError:
        raise Unidentified(f"{_name(type(module))}: it holds objects too deep to be told apart") from None


def thing(o: Any, at: str = "operation") -> dict[str, Any]:
    """What identifies an object, such as an operation: its class's code, and what it holds, as above.

    Args:
        o: The object.
        at: What it is called in an error.

    Raises:
        Unidentified: as ``network`` does.
    """
    walk = _Walk()
    return {"is": walk.value(o, at), "code": walk.codes}


class _Walk:
    """One look at a network, which remembers what it has met."""

    def __init__(self, without: Collection[str] = ()) -> None:
        self.without = without
        self.codes: dict[str, str] = {}
        # what is bound in a class is said where it is first met
        self.classes: set[type] = set()
        # where each module was first met; what objects are, and where those are that are being looked at
        self.met: dict[int, str] = {}
        self.done: dict[int, Any] = {}
        self.open: dict[int, str] = {}
        # a number stands for an object only as long as that is there
        self.kept: list[Any] = []

    def network(self, module: nn.Module) -> dict[str, Any]:
        return {**self.module(module, ""), "code": self.codes}

    def module(self, module: nn.Module, at: str) -> dict[str, Any]:
        """A module and all below it, found at a path of attributes."""
        submodules: dict[str, Any] = {}
        tensors: dict[str, Tensor] = {}
        for path, one in module.named_modules(remove_duplicate=False):
            where = ".".join(filter(None, (at, path))) or NAMELESS
            if id(one) in self.met:
                submodules[path] = {"same as": self.met[id(one)]}
                continue
            self.met[id(one)] = where
            self.kept.append(one)
            submodules[path] = self._one(one, where)
            for name, tensor in (*one._parameters.items(), *one._buffers.items()):
                whole = f"{path}.{name}".removeprefix(".")
                if tensor is not None and (at or whole not in self.without):
                    tensors[whole] = tensor
        return {"modules": submodules, "tensors": self._tensors(tensors, at or NAMELESS)}

    def _one(self, module: nn.Module, at: str) -> dict[str, Any]:
        if (
            isinstance(module, torch.jit.ScriptModule)
            or type(module).__module__ == "torch._dynamo.eval_frame"
        ):
            raise Unidentified(f"{at}: compiled, and its source isn't to be had; give the module itself")
        found = {"class": self._class(type(module), at), "repr": _without_addresses(module.extra_repr())}
        for name, value in sorted(vars(module).items()):
            if name not in OWN and f"{at}.{name}".removeprefix(f"{NAMELESS}.") not in self.without:
                found[f".{name}"] = self.value(value, f"{at}.{name}")
        for name in HOOKS:
            # their numbers count up over a process
            hooks = list(getattr(module, name, {}).values())
            if hooks:
                found[name] = [self.value(hook, f"{at}: a hook") for hook in hooks]
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            found["extra state"] = self.value(module.get_extra_state(), f"{at}: its extra state")
        return found

    def value(self, value: Any, at: str) -> Any:
        """A JSON-able value that is equal for equal values and no others.

        Raises:
            Unidentified: where there is none.
        """
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, complex | bytes | range | slice | torch.dtype | torch.layout | EllipsisType):
            return {"repr": repr(value)}
        if isinstance(value, torch.device):
            # on another device it is the same network
            return {"repr": "device"}
        if isinstance(value, type):
            return self._class(value, at)
        if isinstance(value, nn.Module):
            return {"same as": self.met[id(value)]} if id(value) in self.met else self.module(value, at)
        if id(value) in self.open:
            return {"around": self.open[id(value)]}
        if id(value) not in self.done:
            self.kept.append(value)
            self.open[id(value)] = at
            self.done[id(value)] = self._held(value, at)
            del self.open[id(value)]
        return self.done[id(value)]

    def _held(self, value: Any, at: str) -> Any:
        if isinstance(value, Tensor):
            return {"tensor": self._tensors({"": value}, at)}
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            return {"array": self._tensors({"": torch.from_numpy(np.ascontiguousarray(value))}, at)}
        if isinstance(value, torch.Generator):
            return {"generator": value.initial_seed()}
        if isinstance(value, weakref.ReferenceType):
            return {"weakly": self.value(value(), at)}
        if isinstance(value, types.ModuleType):
            self._code(value, at)
            return {"module": value.__name__}
        if inspect.isroutine(value) or isinstance(value, functools.partial):
            return self._function(value, at)
        if type(value) in (dict, OrderedDict):
            # in their order: what is first may be called first
            items = [[self.value(k, at), self.value(v, f"{at}[{k!r:.40}]")] for k, v in value.items()]
            return {"items": items}
        if type(value) in (set, frozenset):
            return {"set": sorted(fingerprint.digest(self.value(one, at)) for one in value)}
        if type(value) in (list, tuple, torch.Size):
            return {type(value).__name__: [self.value(one, f"{at}[{i}]") for i, one in enumerate(value)]}
        return {"object": fingerprint.digest(self._object(value, at))}

    def _object(self, value: Any, at: str) -> Any:
        """Any other object, by what it would be made again from: its class, arguments, state and items."""
        try:
            reduced = value.__reduce_ex__(4)
        # objects that can't be copied say so by whatever they like
        except Exception:
            raise Unidentified(
                f"{at}: a {_name(type(value))} can't be told from another of its kind"
            ) from None
        if isinstance(reduced, str):
            # a name in its module, where such as functools.cache makes of a function stands, too
            if isinstance(getattr(value, "__module__", None), str):
                self._code(value, at)
            return {"global": [_name(value), reduced], "class": self._class(type(value), at)}
        make, arguments, state, *items = (*reduced, *(None,) * (5 - len(reduced)))[:5]
        return {
            "class": self._class(type(value), at),
            "made by": self.value(make, at),
            "of": [self.value(one, at) for one in arguments],
            "state": self._state(state, at),
            "items": [None if more is None else [self.value(one, at) for one in more] for more in items],
        }

    def _state(self, state: Any, at: str) -> Any:
        if isinstance(state, dict):
            return {str(name): self.value(one, f"{at}.{name}") for name, one in state.items()}
        return self.value(state, at)

    def _class(self, cls: type, at: str) -> Any:
        if cls in self.classes:
            return _name(cls)
        self.classes.add(cls)
        bound = {}
        for one in cls.__mro__[:-1]:
            self._code(one, at)
            if distributions(one.__module__.partition(".")[0]):
                continue
            for name, function in vars(one).items():
                # of a class made in a function the variables around it
                if isinstance(function, FunctionType) and (around := self._around(function, at)):
                    bound[f"{_name(one)}.{name}"] = around
                elif one.__module__ == "__main__" and isinstance(function, PLAIN) and name[:2] != "__":
                    bound[f"{_name(one)}.{name}"] = self.value(function, f"{at}.{name}")
        return {"class": _name(cls), "bound": bound} if bound else _name(cls)

    def _function(self, function: Any, at: str) -> Any:
        if isinstance(function, functools.partial):
            given = [function.func, function.args, function.keywords]
            return {"partial": [self.value(one, at) for one in given]}
        if isinstance(function, types.MethodType):
            return {"method": [self.value(one, at) for one in (function.__func__, function.__self__)]}
        name = _name(function)
        if "<lambda>" in name:
            raise Unidentified(f"{at}: a lambda can't be told from another; use a function of a module")
        if isinstance(function, FunctionType):
            self._code(function, at)
            given = [self.value(one, at) for one in (function.__defaults__, function.__kwdefaults__)]
            return {"function": name, "around": self._around(function, at), "defaults": given}
        owner = getattr(function, "__self__", None)
        return {
            "function": name,
            "of": None if isinstance(owner, types.ModuleType) else self.value(owner, at),
        }

    def _around(self, function: FunctionType, at: str) -> dict[str, Any]:
        """What a function has of the variables around it, those of a script among them."""
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        around = {name: cell.cell_contents for name, cell in cells.items() if name != "__class__"}
        if function.__module__ == "__main__":
            # a script's variables may be others in each run of the same source, or in the course of one
            used = fingerprint.words(function.__code__) & set(function.__globals__)
            around |= {name: function.__globals__[name] for name in sorted(used)}
        return {
            name: self.value(value, f"{at}: {name}")
            for name, value in around.items()
            if not isinstance(value, types.ModuleType)
        }

    def _code(self, o: Any, at: str) -> None:
        name = o.__name__ if isinstance(o, types.ModuleType) else _name(o)
        if name in self.codes:
            return
        try:
            self.codes[name] = fingerprint.code(o)
        except Unidentified as error:
            raise Unidentified(f"{at}: {error}") from None

    def _tensors(self, tensors: Mapping[str, Tensor], at: str) -> str:
        for name, tensor in tensors.items():
            if is_lazy(tensor):
                raise Unidentified(f"{at}: {name} has no size yet; pass images through the network first")
        try:
            return fingerprint.hash_tensors(tensors)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            words = " ".join(str(error).split())
            raise Unidentified(f"{at}: a tensor can't be read ({words:.80})") from None


def _name(o: Any) -> str:
    return f"{getattr(o, '__module__', None)}.{getattr(o, '__qualname__', None) or type(o).__qualname__}"


def _without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
