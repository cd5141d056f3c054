"""Putting somebody's weights into a network.

Here belongs how the names of tensors are matched with a network's. What a file of weights may turn out to
be does not, nor which file is whose, which the configuration says.
"""

import difflib
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.sites import unwrapped
from bench.training.weightfiles import WeightsError, read, short, some

log = logging.getLogger("bench")

COUNTED = "num_batches_tracked"
"""What batch normalisation counts, and evaluation doesn't need."""

WRAPPED = re.compile(r"(?:(?<=\.)|^)(?:module|_orig_mod)\.")
"""What ``DataParallel`` and ``torch.compile`` put into the names of what they wrap."""


def load_into(
    module: nn.Module, state: Mapping[str, Tensor], prefix: str | None = None, name: str = "weights"
) -> None:
    """Puts tensors into a network, each into the parameter or buffer of its name, and none left over.

    ``module.`` and ``_orig_mod.`` in a name, as ``DataParallel`` and ``torch.compile`` leave them, are
    passed over where the names match without. Tensors of another floating type are converted to the
    network's. ``num_batches_tracked`` may be missing, and so may the second name of a tensor that the
    network has under two. Lazy modules take the sizes of what they are given. After an error the network
    may hold some of the tensors.

    Args:
        module: A network, which is changed.
        state: What ``read`` gives.
        prefix: What the names that are meant begin with, which is taken off; others are left out, which is
            said.
        name: What the tensors are called in errors: their file.

    Raises:
        WeightsError: for a name too many or too few, or a tensor of another shape or kind, or one that isn't
            finite where the network's own is.
    """
    module = unwrapped(module)
    named = _stripped(state, prefix, name)
    if len(named) < len(state):
        log.warning("%s: %d tensors without prefix %s left out", name, len(state) - len(named), prefix)
    expected = module.state_dict(keep_vars=True)
    plain = {WRAPPED.sub("", e): e for e in expected}
    values = {n: t for n, t in named.items() if n in expected}
    for given, tensor in named.items():
        if given not in expected:
            wanted = plain.get(WRAPPED.sub("", given), given)
            values[given if wanted in values else wanted] = tensor
    placed = {n: own for n in values if isinstance(own := expected.get(n), Tensor)}
    if others := [n for n, own in placed.items() if not _same_shape(own, values[n])]:
        first = others[0]
        shapes = tuple(values[first].shape), tuple(placed[first].shape)
        more = f" (and {len(others) - 1} more)" if others[1:] else ""
        raise WeightsError(f"{name}: {first} is of shape {shapes[0]}, the network's of {shapes[1]}{more}")
    values |= {n: _converted(own, values[n], f"{name}: {n}") for n, own in placed.items()}
    # a tensor that is there under another name
    held = {id(own) for n, own in expected.items() if n in values}
    try:
        found = module.load_state_dict(values, strict=False)
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        raise WeightsError(f"{name}: can't be put into {type(module).__name__} ({short(error)})") from None
    missing = [n for n in found.missing_keys if not n.endswith(COUNTED) and id(expected.get(n)) not in held]
    if missing or found.unexpected_keys:
        who = f"{name}: {type(module).__name__}"
        raise WeightsError(_misfit(who, missing, found.unexpected_keys, list(values)))


def _same_shape(own: Tensor, value: Tensor) -> bool:
    return is_lazy(own) or own.shape == value.shape or own.numel() == value.numel() == 1


def _converted(own: Tensor, value: Tensor, what: str) -> Tensor:
    if own.is_floating_point() != value.is_floating_point() or own.is_complex() != value.is_complex():
        raise WeightsError(f"{what} is of {value.dtype}, the network's of {own.dtype}; name a file of such")
    converted = value.to(own.dtype)
    if not converted.isfinite().all() and (is_lazy(own) or own.isfinite().all()):
        raise WeightsError(f"{what} is not finite; name another file")
    return converted if is_lazy(own) else converted.reshape(own.shape)


def _misfit(who: str, missing: Sequence[str], unexpected: Sequence[str], given: Sequence[str]) -> str:
    found = (("finds no tensor for", missing), ("has no place for", unexpected))
    line = f"{who} " + " and ".join(f"{what} {len(names)} ({some(names)})" for what, names in found if names)
    # what would have to be taken off the file's names, or is in front of the network's
    for longer, shorter, hint in (
        (given, missing, "prefix: {}"),
        (missing, [n for n in unexpected if not n.endswith(COUNTED)], "weights: {{{}: FILE}}"),
    ):
        fronts = Counter(
            one[: -len(other)] for other in shorter for one in longer if one.endswith(f".{other}")
        )
        for front, count in fronts.most_common(1):
            if count == len(shorter):
                return f"{line}; it would fit with {hint.format(front if longer is given else front[:-1])}"
    return line


def _stripped(state: Mapping[str, Tensor], prefix: str | None, name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it.

    Raises:
        WeightsError: if there are none.
    """
    if not prefix:
        return dict(state)
    found = {n.removeprefix(prefix).removeprefix("."): t for n, t in state.items() if n.startswith(prefix)}
    if not found:
        fronts = sorted({n.partition(".")[0] + "." for n in state})
        raise WeightsError(f"{name}: no name begins with prefix {prefix}; allowed: {some(fronts)}")
    return found


def load_several(
    module: nn.Module,
    files: Mapping[str, str | os.PathLike[str]],
    key: str | None = None,
    prefix: str | None = None,
) -> None:
    """Reads several files, each into a submodule: ``{"nets.0": FILE, "nets.1": FILE}``.

    Args:
        module: A network, which is changed.
        files: By path of submodule; together they must name all that has parameters.
        key: As ``read`` takes it, of every file.
        prefix: As ``load_into`` takes it, of every file.

    Raises:
        WeightsError: for a path that is none, or submodules that no file is named for, before anything is
            read; else as ``read`` and ``load_into`` do.
    """
    module = unwrapped(module)
    who = type(module).__name__
    known = dict(module.named_modules(remove_duplicate=False))
    for path in files:
        if path not in known:
            close = difflib.get_close_matches(path, known) or [n for n, _ in module.named_children()]
            raise WeightsError(f"weights: {who} has no submodule {path}; allowed: {some(close)}")
    for one in files:
        for other in files:
            if one != other and (not one or other.startswith(f"{one}.")):
                raise WeightsError(f"weights: {other} is inside {one or who}; name one of them")
    held = {id(p) for path in files for p in known[path].parameters()}
    left = [n.rpartition(".")[0] for n, p in module.named_parameters() if id(p) not in held]
    if left:
        owners = [n or "(its own)" for n in dict.fromkeys(left)]
        raise WeightsError(f"weights: no file for {some(owners)} of {who}; name one for each")
    for path, file in files.items():
        load_into(known[path], read(file, key), prefix, name=str(file))
