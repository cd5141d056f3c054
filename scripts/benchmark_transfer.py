"""How much longer cross recognition takes than the forward passes that it can't do without.

    python scripts/benchmark_transfer.py outputs/testing_phase/targeted --rounds 3

Times, in turn and in one process, the whole of ``transfer.table`` on a sweep that is done, nothing
of it looked up, and the same passes alone: every scheme's samples through every scheme's network, as
many draws, the same batches. Prints the seconds of each round and the ratio of the medians.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from bench import plan
from bench.analysis import transfer
from bench.measuring import passes
from bench.reader import Reader
from bench.results.store import OK, Store
from bench.results.sweep import Sweep, write_manifest


def bare_passes(results: Path) -> tuple[float, int]:
    """Seconds of the passes alone, and how many images were passed."""
    sweep = Sweep(results)
    store = sweep.store
    records = [record for record in sweep.records if record["status"] == OK]
    networks = {r["key"]: plan.restore(r, store, Reader()) for r in records}
    images = {}
    for record in records:
        samples = store.samples(record)
        images[record["key"]] = torch.from_numpy(samples["perturbed"][samples["claimed"]])
    passed = 0
    seconds = 0.0
    for one in records:
        for other in records:
            if any(one["cell"][k] != other["cell"][k] for k in ("dataset", "attack", "criterion", "seed")):
                continue
            restored = networks[other["key"]]
            torch.set_num_threads(restored.config.threads)
            draws = other["metrics"]["fresh_draws"]
            start = time.perf_counter()
            with restored.defended.model(0) as model:
                for _ in range(draws):
                    passes.logits(model, images[one["key"]], restored.config.batch_size)
            seconds += time.perf_counter() - start
            passed += draws * len(images[one["key"]])
    return seconds, passed


def whole(results: Path) -> float:
    """Seconds of the whole table, from records to figures, with an empty cache."""
    store = Sweep(results).store
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        for part in ("records", "samples", "checkpoints"):
            (fresh / part).symlink_to((store.folder / part).resolve())
        cells = json.loads((results / "cells.json").read_text())["cells"]
        write_manifest(fresh / "results", Store(fresh), cells)
        start = time.perf_counter()
        transfer.table(fresh / "results", Reader())
        return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="the folder of a finished sweep")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    times: dict[str, list[float]] = {"whole": [], "passes": []}
    for number in range(options.rounds):
        seconds, passed = bare_passes(options.results)
        times["passes"].append(seconds)
        times["whole"].append(whole(options.results))
        print(
            f"round {number + 1}: whole {times['whole'][-1]:.2f} s, {passed} passes {seconds:.2f} s",
            flush=True,
        )
    ratio = statistics.median(times["whole"]) / statistics.median(times["passes"])
    print(f"ratio of the medians: {ratio:.3f}")


if __name__ == "__main__":
    main()
