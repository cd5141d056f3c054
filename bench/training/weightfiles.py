"""Reading somebody's file of weights.

Here belongs whatever such a file may turn out to be. What is done with its tensors does not; what ``bench``
itself has trained and keeps is read by the store.
"""

import os
import re
import shlex
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

KNOWN = ("state_dict", "model_state_dict", "model", "net")
"""Under which of these names a file holds its state dict needs not be said."""

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of ``torch.save`` begin that are no zip archives."""

EXTRACT = (
    "import pickle, sys, torch; "
    "t = lambda o: o if isinstance(o, torch.Tensor) else t(o.state_dict()) if hasattr(o, 'state_dict') "
    "else {{k: t(v) for k, v in o.items() if isinstance(k, (str, int))}} if hasattr(o, 'items') "
    "else torch.from_numpy(o) if type(o).__name__ == 'ndarray' and o.dtype.kind in 'fiub' else None; "
    "torch.save(t({load}), sys.argv[2])"
)
"""Run by ``python -c``, between double quotes: of whatever is in a file, its tensors in nested dicts."""

LOADS = {
    "torch": "torch.load(sys.argv[1], map_location='cpu', weights_only=False)",
    "legacy": "torch.load(sys.argv[1], map_location='cpu', weights_only=False)",
    "script": "torch.jit.load(sys.argv[1], map_location='cpu')",
    "pickle": "pickle.load(open(sys.argv[1], 'rb'))",
}


class WeightsError(Exception):
    """Weights that can't be used: one line that names the file and says what to do."""


def read(path: str | os.PathLike[str], key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file of weights, by name, on the CPU; no code of the file's is run.

    Args:
        path: A safetensors file, or a state dict that ``torch.save`` wrote, in either of its formats. It may
            lie in a dict, under one of ``KNOWN`` where nothing else in there looks like one.
        key: Where in the file's dict the state dict is, else; dots lead into dicts inside.

    Raises:
        WeightsError: for anything else, which is said.
    """
    file = Path(path).expanduser()
    try:
        kind = _kind(file)
        if kind == "safetensors":
            found: Any = load_file(file)
        elif kind in ("script", "pickle"):
            raise WeightsError(_refused(file, kind, "TorchScript" if kind == "script" else "a plain pickle"))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        other = re.search(r"GLOBAL ([\w.]+)", str(error))
        if kind == "legacy" and other is None:
            why = short(str(error).rpartition("WeightsUnpickler error:")[2])
            raise WeightsError(f"{file}: damaged; fetch it again ({why})") from None
        # a zip archive is checked as such: what is in it was meant
        raise WeightsError(_refused(file, kind, other[1] if other else "unnamed")) from None
    except EOFError:
        raise WeightsError(f"{file}: cut short; fetch it again") from None
    except OSError as error:
        raise WeightsError(f"{file}: can't be read ({error.strerror or short(error)})") from None
    # a damaged file makes of PyTorch's reader whatever its bytes happen to say
    except (SafetensorError, zipfile.BadZipFile, RuntimeError, ValueError, LookupError, TypeError) as error:
        cut = "EOF" in str(error) or "incomplete metadata" in str(error)
        said = "cut short; fetch it again" if cut else f"damaged; fetch it again ({short(error)})"
        raise WeightsError(f"{file}: {said}") from None
    return _picked(file, found, key)


def _kind(file: Path) -> str:
    """What a file is, by how it begins.

    Raises:
        WeightsError: unless it may hold weights.
        OSError: if it can't be read.
    """
    if file.is_dir():
        inside = sorted(p.name for p in file.iterdir() if p.suffix in (".safetensors", ".pt", ".pth", ".bin"))
        raise WeightsError(f"{file}: a folder; name a file in it: {some(inside) or '(none is of weights)'}")
    if not file.exists():
        raise WeightsError(f"{file}: no such file")
    if not file.is_file():
        raise WeightsError(f"{file}: not a file")
    with file.open("rb") as opened:
        start = opened.read(1024)
    if not start:
        raise WeightsError(f"{file}: empty; fetch it again")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{file}: a pointer of Git LFS, not the file; fetch it by: git lfs pull")
    if start.startswith(b"PK\x03\x04"):
        if not zipfile.is_zipfile(file):
            raise WeightsError(f"{file}: cut short; fetch it again")
        with zipfile.ZipFile(file) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
        if "data.pkl" not in names:
            raise WeightsError(f"{file}: a zip archive, not torch.save's; take the weights out of it")
        return "script" if "constants.pkl" in names else "torch"
    if start.startswith(LEGACY):
        return "legacy"
    if LEGACY.startswith(start) or b"PK\x03\x04".startswith(start):
        raise WeightsError(f"{file}: cut short; fetch it again")
    if start[8:9] == b"{" or file.suffix == ".safetensors":
        length = int.from_bytes(start[:8], "little")
        if 0 < length < 2**27 and start[8:9] == b"{":
            if file.stat().st_size < 8 + length:
                raise WeightsError(f"{file}: cut short; fetch it again")
            return "safetensors"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise WeightsError(f"{file}: a web page, not weights; fetch the file that it speaks of")
    if start[:1] == b"\x80":
        return "pickle"
    if not set(start) & {*range(9), *range(14, 27), 127}:
        raise WeightsError(f"{file}: text, not weights ({short(start[:60].decode(errors='replace'))})")
    raise WeightsError(
        f"{file}: neither safetensors nor written by torch.save; expected a state dict in one of these forms"
    )


def _refused(file: Path, kind: str, what: str) -> str:
    out = file.with_name(f"{file.stem}.tensors.pt")
    names = f"{shlex.quote(str(file))} {shlex.quote(str(out))}"
    command = f'python -c "{EXTRACT.format(load=LOADS[kind])}" {names}'
    return (
        f"{file}: holds other objects than tensors ({what}), which run code of theirs when they are read; "
        f"if you trust it, write its tensors to {out} and name that, by: {command}"
    )


def _picked(file: Path, found: Any, key: str | None) -> dict[str, Tensor]:
    """The state dict in what was read."""
    if not isinstance(found, Mapping):
        raise WeightsError(f"{file}: holds {type(found).__name__}, expected a dict of tensors by name")
    places = list(_places(found))
    if key is None:
        if not places:
            raise WeightsError(f"{file}: holds no tensors by name; expected a state dict")
        if len(places) > 1 or places[0] not in ("", *KNOWN):
            said = ", ".join(place or "(the file itself)" for place in places)
            raise WeightsError(f"{file}: its dict doesn't say which tensors are meant; say it by key: {said}")
        key = places[0]
    at = _at(found, key)
    tensors = (
        {n: t.detach() for n, t in at.items() if isinstance(t, Tensor) and isinstance(n, str)}
        if isinstance(at, Mapping)
        else {}
    )
    if not tensors:
        known = ", ".join(filter(None, places)) or "none (it holds its tensors without any)"
        raise WeightsError(f"{file}: no tensors at key {key}; allowed: {known}")
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise WeightsError(f"{file}: {name} is sparse, quantized or empty; expected plain tensors")
    return tensors


def _places(tree: Mapping[Any, Any], at: str = "") -> Iterator[str]:
    """The keys under which there is something like a state dict, those in dicts inside with a dot."""
    held = [name for name, value in tree.items() if isinstance(value, Tensor) and isinstance(name, str)]
    below = [
        place
        for name, value in tree.items()
        if isinstance(value, Mapping) and isinstance(name, str)
        for place in _places(value, f"{at}.{name}" if at else name)
    ]
    # beside a state dict a single tensor may be anything, an accuracy
    if held and (not below or any("." in name for name in held)):
        yield at
    yield from below


def _at(tree: Any, key: str) -> Any:
    """What is under a key of dots, where a name may itself have dots; None where nothing is."""
    if not key:
        return tree
    if not isinstance(tree, Mapping):
        return None
    if key in tree:
        return tree[key]
    for i in (i for i, c in enumerate(key) if c == "."):
        found = _at(tree.get(key[:i]), key[i + 1 :])
        if found is not None:
            return found
    return None


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of many names."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def short(error: object) -> str:
    """An error's words in one line, cut where they go on."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) < 120 else words[:117] + "..."
