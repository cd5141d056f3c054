"""The library: a network of one's own evaluated from a script or a notebook.

Here belongs what is public and does something. What arguments may be is in ``given``, what comes back in
``outcomes`` and ``opened``; the rooms between are those that the command walks through. Nothing here prints,
or changes anything that it doesn't put back: generators, threads, the network's hooks, mode, gradients and
device.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import auditing, cell, given, looks, parts, probe
from bench.analysis.audit.verdict import Verdict
from bench.calling import call_of, undisturbed
from bench.checks import ConfigError
from bench.config import MARGIN, AuditConfig
from bench.defended import Defended as AnyDefended
from bench.given import Defended
from bench.looks import Looker
from bench.opened import Dataset, Sweep
from bench.outcomes import Audited, Measurement, OfAttack, Result, Shown, WorstCase, measured
from bench.own import Own
from bench.reader import Reader
from bench.results import fingerprint, sweep
from bench.results.store import OK, Store
from bench.training import kept as trained

__all__ = [
    "Audited", "ConfigError", "Dataset", "Defended", "Measurement", "Own", "Result", "Sweep", "WorstCase",
    "audit", "evaluate", "load_dataset", "measure", "open_sweep",
]  # fmt: skip


def load_dataset(
    name: str, data_dir: str | Path | None = None, *, trust: Sequence[str] = (), **options: Any
) -> Dataset:
    """A dataset of conf/dataset: ``"digits"``, ``"mnist"``, ``"cifar10"``, ``"npz"``, ``"image_folder"``, ...

    Args:
        name: Its name.
        data_dir: Where data is; None: the environment variable ``BENCH_DATA_DIR``, or ``data``.
        trust: Packages of yours that may be named.
        options: Its loader's own, in place of those in its file.

    Raises:
        ConfigError: for a name that isn't there, or data that is missing, damaged, or can't be used.
    """
    config = given.settings("dataset", name)
    config.dataset.options |= options
    config.trusted_modules = [*Reader.trusted, *trust]
    if data_dir is not None:
        config.data_dir = str(Path(data_dir).expanduser())
    return Dataset(name, parts.dataset(config, foreign=True))


def evaluate(
    defended: AnyDefended,
    images: Tensor,
    labels: Tensor,
    attacks: Sequence[Any] | Mapping[str, Any],
    *,
    draws: int = 20,
    criterion: str | Mapping[str, Any] = "untargeted",
    targets: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 500,
    threads: int = 1,
    device: str | torch.device | None = None,
    store: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Attacks images behind a defence, and measures what is left of it on draws that no attack has seen.

    Exactly the images given are attacked. With those of ``Dataset.test(right_by=…)``, and the same seed,
    batch size and threads, claims, success, accuracy, distances and passes are those of the command;
    clean accuracy is over these images, where the command's is over the whole test set.

    Args:
        defended: The network behind its scheme.
        images: Floats in [0, 1], shape (n, channels, height, width).
        labels: Integers, shape (n,).
        attacks: Names of conf/attack, attacks with Foolbox's call, or pairs of one of these and an epsilon
            (None: the smallest perturbation is asked for); in a mapping, under names of your own.
        draws: Fresh passes of each adversarial image, at least 1.
        criterion: A name of conf/criterion: ``untargeted``, ``targeted`` (a random wrong class an image),
            ``all_targets``, ``topk``; or a mapping such as ``{"kind": "topk", "k": 2}``.
        targets: For ``targeted``, a class for each image in place of a random one, shape (n,).
        seed: Of targets, attack and evaluation.
        batch_size: Images attacked or passed at once; part of the result.
        threads: Of PyTorch meanwhile; part of the result.
        device: Where the network is meanwhile: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ``auto``; None: where
            it is.
        store: A folder where samples and looks are kept, and found again by the same call; the command's
            ``output_dir`` will do. None: nothing is kept.
        progress: Whether a bar is shown, on stderr, while an attack runs.

    Returns:
        The table, the samples, and how each image fares. An attack that fails is a row that says why.

    Raises:
        ConfigError: for what can't be used, in one line, before anything is attacked.
    """
    named = given.attacks(attacks)
    with (
        undisturbed(defended, device, threads),
        _folder(store) as folder,
    ):
        call = call_of(
            defended, images, labels, draws=draws, criterion=criterion, goals=targets, seed=seed,
            batch_size=batch_size, threads=threads, store=folder, kept=store is not None, progress=progress,
        )  # fmt: skip
        cells = {one.config.name: call.cell(one) for one in named}
        kept = Store(folder / "store")
        records, samples, fresh = {}, {}, {}
        for name, ready in cells.items():
            records[name] = record = cell.run(ready)
            if record["status"] == OK:
                samples[name] = torch.from_numpy(kept.samples(record)["perturbed"])
                fresh[name] = looks.fresh_of(kept.kept("looks", record["looks"]["fresh"]))
    return Result(
        Shown.of(sweep.Table.of(list(records.values()))),
        OfAttack(samples, records),
        OfAttack({name: one.success / one.draws for name, one in fresh.items()}, records),
        records,
        fresh,
        call,
    )


def audit(
    defended: AnyDefended,
    images: Tensor,
    labels: Tensor,
    norm: str = "linf",
    epsilon: float = 0.1,
    effort: str = "quick",
    *,
    baseline: AnyDefended | None = None,
    claim: float | None = None,
    margin: float = MARGIN,
    attacks: Sequence[Any] | Mapping[str, Any] | None = None,
    samples: str | Path | Mapping[str, Any] | None = None,
    clean: tuple[Tensor, Tensor] | None = None,
    passes: float | None = None,
    minutes: float | None = None,
    seed: int = 0,
    batch_size: int = 500,
    threads: int = 1,
    device: str | torch.device | None = None,
    store: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Audited:
    """What the randomness of a defence is worth against an attacker who knows that it is random.

    Args:
        defended: The network behind its scheme.
        images: Floats in [0, 1], shape (n, channels, height, width); at least 2.
        labels: Integers, shape (n,).
        norm: Of the ball, ``linf`` or ``l2``.
        epsilon: Its radius, over 0.
        effort: ``quick``, ``standard`` or ``thorough``: at most 2,000, 20,000 or 200,000 passes an image.
        baseline: A network that was trained without the scheme, of which nothing is random.
        claim: An accuracy that somebody states, %.
        margin: Points from which on a gain counts, over 0; ours.
        attacks: Further ones, as ``evaluate`` takes them: their samples join the others'.
        samples: Further samples: an npz, or a mapping, of ``images`` (float32 in [0, 1], shape (m, channels,
            height, width)) and ``indices`` into the audited images.
        clean: More images and labels, of which clean accuracies are.
        passes: Of an image, at most; None: what the effort takes.
        minutes: Of all, at most, by passes that are timed first.
        seed, batch_size, threads, device, store: As for ``evaluate``.
        progress: Called with a line for each thing that is begun, the first of which is an estimate.

    Returns:
        Tables, the verdict, and each image's worst sample.

    Raises:
        ConfigError: for what can't be used, in one line, before anything is attacked.
        AttackError: for an attack of somebody's own that gives back what can't be used.
        NotFinite: for logits that are not numbers.
    """
    config = AuditConfig(norm, epsilon, effort, claim, margin, passes, minutes)
    config.check()
    named = [] if attacks is None else given.attacks(attacks)
    with undisturbed(defended, device, threads), _folder(store) as folder:
        call = call_of(
            defended, images, labels, draws=1, criterion="untargeted", goals=None, seed=seed,
            batch_size=batch_size, threads=threads, store=folder, kept=store is not None, progress=False,
            idle=True,
        )  # fmt: skip
        found = auditing.of_call(call, config, named, baseline, samples, clean, progress or (lambda _: None))
    row = found.table.iloc[0]
    return Audited(
        found.table, found.checks, found.attacks, found.images,
        Verdict(row["verdict"] or "", row["verdict_of"] or "", row["why"]),
        torch.from_numpy(found.worst), found.said,
    )  # fmt: skip


def measure(
    defended: AnyDefended,
    images: Tensor,
    labels: Tensor,
    *,
    draws: int = 20,
    criterion: str | Mapping[str, Any] = "untargeted",
    targets: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 500,
    threads: int = 1,
    device: str | torch.device | None = None,
    store: str | Path | None = None,
) -> Measurement:
    """Passes any images through a defence, without an attack: on which share of its draws they fool it.

    Args:
        As for ``evaluate``, of whose samples it gives what that gave, for the same seed and draws.

    Raises:
        ConfigError: for what can't be used, in one line.
        NotFinite: for logits that aren't numbers.
    """
    with (
        undisturbed(defended, device, threads),
        _folder(store) as folder,
    ):
        call = call_of(
            defended, images, labels, draws=draws, criterion=criterion, goals=targets, seed=seed,
            batch_size=batch_size, threads=threads, store=folder, kept=store is not None, progress=False,
        )  # fmt: skip
        if call.criterion.targets == "all":
            raise ConfigError("criterion: all_targets is for attacks; give targets, one an image")
        if call.criterion.kind == "targeted" and call.goals is None:
            raise ConfigError("targets: has to be given for criterion targeted, one class an image")
        behind = call.defended
        weights = trained.hash_of(behind.network, call.changing)
        goals = call.images.y if call.goals is None else call.goals
        tensors = [torch.from_numpy(part) for part in (call.images.x, call.images.y, goals)]
        kept = Store(folder / "store")
        looker = Looker(call.identity, weights, call.batch_size, call.threads)
        drawn = looks.draws(kept, looker, behind, call.images.x, call.images.y)
        if drawn is not None and behind.draws_itself:
            probe.check_draws(behind, drawn)
            behind = behind.handled(drawn.handling)
        seen = looks.fresh(
            kept,
            looker,
            lambda: behind,
            fingerprint.hash_tensors(dict(zip(("images", "labels", "targets"), tensors, strict=True))),
            lambda: tensors,
            (call.criterion.kind, call.criterion.k),
            call.draws if behind.random else 1,
            fingerprint.derive_seed(call.seed, "evaluation"),
        )
    shared = drawn is not None and drawn.shared
    table = measured(call, "none", seen.draws, seen.rate("success", shared), seen.rate("right", shared))
    return Measurement(seen.draws, seen.success / seen.draws, seen.right / seen.draws, table)


def open_sweep(folder: str | Path, trust: Sequence[str] = (), data_dir: str | Path | None = None) -> Sweep:
    """A sweep that ``python -m bench.run`` has left, or is running.

    Args:
        folder: Such as ``outputs/sweep``.
        trust: Packages of yours whose networks and operations may run.
        data_dir: Where data is; None: the environment variable ``BENCH_DATA_DIR``, or ``data``.

    Raises:
        ConfigError: if no sweep was started there, or its store isn't there.
    """
    reader = Reader((*Reader.trusted, *trust), None if data_dir is None else str(data_dir))
    return Sweep(sweep.Sweep(given.folder("folder", folder)), reader)


@contextlib.contextmanager
def _folder(store: str | Path | None) -> Iterator[Path]:
    """Where results are kept: for good, or for as long as the call lasts."""
    if store is not None:
        yield given.folder("store", store)
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)
