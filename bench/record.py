"""What a record says: its samples and the looks at them, joined.

Here belong a record's fields, and what has to be said of a result in words. How any of it was computed does
not; what the columns of a table are is in ``results.columns``.

The fields:

    key: Its name: a hash of settings, data, network, code and versions.
    status: ``ok``, ``not_applicable``, ``failed``; of the last two ``reason`` says why.
    cell: What names it: the chosen files' names, the rates and the seed.
    config: Every setting that can change it.
    versions: Of the libraries and of Python, and of the library whose attack it is.
    git_revision: The commit of the code, ``-dirty`` if it was changed since; null outside a checkout.
    device: Which one ran.
    device_kind: ``cpu`` or ``cuda``.
    defended: What decides the network's outputs: where its weights come from, its code, and what acts where.
    twin: Likewise of the same without its randomness, of a network that draws by itself; null: there is none.
    draws: What was found out of draws of the scheme, and of the twin of a network that draws by itself.
    seeds: Of each purpose for which something is drawn.
    data: The data's fingerprint, the shape of an image, how many classes.
    checkpoint: The key of the network's weights, and their SHA-256; likewise of another network as its twin.
    test_rates: What acted at test time: for each site its rate.
    images: Of each attacked row its image's place among the test images, target, claim and hash.
    samples: Key, file, size and hashes of the adversarial images.
    looks: The keys of what was seen: clean accuracy with and without the scheme, and the fresh draws.
    metrics: The figures; a ``mean`` has a 95 % interval from ``low`` to ``high``.
    warnings: What has to be said of the result.
    seconds: Wall times: of all, of the attack, and of training when the network was trained.
"""

import hashlib
import math
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench import attacking, probe
from bench.axes import names
from bench.config import Config, decides
from bench.crafting import repeats
from bench.datasets.arrays import unit
from bench.finding import Findings
from bench.looks import Clean, Fresh, flags
from bench.measuring import intervals, passes
from bench.plan import Cell
from bench.results import fingerprint
from bench.results import store as stores
from bench.results.store import Kept
from bench.training.kept import Trained

SEEDS = ("targets", "attack", "attack start", "clean", "evaluation")
"""What a cell draws for, each from a seed of its own."""


def header(config: Config, status: str, key: str, peers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What every record says, whatever became of its cell.

    Args:
        config: Its settings.
        status: What became of it.
        key: Its name.
        peers: The version of the library whose attack it is, by its name.
    """
    settings = decides(config)
    return {
        "key": key,
        "status": status,
        "cell": names(settings),
        "config": settings,
        "versions": {**fingerprint.versions(), "python": platform.python_version(), **(peers or {})},
        "git_revision": stores.git_revision(),
    }


def joined(
    cell: Cell,
    trained: Trained,
    random: bool,
    bare: Clean | None,
    behind: Clean,
    kept: Kept,
    fresh: Fresh,
    drawn: Findings | None,
    twin_drawn: Findings | None,
    whole: Fresh | None,
    twin_weights: str | None,
) -> dict[str, Any]:
    """What a record of status ``ok`` says besides its header: its samples and looks, joined.

    Args:
        cell: The cell.
        trained: Its network.
        random: Whether its scheme draws.
        bare, behind: The test images, passed without its scheme, where that is possible, and under it.
        kept: Its adversarial samples.
        fresh: These on draws of their own.
        drawn: What draws of its scheme are like; None where nothing is random.
        twin_drawn: What was found of the twin of a network that draws by itself.
        whole: The test images on several draws; None where each image has draws of its own.
        twin_weights: The hash of the weights of its twin; None where there is none.
    """
    config, data = cell.config, cell.dataset
    samples = {name: tensor.numpy() for name, tensor in kept.values.items()}
    indices, draws = samples["indices"], fresh.draws
    about, each = kept.about, repeats(config.criterion.targets, cell.classes)
    count = len(indices) // each
    fewer = config.count == "images" and count < config.samples
    originals, claimed = unit(data.x_test[indices]), samples["claimed"]
    moved = {n: v[claimed] for n, v in passes.distances(originals, samples["perturbed"]).items()}
    # of each image once, however often it is attacked
    hashes = {i: hashlib.sha256(unit(data.x_test[i]).tobytes()).hexdigest()[:16] for i in np.unique(indices)}
    path = cell.store.path("samples", kept.key)

    shared, found = drawn is not None and drawn.shared, drawn.as_dict() if drawn is not None else {}
    if twin_drawn is not None:
        found["twin"] = twin_drawn.as_dict()
    clean = intervals.estimate(behind.right.astype(float))
    if whole is not None:
        clean = whole.rate("right", shared)
    return {
        "device": about["device"].strip(),
        "device_kind": about["device_kind"],
        "defended": cell.identity,
        # of others it is what is said above, with nothing acting
        **({"twin": cell.twin_identity} if "own" in cell.identity else {}),
        "draws": {**found, **({"shared": found["shared_by"]} if shared else {})},
        "seeds": {name: seed_of(cell, name) for name in SEEDS},
        "data": {
            "fingerprint": data.fingerprint,
            "shape": list(data.shape),
            "classes": cell.classes,
            "classes_of_labels": data.classes,
        },
        "checkpoint": {
            "key": cell.checkpoint,
            "sha256": trained.sha256,
            **({} if cell.twin is None else {"twin": {"key": cell.twin.checkpoint, "sha256": twin_weights}}),
        },
        "test_rates": {site: rate for site, (_, rate) in cell.scheme.items()},
        "images": {
            "count": count,
            "targets_each": each,
            "indices": indices.tolist(),
            "targets": samples["targets"].tolist(),
            "claimed": flags(claimed),
            "sha256": [hashes[i] for i in indices],
        },
        "samples": {
            "key": kept.key,
            "file": f"samples/{path.name}",
            "bytes": path.stat().st_size,
            "content": fingerprint.hash_tensors(kept.values),
            "sha256": hashlib.sha256(samples["perturbed"].data).hexdigest(),
        },
        "looks": {
            **({} if bare is None else {"clean_no_scheme": bare.key}),
            "clean": behind.key,
            "fresh": fresh.key,
        },
        "metrics": {
            **({} if bare is None else {"clean_accuracy_no_scheme": _share(bare)}),
            "clean_accuracy": clean._asdict(),
            "claimed_success": intervals.estimate(claimed.astype(float), indices)._asdict(),
            "fresh_success": fresh.rate("success", shared, indices)._asdict(),
            "fresh_accuracy": fresh.rate("right", shared, indices)._asdict(),
            "fresh_draws": draws,
            **({} if cell.given is None else {"wrong": int((~(bare or behind).right).sum())}),
            **{name: int(samples[name].sum()) if name in samples else None for name in attacking.REMARKS},
            "distance": {name: _moved(v, indices[claimed]) for name, v in moved.items() if len(v)},
            "forward_passes_per_image": about["forward"] / about["tried"],
            "backward_passes_per_image": about["backward"] / about["tried"],
        },
        "warnings": [
            *([_PROBABILITIES.format(config.model.name)] if (bare or behind).probabilities else []),
            *_of_scheme(cell, behind, drawn),
            *([_no_twin(cell)] if bare is None else []),
            *(
                [f"only {count} test images that the network gets right, not {config.samples}"]
                if fewer
                else []
            ),
            *_of_attack(config.attack.name, samples),
            *_disagreeing(config.attack.name, claimed, fresh.success, random),
        ],
        "seconds": {
            "attack": float(about["seconds"]),
            "evaluation": fresh.seconds,
            "training": trained.seconds,
        },
    }


def seed_of(cell: Cell, purpose: str) -> int:
    """The seed of what is drawn for one purpose."""
    return fingerprint.derive_seed(cell.config.seed, purpose)


def _share(seen: Clean) -> dict[str, float]:
    return intervals.estimate(seen.right.astype(float))._asdict()


def _moved(values: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """A distance's mean and median; of a single success there is no interval."""
    mean = intervals.mean_interval(values, groups)._asdict()
    return {**{k: m for k, m in mean.items() if math.isfinite(m)}, "median": float(np.median(values))}


_PROBABILITIES = (
    "outputs of {} look like probabilities (each row is at least 0 and sums to 1), where attacks expect "
    "logits: leave out its softmax, or name what comes before it, model.outputs={{from: PATH}}"
)


def _no_twin(cell: Cell) -> str:
    said = (
        f"scheme {cell.config.scheme.name}: there is no twin to compare with, since its randomness can't be "
        "switched off (scheme.off)"
    )
    chosen = "; attacked are images that it gets right on one draw"
    return said if cell.given is not None else said + chosen


def _of_scheme(cell: Cell, clean: Clean, drawn: Findings | None) -> list[str]:
    key = f"scheme {cell.config.scheme.name}"
    found = []
    if drawn is not None and drawn.shared:
        part = "" if drawn.shared_by == "pass" else ", in part"
        found.append(f"{key}: images of a pass share a draw{part}: intervals take draws as random, too")
    if drawn is not None:
        padded = f"; every batch is padded to {drawn.handling.size}" if cell.config.scheme.itself else ""
        found += [
            f"{key}: batches of {size} images fail: {line}{padded}" for size, line in drawn.sizes.items()
        ]
        found += _of_draws(key, drawn) if cell.config.scheme.itself else []
    said = [
        f"{probe.MIXES.format(f'scheme: {cell.config.scheme.name}: the operation at site {site}')}: "
        "results may depend on batch_size"
        for site in clean.mixing
    ]
    return [
        *said,
        *([f"{key}: at its rates two passes over 100 images are equal"] if clean.alike else []),
        *found,
    ]


def _of_draws(key: str, drawn: Findings) -> list[str]:
    """What has to be said of a network that draws by itself."""
    found = []
    if not drawn.repeats:
        found.append(
            f"{key}: no seed reaches its draws, so that the same cell gives another result each time"
        )
    if drawn.changes_images:
        found.append(f"{key}: a pass writes into its images, and gets copies of them")
    if drawn.company:
        found.append(
            f"{key}: an image's logits depend on the other images of its batch: batches stay as they are "
            "during an attack, and results may depend on batch_size"
        )
    if drawn.gradient != "ok":
        found.append(
            f"{key}: there is no gradient at the image ({drawn.gradient}), so that attacks that need one "
            "find nothing; name what stands in for the submodule that has none: scheme.stand_ins"
        )
    return found


def _of_attack(name: str, samples: Mapping[str, np.ndarray]) -> list[str]:
    """What has to be said of what an attack gave, a line each."""
    rows = len(samples["claimed"])
    counts = {kind: int(samples[kind].sum()) for kind in attacking.REMARKS if kind in samples}
    return [
        f"attack {name}: {count} of {rows} images {attacking.REMARKS[kind]}"
        for kind, count in counts.items()
        if count
    ]


def _disagreeing(name: str, claimed: np.ndarray, success: np.ndarray, random_scheme: bool) -> list[str]:
    """Where nothing is random, a claim and an evaluation must agree."""
    beyond = int((claimed & (success < 1)).sum())
    if random_scheme or not beyond:
        return []
    return [
        f"attack {name}: claims {beyond} of {len(claimed)} images on which the criterion doesn't hold in "
        "another pass, although nothing is random"
    ]
