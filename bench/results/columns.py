"""The columns of a table of records: each a name, a path into a record, and what it means.

Here belongs what can be read off one record. What compares records does not. The order of ``results.csv``,
the terminal's short names, the titles of pictures and the table of docs/reference/columns.md are all of
``COLUMNS``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.axes import AXES


@dataclass(frozen=True)
class Column:
    """One line that adds a column to every table.

    Attributes:
        name: In ``results.csv``.
        path: Where it is in a record, such as ``metrics.fresh_draws``; a record that lacks it, an older one
            or one of a hole, leaves the column empty.
        meaning: What it says, in the words of docs/reference/columns.md.
        scale: What the value is multiplied by: 100 for a share in %.
        interval: Whether the path leads to a ``mean`` with its ``low`` and ``high``: these are columns beside
            it, ``<name>_low`` and ``<name>_high``, where a record has them.
        short: Its name on the terminal; empty: not shown there.
        title: Its name over a picture.
        shown: ``always``; or where any record has it; or where the records differ in it.
    """

    name: str
    path: str
    meaning: str
    scale: float = 1
    interval: bool = False
    short: str = ""
    title: str = ""
    shown: Literal["always", "any", "differing"] = "always"

    @property
    def parts(self) -> dict[str, str]:
        """Every column that it makes, in their order, and each one's path."""
        if not self.interval:
            return {self.name: self.path}
        ends = {f"{self.name}_{end}": f"{self.path}.{end}" for end in ("low", "high")}
        return {self.name: f"{self.path}.mean", **ends}

    def read(self, record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Name and value of what a record has of it."""
        for name, path in self.parts.items():
            found: Any = record
            for key in path.split("."):
                if not isinstance(found, Mapping) or key not in found:
                    break
                found = found[key]
            else:
                if isinstance(found, list):
                    found = "; ".join(map(str, found)) or None
                yield name, found if self.scale == 1 or found is None else self.scale * found


def _distance(name: str, what: str, short: str = "", title: str = "") -> tuple[Column, Column]:
    path = f"metrics.distance.{name}"
    over = "over the claimed successes"
    # the one median that is there without any to be had, too
    shown: Literal["always", "any"] = "always" if name == "l2" else "any"
    return (
        Column(f"{name}_mean", path, f"{what}, mean {over}", interval=True, short=short, title=title),
        Column(f"{name}_median", f"{path}.median", f"{what}, median {over}", shown=shown),
    )


COLUMNS = (
    *(Column(axis.name, f"cell.{axis.name}", axis.meaning) for axis in AXES),
    Column("status", "status", "ok, not_applicable (the attack can't serve the criterion), failed, or missing (or unreadable)", short="status"),
    Column("reason", "reason", "why the status is not ok"),
    Column("device", "device_kind", "cpu or cuda, where a table mixes both: a cell's key doesn't hold it", shown="differing"),
    Column("warnings", "warnings", "what has to be said of a result, where there is anything"),
    Column("images", "images.count", "images attacked: the first test images that the network gets right without a scheme"),
    Column("shared_draws", "draws.shared", "what a draw of the defence is shared by, pass or both (partly each image's own): intervals take draws as random, too; only where it is no image's own", shown="any"),
    Column("wrong", "metrics.wrong", "images that the network gets wrong without a scheme; only where the images are given", shown="any"),
    Column("given_up", "metrics.given_up", "attacked images that came back as no image (not finite, all zeros): they count as not found"),
    Column("too_far", "metrics.too_far", "attacked images that came back further away than epsilon: they count as not found"),
    Column("without_start", "metrics.without_start", "attacked images without a point for the attack to start from: they count as not found"),
    Column("zero_gradient", "metrics.zero_gradient", "attacked images whose first gradient was zero everywhere; empty: that can't be told"),
    Column("fresh_draws", "metrics.fresh_draws", "answers of the network to each adversarial image, on fresh draws (1 where nothing is random)"),
    Column("clean_accuracy_no_scheme_pct", "metrics.clean_accuracy_no_scheme.mean", "accuracy on the whole test set without the scheme, %", 100),
    Column("clean_accuracy_pct", "metrics.clean_accuracy", "accuracy on the whole test set under the scheme, %; _low and _high: 95 % interval", 100, True, "clean %", "test accuracy, %"),
    Column("claimed_success_pct", "metrics.claimed_success", "images for which the attack claims success, on the draws that it saw, %", 100, True, "claimed %"),
    Column("fresh_success_pct", "metrics.fresh_success", "fresh draws on which the criterion holds, over all attacked images, %", 100, True, "success %", "attack success on fresh draws, %"),
    Column("fresh_accuracy_pct", "metrics.fresh_accuracy", "fresh draws on which the true label is output, over all attacked images, %", 100, True, "accuracy %", "accuracy on adversarial samples, %"),
    *_distance("mad_255", "mean absolute difference a value on the 0-255 scale", "MAD (0-255)", "mean absolute difference (0-255)"),
    *_distance("l0_values", "values (pixels x channels) changed"),
    *_distance("l1", "L1 norm of the perturbation, values in [0, 1]"),
    *_distance("l2", "L2 norm of the perturbation, values in [0, 1]", "L2", "L2 norm over the claimed successes"),
    *_distance("linf", "Linf norm of the perturbation, values in [0, 1]"),
    Column("forward_passes_per_image", "metrics.forward_passes_per_image", "images passed forward by the attack, for each attacked image", short="forward"),
    Column("backward_passes_per_image", "metrics.backward_passes_per_image", "images passed backward by the attack, for each attacked image", short="backward"),
    Column("attack_seconds", "seconds.attack", "wall time of the attack on all images, s", short="attack s"),
    Column("total_seconds", "seconds.total", "wall time of the cell, s: training, or waiting for another process's, included"),
    Column("key", "key", "the record: store/records/<key>.json, which names its samples and looks"),
)  # fmt: skip
"""Every column of ``results.csv`` in its order; a swept setting adds one of its own name behind the axes."""

TITLES = {column.name: column.title for column in COLUMNS if column.title}
"""What stands over a picture of a column."""
