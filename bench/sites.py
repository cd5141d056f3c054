"""Where in a network something may act: names for paths of submodules, and what is found there.

Here belong sites as they are named, and what a pass shows of them. What acts there is in ``defended``.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

IMAGE = ""
"""The path of the network's input."""


class SiteError(ValueError):
    """A site, or an output, that a network hasn't got: one line, which begins with the site's name."""

    @property
    def line(self) -> str:
        """The same, with the section of the settings that it is about."""
        return f"{'model.' if str(self).startswith('outputs:') else 'model.sites.'}{self}"


def normalised(sites: Mapping[str, str | Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Each site's paths as a tuple.

    Raises:
        SiteError: for a site without any.
    """
    found = {}
    for site, given in sites.items():
        paths = [given] if isinstance(given, str) else given
        if not isinstance(paths, Sequence) or not paths or not all(isinstance(path, str) for path in paths):
            said = list(paths) if isinstance(paths, Sequence) else paths
            raise SiteError(f"{site}: expected a path of a submodule, or several, got {said}")
        found[site] = tuple(paths)
    return found


def unwrapped(network: nn.Module) -> nn.Module:
    """The module that a ``DataParallel``, or what ``torch.compile`` gives, is of; others are themselves."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    if isinstance(network, wrappers):
        return unwrapped(network.module)
    # hooks inside of what is compiled are never called
    compiled = type(network).__module__ == "torch._dynamo.eval_frame"
    return unwrapped(network._orig_mod) if compiled else network  # type: ignore[arg-type]


@torch.no_grad()
def trace(network: nn.Module, images: Tensor) -> dict[str, list[Any]]:
    """What each submodule gives in one pass: for each path, and each time that it is reached, a shape.

    Of what isn't a tensor it is the type's name. A submodule that is not reached has an empty list.

    Args:
        network: In evaluation mode.
        images: Shape (batch, channels, height, width), preprocessed.
    """
    found: dict[str, list[Any]] = {}
    handles = []

    def watch(path: str) -> Callable[..., None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            found[path].append(shown)

        return look

    try:
        for path, part in network.named_modules(remove_duplicate=False):
            if path:
                found[path] = []
                handles.append(part.register_forward_hook(watch(path)))
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def among(name: str, names: Iterable[str]) -> str:
    names = list(names)
    close = difflib.get_close_matches(name, names, 3, 0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"allowed: {', '.join(names[:20]) or 'none'}{', ...' if len(names) > 20 else ''}"
