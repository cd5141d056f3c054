"""Records for tests of what reads them: as a cell writes them, without a network."""

from pathlib import Path
from typing import Any

from bench import axes
from bench.results.store import Store
from bench.results.sweep import write_manifest


def settings(scheme: str = "fc", attack: str = "fgsm", **changes: Any) -> dict[str, Any]:
    """The settings that decide a cell, as far as a table cares."""
    config = {
        "dataset": {"name": "digits"}, "model": {"name": "two_conv"}, "training": {"name": "standard"}, "scheme": {"name": scheme},
        "attack": {"name": attack, "options": {}}, "criterion": {"name": "untargeted"},
        "train_rate": None, "test_rate": None, "seed": 0, "samples": 10,
    }  # fmt: skip
    return {**config, **changes}


def record(
    key: str, config: dict[str, Any], success: float = 0.5, mad: float | None = 10.0
) -> dict[str, Any]:
    """The record of a finished cell; ``mad`` None: its attack never succeeded."""
    share = {"mean": success, "low": success - 0.1, "high": success + 0.1}
    names = ("mad_255", "l0_values", "l1", "l2", "linf") if mad is not None else ()
    distance = {name: {"mean": mad, "low": mad - 1, "high": mad + 1, "median": mad} for name in names}
    return {
        "key": key, "status": "ok", "config": config, "cell": axes.names(config),
        "images": {"count": 10}, "warnings": [], "device_kind": "cpu",
        "metrics": {
            "clean_accuracy_no_scheme": share, "clean_accuracy": share, "claimed_success": share,
            "fresh_success": share, "fresh_accuracy": share, "fresh_draws": 20, "distance": distance,
            "forward_passes_per_image": 3.0, "backward_passes_per_image": 1.0,
            "given_up": 0, "too_far": 0, "without_start": 0, "zero_gradient": 0,
        },
        "seconds": {"total": 2.0, "attack": 1.0},
    }  # fmt: skip


def four_cells(tmp_path: Path) -> Path:
    """The folder of a sweep: a cell that is done, one that can't be, one that failed, one not run yet."""
    store = Store(tmp_path / "store")
    configs = {
        k: settings(s, a)
        for k, s, a in (("a", "none", "fgsm"), ("b", "none", "df"), ("c", "fc", "fgsm"), ("d", "fc", "df"))
    }
    store.write("a", record("a", configs["a"]))
    for key, status, reason in (("b", "not_applicable", "can't serve"), ("c", "failed", "it broke")):
        header = {"key": key, "status": status, "config": configs[key], "cell": axes.names(configs[key])}
        store.write(key, {**header, "reason": reason})
    write_manifest(
        tmp_path / "sweep", store, [{"key": k, "config": c, "checkpoint": None} for k, c in configs.items()]
    )
    return tmp_path / "sweep"
