"""Which tensors of a network a pass changes, though they are no output; and putting them back.

Here belongs what is compared before and after a pass. What follows from it is the business
of ``finding`` and ``defended``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

PASSES = 3
"""How many passes are looked at."""


def changed(
    network: nn.Module, passing: Callable[[Tensor], Any], images: Tensor
) -> tuple[tuple[str, ...], bool]:
    """What three passes change, though it is no output.

    Args:
        network: Its parameters, buffers (those that aren't persistent, too) and tensors that are plain
            attributes are compared by value after each pass, and put back: the tensors that were there, with
            the values that they had.
        passing: Makes one pass of it.
        images: As it takes them.

    Returns:
        Names of tensors that a pass changed, or that came or went, and of submodules that were replaced; of
        one with several names all of them.
        And whether the images given to it were others after it.
    """
    names: set[str] = set()
    written = False
    with watched(network) as differing, torch.no_grad():
        for _ in range(PASSES):
            given = images.clone()
            passing(given)
            written |= not equal(given, images)
            names |= differing()
    return tuple(sorted(names)), written


@contextmanager
def watched(network: nn.Module) -> Iterator[Callable[[], set[str]]]:
    """Gives what tells the names of tensors, and submodules, that are others than before; puts them back."""
    holders = [
        (f"{path}.".removeprefix("."), held)
        for path, module in network.named_modules(remove_duplicate=False)
        for held in (module._parameters, module._buffers, vars(module))
    ]
    slots = [(held, dict(held)) for _, held in holders]
    # those of a module compiled to TorchScript are there for ever
    children = [
        (f"{path}.".removeprefix("."), module._modules, dict(module._modules))
        for path, module in network.named_modules(remove_duplicate=False)
        if isinstance(module._modules, dict)
    ]
    # where its values are, too: data may have been replaced
    kept = {t: (t.data, t.detach().clone()) for _, slot in slots for t in _tensors(slot).values()}

    def differing() -> set[str]:
        names = set()
        for (prefix, held), (_, slot) in zip(holders, slots, strict=True):
            before, after = _tensors(slot), _tensors(held)
            for name in {**before, **after}:
                was, now = before.get(name), after.get(name)
                same = was is not None and now is not None and equal(kept[was][1], now.detach())
                names |= set() if same else {prefix + name}
        for prefix, held, before in children:
            names |= {prefix + name for name, module in before.items() if held.get(name) is not module}
        return names

    try:
        yield differing
    finally:
        for _, held, before in children:
            # one that came in the first pass may be what the network sets up once
            held.update(before)
        with torch.no_grad():
            for number, (held, slot) in enumerate(slots):
                # a module compiled to TorchScript has the same tensors for ever
                if isinstance(held, dict):
                    _put_back(held, slot, registered=number % 3 < 2)
            for tensor, (data, values) in kept.items():
                tensor.data = data
                if not equal(tensor, values):
                    tensor.copy_(values)


def _tensors(held: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: one for name, one in held.items() if isinstance(one, Tensor)}


def _put_back(held: dict[str, Any], before: dict[str, Any], registered: bool) -> None:
    """The tensors that were there, and of parameters and buffers nothing where there was none.

    An attribute that becomes a tensor in the first pass may be what the network sets up once: it stays, and
    is told by passes that differ where it is drawn from what no seed reaches.
    """
    came = set(_tensors(held)) - set(_tensors(before))
    if registered:
        for name in came - set(before):
            del held[name]
        held.update({name: before[name] for name in came & set(before)})
    held.update(_tensors(before))


def equal(one: Tensor, other: Tensor) -> bool:
    """By value, where what is no number is equal to itself."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())
