"""The command ``python -m bench.aggregate outputs/sweep``: a sweep's tables and figures, written again.

Here belongs its door. What it writes is ``analysis.summary``'s.
"""

import argparse
from pathlib import Path

from bench.analysis import summary
from bench.checks import ConfigError
from bench.command import guarded
from bench.results.store import MISSING
from bench.results.sweep import NOT_RUN, Sweep


@guarded
def main() -> None:
    """The command of the module's docstring; exit status 0 if the sweep is whole, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.aggregate", description="Write a sweep's tables and figures again."
    )
    parser.add_argument("results", type=Path, nargs="+", help="folders of sweeps, such as outputs/sweep")
    sweeps = [Sweep(folder) for folder in parser.parse_args().results]
    for one in sweeps:
        found = one.table()
        if (found.frame["status"] == MISSING).all():
            # a copy of a sweep beside another store would lose its table
            first = found.frame["reason"].iloc[0]
            why = "has none of its records" if first == NOT_RUN else f"has none that can be read ({first})"
            raise ConfigError(f"{one.folder}: its store {why}; nothing was written")
        found.say_missing(one)
    raise SystemExit(0 if all([summary.write(one) for one in sweeps]) else 1)
