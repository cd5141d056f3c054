"""Whether the tests notice faults: plants one after the other in a copy of this tree, and runs tests there.

    python scripts/mutants.py --workers 2
    python scripts/mutants.py --sample 10 --seed 0
    python scripts/mutants.py --module bench/cell.py --only "no lock on a cell"

Here belong the faults, and how one is planted. Each names the tests that should fail with it, as narrowly
as pytest can be told; the whole suite is taken to pass without one. A fault is caught if one of them fails,
or takes more than ``TIMEOUT``. Prints a Markdown table. Exit status: 0 if all are caught, 1 if any survives,
2 if one can't be planted, since its text isn't found exactly once, or its tests can't be run.
"""

import argparse
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 150
"""Seconds: no fault's tests take half of it."""
LEFT_OUT = (".git", ".venv", "data", "outputs")
"""What of the tree is not copied, beside what is compiled or cached."""


class FaultError(Exception):
    """A fault that can't be planted or tried: one line that names it."""


@dataclass(frozen=True)
class Fault:
    """A deliberate fault.

    Attributes:
        file: The file that it is planted in.
        name: What is wrong then.
        old: A piece of the file's text that occurs once.
        new: What stands there instead.
        tests: Arguments of pytest: the tests that should fail.
    """

    file: str
    name: str
    old: str
    new: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: ``caught`` is the first test that failed, or None."""

    fault: Fault
    caught: str | None
    seconds: float


def planted(fault: Fault, root: Path) -> str:
    """The text of the fault's file with the fault in it.

    Raises:
        FaultError: unless its old text is found exactly once.
    """
    path = root / fault.file
    text = path.read_text() if path.exists() else ""
    if text.count(fault.old) != 1:
        raise FaultError(
            f"{fault.file}: {fault.name}: expected its text once, found it {text.count(fault.old)} times"
        )
    return text.replace(fault.old, fault.new)


def tried(fault: Fault, copy: Path) -> Outcome:
    """Plants a fault in a copy, runs its tests there, and takes it out again.

    Raises:
        FaultError: as ``planted``, or if there are no such tests, or they can't be collected.
    """
    path, start = copy / fault.file, time.perf_counter()
    before, after = path.read_text() if path.exists() else "", planted(fault, copy)
    # compiled files are told apart by the second that they were changed in: there must not be any
    environment = {
        **os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider"]
    try:
        path.write_text(after)
        ended = subprocess.run(
            [*command, *fault.tests],
            cwd=copy,
            env=environment,
            timeout=TIMEOUT,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return Outcome(fault, f"no end in {TIMEOUT} s", time.perf_counter() - start)
    finally:
        path.write_text(before)
    seconds = time.perf_counter() - start
    if ended.returncode == 0:
        return Outcome(fault, None, seconds)
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.*?)(?: - |$)", ended.stdout, re.MULTILINE)
    if ended.returncode != 1 or failed is None:
        last = (ended.stdout + ended.stderr).strip().splitlines()[-1:]
        raise FaultError(f"{fault.file}: {fault.name}: its tests can't be run: {' '.join(last)}")
    return Outcome(fault, failed[1], seconds)


def left_out(root: Path) -> Callable[[str, list[str]], set[str]]:
    """As ``shutil.copytree`` takes it."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        cached = {n for n in names if n == "__pycache__" or n.endswith("_cache")}
        return cached | {n for n in names if Path(folder) == root and n in LEFT_OUT}

    return ignored


def survey(faults: Sequence[Fault], root: Path, workers: int) -> Iterator[Outcome | FaultError]:
    """Tries every fault, each worker in a copy of its own; in the order of ``faults``."""
    with tempfile.TemporaryDirectory() as folder:
        copies: queue.Queue[Path] = queue.Queue()
        for i in range(min(workers, len(faults))):
            copies.put(Path(folder) / str(i))
            shutil.copytree(root, Path(folder) / str(i), ignore=left_out(root))

        def one(fault: Fault) -> Outcome | FaultError:
            copy = copies.get()
            try:
                return tried(fault, copy)
            except FaultError as error:
                return error
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(one, faults)


def main(arguments: Sequence[str] | None = None, faults: Sequence[Fault] = (), root: Path = ROOT) -> int:
    """The command of the module's docstring; returns the exit status."""
    parser = argparse.ArgumentParser(description="Plant faults, and see whether the tests notice.")
    parser.add_argument("--workers", type=int, default=1, help="faults tried at a time (1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="faults of these names")
    parser.add_argument("--module", action="append", help="faults in this file, such as bench/cell.py")
    parser.add_argument("--sample", type=int, help="that many of them, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--list", action="store_true", help="print their names, plant nothing")
    given = parser.parse_args(arguments)
    chosen = [f for f in faults or FAULTS if not given.module or f.file in given.module]
    if given.only:
        for name in given.only:
            if name not in [f.name for f in chosen]:
                parser.error(f"--only: no fault is called {name!r}; see --list")
        chosen = [f for f in chosen if f.name in given.only]
    if given.sample is not None:
        drawn = random.Random(given.seed).sample(range(len(chosen)), min(given.sample, len(chosen)))
        chosen = [chosen[i] for i in sorted(drawn)]
    if given.list:
        print(*(f"{f.file}: {f.name}" for f in chosen), sep="\n")
        return 0
    print("| fault | caught by test | seconds |\n|---|---|---|", flush=True)
    survivors, problems = [], []
    for found in survey(chosen, root, given.workers):
        if isinstance(found, FaultError):
            problems.append(found)
            continue
        name = f"{found.fault.file}: {found.fault.name}"
        caught = f"`{found.caught}`" if found.caught else "**survives**"
        print(f"| {name} | {caught} | {found.seconds:.0f} |", flush=True)
        if not found.caught:
            survivors.append(name)
    print(f"\n{len(chosen) - len(survivors) - len(problems)} of {len(chosen)} faults are caught")
    for name in survivors:
        print(f"survives: {name}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if problems else 1 if survivors else 0


DAMAGES = "tests/test_damages.py::test_a_damage_is_said_or_healed_and_changes_no_figure"
IDENTITY = "tests/results/test_identity.py::test_"
OWN = "tests/test_own_network.py::test_"
WEIGHTS = "tests/training/test_weights.py::test_"
FIT, PRETRAINED = "tests/training/test_fit.py::test_", "tests/training/test_pretrained.py::test_"
ATTACKING = "tests/test_attacking.py::test_"
DEFENDED, PROCESS = "tests/test_defended.py::test_", "tests/test_process.py::test_"
STORE, PASSES = "tests/results/test_store.py::test_", "tests/measuring/test_passes.py::test_"
SHARED = "tests/test_shared_draws.py::test_"
API, COMBINING = "tests/test_api.py::test_", "tests/test_combining.py::test_"
FINDING, WATCHING = "tests/test_finding.py::test_", "tests/test_watching.py::test_"
BY_ITSELF = "tests/test_own.py::test_"
DEPENDS, COMMAND = "tests/test_depends.py::test_", "tests/test_command.py::test_"
FOREIGN, CLI = "tests/test_foreign.py::test_", "tests/test_cli.py::test_"
PROGRESS = "tests/analysis/test_progress.py::test_"
BUILDING = "tests/test_building.py::test_"
INTERVALS = "tests/measuring/test_intervals.py::test_"
TRIES = "tests/measuring/test_tries.py::test_"
AUDIT_BINARISATION = "tests/analysis/test_audit_binarisation.py::test_"
AUDIT_FIGURES = "tests/analysis/test_audit_figures.py::test_"
AUDIT_POOL = "tests/analysis/test_audit_pool.py::test_"
AUDIT_VERDICT = "tests/analysis/test_audit_verdict.py::test_"
AUDIT_MAKING = "tests/analysis/test_audit_making.py::test_"
AUDIT_STAGES = "tests/analysis/test_audit_stages.py::test_"
AUDIT_CHECKS = "tests/analysis/test_audit_checks.py::test_"
AUDIT_TRUTHS = "tests/analysis/test_audit_truths.py::test_"
AUDIT_ASKING = "tests/analysis/test_audit_asking.py::test_"
AUDIT_COMMAND = "tests/test_audit_command.py::test_"
VOTING = "tests/attacks/test_voting.py::test_"
CODE = "tests/results/test_fingerprint.py::test_"
ATTACKS, KEPT, KEYS = "tests/attacks/test_", "tests/test_kept_apart.py::test_", "tests/test_keys.py::test_"
CW, OTHERS = f"{ATTACKS}carlini_wagner.py::test_", f"{ATTACKS}others.py::test_"
CW = f"{ATTACKS}carlini_wagner.py::test_"
BALL, RPGD, SQUARE = (f"{ATTACKS}{name}.py::test_" for name in ("ball", "randomized_pgd", "square"))
WHOLE = f"{ATTACKS}base.py::test_in_whole_batches_"
DATASETS = "tests/datasets/test_datasets.py::test_"
NPZ = "tests/datasets/test_npz_file.py::test_"
IMAGE_FILES = "tests/datasets/test_image_files.py::test_"
Planted = tuple[str, str, str, str]
"""A fault's name, its old text, the new one, and the tests, with a space between them."""

# fmt: off
BY_MODULE: dict[str, list[Planted]] = {
    "bench/attacks/base.py": [
        ("an average is over copies of one draw", 'return getattr(model, "shared_draws", False) or', "return", f"{SHARED}an_attack_is_told_and_averages_over_passes"),
        ("a whole batch passes several times at once", '"shared_draws", False) or whole_batches(model)', '"shared_draws", False)',
         f"{WHOLE}draws_are_passes {WHOLE}every_pass_has_every_image_at_its_place"),
        ("what is finished leaves a whole batch", "return _Rows(model, x, rows) if whole_batches(model) else model", "return model",
         f"{WHOLE}every_pass_has_every_image_at_its_place"),
        ("every batch passes as a whole", "return _Rows(model, x, rows) if whole_batches(model) else model", "return _Rows(model, x, rows)",
         f"{ATTACKS}base.py::test_a_model_that_says_nothing_is_not_passed_what_is_finished"),
        ("images of a whole batch change places", "put(self.x, self.rows, inputs))[self.rows]", "put(self.x, self.rows[::-1], inputs))[self.rows[::-1]]",
         f"{WHOLE}every_pass_has_every_image_at_its_place"),
        ("a row's logits are another's of its whole batch", "put(self.x, self.rows, inputs))[self.rows]", "put(self.x, self.rows, inputs))[self.rows[::-1]]",
         f"{WHOLE}the_loss_of_the_rows_asked_about_is_differentiated"),
        ("the others of a whole batch are as they were", "pass_draws(at(model, batch, rows), z.", "pass_draws(at(model, x, rows), z.",
         f"{WHOLE}the_loss_of_the_rows_asked_about_is_differentiated"),
        ("claims are of other batches than come back", "            changed = accepted | changed\n", "            pass\n",
         f"{WHOLE}claims_hold_in_the_batch_that_comes_back"),
        ("claims need one draw, whatever accept_draws says",
         "drawn[: self.accept_draws].all(axis=0)", "drawn[:1].all(axis=0)",
         f"{ATTACKS}base.py::test_draws_made_for_the_gradient_count_as_accepting_ones"),
        ("one of the accepting draws is enough",
         "drawn[: self.accept_draws].all(axis=0)", "drawn[: self.accept_draws].any(axis=0)",
         f"{ATTACKS}base.py::test_draws_made_for_the_gradient_count_as_accepting_ones"),
        ("clipped images keep their claim",
         "np.where(changed, held, accepted)", "accepted",
         f"{ATTACKS}base.py::test_claim_is_not_drawn_again_unless_clipping_changes_the_image"),
        ("clipping forgets the bounds",
         "clipped = ep.clip(clipped, *model.bounds)", "clipped = clipped + 1",
         f"{ATTACKS}base.py::test_claim_is_not_drawn_again_unless_clipping_changes_the_image"),
        ("the largest epsilon stops the search",
         "early_stop = min(limits)", "early_stop = max(limits)",
         f"{ATTACKS}base.py::test_early_stop_is_the_smallest_epsilon"),
        ("a row that failed once is passed again",
         "rows = np.flatnonzero(held)", "rows = np.arange(len(held))",
         f"{ATTACKS}base.py"),
        ("rows are put in each other's place",
         "source[rows] = len(x) + np.arange(len(rows))", "source[rows] = len(x) + np.arange(len(rows))[::-1]",
         f"{ATTACKS}base.py::test_put_replaces_rows_in_a_copy"),
    ],
    "bench/attacks/ball.py": [
        ("kept by the loss alone", "return (share > than_share) | ((share == than_share) & (loss < than_loss))", "return loss < than_loss",
         f"{BALL}kept_is_the_iterate_that_fools_most_draws_and_every_row_comes_back_at_it"),
        ("the last of those that fool as many", "return (share > than_share) | ((share == than_share) & (loss < than_loss))", "return share >= than_share",
         f"{BALL}of_iterates_that_fool_as_many_the_one_with_the_lowest_mean_loss_is_kept"),
        ("an image leaves after one look", "if len(sure) and more > 0:", "if False:", f"{BALL}an_image_leaves_when_50_of_50_draws_are_fooled_and_not_before"),
        ("only the last draws count", "(draws * first[sure] + more * second) / (draws + more)", "second",
         f"{BALL}an_image_leaves_when_50_of_50_draws_are_fooled_and_not_before"),
        ("claims are of the draws that kept", "again = fooled & (not self.own_pass or self.accept_draws > 1)", "again = fooled & False",
         f"{BALL}a_claim_is_judged_on_fresh_passes_of_the_kept_iterate"),
        ("points outside the bounds", "self.attack.distance.clip_perturbation(self.x[rows], z, self.epsilon), *self.model.bounds",
         "self.attack.distance.clip_perturbation(self.x[rows], z, self.epsilon), -9.0, 9.0", f"{BALL}starting_points_are_drawn_into_the_ball_and_the_bounds"),
        ("random points near the middle of an L2 ball", "(shape[0], shape[1] + 2))", "(shape[0], shape[1] + 4))",
         f"{BALL}random_points_are_uniform_in_the_ball"),
        ("draws are lost between passes", "for done in range(0, draws, at_once)", "for done in range(0, draws - at_once + 1, at_once)",
         f"{BALL}many_draws_are_cut_into_passes_and_none_is_lost"),
        ("what is no number is the best", "loss=np.where(np.isnan(lost), np.inf, lost),\n            error=spread / np.sqrt(draws),\n            tie=np.where(np.isnan(tie), np.inf, tie)",
         "loss=np.where(np.isnan(lost), -np.inf, lost),\n            error=spread / np.sqrt(draws),\n            tie=np.where(np.isnan(tie), -np.inf, tie)",
         f"{BALL}outputs_that_are_not_numbers_are_kept_last"),
    ],
    "bench/attacks/criteria.py": [
        ("top k off by one (> k)", "restore_type(larger >= self.k)", "restore_type(larger > self.k)",
         f"{ATTACKS}base.py::test_top_k_misclassification"),
        ("top k off by one (k - 1)", "restore_type(larger >= self.k)", "restore_type(larger >= self.k - 1)",
         f"{ATTACKS}base.py::test_top_k_misclassification"),
        ("confidence is not asked for", "margin(criterion, outputs) <= -confidence", "margin(criterion, outputs) <= 0",
         f"{ATTACKS}base.py::test_margin_is_negative_exactly_where_the_criterion_holds"),
        ("the targeted margin is turned round", "return best_other(outputs, criterion.target_classes) - own",
         "return own - best_other(outputs, criterion.target_classes)",
         f"{ATTACKS}base.py::test_margin_is_negative_exactly_where_the_criterion_holds"),
        ("cross-entropy that underflows", "return log_sum_others(outputs, classes) - outputs[range(len(outputs)), classes]",
         "return outputs.logsumexp(axis=-1) - outputs[range(len(outputs)), classes]",
         f"{ATTACKS}base.py::test_cross_entropy_keeps_the_gradient_that_the_softmax_rounds_away"),
        ("rows of a criterion are the first ones", "return Misclassification(criterion.labels[rows])",
         "return Misclassification(criterion.labels[: len(rows)])",
         f"{ATTACKS}base.py::test_take_gives_the_criterion_of_its_rows"),
        ("targets may be the true class", ".integers(1, classes,", ".integers(0, classes,", f"{PASSES}targets_are_wrong_uniform_and_an_images_own"),
        ("the true class is one of all targets", "for c in range(classes) if c != label]", "for c in range(classes)]", f"{PASSES}all_targets_are_every_wrong_class"),
    ],
    "bench/attacks/carlini_wagner.py": [
        ("the hinge without confidence", "ep.maximum(margin(criterion, logits) + self.confidence, 0.0)",
         "ep.maximum(margin(criterion, logits), 0.0)", f"{CW}confidence_is_the_margin_that_is_reached"),
        ("Adam's first moment is not unbiased", "sizes / (1 - BETA_1**self.steps)", "sizes / (1 - BETA_1)",
         f"{CW}every_image_succeeds_as_near_as_with_foolbox_in_far_fewer_passes {CW}l0_needs_no_more_pixels_than_other_attacks"),
        ("Adam climbs", "return size * self.mean /", "return -size * self.mean /",
         f"{CW}every_image_succeeds_inside_the_bounds"),
        ("rows that leave leave another's moments", "self.mean, self.square, self.steps = self.mean[rows], self.square[rows], self.steps[rows]",
         "self.mean, self.square, self.steps = self.mean[rows[::-1]], self.square[rows], self.steps[rows]",
         f"{ATTACKS}carlini_wagner.py"),
    ],
    "bench/attacks/carlini_wagner_l0.py": [
        ("the most important pixels are taken away", "np.where(candidates, self.importance[rows], np.inf)",
         "np.where(candidates, -self.importance[rows], np.inf)", f"{CW}l0_needs_no_more_pixels_than_other_attacks {CW}l0_of_a_linear_model_is_the_fewest_largest_gains"),
        ("what failed is not given back", "self.allowed[rows] = self.proven[rows] & ~taken", "self.allowed[rows] &= ~taken",
         f"{ATTACKS}carlini_wagner.py"),
        ("one missed pixel ends the search", "(self.missed[rows] < self.misses)", "(self.missed[rows] < 1)",
         f"{CW}l0_more_misses_find_smaller_sets"),
        ("channels are pixels of their own", "values = values.sum(axis=self.channel_axis)", "pass",
         f"{CW}pixel_is_an_entry_or_all_channels_of_a_place"),
    ],
    "bench/attacks/carlini_wagner_l2.py": [
        ("the farthest success is kept", "nearer = norm < distance[rows]", "nearer = norm > 0 * distance[rows]",
         f"{CW}every_image_succeeds_as_near_as_with_foolbox_in_far_fewer_passes"),
        ("claims without a success", "nearer &= held\n            best", "best",
         f"{CW}failed_images_come_back_as_they_were {CW}every_image_succeeds_inside_the_bounds"),
        ("c never grows", "np.where(np.isinf(succeeded), GROWTH * c, between)", "np.where(np.isinf(succeeded), c, between)",
         f"{CW}search_finds_its_way_from_a_poor_first_c"),
        ("the step size never grows", "sizes[those] = np.where(lost, larger, sizes[those])", "pass",
         f"{CW}l2_boundary_is_reached_where_the_first_gradient_misleads"),
        ("the distance is not in the objective", "slope = (2 * r + weight * gradient)", "slope = (weight * gradient)",
         f"{CW}every_image_succeeds_as_near_as_with_foolbox_in_far_fewer_passes"),
    ],
    "bench/attacks/carlini_wagner_linf.py": [
        ("changes are not cut to tau", "ep.maximum(ep.minimum(r, limit), -limit)", "r",
         f"{CW}linf_of_a_linear_model_is_exact"),
        ("tau is not halved towards the failure", "np.maximum(0.9 * nearest, (failed + nearest) / 2)", "0.9 * nearest",
         f"{CW}linf_of_a_linear_model_is_exact"),
        ("tau doesn't double", "np.minimum(2 * tau, range_)", "np.minimum(tau, range_)",
         f"{CW}linf_boundary_is_reached_where_the_first_gradient_misleads"),
    ],
    "bench/attacks/deepfool.py": [
        ("steps to the farthest boundary", "np.where(reachable, lengths, np.inf).argmin(axis=1)",
         "np.where(reachable, lengths, -np.inf).argmax(axis=1)", f"{ATTACKS}deepfool.py::test_untargeted_distance_is_the_one_to_the_nearest_boundary"),
        ("no overshoot", "(1 + self.overshoot) * r", "r", f"{ATTACKS}deepfool.py::test_untargeted_distance_is_the_one_to_the_nearest_boundary"),
        ("a candidate too few", "min(max(self.candidates - 1, k), others)", "min(max(self.candidates - 2, k), others)",
         f"{ATTACKS}deepfool.py::test_only_candidates_are_considered"),
        ("the class to leave is the predicted one", "without_own = np.where(np.arange(logits.shape[1]) == own[:, None], -np.inf, logits)",
         "without_own = np.where(logits == logits.max(1, keepdims=True), -np.inf, logits)", f"{ATTACKS}deepfool.py"),
        ("one draw too many to accept", "for _ in range(self.accept_draws - 1):", "for _ in range(0):",
         f"{ATTACKS}deepfool.py::test_more_draws_to_accept_make_claims_that_last"),
        ("gradients of draws are summed", "every.mean(axis=2)", "every.sum(axis=2)",
         f"{ATTACKS}deepfool.py::test_averaging_over_draws_does_not_change_a_model_that_stands_still"),
        ("draws of classes are copies of one", "whole_batches(model) or (self.gradient_draws > 1 and draws_are_passes(model))", "whole_batches(model)",
         f"{ATTACKS}base.py::test_a_gradient_over_draws_that_a_pass_shares_is_of_several_passes"),
        ("classes are mixed up where each has a pass", "ep.stack(gradients, axis=1) if apart", "ep.stack(gradients, axis=0) if apart",
         f"{WHOLE}images_that_do_not_depend_on_others_come_out_the_same"),
        ("finished images go back while others move", "self._judge(at(model, result, rows), xp", "self._judge(at(model, x, rows), xp",
         f"{WHOLE}an_image_that_is_finished_stays_as_it_comes_back"),
        ("an image that is judged again leaves its batch", "logits = at(model, x, again)(x[again])", "logits = model(x[again])",
         f"{WHOLE}every_pass_has_every_image_at_its_place"),
    ],
    "bench/attacks/eot.py": [
        ("an average is over copies of one draw", "    if draws_are_passes(model):\n", "    if False:\n", f"{ATTACKS}eot.py::test_the_gradient_is_the_mean_of_the_gradients_of_four_draws"),
        ("one pass is all that is averaged", "ep.stack([one(x) for _ in range(draws)])", "ep.stack([one(x)])",
         f"{ATTACKS}eot.py::test_the_gradient_is_the_mean_of_the_gradients_of_four_draws"),
        ("labels are in another order than their draws", "every = of(model, ep.tile(labels, (draws,)))", "every = of(model, ep.tile(labels, (draws,)).sort())",
         f"{ATTACKS}eot.py::test_a_targeted_attack_goes_to_its_targets"),
        ("the attack that is given is changed", "made = copy.copy(attack)", "made = attack", f"{ATTACKS}eot.py::test_each_step_makes_so_many_passes_forward_and_backward"),
        ("a mean of logits", "logits.log_softmax(axis=-1).reshape(", "logits.reshape(", f"{ATTACKS}eot.py::test_any_other_attack_sees_the_mean_of_the_log_probabilities"),
        ("what the model says of itself is lost", "        return getattr(self.model, name)", "        raise AttributeError(name)",
         f"{ATTACKS}eot.py::test_any_other_attack_sees_the_mean_of_the_log_probabilities"),
        ("a start that is lost is an error", 'raise ValueError("starting_points are not adversarial") from error', "raise",
         f"{ATTACKS}eot.py::test_a_start_that_another_draw_loses_is_said_as_foolbox_says_it_elsewhere"),
    ],
    "bench/attacks/gradient_sign.py": [
        ("untargeted steps go down", "return (-sign if targeted else sign)", "return (-sign)",
         f"{ATTACKS}gradient_sign.py::test_fixed_epsilon_takes_exactly_the_published_step"),
        ("the grid starts a step late", "np.arange(1, count + 1)", "np.arange(2, count + 2)",
         f"{ATTACKS}gradient_sign.py::test_search_agrees_with_every_epsilon_of_the_grid"),
        ("a whole batch passes at several steps", "here = 1 if whole_batches(model) else max(", "here = max(",
         f"{WHOLE}images_that_do_not_depend_on_others_come_out_the_same"),
        ("the last success of a pass, not the first", "first = held.argmax(axis=0)", "first = (len(held) - 1 - held[::-1].argmax(axis=0))",
         f"{ATTACKS}gradient_sign.py::test_search_agrees_with_every_epsilon_of_the_grid"),
        ("steps leave the bounds", "ep.clip(x[tried] + atleast_kd(sizes, x.ndim) * sign[tried], *model.bounds)",
         "(x[tried] + atleast_kd(sizes, x.ndim) * sign[tried])", f"{ATTACKS}gradient_sign.py::test_fixed_epsilon_takes_exactly_the_published_step"),
    ],
    "bench/attacks/lbfgs.py": [
        ("the box is not kept", "self.trial = ep.clip(self.x + self.step, *self.bounds)", "self.trial = self.x + self.step",
         f"{ATTACKS}lbfgs.py::test_box_is_used_as_well_as_kept"),
        ("c shrinks where it should grow", "np.where(succeeded == 0, c / 10,", "np.where(succeeded == 0, c * 10,",
         f"{ATTACKS}lbfgs.py::test_search_finds_its_way_from_a_poor_first_c"),
        ("the farther success is kept", "nearer = norm < distance[rows]", "nearer = norm > 0 * distance[rows]",
         f"{ATTACKS}lbfgs.py::test_every_image_succeeds_nearer_than_foolbox_does"),
        ("no quasi-Newton correction", "q = q + (alpha - (rho * (y * q).sum(axis=-1)).expand_dims(axis=-1)) * s", "q = q + alpha * s",
         f"{ATTACKS}lbfgs.py::test_optimiser_learns_curvature"),
    ],
    "bench/attacks/others.py": [
        ("targets are led away from", "return wanted.target_classes.raw, True", "return wanted.target_classes.raw, False", f"{OTHERS}each_gets_epsilon_norm_and_goal_and_is_held_to_them"),
        ("ART has one norm", '"norm": {"linf": "inf", "l2": 2}[self.norm],', '"norm": "inf",', f"{OTHERS}each_gets_epsilon_norm_and_goal_and_is_held_to_them"),
        ("what is printed is seen", "contextlib.redirect_stdout(io.StringIO())", "contextlib.nullcontext()", f"{OTHERS}each_gets_epsilon_norm_and_goal_and_is_held_to_them"),
        ("images leave the bounds", "made.clamp(*model.bounds)", "made", f"{OTHERS}what_leaves_the_bounds_is_brought_back"),
        ("steps don't grow with epsilon", "None if relative is None else relative * epsilon", "relative", f"{OTHERS}every_library_gets_what_is_its_own"),
        ("ART's predictions are averaged, too", "                if y is None:\n", "                if False:\n", f"{OTHERS}arts_expectation_is_over_rows_of_one_pass_and_no_prediction"),
        ("ART's draws are beside each other", "return x.repeat(draws, *(1,) * (x.ndim - 1)), y.repeat(", "return x.repeat_interleave(draws, 0), y.repeat(",
         f"{OTHERS}arts_expectation_is_over_rows_of_one_pass_and_no_prediction"),
        ("ART says how everybody logs", "logging.config.dictConfig = lambda config: None", "pass", f"{OTHERS}arts_word_on_how_everybody_logs_is_not_heard"),
        ("one seed for all", "return int(torch.randint(2**31 - 1, ()))", "return 0", f"{OTHERS}the_seeds_of_a_library_come_from_the_global_generator"),
        ("tracing ends with AutoAttack", "            sys.settrace(tracing)\n", "", f"{OTHERS}what_autoattack_does_to_loggers_and_tracing_is_undone"),
        ("AutoAttack's warnings are seen", "attack.logger.disabled = True", "attack.logger.disabled = said", f"{OTHERS}what_autoattack_does_to_loggers_and_tracing_is_undone"),
        ("an empty torchvision stays", "            sys.modules.pop(name, None)\n", "            pass\n", f"{OTHERS}adv_lib_does_without_what_only_its_distances_and_plots_use"),
        ("an attack in another norm than its own", "if other != norm and name in names:", "if False:", f"{OTHERS}what_a_library_does_not_have_is_refused_with_one_line"),
        ("a misspelt attribute of AutoAttack is set", "if not hasattr(getattr(attack, part), name):", "if False:", f"{OTHERS}what_a_library_does_not_have_is_refused_with_one_line"),
    ],
    "bench/attacks/randomized_pgd.py": [
        ("a draw that is fooled pulls on", "ep.maximum(margin(goal, logits), -self.confidence)", "margin(goal, logits)",
         f"{RPGD}clipped_margin_fools_a_mixture_that_the_mean_margin_fools_half_of_the_time"),
        ("every iterate is judged by the gradient's draws", "search.look(path.rows, path.z, goal, loss, logits)",
         "search.look(path.rows, path.z, goal, loss, evaluate(path.z, path.rows, search.images)[1])",
         f"{RPGD}held_out_draws_are_none_of_the_gradients_and_each_are_as_many_as_asked_for"),
        ("the least likely class first", "np.argsort(-mean, axis=1, kind=\"stable\")[:, :-1]", "np.argsort(mean, axis=1, kind=\"stable\")[:, 1:]",
         f"{RPGD}the_likeliest_class_is_the_first_one_gone_for_and_then_it_starts_over"),
        ("always the same class", "rivals[:, restart % rivals.shape[1]]", "rivals[:, 0]",
         f"{RPGD}a_class_whose_gradient_the_margin_does_not_see_is_found_by_going_for_each"),
        ("cross-entropy goes the wrong way", "sign = 1 if targeted else -1", "sign = -1 if targeted else 1",
         f"{RPGD}targeted_and_top_k_go_where_they_are_sent"),
        ("the ratio is to the second output", "else ordered[:, -3]", "else ordered[:, -2]",
         f"{RPGD}difference_of_logits_ratio_is_the_published_one_at_any_scale"),
        ("steps never halve", "np.where(self.improved, self.sizes, self.sizes / 2)", "self.sizes",
         f"{RPGD}step_sizes_halve_where_nothing_is_gained_and_go_on_from_the_best"),
        ("luck halves the step", "CHANCE = 2.0", "CHANCE = 0.0", f"{RPGD}chance_does_not_halve_the_step"),
        ("velocities forget", "[mu * v + gradient for mu, v in", "[0 * v + gradient for mu, v in", f"{RPGD}momentum_is_the_mean_of_velocities"),
        ("starting points are not used", "starts = starts or [x]", "starts = [x]",
         f"{RPGD}it_goes_on_from_starting_points_and_from_the_image_without"),
        ("all restarts start at the image", "if given else search.random(rows)", "if given else search.x[rows]",
         f"{RPGD}it_goes_on_from_starting_points_and_from_the_image_without"),
        ("an image that is fooled goes on", "path.keep(np.flatnonzero(~search.finished[path.rows]))", "pass",
         f"{RPGD}an_image_that_is_fooled_leaves_and_the_others_go_on"),
    ],
    "bench/attacks/saliency_map.py": [
        ("a pixel over the budget", "+ 2 <= budget", "+ 1 <= budget",
         f"{ATTACKS}saliency_map.py::test_half_a_pair_is_not_in_the_budget"),
        ("the budget is rounded down too far", "math.prod(x.shape[1:]) + 1e-6", "math.prod(x.shape[1:])",
         f"{ATTACKS}saliency_map.py::test_gamma_of_a_whole_number_of_pixels_allows_them_all"),
        ("pairs that do harm are taken", "np.flatnonzero((total > 0).numpy())", "np.flatnonzero((total > -ep.inf).numpy())",
         f"{ATTACKS}saliency_map.py::test_a_pair_that_does_more_harm_than_good_is_not_taken"),
        ("pixels that rise are chosen as if they fell", "flatten(gradient)[left] * self.theta", "flatten(gradient)[left]",
         f"{ATTACKS}saliency_map.py::test_a_step_takes_the_best_of_all_pairs"),
    ],
    "bench/attacks/square.py": [
        ("the incumbent is not drawn again", "if self.redraw:", "if False:",
         f"{SQUARE}a_lucky_draw_freezes_the_search_unless_the_incumbent_is_drawn_again"),
        ("worse proposals are taken", "better = losses < lowest", "better = losses >= lowest",
         f"{SQUARE}a_network_is_fooled_without_gradients_and_inside_the_ball"),
        ("the square keeps its size", "return p_init / max(", "return p_init + 0 * max(", f"{SQUARE}schedule_is_the_published_one_whatever_the_steps"),
        ("horizontal stripes", "signs(n, self.channels, 1, self.width)", "signs(n, self.channels, self.height, 1)",
         f"{SQUARE}linf_search_starts_from_stripes_and_proposes_squares_of_a_sign"),
        ("squares that change nothing", "if idle.any() else tried", "if False else tried",
         f"{SQUARE}linf_search_starts_from_stripes_and_proposes_squares_of_a_sign"),
        ("the other square keeps its part", "new + delta * (1 - there) * (1 - other)", "new + delta * (1 - there)",
         f"{SQUARE}l2_search_uses_all_of_epsilon_and_moves_it_into_a_square"),
        ("one peak", "np.concatenate([peak(half, side), -peak(side - half, side)])", "peak(side, side)",
         f"{SQUARE}peaks_are_two_halves_with_a_peak_in_each"),
        ("starting points are not used", "if start is None else search.inside(rows, start[rows])", "if True else best",
         f"{SQUARE}starting_points_take_the_place_of_the_stripes"),
    ],
    "bench/schemes/strength.py": [
        ("the lower end is always in the range", 'self.ends[0] == "["', "True",
         "tests/schemes/test_strength.py::test_a_strength_out_of_range_is_one_line"),
        ("the upper end is always in the range", 'self.ends[1] == "]"', "True",
         "tests/schemes/test_strength.py::test_a_strength_out_of_range_is_one_line"),
        ("the upper end is never in the range", 'self.ends[1] == "]"', "False",
         "tests/schemes/test_strength.py::test_a_strength_in_range_is_taken_up_to_the_ends_that_belong_to_it"),
        ("an infinite strength is taken", "or not math.isfinite(value):", "or False:",
         "tests/schemes/test_strength.py::test_a_range_without_a_lowest_value_is_said_too"),
        ("true is a number", "isinstance(value, bool) or not isinstance(value, Real)", "not isinstance(value, Real)",
         "tests/schemes/test_strength.py::test_a_strength_out_of_range_is_one_line"),
        ("0 is always off", "value != self.off", "value != 0",
         "tests/schemes/test_strength.py::test_what_is_off_and_what_grows_is_said_by_each_operation"),
        ("what a foreign operation states is passed over", 'getattr(operation, "strength", Strength())', "Strength()",
         "tests/schemes/test_strength.py::test_a_foreign_operation_may_state_it_in_plain_words"),
        ("an off that is out of the range is taken", "if self.off is not None and", "if False and",
         "tests/schemes/test_strength.py::test_a_statement_that_makes_no_sense_is_one_line"),
        ("a misspelt field is a traceback", "            if unknown:", "            if False:",
         "tests/schemes/test_strength.py::test_a_statement_that_makes_no_sense_is_one_line"),
        ("what was given fills several lines", '" ".join(repr(value).split())', "repr(value)",
         "tests/schemes/test_strength.py::test_a_strength_out_of_range_is_one_line"),
    ],
    "bench/schemes/dropout.py": [
        ("dropout without its scale", "return x * keep / (1 - rate)", "return x * keep",
         "tests/schemes/test_dropout.py::test_it_keeps_the_expected_activation"),
        ("one dropout mask for all images of a batch", "torch.rand(x.shape,", "torch.rand(x.shape[1:],",
         f"{DEFENDED}passes_differ_whatever_train_or_eval_was_called"),
        ("dropout keeps what it should drop", ">= rate\n", "< rate\n",
         "tests/schemes/test_dropout.py::test_it_keeps_the_expected_activation"),
        ("a rate of 1 is taken", '1.0, "[)")', '1.0, "[]")',
         "tests/schemes/test_strength.py::test_a_strength_out_of_range_is_one_line"),
    ],
    "bench/schemes/noise.py": [
        ("the rate is a variance", "return x + rate *", "return x + rate**0.5 *",
         "tests/schemes/test_noise.py::test_it_is_normal_of_that_standard_deviation_at_every_value"),
        ("noise is uniform", "torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)",
         "(torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) - 0.5) * 12**0.5",
         "tests/schemes/test_noise.py::test_it_is_normal_of_that_standard_deviation_at_every_value"),
        ("one draw of noise for all images of a batch", "torch.randn(x.shape,", "torch.randn(x.shape[1:],",
         "tests/schemes/test_noise.py::test_each_value_of_each_image_has_a_draw_of_its_own_fresh_at_each_pass"),
        ("noise comes from the global generator", "generator=generator, ", "",
         "tests/schemes/test_noise.py::test_draws_come_from_the_given_generator_alone"),
        ("noise is of single precision", "dtype=x.dtype", "dtype=torch.float32",
         "tests/schemes/test_dropout.py::test_layers_of_half_precision_are_taken_as_they_are"),
        ("the image is clipped unasked", "clip: bool = False", "clip: bool = True",
         "tests/schemes/test_noise.py::test_clipping_is_asked_for_and_is_true_or_false"),
        ("no more than 1 of noise", "math.inf", "1.0",
         "tests/schemes/test_strength.py::test_a_strength_in_range_is_taken_up_to_the_ends_that_belong_to_it"),
    ],
    "bench/schemes/activation_pruning.py": [
        ("SAP without its scale", "torch.where(drawn, 1 / q, 0)", "torch.where(drawn, 1.0, 0)",
         "tests/schemes/test_activation_pruning.py"),
        ("one SAP draw for all images", "drawn = _drawn(p, draws, generator)", "drawn = _drawn(p, draws, generator)[:1].expand(len(p), -1)",
         "tests/schemes/test_activation_pruning.py"),
        ("SAP: one draw too few", "max(1, round(h.shape[1] * rate))", "max(1, round(h.shape[1] * rate) - 1)",
         "tests/schemes/test_activation_pruning.py"),
        ("the missing draws are not made", "if most:", "if False:", "tests/schemes/test_activation_pruning.py"),
        ("no draw at all", "max(1, round(h.shape[1] * rate))", "round(h.shape[1] * rate)",
         "tests/schemes/test_activation_pruning.py::test_there_is_one_draw_at_least"),
        ("SAP counts in half precision", ".to(torch.promote_types(x.dtype, torch.float32))", "",
         "tests/schemes/test_activation_pruning.py::test_half_precision_draws_and_scales_as_single_does"),
    ],
    "bench/schemes/resize_pad.py": [
        ("resize: one size for all images", "u = uniform()\n", "u = uniform()[:1].expand(n)\n",
         "tests/schemes/test_resize_pad.py::test_every_size_and_place_is_equally_likely"),
        ("the largest size never comes", "(side - smallest + 1)", "(side - smallest)",
         "tests/schemes/test_resize_pad.py::test_every_size_and_place_is_equally_likely"),
        ("every image is at the top left", "before = (uniform() * (side - size + 1)).floor()", "before = 0 * uniform()",
         "tests/schemes/test_resize_pad.py::test_every_size_and_place_is_equally_likely"),
    ],
    "bench/models.py": [
        ("two_conv pools once", "pool2=nn.MaxPool2d(2),\n                flatten=nn.Flatten(),\n                fc1=nn.Linear(64 * (height // 4) * (width // 4), 1024)",
         "pool2=nn.Identity(),\n                flatten=nn.Flatten(),\n                fc1=nn.Linear(64 * (height // 2) * (width // 2), 1024)",
         f"{DEFENDED}two_conv_is_the_papers_network_at_every_size"),
        ("two_conv pads nothing", "nn.Conv2d(channels, 32, 5, padding=2)", "nn.Conv2d(channels, 32, 5, padding=1)",
         f"{DEFENDED}two_conv_is_the_papers_network_at_every_size"),
        ("the second block is as wide as the first", "conv3=nn.Conv2d(width, 2 * width, 3, padding=padding)", "conv3=nn.Conv2d(width, 2 * width, 1, padding=padding)",
         "tests/test_models.py"),
        ("the size that is left is off by one", "((side - lost) // 2 - lost) // 2", "((side - lost) // 2 - lost) // 2 + 1",
         "tests/test_models.py"),
        ("images of three pixels are taken", "if min(height, width) < 4:", "if min(height, width) < 3:", "tests/test_models.py::test_two_conv_needs_four_pixels"),
    ],
    "bench/training/adversarial.py": [
        ("the attack descends", "step * gradient.sign()", "-step * gradient.sign()", "tests/training/test_adversarial.py"),
        ("only the attacked half is learnt", "both = model(torch.cat([images, attacked]))", "both = model(torch.cat([attacked, attacked]))",
         "tests/training/test_adversarial.py::test_loss_is_of_both_halves_and_reaches_the_weights"),
        ("it leaves the ball", "(moved - images).clamp(-self.epsilon, self.epsilon)", "(moved - images)",
         "tests/training/test_adversarial.py::test_it_stays_in_the_ball_and_in_the_bounds"),
    ],
    "bench/training/distillation.py": [
        ("the teacher's labels without temperature", "functional.softmax(teacher(images) / t, dim=1)", "functional.softmax(teacher(images), dim=1)",
         "tests/training/test_distillation.py::test_losses_are_of_the_tempered_softmax"),
        ("the student learns without temperature", "functional.cross_entropy(model(images) / t, functional", "functional.cross_entropy(model(images), functional",
         "tests/training/test_distillation.py::test_losses_are_of_the_tempered_softmax"),
        ("the teacher is kept", "return train(imitate)", "train(imitate)\n        return teacher",
         "tests/training/test_distillation.py::test_losses_are_of_the_tempered_softmax"),
    ],
    "bench/datasets/arrays.py": [
        ("pixels over 256", "LEVELS = 255", "LEVELS = 256", f"{DATASETS}grey_levels_become_numbers_a_batch_at_a_time_the_same_for_arrays_and_tensors"),
        ("tensors stay grey levels", "if images.dtype != torch.uint8:", "if True:",
         f"{DATASETS}a_network_can_not_tell_grey_levels_from_the_floats_that_they_stand_for"),
        ("floats are divided too", "if images.dtype != np.uint8:", "if False:",
         f"{DATASETS}grey_levels_become_numbers_a_batch_at_a_time_the_same_for_arrays_and_tensors"),
    ],
    "bench/datasets/checks.py": [
        ("classes may be missing", "if len(found) < classes:", "if False:", f"{DATASETS}labels_that_are_not_classes_from_0_are_refused"),
        ("images may be dark as night", "if brightest(array) <= 1 / 255 + ROUNDING:", "if False:",
         f"{DATASETS}images_of_another_scale_or_order_are_refused_with_what_was_found"),
        ("an output may be below 0", "if array.min() < 0:", "if False:", f"{DATASETS}labels_of_a_given_networks_outputs_may_have_gaps"),
        ("outputs are counted, not their largest", "return 1 + max(int(array.max())", "return max(len(np.unique(array))",
         f"{DATASETS}labels_of_a_given_networks_outputs_may_have_gaps"),
    ],
    "bench/datasets/loading.py": [
        ("the fingerprint is of names and shapes alone", "digest.update(np.ascontiguousarray(array).data)", "pass",
         f"{DATASETS}fingerprint_sees_one_changed_pixel_and_another_split"),
        ("the part used for training is in no fingerprint", 'digest.update(f"train_size {train_size}".encode())', "pass",
         f"{DATASETS}fingerprint_sees_one_changed_pixel_and_another_split"),
        ("grey levels are made floats at loading", "return np.array(images, order=\"C\")", "return np.array(images, np.float32) / np.float32(255)",
         "tests/datasets/test_image_files.py::test_large_images_take_a_byte_a_value_and_are_never_made_floats_at_loading"),
        ("halves of two kinds", "(x_train.dtype == np.uint8) != (x_test.dtype == np.uint8)", "False",
         f"{DATASETS}grey_levels_become_numbers_a_batch_at_a_time_the_same_for_arrays_and_tensors"),
        ("nothing is trained on nothing", 'if labels == "dense" and not len(x_train):', "if False:",
         f"{DATASETS}a_training_half_is_asked_for_only_where_a_network_is_trained"),
        ("part of no training half", "if not len(x_train) and train_size is not None:", "if False:",
         f"{DATASETS}a_training_half_is_asked_for_only_where_a_network_is_trained"),
        ("a loader is asked once", 'if not _name(loader).startswith("bench."):', "if False:",
         f"{DATASETS}a_loader_that_draws_without_a_seed_is_noticed"),
    ],
    "bench/datasets/embedded.py": [
        ("test images are trained on", "return Arrays(images[:-test_size]", "return Arrays(images[-len(images) + test_size :]",
         f"{DATASETS}digits_are_the_real_ones_split_without_overlap"),
        ("digits in the order of their writers", "default_rng(shuffle_seed).permutation(len(images))", "default_rng(shuffle_seed).permutation(1) + np.arange(len(images))",
         f"{DATASETS}the_fingerprint_of_digits_is_what_it_always_was"),
        ("digits of 17 levels over 17", "images / 16", "images / 17", f"{DATASETS}digits_are_the_real_ones_split_without_overlap"),
    ],
    "bench/datasets/idx_format.py": [
        ("a checksum is not looked at", "if sha256 is not None and digest.hexdigest() != sha256:", "if False:",
         f"{DATASETS}checksum_is_of_the_content_whatever_the_compression"),
        ("labels out of range are read", "arrays[-1].max() >= classes", "arrays[-1].max() > 255",
         f"{DATASETS}damaged_idx_files_are_refused_by_name"),
        ("room is made for what a header promises", 'data = b"" if promised > held else', "data =",
         f"{DATASETS}plain_file_that_promises_more_than_it_holds_is_not_made_room_for"),
    ],
    "bench/datasets/cifar_binary.py": [
        ("CIFAR-10's planes are read as pixels", "records[:, 1:].reshape(-1, 3, 32, 32)", "records[:, 1:].reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)",
         f"{DATASETS}cifar10_binary_layout"),
        ("CIFAR-10 is tested on a batch of training", "images[-1], labels[-1])", "images[0], labels[0])", f"{DATASETS}cifar10_binary_layout"),
        ("an archive's files are not measured", "if member.size == size else None", "if True else None",
         f"{DATASETS}cifar10_archive_is_put_in_place_whole_and_checked_or_not_at_all"),
    ],
    "bench/datasets/fetching.py": [
        ("whatever is served is kept", "if sha256 is None or got == sha256:", "if True:",
         f"{DATASETS}missing_file_is_fetched_from_its_address"),
        ("only the first address is asked", "continue", "break", f"{DATASETS}missing_file_is_fetched_from_its_address"),
        ("files are not put in place", "temporary.rename(path)", "pass", f"{DATASETS}missing_file_is_fetched_from_its_address"),
    ],
    "bench/datasets/npz_file.py": [
        ("npz: unknown arrays are left alone", "if name not in NAMES:", "if False:",
         f"{NPZ}arrays_that_are_missing_unknown_or_pickled_are_one_line"),
        ("npz: half a training half", "NAMES[:2] if trained else ()", "()", f"{NPZ}arrays_that_are_missing_unknown_or_pickled_are_one_line"),
        ("npz: pickles are read", "allow_pickle=False", "allow_pickle=True", f"{NPZ}arrays_that_are_missing_unknown_or_pickled_are_one_line"),
        ("npz: training and test are swapped", "for name in NAMES))", "for name in (*NAMES[2:], *NAMES[:2])))",
         f"{NPZ}an_npz_file_is_the_arrays_that_are_in_it_compressed_or_not"),
    ],
    "bench/datasets/image_files.py": [
        ("images come class by class", "for turn in itertools.zip_longest(*lists)", "for turn in lists",
         f"{IMAGE_FILES}a_folder_is_a_class_and_images_come_from_each_in_turn"),
        ("images are as many as the shortest folder's", "itertools.zip_longest(*lists)", "zip(*lists)",
         f"{IMAGE_FILES}a_folder_is_a_class_and_images_come_from_each_in_turn"),
        ("the longer side is resized", "shorter = min(width, height)", "shorter = max(width, height)",
         f"{IMAGE_FILES}images_are_resized_by_the_shorter_side_and_cut_from_the_middle"),
        ("the longer side is rounded up", "side * resize // shorter", "-(-side * resize // shorter)",
         f"{IMAGE_FILES}images_are_resized_by_the_shorter_side_and_cut_from_the_middle"),
        ("cut from the corner", "round((height - crop[0]) / 2)", "0", f"{IMAGE_FILES}images_are_resized_by_the_shorter_side_and_cut_from_the_middle"),
        ("images are picked from, not smoothed", "image.resize((width, height), method)", "image.resize((width, height), 0)",
         f"{IMAGE_FILES}shrinking_smoothes_and_the_interpolations_differ"),
        ("channels are turned around", "array.transpose(2, 0, 1)", "array[..., ::-1].transpose(2, 0, 1)",
         f"{IMAGE_FILES}channels_are_red_green_and_blue_whatever_the_format"),
        ("16 bits are cut to 8", 'if opened.mode.startswith(("I", "F")):', "if False:",
         f"{IMAGE_FILES}image_files_and_folders_that_can_not_be_used_are_one_line_that_names_them"),
        ("halves of other classes", "sorted(set(names) ^ set(_folders(data_dir / train)))", "None",
         f"{IMAGE_FILES}a_training_half_has_the_classes_of_the_test_half"),
        ("the training half is limited", "read(train, None)", "read(train, limit)", f"{IMAGE_FILES}a_training_half_has_the_classes_of_the_test_half"),
    ],
    "bench/results/identity.py": [
        ("what a script's class is set to is in no identity", 'elif one.__module__ == "__main__" and', "elif False and", f"{API}what_a_script_sets_is_no_other_runs_result"),
        ("a script's variables are in no identity", 'if function.__module__ == "__main__":', "if False:", f"{API}what_a_script_sets_is_no_other_runs_result"),
        ("attributes don't count", "if name not in OWN and", "if False and", f"{IDENTITY}whatever_can_change_an_output_changes_it"),
        ("hooks don't count", "            if hooks:\n", "            if False:\n", f"{IDENTITY}whatever_can_change_an_output_changes_it"),
        ("one module at two places is two", "if id(one) in self.met:", "if False:", f"{IDENTITY}whatever_can_change_an_output_changes_it"),
        ("what is around a function doesn't count", 'if name != "__class__"', "if False", f"{IDENTITY}whatever_can_change_an_output_changes_it"),
        ("tensors don't count", "return fingerprint.hash_tensors(tensors)", 'return ""', f"{IDENTITY}whatever_can_change_an_output_changes_it"),
        ("classes don't count by their code", "self.codes[name] = fingerprint.code(o)", 'self.codes[name] = ""',
         f"{IDENTITY}an_edited_class_and_one_made_with_something_else_are_others"),
        ("a set is taken in whatever order", '{"set": sorted(', '{"set": list(', f"{IDENTITY}a_network_is_the_same_in_another_process"),
        ("lambdas are taken for one another", 'if "<lambda>" in name:', "if False:", f"{IDENTITY}what_cannot_be_told_apart_is_refused_by_its_path"),
        ("tensors that a pass changes count", "if tensor is not None and (at or whole not in self.without):", "if tensor is not None:", f"{BY_ITSELF}a_folder_finds_it_again_though_passes_were_made_in_between"),
    ],
    "bench/training/weightfiles.py": [
        ("code in a file of weights is run", 'map_location="cpu", weights_only=True', 'map_location="cpu", weights_only=False',
         f"{WEIGHTS}a_file_of_other_objects_is_said_with_a_command_that_extracts_its_tensors"),
        ("weights of a GPU need one", 'torch.load(file, map_location="cpu", ', "torch.load(file, ",
         f"{WEIGHTS}every_container_of_a_state_dict_gives_the_same_tensors_and_the_same_hash"),
        ("of several state dicts the first is taken", "if len(places) > 1 or places[0]", "if places[0]", f"{WEIGHTS}key_picks_where_several_look_alike"),
        ("a pointer of Git LFS is text", 'if start.startswith(b"version https://git-lfs"):', "if False:",
         f"{WEIGHTS}whatever_is_no_file_of_weights_is_said_in_one_line"),
    ],
    "bench/training/weights.py": [
        ("names too many pass", "if missing or found.unexpected_keys:", "if missing:",
         f"{WEIGHTS}names_too_many_or_too_few_and_other_shapes_kinds_and_values_are_named"),
        ("weights that are missing pass", "if missing or found.unexpected_keys:", "if found.unexpected_keys:",
         f"{WEIGHTS}names_too_many_or_too_few_and_other_shapes_kinds_and_values_are_named"),
        ("weights that are not finite pass", "if not converted.isfinite().all() and", "if False and",
         f"{WEIGHTS}names_too_many_or_too_few_and_other_shapes_kinds_and_values_are_named"),
        ("the names of DataParallel are taken as they are", "wanted = plain.get(WRAPPED.sub(\"\", given), given)", "wanted = given",
         f"{WEIGHTS}wrappers_in_names_are_passed_over_both_ways"),
        ("a second name of a tensor is missing", " and id(expected.get(n)) not in held]", "]", f"{WEIGHTS}what_may_be_missing_infinite_or_without_size"),
        ("a submodule without a file keeps its first weights", "    if left:\n", "    if False:\n", f"{WEIGHTS}several_files_go_into_a_submodule_each"),
    ],
    "bench/results/imports.py": [
        ("keys without the versions", "return version(package)", 'return ""', f"{KEYS}versions_are_the_installed_ones"),
        ("what a package's __init__ says is not looked at", "if not module or _says(base, alias.name):", "if _says(base, alias.name):",
         f"{CODE}of_a_package_the_modules_count_that_are_used_and_no_others"),
        ("an __init__ that hides a module doesn't count", "if not module or _says(base, alias.name):", "if not module:",
         f"{CODE}an_init_counts_with_what_it_imports_and_where_it_hides_a_module"),
        ("every __init__ counts", "if not module or _says(base, alias.name):", "if True:",
         f"{CODE}of_a_package_the_modules_count_that_are_used_and_no_others"),
        ("attributes of a package are not followed", "while words and _is_module(", "while False and _is_module(",
         f"{CODE}of_a_package_the_modules_count_that_are_used_and_no_others"),
        ("installed packages stand by their source", "if not any(_INSTALLED.intersection", "if True or not any(_INSTALLED.intersection",
         f"{CODE}an_installed_package_stands_by_its_version_and_one_in_development_by_its_source"),
        ("every distribution is asked", "if is_bench(package) and not is_bench(base):", "if False:",
         f"{CODE}what_no_installed_package_is_asked_of_costs_no_look_at_all_of_them"),
    ],
    "bench/results/fingerprint.py": [
        ("files count by their path", 'return value if content is None else {"content": content}', "return value",
         "tests/test_depends.py::test_files_that_options_name_count_by_their_content"),
        ("every purpose has the same seed", 'f"{seed} {purpose}"', 'f"{seed}"', "tests/results/test_fingerprint.py::test_no_two_purposes_share_a_seed"),
        ("what a module imports is not read", "pending += used", "pass",
         f"{CODE}of_a_package_the_modules_count_that_are_used_and_no_others"),
        ("an installed bench stands by its version", 'if top != "bench" and (found', "if (found",
         f"{CODE}an_installed_package_stands_by_its_version_and_one_in_development_by_its_source"),
        ("what a typed function uses doesn't count", "for word in words(function.__code__) & set(function.__globals__):", "for word in ():",
         f"{CODE}what_was_typed_is_refused_by_name_unless_its_source_is_kept"),
        ("the hash of weights is of names and shapes alone", "digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)", "pass",
         f"{CODE}the_hash_of_tensors_sees_names_types_shapes_and_values"),
        ("comments are code", "return ast.unparse(tree)", "return ast.dump(tree, include_attributes=True)",
         f"{CODE}comments_docstrings_and_layout_are_no_code"),
        ("the order of settings is in the key", "json.dumps(value, sort_keys=True)", "json.dumps(value)",
         "tests/results/test_fingerprint.py::test_digest_does_not_depend_on_the_order_of_keys"),
    ],
    "bench/measuring/passes.py": [
        ("grey levels are passed as they are", "model(unit(batch))", "model(batch)", f"{DATASETS}a_network_can_not_tell_grey_levels_from_the_floats_that_they_stand_for"),
        ("logits that are no numbers are measured", "    check_finite(outputs)\n", "", f"{FOREIGN}logits_that_stop_being_numbers_fail_an_evaluation"),
        ("fresh draws are one draw, repeated", "    for draw in range(draws):\n        outputs = logits(model, images, batch_size)",
         "    outputs = logits(model, images, batch_size)\n    for draw in range(draws):", f"{PASSES}fresh_draws_measure_a_known_chance"),
        ("fresh accuracy is 1 - success", "right[draw] = (outputs.argmax(-1) == labels).cpu().numpy()",
         "right[draw] = ~goal(images, outputs).cpu().numpy() if goal else (outputs.argmax(-1) == labels).cpu().numpy()", f"{KEPT}a_target_missed_is_not_the_true_label_given"),
        ("the last draw is the first", "right.sum(0), right[0], half,", "right.sum(0), right[-1], half,", f"{PASSES}the_first_draw_is_told_apart"),
        ("the first half is the second", "success[: draws // 2].sum(0), right[: draws // 2]", "success[draws // 2 :].sum(0), right[draws // 2 :]", f"{API}the_worst_case_is_chosen_on_one_half_of_the_draws_and_scored_on_the_other"),
        ("a draw's successes are those that are not right", "half, success.sum(1), right.sum(1))", "half, (~right).sum(1), right.sum(1))",
         f"{PASSES}without_a_goal_no_draw_is_a_success"),
        ("a draw's successes are an image's", "half, success.sum(1), right.sum(1))", "half, success.sum(0), right.sum(0))",
         f"{PASSES}what_draws_share_is_seen_in_their_counts"),
        ("MAD on 0-256", "absolute.mean(1) * 255", "absolute.mean(1) * 256", f"{PASSES}distances_of_a_known_change"),
        ("MAD as a sum over pixels", "absolute.mean(1) * 255", "absolute.sum(1) * 255", f"{PASSES}distances_of_a_known_change"),
    ],
    "bench/training/fit.py": [
        ("training is on grey levels", "unit(images[rows])", "images[rows]", f"{DATASETS}a_network_can_not_tell_grey_levels_from_the_floats_that_they_stand_for"),
        ("no dropout in training", "defended = plan.behind(network)", "defended = Defended(network)", f"{FIT}masks_act_in_training"),
        ("training seed ignored: first weights", 'fingerprint.derive_seed(seed, "weights")', 'fingerprint.derive_seed(0, "weights")',
         f"{KEYS}the_seed_of_training_decides_first_weights_order_and_masks"),
        ("training seed ignored: order", 'derive_seed(plan.seed, "order")', 'derive_seed(0, "order")', f"{KEYS}the_seed_of_training_decides_first_weights_order_and_masks"),
        ("training seed ignored: masks", 'derive_seed(plan.seed, "masks")', 'derive_seed(0, "masks")', f"{KEYS}the_seed_of_training_decides_first_weights_order_and_masks"),
        ("what a network draws by itself is not seeded", 'with seeded(fingerprint.derive_seed(plan.seed, "training"), device):', "if True:",
         f"{FIT}seed_decides_what_a_network_draws_by_itself"),
        ("the scheme in training stays in the network", "return Behind(twin, masks).eval()", "return Behind(plan.behind(network), masks).eval()",
         f"{FIT}a_network_leaves_training_without_its_dropout"),
        ("a parallel network is trained in its wrapper", "model = unwrapped(made)", "model = made", f"{FIT}a_parallel_network_is_trained_as_its_module"),
        ("a last batch is of one image", "    if rest == 1 and sizes:\n", "    if False:\n", f"{FIT}a_last_batch_of_one_image_joins_the_one_before"),
        ("a network may come back with infinite weights", "if expected[name].isfinite().all() and not values.isfinite().all():", "if False:",
         f"{FIT}training_that_diverges_keeps_nothing"),
    ],
    "bench/training/kept.py": [
        ("a network that learnt nothing is kept", "if chance < 1 and (", "if False and (", f"{FIT}network_that_names_one_class_for_all_has_learnt_nothing"),
        ("chance is a class in as many", "chance = counts.max() / len(labels)", "chance = 1 / len(counts)", f"{FIT}network_that_names_one_class_for_all_has_learnt_nothing"),
        ("networks come back as if to be trained", "network.to(device).eval().requires_grad_(False)\n    return Trained(network, kept.key", "network.to(device)\n    return Trained(network, kept.key",
         f"{FIT}network_comes_back_frozen_and_silent"),
        ("what a network drew when it was made is drawn anew", 'network = built(build, kept.about["seed"])', "network = build()",
         f"{FIT}network_of_any_build_is_the_same_trained_kept_and_trained_again"),
        ("another network's checkpoint is a traceback", "        except RuntimeError as error:\n            raise Unreadable(kept.path", "        except KeyError as error:\n            raise Unreadable(kept.path",
         f"{FIT}checkpoint_of_another_network_under_this_name_is_refused"),
        ("any accuracy is as published", "PUBLISHED = 2.0", "PUBLISHED = 20.0", f"{PRETRAINED}an_accuracy_far_from_the_published_one_is_one_line_with_the_one_without_preprocessing"),
        ("only a worse network is another", "if abs(100 * measured.mean - clean_pct) <= PUBLISHED:", "if clean_pct - 100 * measured.mean <= PUBLISHED:",
         f"{PRETRAINED}an_accuracy_far_from_the_published_one_is_one_line_with_the_one_without_preprocessing"),
        ("tensors that a pass changes are weights", "if name not in without}", "if True}", f"{BY_ITSELF}a_folder_finds_it_again_though_passes_were_made_in_between"),
    ],
    "bench/training/pretrained.py": [
        ("several files are one", "if isinstance(self.weights, Mapping):", "if False:", f"{PRETRAINED}weights_come_from_a_file_from_one_for_each_part_or_stay_as_they_were"),
        ("the prefix is left where it is", "load_into(network, read(file, self.key), self.prefix, name=str(file))", "load_into(network, read(file, self.key), None, name=str(file))",
         f"{PRETRAINED}weights_come_from_a_file_from_one_for_each_part_or_stay_as_they_were"),
        ("an accuracy of more than all is taken", "0 <= clean_pct <= 100)", "0 <= clean_pct)", f"{PRETRAINED}options_that_mean_nothing_are_refused"),
        ("a key of no file is passed over", "if weights is None and (key is not None or prefix is not None):", "if False:", f"{PRETRAINED}options_that_mean_nothing_are_refused"),
    ],
    "bench/cli.py": [
        ("without a command all is well", "SystemExit(0 if name else 2)", "SystemExit(0)", f"{CLI}help_tells_a_newcomer_what_there_is"),
        ("running is no such command", 'if name == "run" or', "if False and", f"{CLI}what_cannot_be_used_gets_one_line"),
        ("of several sweeps the last one counts", "complete &= whole", "complete = whole", f"{CLI}a_table_says_what_is_missing_and_whether_a_sweep_is_whole"),
        ("lists take settings and leave them", "        if given.settings:\n", "        if False:\n", f"{CLI}what_cannot_be_used_gets_one_line"),
        ("help imports what takes seconds", "from bench.manual import COMMANDS\n", "from bench.manual import COMMANDS\nimport pandas\n",
         f"{CLI}help_and_lists_are_there_without_what_takes_seconds_to_import"),
    ],
    "bench/manual.py": [
        ("an option without a word", '        help="where data is (default: the environment variable BENCH_DATA_DIR, else data)",\n', "",
         f"{CLI}the_help_of_each_command_says_what_it_takes_and_writes_and_how_it_ends"),
        ("an example of a command of old", "  python -m bench table outputs/sweep\n  python -m bench game", "  python -m bench aggregate outputs/sweep\n  python -m bench game",
         f"{CLI}the_examples_in_the_help_can_be_parsed"),
        ("the list has no commands", "\n{commands}\n", "\n", f"{CLI}help_tells_a_newcomer_what_there_is"),
    ],
    "bench/listing.py": [
        ("a site's name stands beside nothing", 'named.get(path, "")))', '""))', f"{OWN}ls_sites_prints_paths_and_shapes"),
        ("what is never reached looks as if it were", '", never reached in a pass"', '""', f"{OWN}ls_sites_prints_paths_and_shapes"),
        ("shapes with the batch", 'return "x".join(map(str, given))', 'return "x".join(map(str, (1, *given)))', f"{OWN}ls_sites_prints_paths_and_shapes"),
        ("an attack at an epsilon is the smallest", '"smallest" if epsilon is None else', '"smallest" if True else', f"{CLI}lists_say_what_tells_choices_from_each_other"),
        ("that there is no twin isn't said", "[_NO_TWIN] if config.scheme.itself else []", "[]", "tests/test_docs.py::test_each_kind_of_network_that_draws_by_itself_is_found_out_as_its_page_says"),
        ("what the network draws itself isn't said", "[NETWORK] if draws_itself(settings) else []", "[]", f"{CLI}lists_say_what_tells_choices_from_each_other"),
        ("an operation is a rate", 'rate["rate"] if isinstance(rate, Mapping) else rate', "rate", f"{CLI}files_of_ones_own_are_listed_too_whatever_they_hold"),
    ],
    "bench/choices.py": [
        ("files of one's own hide bench's", "found.setdefault(path.stem, _read(path))", "found[path.stem] = _read(path)", f"{CLI}files_of_ones_own_are_listed_too_whatever_they_hold"),
        ("a file that is no YAML is a traceback", "    except yaml.YAMLError:\n", "    except ZeroDivisionError:\n", f"{CLI}files_of_ones_own_are_listed_too_whatever_they_hold"),
        ("the key off is a boolean", "settings = switches(yaml.safe_load(text))", "settings = yaml.safe_load(text)", f"{CLI}files_of_ones_own_are_listed_too_whatever_they_hold"),
        ("a file's on and off go before the command line", "        return over\n", "        return under\n",
         "tests/test_own_networks.py::test_the_command_line_goes_before_a_file_s_on_and_off"),
        ("on and off are true and false", "of_file = {WORDS[key]: switches(one)", "of_file = {key: switches(one)", f"{BY_ITSELF}a_file_says_the_same_words"),
        ("any line is a comment", 'if first.startswith("#") else ""', 'if True else ""', f"{CLI}files_of_ones_own_are_listed_too_whatever_they_hold"),
        ("a folder that isn't there is empty", "    if not config_dir.is_dir():\n", "    if False:\n", f"{CLI}what_cannot_be_used_gets_one_line"),
    ],
    "bench/sites.py": [
        ("a site may have no path", "or not paths or not all(", "or not all(", f"{DEFENDED}a_site_that_is_not_there_is_one_line"),
        ("a module that is used twice is seen once", "found[path].append(shown)", "found[path] = [shown]", f"{DEFENDED}a_module_that_is_used_twice_acts_twice"),
        ("DataParallel is a network of its own", "        return unwrapped(network.module)\n", "        return network\n",
         f"{DEFENDED}data_parallel_is_taken_by_its_module"),
        ("what is compiled is a network of its own", "return unwrapped(network._orig_mod) if compiled else network", "return network", f"{API}integers_of_numpy_and_compiled_networks_are_as_good"),
    ],
    "bench/own.py": [
        ("a child is in training mode, too", "module.training = not off", "module.train(not off)", f"{BY_ITSELF}modules_in_training_mode_are_so_by_their_own_flag_alone"),
        ("a twin's modules are in training mode", "module.training = not off", "module.training = True", f"{BY_ITSELF}a_network_whose_eval_is_its_own_is_on_for_the_scheme_and_off_for_its_twin"),
        ("modules stay in training mode", '            for module in self._training(network):\n                stack.callback(setattr, module, "training", module.training)\n', "            for module in self._training(network):\n", f"{BY_ITSELF}modules_in_training_mode_are_so_by_their_own_flag_alone"),
        ("what is set of a module stays", "        stack.callback(setattr, module, name, before)\n", "        pass\n", f"{BY_ITSELF}attributes_of_every_kind_are_set_for_a_pass_on_every_module_and_put_back"),
        ("what is set of a class stays with its module", "        stack.callback(vars(module).pop, name, None)\n", "        pass\n", f"{BY_ITSELF}attributes_of_every_kind_are_set_for_a_pass_on_every_module_and_put_back"),
        ("a twin is set as its scheme", "for name, value in self.off.items() if", "for name, value in self.on.items() if", f"{BY_ITSELF}attributes_of_every_kind_are_set_for_a_pass_on_every_module_and_put_back"),
        ("whole numbers are cut off", "        if not (filled.is_floating_point()", "        if False and not (filled.is_floating_point()", f"{BY_ITSELF}what_can_not_be_set_is_one_line"),
        ("all values are as likely", "shares = torch.tensor(self.weights.get(name, [1.0] * len(values)), dtype", "shares = torch.tensor([1.0] * len(values), dtype", f"{BY_ITSELF}values_are_chosen_as_often_as_their_probabilities_say"),
        ("one draw is for each", "drawn.tolist() if self.each else", "drawn.tolist()[:1] * modules if self.each else", f"{BY_ITSELF}each_module_may_have_a_draw_of_its_own"),
        ("values are chosen from the global generator", "replacement=True, generator=generator)", "replacement=True)", f"{BY_ITSELF}what_is_chosen_comes_from_the_seed_and_is_put_back"),
        ("probabilities need not sum to 1", " and abs(sum(shares) - 1) < 1e-3)", ")", f"{BY_ITSELF}what_contradicts_itself_is_a_value_error_of_one_line"),
        ("a method that every submodule has draws in one", "                for module in self._drawing(network):\n                    getattr(module, self.draw)()\n", "                for module in self._drawing(network)[:1]:\n                    getattr(module, self.draw)()\n", f"{BY_ITSELF}what_draws_is_called_before_each_pass"),
        ("a submodule's method draws where the network has one", "        if callable(getattr(network, self.draw, None)):\n", "        if False:\n", f"{BY_ITSELF}what_draws_is_called_before_each_pass"),
        ("what can't be called is called", "        inspect.signature(method).bind()\n", "        inspect.signature(method)\n", f"{BY_ITSELF}what_a_network_has_not_got_is_one_line"),
        ("a stand-in comes out", "        return value.clone()\n", "        return stand_in.clone()\n", f"{BY_ITSELF}a_stand_in_leaves_the_logits_and_gives_its_gradient"),
        ("the submodule has the gradient, its stand-in has none", "        return None, gradient\n", "        return None, 0 * gradient\n", f"{BY_ITSELF}a_stand_in_leaves_the_logits_and_gives_its_gradient"),
        ("a stand-in is given what the submodule left", "came.append(inputs[0].clone())", "came.append(inputs[0])", f"{BY_ITSELF}a_stand_in_leaves_the_logits_and_gives_its_gradient"),
        ("a stand-in may be of any shape", "or output.shape != other.shape:", "or False:", f"{BY_ITSELF}a_stand_in_of_another_shape_is_one_line"),
    ],
    "bench/record.py": [
        ("a record without the version of its attack's library", ', **(peers or {})}', "}",
         f"{KEYS}another_version_of_the_library_of_an_attack_is_another_cell_of_the_same_network"),
        ("images that the network gets right are counted as wrong", "int((~(bare or behind).right).sum())", "int((bare or behind).right.sum())", f"{API}exactly_the_images_given_are_attacked_and_wrong_ones_counted"),
        ("a shared draw is not said", "    if drawn is not None and drawn.shared:\n        part", "    if False:\n        part", f"{SHARED}intervals_take_images_and_draws_as_random"),
        ("success is of images alone", 'fresh.rate("success", shared, indices)', 'fresh.rate("success", False, indices)', f"{SHARED}intervals_take_images_and_draws_as_random"),
        ("fewer images than were asked for are not said", 'fewer = config.count == "images" and', 'fewer = False and', "tests/test_foreign.py::test_fewer_right_images_than_were_asked_for_are_said"),
        ("probabilities are not said", "if (bare or behind).probabilities else []", "if False else []", "tests/test_foreign.py::test_probabilities_are_said_once_in_record_table_and_log"),
        ("claims that nothing confirms are not said", "if random_scheme or not beyond:", "if True:",
         "tests/test_foreign.py::test_claims_that_nothing_confirms_are_said_where_nothing_is_random"),
        ("fresh success is the claim", '"fresh_success": fresh.rate("success", shared, indices)._asdict()', '"fresh_success": intervals.estimate(claimed.astype(float), indices)._asdict()',
         "tests/test_cell.py::test_all_targets_intervals_are_between_images"),
        ("distances over all images, not the claimed", "moved = {n: v[claimed] for", "moved = {n: v for",
         "tests/test_cell.py::test_all_targets_attacks_each_image_once_for_every_wrong_class"),
        ("a defence without a twin is not said", "*([_no_twin(cell)] if bare is None else []),", "", f"{BY_ITSELF}what_is_found_of_the_draws_stands_in_the_record_and_is_said"),
        ("what was found of draws is not said", "        found += _of_draws(key, drawn) if cell.config.scheme.itself else []\n", "", f"{BY_ITSELF}what_is_found_of_the_draws_stands_in_the_record_and_is_said"),
        ("what was found of a twin is not kept", '    if twin_drawn is not None:\n        found["twin"]', '    if False:\n        found["twin"]', f"{BY_ITSELF}what_is_found_of_the_draws_stands_in_the_record_and_is_said"),
        ("padding is not said", 'every batch is padded to {drawn.handling.size}" if cell', 'every batch is padded to {drawn.handling.size}" if False and cell', f"{BY_ITSELF}a_network_that_takes_batches_of_one_size_gets_no_others"),
        ("without a twin accuracy is said of one", '**({} if bare is None else {"clean_accuracy_no_scheme": _share(bare)}),', '**{"clean_accuracy_no_scheme": _share(bare or behind)},', f"{BY_ITSELF}without_a_twin_there_is_no_accuracy_without_the_scheme"),
        ("which network is the twin is not kept", '{"twin": {"key": cell.twin.checkpoint, "sha256": twin_weights}}', "{}", f"{BY_ITSELF}another_file_is_the_twin"),
    ],
    "bench/crafting.py": [
        ("an attack isn't told that batches are whole", "            whole_batches=order.whole_batches,\n", "", f"{ATTACKING}an_attack_is_told_that_batches_are_whole"),
        ("a random start is of the masks' draws", 'seed=derive_seed(order.seed, "attack start")', 'seed=derive_seed(order.seed, "attack")', "tests/test_attacking.py::test_a_random_start_is_not_the_masks_own_draws"),
        ("all images are attacked", 'right[: order.samples] if order.count == "images" else right', "right", "tests/test_cell.py tests/test_kept_apart.py"),
        ("labels are of other images", '"labels": y[chosen[:count]]', '"labels": y[:count]', "tests/test_cell.py tests/test_kept_apart.py tests/test_own_network.py"),
        ("an image is attacked once too often", 'return classes - 1 if targets == "all"', 'return classes if targets == "all"', "tests/test_cell.py tests/test_kept_apart.py tests/test_run.py"),
        ("samples' size follows how long they took", 'f"{attacked.seconds:012.3f}"', "str(attacked.seconds)",
         f"{KEYS}samples_of_other_weights_are_set_aside_and_made_again"),
    ],
    "bench/reader.py": [
        ("anything may run", '= ("bench", "foolbox")', '= ("bench", "foolbox", "subprocess")',
         f"{DEPENDS}code_is_trusted_by_whoever_reads_and_never_by_the_record"),
        ("a record is looked at where it was made", '"device": "auto"', '"device": "cuda"', "tests/analysis/test_transfer.py tests/analysis/test_gradients.py"),
        ("a record says whose code is trusted", 'return typed({**values, **rest, "dataset": data})', 'return typed({**rest, **values, "dataset": data})',
         f"{DEPENDS}code_is_trusted_by_whoever_reads_and_never_by_the_record"),
    ],
    "bench/checks.py": [
        ("a choice that isn't one passes", "    if value not in choices:\n", "    if False:\n", "tests/test_run.py::test_bad_settings_get_one_line_and_no_training"),
        ("no number is a number", "elif isinstance(value, float) and not math.isfinite(value):", "elif False:", f"{COMMAND}a_setting_that_is_no_finite_number_is_refused"),
        ("fractions are turned over", "return float(over) / float(under)", "return float(under) / float(over)", f"{COMMAND}a_fraction_is_a_number"),
    ],
    "bench/measuring/gradients.py": [
        ("variance over n, not n - 1", "flat.var(0, ddof=1)", "flat.var(0)", "tests/analysis/test_gradients.py::test_few_draws_are_right_on_average"),
        ("signal with the draws' noise in it", "- variance / draws", "", "tests/analysis/test_gradients.py::test_few_draws_are_right_on_average"),
        ("a draw is paired with itself", "- (units**2).sum((0, 2))", "", "tests/analysis/test_gradients.py::test_cosine_is_the_mean_over_pairs"),
    ],
    "bench/passing.py": [
        ("an image on its way back is not counted", "passes.backward += len(gradient)", "passes.backward += 0", f"{PASSES}passes_are_counted_an_image_each"),
        ("a batch is one pass", "passes.forward += len(output)", "passes.forward += 1", f"{PASSES}passes_are_counted_an_image_each"),
        ("a gradient of zero is one", "zero = ~((flat != 0) & flat.isfinite()).any(1)", "zero = ((flat != 0) & flat.isfinite()).any(1)", "tests/test_foreign.py"),
    ],
    "bench/door.py": [
        ("what a file says of criteria is not looked at", "if named.criteria is not None and kind not in named.criteria:", "if False:",
         "tests/test_run.py::test_bad_settings_get_one_line_and_no_training tests/analysis/test_search.py::test_bad_settings_get_one_line_and_no_training"),
        ("a refused criterion is a mistake", 'if "criterion" in words and isinstance(', "if False and isinstance(", "tests/test_run.py tests/test_foreign.py"),
        ("every image is of one size", "torch.zeros(1, *shape)", "torch.zeros(1, 3, 32, 32)", "tests/test_foreign.py"),
    ],
    "bench/process.py": [
        ("Python's generator is not seeded", "            random.seed(seed)\n", "", f"{PROCESS}generators_are_seeded_in_the_block_and_as_they_were_after_it"),
        ("NumPy's generator is not seeded", "            np.random.seed(seed % 2**32)  # noqa: NPY002\n", "", f"{PROCESS}generators_are_seeded_in_the_block_and_as_they_were_after_it"),
        ("torch's generator is not seeded", "            torch.default_generator.manual_seed(seed)\n", "", f"{PROCESS}generators_are_seeded_in_the_block_and_as_they_were_after_it"),
        ("Python's generator is not put back", "            random.setstate(before[0])\n", "            pass\n", f"{PROCESS}generators_are_seeded_in_the_block_and_as_they_were_after_it"),
        ("another thread seeds meanwhile", "with alone, torch.random.fork_rng(devices=index):", "with torch.random.fork_rng(devices=index):", f"{PROCESS}what_one_thread_has_seeded_no_other_draws_from"),
        ("threads are not put back", "torch.set_num_threads(before)", "pass", f"{PROCESS}threads_are_as_many_as_asked_for_and_then_as_before"),
    ],
    "bench/combining.py": [
        ("the mean probability is of logits", "torch.logsumexp(functional.log_softmax(logits, -1), 0)", "torch.logsumexp(logits, 0)", f"{COMBINING}answers_are_the_log_of_the_mean_probability_the_mean_logit_or_the_vote"),
        ("a class without a vote is impossible", "votes.clamp(min=0.5)", "votes", f"{COMBINING}answers_are_the_log_of_the_mean_probability_the_mean_logit_or_the_vote"),
        ("a vote has no gradient", "hard + (soft - soft.detach())", "hard", f"{COMBINING}a_vote_has_the_gradient_of_the_mean_probability"),
        ("the mean logit is a sum", "logits.mean(0)", "logits.sum(0)", f"{COMBINING}answers_are_the_log_of_the_mean_probability_the_mean_logit_or_the_vote"),
    ],
    "bench/building.py": [
        ("globals stay as a factory leaves them", "        before.put_back()\n", "        pass\n", f"{BUILDING}each_network_keeps_the_globals_that_it_was_made_with"),
        ("networks share what a factory changes", "    if not changed or", "    if True or", f"{BUILDING}each_network_keeps_the_globals_that_it_was_made_with"),
        ("every network has modules of its own", "    if not changed or", "    if", f"{BUILDING}a_factory_that_changes_nothing_is_called_in_its_own_module"),
        ("a network is made of later draws", "        _draw_again(draws)\n", "", f"{BUILDING}the_network_is_made_of_the_draws_of_the_first_call"),
        ("other modules of a package are shared", "    return [other for other in sys.modules if other == top or other.startswith(f\"{top}.\")]", "    return [name]", f"{BUILDING}other_modules_of_its_package_are_its_own_too"),
        ("attributes of classes are shared", "dict.fromkeys([*modules, *classes])", "dict.fromkeys(modules)", f"{BUILDING}each_network_keeps_the_globals_that_it_was_made_with"),
    ],
    "bench/measuring/tries.py": [
        ("tries are a power of a share", "found: np.ndarray = np.exp(_log_choose(right, tries) - _log_choose(np.float64(draws), tries))", "found: np.ndarray = (right / draws) ** tries", f"{TRIES}both_figures_are_unbiased_however_few_draws_there_are"),
        ("draws are chosen with repetition", "gammaln(of - which + 1)", "gammaln(of - which + 2)", f"{TRIES}both_figures_are_shares_of_all_choices_of_draws"),
        ("a tie is a majority", "range(voters // 2 + 1)", "range(voters // 2 + 2)", f"{TRIES}both_figures_are_shares_of_all_choices_of_draws"),
        ("more tries than draws", "if not 1 <= tries <= draws:", "if not 1 <= tries:", f"{TRIES}numbers_that_make_no_sense_are_refused"),
    ],
    "bench/analysis/audit/binarisation.py": [
        ("an image is attacked on another's readout", "        middle = self.middles[torch.arange(len(half)) % len(self.middles)].to(half)", "        half, middle = half.flip(0), self.middles[torch.arange(len(half)) % len(self.middles)].to(half)", f"{AUDIT_BINARISATION}a_good_attack_finds_what_is_planted_and_chance_does_not"),
        ("what draws at the layer's output is lost", "lambda *given: mine(*given), prepend=True)", "lambda *given: mine(*given))", f"{AUDIT_BINARISATION}what_acts_at_the_logits_acts_on_those_of_the_readout"),
        ("draws that choose score", 'self.judged(one, layer, readouts, "score")', 'self.judged(one, layer, readouts, "known")', f"{AUDIT_BINARISATION}no_draw_that_chooses_scores"),
        ("others pass what they like", "together = isinstance(self.attack, BatchAttack)", "together = True", f"{AUDIT_BINARISATION}images_of_a_batch_are_each_attacked_on_their_own_readout"),
        ("whoever gives some passes' logits gives all", "found = [layer for layer in found if _gives(seen[layer], logits)]", "found = [layer for layer in layers if _gives(seen[layer], logits)]", f"{AUDIT_BINARISATION}networks_without_such_a_layer_are_left_out_with_the_reason"),
        ("the bounds cut a surface point off", "range(FURTHER)", "range(1)", f"{AUDIT_BINARISATION}points_of_the_surface_are_at_epsilon_whatever_the_bounds_cut_off"),
        ("chance is no excuse", "if found.by_chance >= BY_CHANCE:", "if False:", f"{AUDIT_BINARISATION}the_outcome_is_by_shares_that_the_docs_say"),
        ("a few images are enough", "if 2 * found.prepared < found.images:", "if not found.prepared:", f"{AUDIT_BINARISATION}the_outcome_is_by_shares_that_the_docs_say"),
    ],
    "bench/analysis/audit/figures.py": [
        ("images of a pass are apart", "        if self.shared:\n            return intervals.two_way", "        if False:\n            return intervals.two_way", f"{AUDIT_FIGURES}draws_that_are_shared_widen_every_interval_of_one_query_and_ten_tries"),
        ("differences of a pass are apart", "        if not self.shared:\n            besides", "        if True:\n            besides", f"{AUDIT_FIGURES}a_figure_by_pass_is_of_pseudo_values"),
        ("a known draw is each image's", "secrecy=less(fixed, ONE_QUERY, groups)", "secrecy=less(fixed, ONE_QUERY)", f"{AUDIT_FIGURES}images_that_share_a_known_draw_are_a_cluster"),
        ("ten tries are one", "worth_any_of_10=less(alone, ten)", "worth_any_of_10=less(alone, ONE_QUERY)", f"{AUDIT_FIGURES}figures_are_means_over_images"),
        ("an operation is worth what it hides", "intervals.paired(fixed - alone, groups)", "intervals.paired(alone - fixed, groups)", f"{AUDIT_FIGURES}figures_are_means_over_images"),
    ],
    "bench/analysis/audit/asked.py": [
        ("what else draws is no state", "            if not torch.equal(*seen):\n                return None\n", "", f"{AUDIT_MAKING}states_are_no_short_list_where_anything_else_draws"),
        ("images of a pass have known draws of their own", "        if not known or self.groups is None:", "        if True:", f"{AUDIT_MAKING}a_known_draw_is_the_same_at_every_pass_and_another_for_each_of_three"),
        ("what isn't random has many states", "            return [(1.0, self.scheme.defended)]", "            return None", f"{AUDIT_TRUTHS}where_nothing_is_random_worth_is_nothing_by_construction"),
    ],
    "bench/analysis/audit/stage.py": [
        ("a restart is for nothing", "max(options.get(\"restarts\", 1), len(self.starts)) * (each", "(each", f"{AUDIT_STAGES}a_stage_tells_what_it_costs"),
        ("a forward pass is a whole one", "held_out * self.options[\"checkpoints\"] / 3", "held_out * self.options[\"checkpoints\"]", f"{AUDIT_STAGES}a_stage_tells_what_it_costs"),
        ("few images cost what all do", "min(1.0, (self.images or images) / images)", "1", f"{AUDIT_STAGES}a_stage_tells_what_it_costs"),
    ],
    "bench/analysis/audit/stages.py": [
        ("what matters most is left out", "worst = max(left, key=lambda stage: stage.rank)", "worst = min(left, key=lambda stage: stage.rank)", f"{AUDIT_STAGES}with_fewer_passes_what_matters_least_is_left_out_and_what_starts_from_it"),
        ("what starts from nothing is left in", " and last.name not in stage.starts]", "]", f"{AUDIT_STAGES}with_fewer_passes_what_matters_least_is_left_out_and_what_starts_from_it"),
        ("a rung takes as many steps as the first", "yield pgd(rung(many), steps // many, 2,", "yield pgd(rung(many), steps, 2,", f"{AUDIT_STAGES}a_ladder_of_draws_takes_as_many_gradients_at_each_rung"),
        ("a long list of draws takes as long", "min(effort.steps // 2, math.ceil(KNOWN * effort.steps / draws))", "effort.steps // 2", f"{AUDIT_STAGES}every_known_draw_of_a_short_list_is_attacked_with_as_many_passes_in_all"),
        ("what isn't random is attacked as if it were", "*(_random(effort, norm, twin, rates, classes, draws) if random else ()),", "*_random(effort, norm, twin, rates, classes, draws),", f"{AUDIT_STAGES}of_what_is_not_random_only_the_twin_is_attacked_and_what_a_naive_person_runs"),
    ],
    "bench/analysis/audit/making.py": [
        ("a known draw is drawn again", "asked.scheme.defended.model(asked.known_seed(draw, group), known=True)", "asked.scheme.defended.model(asked.known_seed(draw, group))", f"{AUDIT_MAKING}a_known_draw_is_the_same_at_every_pass_and_another_for_each_of_three"),
        ("iterates see draws of their own", "with torch.no_grad(), state.model(seed) as model:", "with torch.no_grad(), state.model(seed + look) as model:", f"{AUDIT_MAKING}iterates_are_followed_on_draws_that_all_of_them_see"),
        ("the attack's own iterate is kept", "                arrays[\"perturbed\"] = fooling\n", "                pass\n", f"{AUDIT_MAKING}of_what_an_attack_shows_on_its_way_the_best_is_kept_whatever_it_returns"),
        ("what lay outside is claimed", "            arrays[\"claimed\"] = claimed & arrays[\"inside\"]\n", "", f"{AUDIT_MAKING}a_minimal_attack_is_drawn_into_the_ball_and_claims_what_lay_there"),
        ("attacks start at the images", '        found["starting_points"] = torch.stack([start[rows] for start in starts])\n', "        pass\n", f"{AUDIT_MAKING}a_stage_starts_where_another_has_ended"),
        ("a seed is in no key", '            "seed": derive_seed(asked.seed, f"audit {stage.name}"),\n', "", f"{AUDIT_MAKING}a_stage_is_made_once_and_found_again"),
    ],
    "bench/analysis/audit/seeing.py": [
        ("five passes have to differ", "len(passes) < AT_MOST and", "False and", f"{AUDIT_TRUTHS}the_verdict_is_that_of_the_truth"),
        ("only the images are asked", "np.concatenate([asked.originals, self._anywhere()])", "np.concatenate([asked.originals, asked.originals])", f"{AUDIT_MAKING}whether_passes_differ_is_asked_where_it_can_be_seen"),
        ("the best sample is the worst", 'np.einsum("d,sdi->si", self.chances, ~first).argmax(0)', 'np.einsum("d,sdi->si", self.chances, ~first).argmin(0)', f"{AUDIT_TRUTHS}where_draws_are_a_short_list_figures_are_exact_sums"),
        ("what is around an image is on other draws", 'with open(derive_seed(seed, "audit around")) as model:', "with open(int(x.sum() * 1000)) as model:", f"{AUDIT_CHECKS}the_loss_around_images_is_compared_on_the_same_draws"),
        ("offsets are of another length", "side = epsilon if norm", "side = 2 * epsilon if norm", f"{AUDIT_CHECKS}offsets_are_as_long_as_the_ball_says"),
        ("one image's gradient is all images'", "(total == 0).flatten(1).all(1)", "(total != 0).flatten(1).all(1)", f"{AUDIT_MAKING}a_gradient_of_nothing_is_found_image_by_image"),
    ],
    "bench/analysis/audit/checking.py": [
        ("the twin is taken at its word", '(("twin", self.seen.twin), ("baseline", self.seen.baseline)):', '(("baseline", self.seen.baseline),):', f"{AUDIT_TRUTHS}what_hides_gradients_is_broken_or_suspicious_and_never_nothing"),
        ("claims are not asked about", "                yield checks.luck(name, made.claimed, found)\n", "                pass\n", f"{AUDIT_TRUTHS}an_attack_that_asks_until_it_is_lucky_is_struck_out"),
        ("known draws are no direct attack", 'and made.stage.on in ("scheme", "known draw")', 'and made.stage.on == "scheme"', f"{AUDIT_TRUTHS}the_verdict_is_that_of_the_truth"),
    ],
    "bench/analysis/audit/checks.py": [
        ("every difference is beyond", "fails = points > test.least and p < LEVEL", "fails = points > test.least", f"{AUDIT_CHECKS}right_audits_fail_hardly_any_check_over_twenty_seeds"),
        ("no test is corrected for the others", "intervals.holm([test.difference.p for test in tests])", "[test.difference.p for test in tests]", f"{AUDIT_CHECKS}many_tests_of_one_row_are_judged_together"),
        ("a loss near 0 jumps about", "size = np.where(losses == 0, 1.0, np.abs(losses))", "size = np.ones_like(losses)", f"{AUDIT_CHECKS}i2_flags_images_around_which_the_loss_changes_by_over_a_tenth"),
        ("a loss that fell long ago still falls", "scaled[-2:].max(0) - scaled[-1]", "scaled.max(0) - scaled[-1]", f"{AUDIT_CHECKS}a_loss_that_still_falls_is_unfinished"),
        ("the worst is chosen and scored on the same draws", "    first, rest = zip(*", "    rest, first = zip(*", f"{AUDIT_CHECKS}the_worst_of_several_is_chosen_on_draws_that_do_not_score"),
    ],
    "bench/analysis/audit/row.py": [
        ("worth of what isn't random is estimated", "        if self.asked.random:\n            return found\n", "        return found\n", f"{AUDIT_TRUTHS}where_nothing_is_random_worth_is_nothing_by_construction"),
        ("a known draw withstands some of the samples", "seen.shares @ seen.known.all(1)", "seen.shares @ seen.known.any(1)", f"{AUDIT_TRUTHS}where_draws_are_a_short_list_figures_are_exact_sums"),
        ("the twin withstands some of them", "np.asarray(seen.twin.all(0)),\n            seen.shares", "np.asarray(seen.twin.any(0)),\n            seen.shares", f"{AUDIT_TRUTHS}figures_come_near_the_truth"),
        ("samples of known draws join no pool", "            if made.stage.pool:\n", "            if made.stage.pool and made.stage.known is None:\n", f"{AUDIT_TRUTHS}figures_come_near_the_truth"),
    ],
    "bench/attacks/voting.py": [
        ("the first pass decides", ".reshape(self.votes, len(x))\n", ".reshape(self.votes, len(x))[:1]\n", f"{VOTING}the_majority_is_believed"),
        ("each question is voted of anew", "        if whole_batches(self.model):", "        if True:", f"{VOTING}what_was_voted_of_a_point_stands"),
        ("no batch is another", "        if whole_batches(self.model):", "        if False:", f"{VOTING}where_logits_depend_on_the_batch_each_vote_is_a_new_one"),
        ("no votes at all", "if votes < 1:", "if votes < 0:", f"{VOTING}fewer_votes_than_one_are_refused"),
    ],
    "bench/analysis/audit/asking.py": [
        ("a row is that of another claim", '        "verdict": [asked.claim, asked.margin],\n', "", f"{AUDIT_ASKING}a_row_goes_on_where_it_was_stopped_and_is_found_again"),
        ("samples are in no key", '        "samples": fingerprint.digest(brought),\n', "", f"{AUDIT_ASKING}samples_are_scored_on_the_defence_and_on_its_twin_and_count_only_in_the_ball"),
        ("an image may have several samples", "if len(np.unique(indices)) < len(indices):", "if False:", f"{AUDIT_ASKING}what_cannot_be_used_is_one_line"),
        ("a sample may be of no image", "indices.max() >= len(x):", "indices.max() > len(x):", f"{AUDIT_ASKING}what_cannot_be_used_is_one_line"),
        ("what lies outside the ball is not said", "        if outside:\n", "        if False:\n", f"{AUDIT_ASKING}samples_are_scored_on_the_defence_and_on_its_twin_and_count_only_in_the_ball"),
    ],
    "bench/analysis/audit/tables.py": [
        ("a defence that costs gains", "100 * (twin_clean - clean)", "100 * (clean - twin_clean)", f"{AUDIT_ASKING}clean_accuracies_are_of_the_images_that_are_given_for_them"),
        ("nothing is left out", '        if one["left_out"]:\n', "        if False:\n", f"{AUDIT_ASKING}what_there_were_no_passes_for_is_said"),
        ("what is brought along is not known of", '"brought": bool(asked.extra or asked.samples)', '"brought": False', f"{AUDIT_ASKING}samples_that_an_audit_writes_join_another_one"),
        ("what tells rows apart is not printed", "len(set(map(str, frame[name]))) > 1]", "False]", f"{AUDIT_COMMAND}whatever_else_is_swept_is_a_column_and_no_row_is_lost"),
    ],
    "bench/analysis/audit/writing.py": [
        ("what is swept is no column", "if key not in tables.NAMES]", "if False]", f"{AUDIT_COMMAND}whatever_else_is_swept_is_a_column_and_no_row_is_lost"),
        ("of two rows of one name one is lost", "        if path in written:\n", "        if False:\n", f"{AUDIT_COMMAND}whatever_else_is_swept_is_a_column_and_no_row_is_lost"),
        ("samples are not what samples are", 'indices=samples["indices"])', 'places=samples["indices"])', f"{AUDIT_ASKING}samples_that_an_audit_writes_join_another_one"),
    ],
    "bench/auditing.py": [
        ("an attack takes the name of a stage", 'found[f"{BROUGHT}: {name}"] = named.run, said', "found[name] = named.run, said", f"{AUDIT_ASKING}attacks_that_are_brought_along_are_asked_for_the_ball_and_scored"),
        ("nobody asks an attack at the door", "door.ask(named.run, named.config, UNTARGETED, one.dataset.shape)", "pass", f"{AUDIT_ASKING}what_cannot_be_used_is_one_line"),
        ("there is no baseline", "None if ready.baseline is None else _twin(cell.seen_of(ready.baseline))", "None", f"{AUDIT_ASKING}a_baseline_is_attacked_as_the_twin_is"),
        ("clean accuracies are of what is audited", "None if ready.clean is None else cell.accuracies(ready.clean)", "None", f"{AUDIT_COMMAND}a_sweep_of_rows_gives_tables_samples_and_what_is_read"),
        ("one image is enough", "LEAST = 2", "LEAST = 1", f"{AUDIT_ASKING}an_audit_of_one_image_is_refused"),
    ],
    "bench/run_audit.py": [
        ("settings of an attack are passed over", "        if group in FOREIGN:\n", "        if False:\n", f"{AUDIT_COMMAND}bad_input_is_one_line_before_anything_is_trained"),
        ("the baseline's settings may be anybody's", 'if axes.side(key) != "defender":', "if False:", f"{AUDIT_COMMAND}bad_input_is_one_line_before_anything_is_trained"),
        ("an audit without a row is whole", "return complete and len(files) == Rows.expected", "return complete", f"{AUDIT_COMMAND}a_row_that_fails_is_said_and_the_others_go_on"),
        ("a row that can't be is missing", '        _write_down(results, number, {"left out": words})\n', "", f"{AUDIT_COMMAND}a_row_that_cannot_be_is_left_out_and_said"),
        ("an attack that fails is a bad setting", "2 if isinstance(error, ConfigError) else 1", "2", f"{AUDIT_COMMAND}what_an_attack_of_ones_own_raises_is_a_line"),
    ],
    "bench/analysis/audit/curves.py": [
        ("samples of the whole ball count in half of it", "near: np.ndarray = far <= radius * (1 + 1e-4) + 1e-6", "near: np.ndarray = far <= 1e9", f"{AUDIT_TRUTHS}curves_run_along_the_truth"),
        ("the twin of the whole ball is that of half of it", "(row.twin | ~_near(row, asked, radius)).all(0)", "row.twin.all(0)", f"{AUDIT_TRUTHS}curves_run_along_the_truth"),
        ("tries are counted from two", "TRIES = tuple(range(1, 21))", "TRIES = tuple(range(2, 22))", f"{AUDIT_TRUTHS}curves_run_along_the_truth"),
    ],
    "bench/analysis/audit/latex.py": [
        ("what wasn't measured is not a number", 'return "" if math.isnan(given) else f"{given:.1f}"', 'return f"{given:.1f}"', "tests/analysis/test_audit_latex.py::test_a_table_has_a_line_for_each_row_and_nothing_for_what_was_not_measured"),
        ("an underscore is an index", 'if letter in "&%$#_{}"', 'if letter in "&%$#{}"', "tests/analysis/test_audit_latex.py::test_letters_that_latex_reads_otherwise_are_escaped"),
        ("the largest number stands for all", 'f"{low:,}" if low == high else', 'f"{high:,}" if low else', "tests/analysis/test_audit_latex.py::test_a_paragraph_says_the_plan_its_size_and_how_to_come_by_it"),
    ],
    "bench/analysis/audit/pool.py": [
        ("draws that choose score", 'open(derive_seed(seed, "audit score"))', 'open(derive_seed(seed, "audit choose"))', f"{AUDIT_POOL}no_draw_that_chooses_scores"),
        ("one round chooses", "np.where(settled, counts.argmax(0), asked.argmax(0))", "counts.argmax(0)", f"{AUDIT_POOL}two_rounds_find_the_worst_of_samples_that_are_nearly_alike"),
        ("the second round alone counts", "(counts[of, everybody] + more) / (FIRST + SECOND)", "more / (FIRST + SECOND)", f"{AUDIT_POOL}two_rounds_find_the_worst_of_samples_that_are_nearly_alike"),
        ("a sample is drawn beyond the ball", "moved * np.minimum(1, epsilon / np.maximum(far, 1e-30))", "moved", f"{AUDIT_MAKING}a_minimal_attack_is_drawn_into_the_ball_and_claims_what_lay_there"),
        ("a sample outside the ball counts", "np.where(keep[:, None, None, None], unit(images), unit(originals))", "unit(images)", f"{AUDIT_POOL}what_lies_outside_the_ball_counts_unperturbed"),
        ("samples see draws of their own", "    for images in pool:\n        with open(derive_seed(seed, \"audit choose\")) as model:", "    for place, images in enumerate(pool):\n        with open(derive_seed(seed, f\"audit choose {place}\")) as model:", f"{AUDIT_POOL}all_samples_see_the_same_draws"),
    ],
    "bench/analysis/audit/verdict.py": [
        ("a defence that is off is judged", 'if any(check.name == "V12" for check in failed):', "if False:", f"{AUDIT_VERDICT}a_defence_that_is_off_is_suspicious_whatever_else_was_found"),
        ("a claim is compared with the mean", "claim > 100 * figures.real.high:", "claim > 100 * figures.real.mean:", f"{AUDIT_VERDICT}a_claim_over_what_was_found_is_refuted_whatever_the_checks_say"),
        ("a weak attack on the scheme saves its claim", "void = [check for check in failed if check.on == where and", "void = [check for check in failed if", f"{AUDIT_VERDICT}no_gain_over_a_baseline_is_refuted_unless_a_check_fails_on_it"),
        ("a weak attack on the twin refutes", "and check.name in OF_COMPARISON]", "and check.name in OF_COMPARISON[:2]]", f"{AUDIT_VERDICT}a_weak_attack_on_the_scheme_saves_no_claim_but_one_on_the_twin_does"),
        ("a gain is refuted by its mean", "100 * difference.high < margin and not void", "100 * difference.mean < margin and not void", f"{AUDIT_VERDICT}no_gain_over_the_twin_is_refuted_within_the_margin"),
        ("a failed check is no suspicion", "    if void:\n        said", "    if False:\n        said", f"{AUDIT_VERDICT}a_check_that_fails_makes_a_gain_suspicious"),
        ("what may be none is found", '(figures.over_baseline, "the gain over the baseline")):\n        if difference is not None and difference.low <= 0:', '(figures.over_baseline, "the gain over the baseline")):\n        if False:', f"{AUDIT_VERDICT}a_gain_that_may_be_none_is_undecided_with_the_images_that_would_decide"),
    ],
    "bench/finding.py": [
        ("a heavy tail hides a part of the pass's", "ranks = stats.rankdata(values.reshape(-1, variables), axis=0)", "ranks = values.reshape(-1, variables)", f"{FINDING}heavy_tails_hide_no_part_of_the_passes"),
        ("last bits have ranks", "np.round(values[..., varies] / tolerance)", "values[..., varies]", f"{FINDING}last_bits_are_of_one_rank"),
        ("a p-value may be 0", "return (1 + count) / (1 + permutations)", "return count / permutations", f"{FINDING}the_least_p_value_is_that_of_no_permutation"),
        ("an equal sum is no larger", " - 1e-9 * np.abs(products).sum())", " + 1e-9 * np.abs(products).sum())", f"{FINDING}the_least_p_value_is_that_of_no_permutation"),
        ("nobody is dealt out", "dealt = np.random.default_rng(0).permuted(everybody, axis=1)", "dealt = everybody", f"{FINDING}the_p_value_is_that_of_an_analysis_of_variance"),
        ("another pass's way back is as good", "            if not _alike(one, again):\n                return False\n", "", f"{BY_ITSELF}a_draw_into_a_tensor_that_no_copy_can_be_made_of_is_refused"),
        ("a gradient that is random itself is another pass's", "            if not _alike(one, same):\n", "            if False:\n", f"{BY_ITSELF}a_gradient_that_is_random_itself_is_let_pass"),
        ("a p-value of a tenth is small", "SIGNIFICANT = 0.01", "SIGNIFICANT = 0.1", f"{FINDING}false_alarms_are_rare_and_a_small_part_of_the_passes_is_found"),
        ("a place in the batch is a draw", "(np.ptp(values, axis=0) > tolerance)", "(np.ptp(values, axis=(0, 1)) > tolerance)", f"{FINDING}images_that_are_told_apart_by_their_place_alone_are_not_random"),
        ("images written into go on to the next pass", "logits = model(images.clone()).detach()", "logits = model(images).detach()", f"{FINDING}what_is_wrong_is_said_too {FINDING}draws_of_the_global_generators_repeat"),
        ("the first pass of all is not looked at", "    first = two()\n", "    two()\n    first = two()\n", f"{FINDING}a_first_pass_that_is_another_is_seen"),
        ("what goes on by turns is where it was", "    with open(1) as model:\n        _passed(model, images)\n", "", f"{FINDING}what_goes_on_by_turns_does_not_repeat"),
        ("one row may stand for a batch", "if logits.ndim != 2 or len(logits) != size:", "if False:", f"{FINDING}sizes_of_batches_that_fail_are_told_by_their_error"),
        ("the first image alone has company", " and _near(usual[-1], last[-1], tolerance))", ")", f"{FINDING}whether_other_images_matter_is_found_out"),
        ("company is told of what doesn't repeat", "beside = company(put_back, images) if repeatable else None", "beside = company(put_back, images)", f"{FINDING}what_is_wrong_is_said_too"),
        ("a gradient is that of a loss", "margin = logits.gather(1, labels[:, None])[:, 0] - logits.mean(1)", "margin = nn.functional.cross_entropy(logits, labels)", f"{FINDING}a_gradient_is_there_where_the_network_is_sure_or_one_draw_has_none"),
        ("a gradient of zero is one", "if any(bool(g.any()) for g in found)", "if found", f"{FINDING}whether_there_is_a_gradient_is_found_out"),
        ("what a pass leaves in a buffer is what no seed reaches", "with watched(network) as differing, open(seed) as model:", "with watched(nn.Flatten()) as differing, open(seed) as model:", f"{FINDING}what_a_pass_leaves_in_a_buffer_is_no_draw_that_no_seed_reaches"),
        ("what one pass in many changes is not named", "names = tuple(sorted({*names, *everywhere}))", "names = tuple(names)", f"{FINDING}what_one_pass_in_many_changes_is_named"),
        ("batches that fail are not padded", "size = max(whole, default=None) if self.sizes else None", "size = None", f"{BY_ITSELF}a_network_that_takes_batches_of_one_size_gets_no_others"),
    ],
    "bench/watching.py": [
        ("buffers may change", "for held in (module._parameters, module._buffers, vars(module))", "for held in (module._parameters, {}, vars(module))", f"{WATCHING}what_a_pass_changes_is_named_and_put_back"),
        ("attributes may change", "for held in (module._parameters, module._buffers, vars(module))", "for held in (module._parameters, module._buffers, {})", f"{WATCHING}what_a_pass_changes_is_named_and_put_back"),
        ("a module of two paths has one", "in network.named_modules(remove_duplicate=False)\n        for held in", "in network.named_modules()\n        for held in", f"{WATCHING}tensors_of_submodules_are_named_by_every_path"),
        ("a submodule that is replaced stays", "            held.update(before)\n        with torch.no_grad():", "            pass\n        with torch.no_grad():", f"{BY_ITSELF}the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was"),
        ("data that was replaced stays", "                tensor.data = data\n", "", f"{WATCHING}what_a_pass_changes_is_named_and_put_back"),
        ("values stay changed", "                    tensor.copy_(values)\n", "                    pass\n", f"{WATCHING}what_a_pass_changes_is_named_and_put_back"),
        ("nothing is put back after an error", "    try:\n        yield differing\n    finally:\n", "    yield differing\n    if True:\n", f"{WATCHING}tensors_are_put_back_after_an_error"),
        ("a buffer that came stays", "            del held[name]\n", "            pass\n", f"{WATCHING}tensors_that_are_replaced_come_or_go_are_changed"),
        ("no number is another than itself", "((one == other) | ((one != one) & (other != other)))", "(one == other)", f"{WATCHING}values_are_equal_where_both_are_no_number_and_of_one_shape_and_type"),
        ("only the last pass may change the images", "written |= not", "written = not", f"{WATCHING}images_that_one_pass_in_three_writes_into_are_changed"),
    ],
    "bench/defended.py": [
        ("passes of one model have one seed", "        self.made += 1\n", "", f"{DEFENDED}what_an_operation_draws_from_the_global_generators_is_of_the_seed_and_the_pass"),
        ("global generators are seeded alike for all", "derive_seed(self.generator.initial_seed(), f\"pass", "derive_seed(0, f\"pass", f"{DEFENDED}what_an_operation_draws_from_the_global_generators_is_of_the_seed_and_the_pass"),
        ("passes are repeated where nothing is random", "self.passes = passes if self.random else 1", "self.passes = passes", f"{COMBINING}more_passes_are_another_network_one_pass_is_the_same"),
        ("how passes are combined is in no identity", "[passes, combine]} if passes", "[passes]} if passes", f"{COMBINING}more_passes_are_another_network_one_pass_is_the_same"),
        ("a stack is image by image", "combined(logits.view(draws, images, -1), self.combine)", "combined(logits.view(images, draws, -1).transpose(0, 1), self.combine)", f"{COMBINING}stacked_draws_are_one_answer"),
        ("what lets no gradient through fails the attack", "if image.requires_grad else logits", "if False else logits",
         f"{DEFENDED}what_lets_no_gradient_through_has_a_gradient_of_zero"),
        ("a scheme stays in the network", "            handle.remove()\n", "            pass\n", f"{DEFENDED}nothing_is_left_behind"),
        ("hooks that an attack leaves stay", "                hooks.clear()\n", "                pass\n", f"{ATTACKING}hooks_that_an_attack_leaves_or_takes_away_change_nothing_later"),
        ("what another thread opens during an attack stops acting", "if n in _hooks or (n in kept and not _own(h))", "if n in kept", f"{ATTACKING}what_another_thread_opens_or_closes_while_an_attack_runs_is_as_it_left_it"),
        ("another thread's outputs are taken", "if _given.get() is kept:", "if True:", f"{DEFENDED}two_threads_that_pass_at_once_are_each_given_their_own_outputs"),
        ("a twin acts as its scheme does", "if _now.get() != number:", "if False:", f"{DEFENDED}a_twin_and_its_scheme_over_one_network_never_mix"),
        ("masks come from a generator of no seed", "generator = torch.Generator(self.device).manual_seed(seed)", "generator = torch.Generator(self.device)",
         f"{DEFENDED}masks_come_from_the_seed_alone"),
        ("the network stays frozen", "                    part.requires_grad_(was)\n", "                    pass\n", f"{DEFENDED}nothing_is_left_behind"),
        ("operations that are modules stay in training mode", "with still(*self.modules), one", "with still(self.network), one", f"{API}an_operation_that_is_a_module_is_still_too_and_then_as_it_was"),
        ("a site that is not there is passed over", "        if site not in sites:\n", "        if False:\n", f"{DEFENDED}a_site_that_is_not_there_is_one_line"),
        ("an operation is random whatever it says", 'getattr(operation, "random", True)', "True", f"{DEFENDED}a_deterministic_operation_is_as_welcome"),
        ("the image is preprocessed first", "        mine = _now.set(self.number)\n", "        x = x if self.preprocessing is None else self.preprocessing(x)\n        mine = _now.set(self.number)\n",
         f"{DEFENDED}the_image_is_acted_on_before_it_is_preprocessed"),
        ("only a site's first path acts", "for path in self.sites[site]:", "for path in self.sites[site][:1]:", f"{DEFENDED}sites_are_the_image_and_the_outputs_of_submodules"),
        ("preprocessing is in no identity", '"preprocessing": preprocessing and preprocessing.identity', '"preprocessing": None', f"{DEFENDED}identity_tells_networks_and_schemes_apart"),
        ("rates are in no identity", "operations[site], rates[site]] for", "operations[site]] for", f"{DEFENDED}identity_tells_networks_and_schemes_apart"),
        ("another draw acts on the way back", "if _now.get() is None and torch._C._current_graph_task_id() != -1:\n                    raise SiteError", "if False:\n                    raise SiteError",
         f"{DEFENDED}a_site_that_is_passed_again_on_the_way_back_is_refused"),
        ("logits that are no numbers pass", "    if len(bad):\n", "    if False:\n", f"{DEFENDED}logits_that_are_no_numbers_are_refused"),
        ("every pass has the network's own tensors", "for name in self.handling.copies:", "for name in ():", f"{BY_ITSELF}the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was"),
        ("attributes are the network's own", "                        held[last] = made[tensor]\n", "                        pass\n", f"{BY_ITSELF}the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was"),
        ("what a pass puts in the place of a tensor stays", "                    stack.callback(held.__setitem__, last, tensor)\n", "                    pass\n", f"{BY_ITSELF}the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was"),
        ("a buffer that a pass makes stays", "                    stack.callback(held.pop, last, None)\n", "                    pass\n", f"{BY_ITSELF}the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was"),
        ("a tensor of two names is two", "                    if tensor not in made:\n", "                    if True:\n", f"{BY_ITSELF}what_is_written_under_one_of_two_names_is_read_under_both"),
        ("what is drawn is written into the network", "            return functional_call(_Drawing(network, draw)", "            draw(network)\n            return functional_call(_Drawing(network, _nothing)", f"{BY_ITSELF}the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was"),
        ("what passes change is not found out of the first", "            self._find_out(x)\n", "            pass\n", f"{BY_ITSELF}the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was"),
        ("what fills a module of two paths stays", ", (x,), tie_weights=False)", ", (x,))", f"{BY_ITSELF}a_tensor_of_two_names_may_be_filled"),
        ("a copy stands where something is filled", "elif (module, last) not in set_already:", "else:", f"{BY_ITSELF}a_tensor_of_two_names_may_be_filled"),
        ("a pass writes into the caller's images", "if self.handling.copy_images:", "if False:", f"{BY_ITSELF}a_pass_that_writes_into_its_images_gets_copies_and_no_other_does"),
        ("every pass gets a copy of its images", "if self.handling.copy_images:", "if True:", f"{BY_ITSELF}a_pass_that_writes_into_its_images_gets_copies_and_no_other_does"),
        ("batches are of any size", "if size is None or len(x) == size:", "if True:", f"{BY_ITSELF}batches_are_padded_to_the_size_that_passes_and_each_image_has_its_own_logits"),
        ("what pads a batch has logits", "[self._answer(c)[: len(given)] for", "[self._answer(c) for", f"{BY_ITSELF}batches_are_padded_to_the_size_that_passes_and_each_image_has_its_own_logits"),
        ("a twin draws", "other.handling, other.off, other.state = None, True, None", "other.handling, other.off, other.state = None, False, None", f"{BY_ITSELF}a_twin_draws_nothing"),
        ("a submodule's twin is the whole network", "other.network, other.sites, other.outputs = self.network.get_submodule(own.off), {}, None", "other.network, other.sites, other.outputs = self.network, {}, None", f"{BY_ITSELF}images_are_those_that_the_twin_gets_right"),
        ("a stand-in acts in everybody's passes", "return hook(*given) if _now.get() == number else None", "return hook(*given)", f"{BY_ITSELF}a_stand_in_leaves_the_logits_and_gives_its_gradient"),
        ("what draws is passed again on the way back", "if _now.get() is None and torch._C._current_graph_task_id() != -1:\n        raise OwnError", "if False:\n        raise OwnError", f"{BY_ITSELF}a_network_that_is_passed_again_on_the_way_back_is_refused"),
        ("attributes are set in another thread's pass", "return process.alone if network in _by_themselves else contextlib.nullcontext()", "return contextlib.nullcontext()", f"{BY_ITSELF}models_and_twins_of_one_network_in_several_threads_each_get_their_own_outputs"),
        ("how a network draws is in no identity", "        said |= {key: _plain(getattr(own, key)) for key in keys}\n", "        pass\n", f"{BY_ITSELF}identity_tells_apart_how_a_network_draws"),
        ("stand-ins are in no identity", '{"stand_ins": dict(own.stand_ins)} if own.stand_ins else {}', "{}", f"{BY_ITSELF}identity_tells_apart_how_a_network_draws"),
        ("what is set for a twin is in no identity", '        said["off"] = _plain(own.off)\n', "        pass\n", f"{BY_ITSELF}identity_tells_apart_how_a_network_draws"),
    ],
    "bench/__init__.py": [
        ("warnings are printed where nobody listens", 'logging.getLogger("bench").addHandler(logging.NullHandler())\n', "", f"{API}nothing_is_printed_not_even_a_warning"),
        ("a public name is gone", '    "measure",\n', "", f"{API}the_public_names_are_a_dozen"),
        ("public names are not listed", "return sorted({*globals(), *__all__})", "return sorted(globals())", f"{API}the_public_names_are_a_dozen"),
    ],
    "bench/api.py": [
        ("measuring takes images alone as random", "    shared = drawn is not None and drawn.shared\n", "    shared = False\n", f"{SHARED}measuring_takes_draws_as_random_too"),
        ("nothing is kept", "kept=store is not None, progress=progress,", "kept=False, progress=progress,", f"{API}a_folder_keeps_and_the_second_call_makes_no_pass_of_an_attack"),
        ("more draws are asked for where nothing is random", "            call.draws if behind.random else 1,\n", "            call.draws,\n", f"{API}what_is_measured_without_randomness_is_one_pass"),
        ("measuring has draws of its own", 'fingerprint.derive_seed(call.seed, "evaluation")', 'fingerprint.derive_seed(call.seed, "measure")', f"{API}measuring_the_samples_gives_what_evaluating_gave"),
        ("success is a count", "one.success / one.draws for", "one.success for", f"{API}success_is_the_share_of_draws_that_each_image_fools"),
        ("a failed attack has samples", '            if record["status"] == OK:\n', "            if True:\n", f"{API}an_attack_that_fails_is_a_row_with_its_reason"),
        ("a dataset's options are its file's", "    config.dataset.options |= options\n", "", f"{API}bad_input_is_one_line[option]"),
        ("measuring takes batches that fail", "            probe.check_draws(behind, drawn)\n", "", f"{BY_ITSELF}a_batch_size_that_fails_is_one_line"),
    ],
    "bench/given.py": [
        ("an epsilon of a pair is ignored", "        config.epsilon = epsilon[0]\n", "        pass\n", f"{API}attacks_are_names_objects_and_pairs"),
        ("two of one name replace each other", "        if names.count(name) > 1:\n", "        if False:\n", f"{API}attacks_are_names_objects_and_pairs"),
        ("any bounds will do", "if not isinstance(bounds, Sequence) or tuple(bounds) != (0, 1):", "if False:", f"{API}bad_input_is_one_line[bounds]"),
        ("preprocessing is left out", "preprocessing=preprocessing, outputs=outputs, passes", "outputs=outputs, passes", f"{API}another_range_goes_by_preprocessing"),
        ("grey levels are images", "or x.min() < 0 or x.max() > 1:", "or x.min() < 0:", f"{API}bad_input_is_one_line[range]"),
        ("an operation of one's own is dropout", "        found[str(site)] = operation, strength\n", '        found[str(site)] = targets.make("scheme.operation", "bench.schemes.Dropout", {}, STRANGER.trusted), strength\n',
         f"{API}a_scheme_is_rates_operations_or_a_name"),
        ("anything is a twin", "if not isinstance(given.twin, nn.Module | defended.Defended | None):", "if False:", f"{BY_ITSELF}what_a_network_has_not_got_is_one_line"),
        ("a class that can't be made is a traceback", '    except Exception as error:\n        words = f"{type(error).__name__}', '    except ZeroDivisionError as error:\n        words = f"{type(error).__name__}', f"{BY_ITSELF}what_a_network_has_not_got_is_one_line"),
    ],
    "bench/calling.py": [
        ("wrong targets are taken", "or (found == images.y).any():", "or False:", f"{API}bad_input_is_one_line[own_label]"),
        ("random targets are of the images' order", "labels[places] = images.y\n    return criteria.random_targets(labels, classes, fingerprint.derive_seed(seed, \"targets\"))[places]",
         "return criteria.random_targets(images.y, classes, fingerprint.derive_seed(seed, \"targets\"))", f"{API}the_library_finds_what_the_command_finds[attack=cw_l2]"),
        ("samples of another attack are found", '"attack": [*self.attack_identity(named), named.config.epsilon],', '"attack": [named.config.epsilon],', f"{API}a_folder_keeps_and_the_second_call_makes_no_pass_of_an_attack"),
        ("samples of another network are found", '            "defended": self.identity,\n            "attack": [*self', '            "attack": [*self', f"{API}a_folder_keeps_and_the_second_call_makes_no_pass_of_an_attack"),
        ("generators are drawn on", "        process.seeded(0, where),\n", "", f"{API}a_network_that_draws_by_itself_is_refused_and_draws_nothing"),
        ("the default type stays", "        attacking.settings_kept(),\n", "", f"{API}everything_is_as_it_was_in_double_precision"),
        ("the caller's autocast acts", "        torch.autocast(where.type, enabled=False),\n", "", f"{API}a_call_inside_autocast_finds_what_it_finds_outside"),
        ("gradients are off where they were", "        torch.inference_mode(False),\n", "", f"{API}everything_is_as_it_was"),
        ("samples of another twin are found", '            **({"twin": self.twin_identity} if self.defended.draws_itself else {}),\n', "", f"{BY_ITSELF}a_folder_finds_it_again_though_passes_were_made_in_between"),
        ("what passes leave is of the twin's identity", "others = found.scheme.changes if twin.network is defended.network else ()", "others = ()", f"{BY_ITSELF}a_folder_finds_it_again_though_passes_were_made_in_between"),
        ("what passes change is of the network's identity", "return () if self.defended.handling is None else self.defended.handling.copies", "return ()", f"{BY_ITSELF}a_folder_finds_it_again_though_passes_were_made_in_between"),
    ],
    "bench/outcomes.py": [
        ("a measurement says accuracy for success", '("success", "fresh_success_pct")', '("success", "fresh_accuracy_pct")', f"{API}what_is_measured_without_randomness_is_one_pass"),
        ("the worst case has an interval of images alone", 'if any("shared" in record.get("draws", {}) for record in self.records.values()):', "if False:", f"{SHARED}the_worst_case_has_no_interval_there"),
        ("the worst case is scored on all draws", "scored[name] = tuple(both - half if call.defended.random else both)", "scored[name] = tuple(both)", f"{API}the_worst_case_is_chosen_on_one_half_of_the_draws_and_scored_on_the_other"),
        ("the worst case is the weakest", "if half[0, row] > fooled[image]:", "if fooled[image] < 0 or half[0, row] < fooled[image]:", f"{API}the_worst_case_is_chosen_on_one_half_of_the_draws_and_scored_on_the_other"),
        ("the worst case is of the last image", 'enumerate(self.records[name]["images"]["indices"])', 'enumerate(self.records[name]["images"]["indices"][::-1])', f"{API}all_targets_leave_the_strongest_of_each_image"),
        ("a single draw chooses and scores", "        if call.defended.random and draws < 2:\n", "        if False:\n", f"{API}the_worst_case_needs_draws_to_choose_by"),
    ],
    "bench/opened.py": [
        ("images are the dataset's own memory", "torch.tensor(unit(x[:count]))", "torch.from_numpy(unit(x[:count]))", f"{API}images_come_as_tensors_that_the_network_gets_right"),
        ("the first images are taken, right or wrong", "np.flatnonzero((outputs.argmax(-1) == labels).numpy())[:count]", "np.arange(len(labels))[:count]", f"{API}images_come_as_tensors_that_the_network_gets_right"),
        ("cells without samples have some", 'for record in self._sweep.cells if record["status"] == OK)', "for record in self._sweep.cells)", f"{API}a_sweep_is_opened_with_its_cells_table_and_samples"),
        ("a twin that goes on drawing gets nothing right", "                if one.draws_itself:\n", "                if False:\n", f"{BY_ITSELF}images_are_those_that_the_twin_gets_right"),
    ],
    "bench/results/files.py": [
        ("a checkpoint's hash is not checked", "    if not matches:\n", "    if False:\n", f"{FIT}damaged_checkpoint_is_set_aside_and_trained_again"),
        ("a checkpoint under another's name is taken", 'if held["kind"] != kind or held["key"] != key:', "if False:", f"{FIT}damaged_checkpoint_is_set_aside_and_trained_again"),
        ("a record's hash is not checked", 'if found.pop("sha256", None) != fingerprint.digest(found):', 'if found.pop("sha256", None) is None:',
         f"{DAMAGES}[record-another-number]"),
        ("a look's hash is not checked", 'if found.pop("sha256", None) != fingerprint.digest(found):', 'if found.pop("sha256", None) != fingerprint.digest(found) and kind != "looks":',
         f"{DAMAGES}[looks-another-number]"),
        ("another's record is taken", 'if found["kind"] != kind or (key is not None and found["key"] != key):', "if False:", f"{DAMAGES}[records-another's]"),
        ("what an earlier version kept is damaged", "_version(1), earlier=True)", "_version(1))", f"{DEPENDS}records_of_an_earlier_version_are_said_once_and_stay"),
        ("files don't follow the umask", "        temporary.chmod(mode)\n", "        temporary.chmod(0o600)\n", f"{DEPENDS}files_follow_the_umask_and_nothing_is_left_of_a_failed_write"),
        ("something is left of a failed write", "            temporary.unlink(missing_ok=True)\n", "            pass\n", f"{DEPENDS}files_follow_the_umask_and_nothing_is_left_of_a_failed_write"),
        ("files are written in place", "        write(temporary)\n", "        write(path)\n        write(temporary)\n", f"{STORE}a_file_is_written_whole_or_not_at_all"),
    ],
    "bench/results/store.py": [
        ("samples of another size count as done", "        if found != size:\n", "        if False:\n", f"{STORE}only_a_finished_cell_with_its_samples_counts_as_done"),
        ("a failed cell counts as done", 'if record is None or record["status"] != OK:', "if record is None:", f"{STORE}only_a_finished_cell_with_its_samples_counts_as_done"),
        ("a record without its samples counts as done", "        if found is None and not os.path.lexists(path):\n            return None", "        if found is None and not os.path.lexists(path):\n            return record",
         f"{STORE}only_a_finished_cell_with_its_samples_counts_as_done"),
        ("what is kept is made again each time", "            return self.kept(kind, key)\n", "            self.kept(kind, key)\n", f"{STORE}what_was_made_of_the_same_things_is_not_made_again"),
        ("a lock is taken before one's turn", "with process.alone, locked(", "with locked(", f"{PROCESS}threads_that_want_one_lock_and_their_turn_do_not_wait_for_each_other"),
        ("of two that want the same, both make it", "with contextlib.nullcontext() if kind == LOOKS else self.lock(key):", "if True:", f"{STORE}of_two_that_want_the_same_tensors_one_waits_for_the_other {FIT}two_that_ask_at_once_train_once"),
        ("what decides is not in the key", '"kind": kind, **decides})', '"kind": kind})', f"{STORE}what_was_made_of_the_same_things_is_not_made_again"),
        ("any samples are those that a record names", 'if record["samples"]["content"] != fingerprint.hash_tensors(kept.values):', "if False:",
         f"{STORE}samples_that_a_record_does_not_name_are_not_its_own"),
        ("what a killed process left is never cleared away", "> FORGOTTEN_SECONDS:", "> 1e9:", f"{DEPENDS}files_follow_the_umask_and_nothing_is_left_of_a_failed_write"),
    ],
    "bench/measuring/intervals.py": [
        ("a paired difference has no images added", "[1.0, -1.0, 0.0]])\n    weights = np.concatenate([np.ones(len(differences)), [0.5, 0.5, 1.0]])", "[1.0, -1.0, 0.0]])\n    weights = np.concatenate([np.ones(len(differences)), [1e-9, 1e-9, 1e-9]])", f"{INTERVALS}differences_that_are_all_nothing_have_an_interval_of_some_width"),
        ("passes of a difference are alike", "variance = max(between + of_passes - both, between, of_passes)", "variance = between", f"{INTERVALS}a_paired_difference_by_pass_has_the_two_way_clustered_variance"),
        ("images of a cluster are apart", "        away = np.bincount(np.unique(groups, return_inverse=True)[1], away).astype(float)\n", "        pass\n", f"{INTERVALS}images_of_a_cluster_go_together"),
        ("p-values are as they are", "(len(p_values) - place) * p_values[which]", "p_values[which]", f"{INTERVALS}holm_raises_p_values_as_published"),
        ("pseudo-values weigh a pass once", "passes * whole - (passes - 1) * without", "whole - without", f"{INTERVALS}pseudo_values_of_a_mean_are_its_draws"),
        ("intervals ignore that rows share an image", "    if groups is None:\n", "    if True:\n", "tests/measuring/test_intervals.py::test_rows_of_one_image_count_as_one_image"),
        ("90 % interval called 95 %", "stats.norm.ppf(0.975)", "stats.norm.ppf(0.95)", "tests/measuring/test_intervals.py::test_interval_of_a_proportion_is_wilsons"),
        ("images that agree have no width", "effective = min(draws, mean * (1 - mean) / variance * (Z / t) ** 2)", "effective = mean * (1 - mean) / 1e-30",
         "tests/measuring/test_intervals.py::test_images_that_agree_have_the_interval_of_all_their_draws"),
        ("cells of the same images are independent", "zip(*estimates, strict=True)))", "zip(*estimates[:1], strict=True)))",
         "tests/measuring/test_intervals.py::test_a_mean_over_cells_of_the_same_images_is_no_surer_than_they_are"),
        ("differences are the other way round", "centre = one.mean - other.mean", "centre = other.mean - one.mean",
         "tests/measuring/test_intervals.py::test_interval_of_a_difference_is_newcombes"),
        ("draws that are shared are no more random than before", "variance = max(images + between - both, images, between)", "variance = images",
         "tests/measuring/test_intervals.py::test_shared_draws_have_the_two_way_clustered_variance"),
        ("what images and draws have in common counts twice", "max(images + between - both, images, between)", "max(images + between, images, between)",
         "tests/measuring/test_intervals.py::test_shared_draws_have_the_two_way_clustered_variance"),
        ("a variance may be less than one of its parts", "max(images + between - both, images, between)", "max(images + between - both, 0.0)",
         "tests/measuring/test_intervals.py::test_shared_draws_have_the_two_way_clustered_variance"),
        ("few draws tell as much as many images", "telling = min(_telling(means), _telling(shares))", "telling = _telling(means)",
         "tests/measuring/test_intervals.py::test_shared_draws_have_the_two_way_clustered_variance"),
        ("what holds in all of two draws is certain", "passes, min(_at_least(of_image), draws))", "passes, _at_least(of_image))",
         "tests/measuring/test_intervals.py::test_no_share_of_shared_draws_is_certain"),
        ("counts of other passes make an interval", "    if by_image.sum() != by_draw.sum():\n", "    if False:\n",
         "tests/measuring/test_intervals.py::test_counts_of_other_passes_make_no_interval"),
    ],
    "bench/measuring/ranks.py": [
        ("holes are figures", "both = one.notna() & other.notna()", "both = one.notna() | other.notna()", "tests/measuring/test_ranks.py::test_rank_correlation_leaves_holes_out"),
        ("two entries are enough", "if both.sum() < 3", "if both.sum() < 2", "tests/measuring/test_ranks.py::test_rank_correlation_is_of_ranks_and_needs_three_of_them"),
        ("values, not ranks", "stats.spearmanr(", "stats.pearsonr(", "tests/measuring/test_ranks.py::test_rank_correlation_is_of_ranks_and_needs_three_of_them"),
    ],
    "bench/attacking.py": [
        ("a handler of logging's stays", "            logging.root.removeHandler(added)\n", "            pass\n", f"{API}an_attack_that_logs_leaves_no_handler_that_prints"),
        ("a whole batch is attacked again one by one", "if len(images) == 1 or whole_batches:", "if len(images) == 1:",
         f"{ATTACKING}a_batch_without_a_point_to_start_from_is_attacked_again_one_by_one_or_as_a_whole_given_up"),
        ("whole batches get smaller towards the last success", "if successes is None or whole_batches else", "if successes is None else",
         f"{ATTACKING}whole_batches_are_of_one_size_while_successes_are_counted"),
        ("the bar waits for the end of a batch", "    if successes is None and _ours(run)", "    if False and _ours(run)", "tests/test_attacking.py::test_the_bar_moves_while_a_batch_is_attacked"),
        ("a pass without numbers is passed over", "    if passes.not_finite:\n", "    if False:\n", "tests/test_foreign.py::test_a_pass_of_the_attack_without_numbers_fails_the_cell"),
        ("gradients of zero are not counted", "np.concatenate(told)[:kept]", "np.concatenate(told)[:0]",
         "tests/test_foreign.py::test_images_without_a_gradient_are_counted_and_said"),
        ("an attack may change the network", "if fingerprint.hash_tensors(model.state_dict()) != before:", "if False:",
         "tests/test_foreign.py::test_what_cannot_be_used_fails_the_cell_in_one_line"),
        ("NaN samples not given up", "given_up = blank | ~flat.isfinite().all(1)", "given_up = blank", f"{KEPT}what_is_no_image_is_given_up_and_not_claimed"),
        ("blank samples not given up", "given_up = blank | ~flat.isfinite().all(1)", "given_up = ~flat.isfinite().all(1)", f"{KEPT}what_is_no_image_is_given_up_and_not_claimed"),
        ("global generators not seeded", "with bar, seeded(seed, device):", "with bar:", "tests/test_run.py::test_every_launcher_gives_the_same_records"),
        ("a success too many", "np.flatnonzero(claimed)[successes - 1]) + 1", "np.flatnonzero(claimed)[successes]) + 1", f"{KEPT}as_many_successes_as_were_asked_for_and_none_after"),
        ("an image after the last success", "np.flatnonzero(claimed)[successes - 1]) + 1", "np.flatnonzero(claimed)[successes - 1]) + 2", f"{KEPT}as_many_successes_as_were_asked_for_and_none_after"),
        ("the attack gets the images themselves", "run(victim, images.clone(), goal(batch)", "run(victim, images, goal(batch)",
         f"{FOREIGN}a_step_beyond_epsilon_finds_nothing"),
        ("an attack may put modules into the network", "if list(model.named_modules()) != modules:", "if False:",
         f"{ATTACKING}an_attack_that_puts_another_module_into_the_network_is_said"),
        ("grey levels are attacked as they are", "given = unit(images[batch]).to(device)", "given = images[batch].float().to(device)",
         f"{ATTACKING}grey_levels_are_scaled_a_batch_at_a_time"),
        ("a step beyond epsilon counts", "lost = given_up | too_far\n", "lost = given_up\n", "tests/test_foreign.py::test_a_step_beyond_epsilon_finds_nothing"),
    ],
    "bench/axes.py": [
        ("training is nobody's", 'a file in conf/training", "defender",', 'a file in conf/training", None,', "tests/results/test_sweep.py::test_every_axis_is_somebodys_choice_or_nobodys"),
        ("the attack's settings are the defender's", '"attacker", group=True)', '"defender", group=True)', "tests/results/test_sweep.py::test_every_axis_is_somebodys_choice_or_nobodys"),
        ("rates are nobody's", '"defender", rate=True, at_test=True)', "rate=True, at_test=True)", "tests/results/test_sweep.py::test_every_axis_is_somebodys_choice_or_nobodys tests/analysis/test_game.py"),
        ("networks of several rates in training are one", 'the model\'s own rates", "defender", rate=True)', 'the model\'s own rates", "defender", rate=True, at_test=True)',
         "tests/results/test_sweep.py::test_every_axis_is_somebodys_choice_or_nobodys"),
    ],
    "bench/results/columns.py": [
        ("shares are not per cent", "else self.scale * found", "else found", "tests/results/test_columns.py::test_a_new_column_is_one_line tests/analysis/test_summary.py::test_every_cell_of_a_sweep_is_a_row_whatever_became_of_it"),
        ("what an older record lacks is an error", "if not isinstance(found, Mapping) or key not in found:", "if not isinstance(found, Mapping):",
         "tests/results/test_columns.py::test_a_record_of_before_a_column_leaves_it_empty_and_no_other"),
        ("a column without its interval", "        if not self.interval:\n", "        if True:\n", "tests/results/test_columns.py::test_a_new_column_is_one_line"),
        ("a column that the reference explains otherwise", '"wall time of the attack on all images, s"', '"seconds of the attack"', "tests/test_reference.py::test_a_page_is_what_the_code_says[columns.md]"),
    ],
    "bench/results/sweep.py": [
        ("devices are mixed without a word", '"differing": 2}', '"differing": 3}', "tests/test_depends.py::test_a_table_that_mixes_devices_says_so"),
        ("settings of two sweeps are compared within a name alone", 'if of_file else ("", "")', "if of_file else (section, str(chosen))",
         "tests/results/test_sweep.py::test_what_differs_together_with_a_name_and_is_not_of_its_file_is_a_column"),
        ("settings that are of no file come with one", "and setting not in groups[section].common", "and True",
         "tests/results/test_sweep.py::test_what_differs_together_with_a_name_and_is_not_of_its_file_is_a_column"),
        ("a store that isn't there is an empty one", "        if where is None:\n", "        where = where or beside[0]\n        if False:\n",
         "tests/test_depends.py::test_a_sweep_without_its_store_keeps_its_table"),
        ("a swept setting is no column", "if len(values) > 1 or values.total() + without[key] < cells", "if False and cells", "tests/results/test_sweep.py::test_a_swept_setting_becomes_a_column_and_others_do_not"),
        ("the store's path is absolute", "os.path.relpath(store.folder, results)", "os.path.abspath(store.folder)",
         "tests/results/test_sweep.py::test_folders_can_be_moved_together"),
        ("records are read for every table", "    @cached_property\n", "    @property\n", "tests/results/test_sweep.py::test_a_sweep_reads_each_record_once"),
        ("a failed cell leaves a sweep whole", "SETTLED = (OK, NOT_APPLICABLE)", "SETTLED = (OK, NOT_APPLICABLE, 'failed', MISSING)",
         "tests/analysis/test_summary.py::test_every_cell_of_a_sweep_is_a_row_whatever_became_of_it"),
    ],
    "bench/analysis/summary.py": [
        ("holes are printed without a reason", 'frame.loc[frame["status"] != OK, "reason"]', 'frame.loc[frame["status"] == OK, "reason"]',
         "tests/analysis/test_summary.py::test_every_cell_of_a_sweep_is_a_row_whatever_became_of_it"),
        ("a sweep without a record loses its table", '(found.frame["status"] == MISSING).all()', "False", f"{CLI}a_table_says_what_is_missing_and_whether_a_sweep_is_whole"),
        ("records that are missing are not said", "    found.say_missing(sweep)\n", "", f"{CLI}a_table_says_what_is_missing_and_whether_a_sweep_is_whole"),
        ("a library that prints", "    said = terminal(table)\n", "    said = terminal(table)\n    print(said)\n",
         "tests/analysis/test_summary.py::test_every_cell_of_a_sweep_is_a_row_whatever_became_of_it"),
        ("drawing is imported before a table is printed", "from bench.results import files as records\n", "from bench.analysis import figures as figures\nfrom bench.results import files as records\n",
         "tests/analysis/test_summary.py::test_a_table_is_printed_without_what_runs_attacks_or_draws"),
    ],
    "bench/analysis/progress.py": [
        ("ten passes take as long as one", 'int(config["scheme"].get("passes", 1))', "1", "tests/analysis/test_progress.py::test_ten_passes_an_answer_take_ten_times_as_long"),
        ("what an earlier sweep has left counts for the time", "if stamp.st_mtime >= start}", "}", f"{PROGRESS}what_an_earlier_run_has_left_took_no_time_and_tells_of_it"),
        ("networks to train take no time", "self.untrained * each *", "0 * each *", f"{PROGRESS}networks_that_are_not_trained_yet_take_as_long_as_those_that_are"),
        ("every attack takes as long", "lambda c: c[\"samples\"] * _each(c) * _passes(c))", "lambda c: c[\"samples\"] * _each(c))", f"{PROGRESS}an_attack_that_was_not_run_yet_takes_as_long_as_its_passes_say"),
        ("a cell's training is its own time", "        total -= max(", "        total -= 0 * max(", f"{PROGRESS}networks_that_are_not_trained_yet_take_as_long_as_those_that_are"),
        ("the cross recognition takes no time", "expected.passes(_pairs(entries)) if transfer else 0.0", "0.0", f"{PROGRESS}the_cross_recognition_is_left_too"),
        ("what isn't random is drawn too", "return 1 if fixed and", "return 1 if False and", f"{PROGRESS}where_nothing_is_random_an_image_is_passed_once"),
        ("a minute and a half is a minute", "if seconds >= 120:", "if seconds >= 30:", f"{PROGRESS}under_two_minutes_it_is_seconds"),
    ],
    "bench/analysis/keep.py": [
        ("single draws are kept", "if n != SINGLE_DRAWS}", "}", "tests/analysis/test_keep.py::test_what_is_kept_gives_the_same_tables_without_samples_and_networks_whatever_the_version"),
        ("of two looks any is kept", "key=lambda path: path.stat().st_mtime_ns", "key=lambda path: path.name",
         "tests/analysis/test_keep.py::test_of_two_looks_that_were_asked_the_same_the_later_one_is_kept"),
        ("others' looks are kept", "return not samples or samples in [", "return True or samples in [",
         "tests/analysis/test_keep.py::test_what_is_kept_gives_the_same_tables_without_samples_and_networks_whatever_the_version"),
        ("what is not whole is kept", "        if lost:\n", "        if False:\n", "tests/analysis/test_keep.py::test_what_cannot_be_kept_is_one_line"),
        ("folders of a machine are kept", 'record.pop("traceback", None)', "pass", "tests/analysis/test_keep.py::test_a_failed_cell_is_kept_without_what_speaks_of_its_machine"),
        ("a store that is worked in becomes one that was kept", "if store.folder.exists() and not store.reference:", "if False:",
         "tests/analysis/test_keep.py::test_what_cannot_be_kept_is_one_line"),
    ],
    "bench/analysis/figures/drawing.py": [
        ("a name with dollars is a formula", r'str(text).replace("$", r"\$")', "str(text)", "tests/analysis/test_figures.py::test_a_name_with_dollars_is_no_formula"),
        ("names that are alike share a picture", '    return f"{slug}-{_hash(str(value))}".strip("-")', "    return slug", "tests/analysis/test_figures.py::test_every_name_has_a_picture_of_its_own"),
        ("long names end where the file system cuts them", 'f"{name[:190]}-{_hash(name)}"', "name[:190]", "tests/analysis/test_figures.py::test_every_name_has_a_picture_of_its_own"),
        ("a letter that the font lacks is said", '"Glyph |constrained', '"constrained', "tests/analysis/test_figures.py::test_a_name_with_dollars_is_no_formula"),
    ],
    "bench/analysis/figures/matrices.py": [
        ("rows and columns of a heatmap are swapped", 'kinds.insert(0, ("attack", "scheme"))', 'kinds.insert(0, ("scheme", "attack"))',
         "tests/analysis/test_figures.py::test_heatmap_shows_each_value_in_its_place_and_each_hole_with_its_reason"),
        ("pictures of an earlier call stay", "        old.unlink()\n", "        pass\n", "tests/analysis/test_figures.py::test_pictures_of_an_earlier_call_are_removed"),
        ("the default rate has no name", 'lambda v: "default" if pd.isna(v) else', "lambda v:", "tests/analysis/test_figures.py::test_heatmap_of_rates_is_ordered_by_size_with_the_default_first"),
        ("a hole has no reason", "words[i, j] = _hole(cell)", 'words[i, j] = ""', "tests/analysis/test_figures.py::test_heatmap_shows_each_value_in_its_place_and_each_hole_with_its_reason"),
    ],
    "bench/analysis/figures/plots.py": [
        ("pixels share a colour", '"deep" if len(pixels) <= 10 else "husl"', '"deep"', "tests/analysis/test_figures.py::test_every_pixel_s_gradient_has_a_colour_of_its_own"),
        ("rates are drawn in the sweep's order", '.sort_values("test_rate")', "", "tests/analysis/test_figures.py::test_curves_run_along_the_rates_and_carry_their_intervals"),
        ("an interval is drawn around its mean", 'line[f"{column}_{end}"].astype(float)', "line[column].astype(float)", "tests/analysis/test_figures.py::test_curves_run_along_the_rates_and_carry_their_intervals"),
    ],
    "bench/probe.py": [
        ("a network that draws by itself passes", "    if not _same(outputs, again):\n", "    if False:\n", "tests/test_foreign.py::test_a_bad_network_is_refused_before_training"),
        ("an image's logits may depend on its batch", "    if not _near(alone, outputs):\n", "    if False:\n",
         "tests/test_foreign.py::test_a_bad_network_is_refused_before_training"),
        ("an operation draws from the global generator", "    if moved:\n", "    if False:\n", "tests/test_foreign.py::test_a_bad_operation_is_refused_before_training"),
        ("another thread may draw meanwhile", "    with process.alone:\n", "    if True:\n", f"{FOREIGN}what_another_thread_draws_meanwhile_is_not_held_against_a_network"),
        ("an operation sets its generator back", "if draws and torch.equal(after, later) and not", "if False and not", "tests/test_foreign.py::test_a_bad_operation_is_refused_before_training"),
        ("an operation may mix the images of a batch", "        if not _near(alone[:1], company[:1]):\n", "        if False:\n", "tests/test_foreign.py::test_an_operation_that_mixes_the_images_of_a_batch_is_said"),
        ("a dead operation passes", "        if draws and torch.equal(first, other) and not idle:\n", "        if False:\n",
         "tests/test_foreign.py::test_a_site_that_no_output_depends_on_is_refused tests/test_foreign.py::test_a_bad_operation_is_refused_before_training"),
        ("a site may be reached in no pass", "        if not seen:\n", "        if False:\n", f"{FOREIGN}a_site_that_no_pass_reaches_or_that_gives_no_tensor_is_refused"),
        ("a site may give no tensor", "        if not isinstance(seen[0], tuple):\n", "        if False:\n", f"{FOREIGN}a_site_that_no_pass_reaches_or_that_gives_no_tensor_is_refused"),
        ("a twin may be random", '        if found.shared_by != "nothing":\n', "        if False:\n", f"{BY_ITSELF}what_would_give_a_wrong_result_is_refused_in_one_line"),
        ("draws that no seed reaches pass", "if not found.repeats and own.seeded:", "if False:", f"{BY_ITSELF}what_would_give_a_wrong_result_is_refused_in_one_line"),
        ("seeded: false helps nobody", "if not found.repeats and own.seeded:", "if not found.repeats:", f"{BY_ITSELF}what_is_found_of_the_draws_stands_in_the_record_and_is_said"),
        ("what draws nothing is a defence", 'if found.shared_by == "nothing" and trained:', "if False:", f"{BY_ITSELF}what_would_give_a_wrong_result_is_refused_in_one_line"),
        ("a twin may have other outputs", "    if others != outputs:\n", "    if False:\n", f"{BY_ITSELF}what_would_give_a_wrong_result_is_refused_in_one_line"),
        ("batches that fail are no matter", "    if largest in found.sizes:\n", "    if False:\n", f"{BY_ITSELF}a_batch_size_that_fails_is_one_line"),
        ("passes have to differ before training", "surely = trained or not (", "surely = True or not (", f"{BY_ITSELF}what_may_be_nothing_yet_before_training_needs_only_to_be_drawn"),
        ("before training nothing need be drawn", "surely = trained or not (", "surely = trained or False and not (", f"{BY_ITSELF}what_may_be_nothing_yet_before_training_needs_only_to_be_drawn"),
        ("batches of one size are none", "        if failing:\n            raise\n", "        raise\n", f"{BY_ITSELF}a_network_that_takes_batches_of_one_size_gets_no_others"),
        ("trying a batch leaves its traces in the network", "        with watching.watched(defended.network):\n            failing", "        if True:\n            failing", f"{BY_ITSELF}a_network_that_takes_batches_of_one_size_gets_no_others"),
    ],
    "bench/parts.py": [
        ("an attack is told twice how many draws make a gradient", "    if GRADIENT_DRAWS in config.options:\n", "    if False:\n",
         f"{FOREIGN}an_attack_that_averages_by_itself_is_told_how_many_draws_and_the_others_are_made_to"),
        ("samples' key without the draws to a gradient", '{} if config.eot is None else {"eot"', '{} if True else {"eot"',
         f"{KEYS}several_draws_to_a_gradient_are_another_cell_and_none_are_the_one_that_it_was"),
        ("samples' key without the code that averages", '"eot": [config.eot, fingerprint.code(eot)]', '"eot": [config.eot]', f"{KEYS}draws_to_a_gradient_are_averaged_by_code_that_stands_in_the_key"),
        ("samples' key without the version of an attack's library", '{"peers": dict(peers)} if isinstance', '{} if isinstance',
         f"{KEYS}another_version_of_the_library_of_an_attack_is_another_cell_of_the_same_network"),
        ("sites that the model lacks are passed over", "            if site not in found:\n                raise NotApplicable", "            if False:\n                raise NotApplicable",
         "tests/test_run.py::test_bad_settings_get_one_line_and_no_training"),
        ("test_rate ignored", "rate if config.test_rate is None else config.test_rate", "rate", "tests/test_cell.py::test_train_rate_of_a_scheme_with_train_sites_is_dropout_there"),
        ("train_rate ignored", "    if config.train_rate is not None:\n        its_own", "    if False:\n        its_own", "tests/test_cell.py::test_train_rate_of_a_scheme_with_train_sites_is_dropout_there"),
        ("checkpoint's key without the data", '        "data": data.fingerprint,\n', "",
         f"{KEYS}other_data_is_another_network_and_another_cell"),
        ("foreign weights' key without the seed", ', "seed": given.seed}', "}",
         f"{KEYS}a_network_that_nobody_trains_stands_by_its_seed_whatever_was_tried_before"),
        ("checkpoint's key without the versions", '        "versions": fingerprint.versions(),\n', "",
         f"{KEYS}another_version_is_another_network_and_another_cell"),
        ("checkpoint's key without the code of training", '"code": fingerprint.code(fit, type(made), target),', '"code": "",',
         f"{KEYS}samples_outlive_an_edit_of_what_measures_and_of_nothing_else"),
        ("a network draws in training whatever is said", "drawn, off = own(config), not config.scheme.train_draws", "drawn, off = own(config), False", f"{BY_ITSELF}a_network_draws_in_training_where_its_scheme_says_so"),
        ("how a network draws in training is in no key", 'settings |= {} if said is None else {"own": said}', "settings |= {}", f"{BY_ITSELF}a_network_draws_in_training_where_its_scheme_says_so"),
        ("a mode at test time is another training", "stand_ins={}, train_mode=())", "stand_ins={})", f"{BY_ITSELF}a_network_draws_in_training_where_its_scheme_says_so"),
        ("a function is a class of modules", "        if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, nn.Module)):\n            raise ConfigError", "        if False:\n            raise ConfigError", f"{BY_ITSELF}a_file_that_can_not_be_is_one_line_before_anything_runs"),
        ("what a network hasn't got is a mistake", "        raise NotApplicable(error.line) from None\n", "        raise ConfigError(error.line) from None\n", f"{BY_ITSELF}a_file_that_can_not_be_is_one_line_before_anything_runs"),
        ("another network as the twin is none", "    if named is not None or drawn.off is None:\n        return named\n", "    if named is not None or drawn.off is None:\n        return None\n", f"{BY_ITSELF}another_file_is_the_twin"),
    ],
    "bench/plan.py": [
        ("tables become holes", "if reasons and all(", "if False and all(", "tests/analysis/test_transfer.py::test_tables_of_records_that_are_outdated_stay_as_they_are"),
        ("cells are computed in what was kept", "if (store := parts.store(config)).reference:", "if (store := parts.store(config)).reference and False:",
         "tests/analysis/test_keep.py::test_nothing_is_computed_in_what_was_kept"),
        ("a network for other images was tried", "[training.settings, data.fingerprint, given", "[training.settings, given",
         f"{KEYS}a_network_that_nobody_trains_stands_by_its_seed_whatever_was_tried_before"),
        ("changed code is not noticed", "    if changed or now != before:\n", "    if False:\n",
         "tests/analysis/test_transfer.py::test_an_edited_operation_looks_at_nothing_until_its_cells_are_computed_again"),
        ("another file's twin is not restored", 'scheme, record["defended"]["network"], twin)', 'scheme, record["defended"]["network"])',
         "tests/test_own_networks.py::test_what_decides_a_twin_s_outputs_is_known_before_anything_runs"),
        ("other versions are not noticed", "if versions.get(n) != v\n", "if False\n",
         "tests/test_depends.py::test_a_record_of_other_versions_is_not_looked_at_with_these"),
        ("samples' key without the attack's code", "crafting, attacked, type(attack))", "crafting)",
         f"{KEYS}an_attack_that_was_edited_is_another_cell_of_the_same_network"),
        ("samples' key with the code that measures", "crafting, attacked, type(attack))", 'crafting, attacked, "bench.looks")',
         f"{KEYS}samples_outlive_an_edit_of_what_measures_and_of_nothing_else"),
        ("samples' key with the scheme's name", '"defended": identity,\n        "attack"', '"defended": [identity, config.scheme.name],\n        "attack"',
         f"{KEYS}whatever_leaves_samples_as_they_are_attacks_nothing"),
        ("key without the code that measures", 'fingerprint.code("bench.cell")', "fingerprint.code(prepare)",
         f"{KEYS}samples_outlive_an_edit_of_what_measures_and_of_nothing_else"),
        ("key without the settings", '{"config": settings, "samples": samples,', '{"samples": samples,', f"{KEYS}every_setting_that_can_change_a_result_is_another_cell"),
        ("key without the checkpoint", 'identity = parts.identity(config, scheme, checkpoint)', 'identity = parts.identity(config, scheme, "")', f"{KEYS}settings_of_training_are_another_network"),
        ("restore takes any weights", 'if trained.sha256 != checkpoint["sha256"]:', "if False:", f"{KEPT}weights_that_a_record_was_not_made_with_are_not_used"),
        ("samples' key without the twin", '        **({"twin": twin_identity} if config.scheme.itself else {}),\n', "", f"{BY_ITSELF}which_images_are_attacked_is_the_twins_choice"),
        ("a restored network's passes are made as they come", "        defended = defended.handled(finding.Findings.of(drawn).handling)\n", "        pass\n", f"{BY_ITSELF}the_library_finds_what_the_command_finds"),
        ("a twin's key is its scheme's", 'of_twin = key_of("checkpoints", settings)', "of_twin = checkpoint", f"{BY_ITSELF}another_file_is_the_twin"),
    ],
    "bench/looks.py": [
        ("images alone are random", "if shared and self.by_draw is not None:", "if False:", f"{SHARED}intervals_take_images_and_draws_as_random"),
        ("draws are random where images have their own", "if shared and self.by_draw is not None:", "if self.by_draw is not None:", f"{SHARED}draws_of_the_images_own_are_as_before"),
        ("passes that are equal are not said", "alike = not any(", "alike = False and not any(", "tests/test_foreign.py::test_a_small_rate_and_a_deterministic_operation_are_accepted"),
        ("a look ignores the scheme", '        "defended": looker.identity,\n', "",
         f"{KEPT}accuracy_is_measured_under_the_scheme_and_beside_it_without"),
        ("a look ignores the weights", '        "weights": looker.weights,\n', "", "tests/analysis/test_gradients.py::test_what_cannot_be_restored_is_a_row_with_its_reason"),
        ("a look ignores the samples", '{"samples": samples, "goal"', '{"goal"', f"{KEYS}whatever_leaves_samples_as_they_are_attacks_nothing"),
        ("a look ignores how often was looked", '"draws": draws, "seed": seed}\n    return fresh_of', '"seed": seed}\n    return fresh_of',
         f"{KEYS}whatever_leaves_samples_as_they_are_attacks_nothing"),
        ("a look ignores its own code", "fingerprint.code(__name__, *code)", "fingerprint.code(passes, *code)",
         "tests/test_looks.py::test_what_was_seen_by_other_code_is_looked_at_again"),
        ("a hundred images are one pass whatever was said", "images[:100].split(looker.batch_size)", "images[:100].split(100)",
         "tests/test_looks.py::test_no_more_images_are_passed_at_a_time_than_was_said"),
        ("draws' counts are not kept", 'found.get("first_half"), found.get("by_draw")', 'found.get("first_half"), None',
         "tests/test_looks.py::test_what_each_draw_did_is_kept_of_a_look"),
        ("a look of before is no look", 'found.get("by_draw")', 'found["by_draw"]', "tests/test_looks.py::test_a_look_of_before_has_no_counts_by_draw"),
        ("a look is made again each time", "    return store.remember(kind, asked, made, how)\n", '    return store.keep(kind, "0" * 16, made())\n',
         "tests/analysis/test_transfer.py::test_a_second_look_passes_nothing"),
        ("trying batches leaves its traces in the network", "            with watching.watched(defended.network):\n                # of fewer", "            if True:\n                # of fewer", f"{BY_ITSELF}a_network_that_takes_batches_of_one_size_gets_no_others"),
        ("a batch of fewer images isn't padded", "fewer = [max(sizes)] if len(x) < size else []", "fewer = []", f"{BY_ITSELF}fewer_images_than_fit_are_padded_to_a_full_batch_if_need_be"),
        ("few images are not padded to a batch", "sorted({*sizes, size})", "sizes", f"{BY_ITSELF}a_network_that_takes_batches_of_one_size_gets_no_others"),
    ],
    "bench/cell.py": [
        ("attacks are not told that draws are shared", "shared_draws=drawn is not None and drawn.shared,", "shared_draws=False,", f"{SHARED}an_attack_is_told_and_averages_over_passes"),
        ("clean accuracy is of one shared draw", "whole = _clean_draws(cell, looker, defended) if drawn is not None and drawn.shared else None", "whole = None", f"{SHARED}intervals_take_images_and_draws_as_random"),
        ("an attack that raises may have changed the network", "        except BaseException:\n            # whatever it was", "        except AttackError:\n            # whatever it was",
         "tests/test_foreign.py::test_an_attack_that_changed_the_network_leaves_it_to_no_other_cell"),
        ("a network that learnt nothing is attacked", "        kept.check_learnt(right, data.y_test)\n", "        pass\n",
         "tests/test_foreign.py::test_training_that_does_not_get_above_chance_is_a_failed_cell"),
        ("evaluation draws what the attack drew (same seed)", 'seed_of(cell, "evaluation")', 'seed_of(cell, "attack")',
         f"{KEPT}fresh_draws_are_not_those_that_the_attack_saw"),
        ("evaluation draws by what the attack did", 'seed_of(cell, "evaluation")', 'seed_of(cell, samples.content)',
         f"{KEPT}fresh_draws_do_not_depend_on_how_often_the_attack_passed"),
        ("attacks images that the network gets wrong", "attacked = right if cell.given is None else np.ones_like(right)", "attacked = np.ones_like(right)",
         f"{KEPT}only_images_that_the_network_gets_right_are_attacked"),
        ("clean accuracy is without the scheme", "    if bare is not None and not defended.random and not defended.scheme:\n", "    if bare is not None:\n",
         f"{KEPT}accuracy_is_measured_under_the_scheme_and_beside_it_without"),
        ("memory that runs out in training is blamed on the attack's batches", '_lower("training.batch_size"', '_lower("batch_size"',
         "tests/test_own_network.py::test_memory_that_runs_out_in_training_names_the_size_of_its_batches"),
        ("no lock on a cell", "with cell.store.lock(cell.key):", "if True:", f"{KEPT}two_that_want_one_cell_attack_once"),
        ("other weights than those in the key are taken", 'if loaded.sha256 != cell.training.settings["weights"]:', "if False:",
         f"{KEYS}a_network_that_nobody_trains_stands_by_its_seed_whatever_was_tried_before"),
        ("without a scheme every seed looks anew", 'seed_of(cell, "clean") if defended.random else 0', 'seed_of(cell, "clean")',
         f"{KEYS}whatever_leaves_samples_as_they_are_attacks_nothing"),
        ("samples of other weights are taken", 'if found.about["weights"] != trained.sha256:', "if False:",
         f"{KEYS}samples_of_other_weights_are_set_aside_and_made_again"),
        ("samples needn't be there", "    if not found.path.is_file():\n", "    if False:\n", f"{KEPT}a_record_never_speaks_of_samples_that_are_not_there"),
        ("attacks are not told of company", "whole_batches=drawn is not None and bool(drawn.company),", "whole_batches=False,", f"{BY_ITSELF}attacks_are_told_of_draws_that_are_shared_and_of_company"),
        ("what is found of a trained network refuses nothing", "        probe.check_draws(one, seen, not cell.idle)\n", "", f"{BY_ITSELF}a_batch_size_that_fails_is_one_line"),
        ("passes are made as a first look said", "return one.handled(seen.handling), seen", "return one, seen", f"{BY_ITSELF}a_network_that_takes_no_single_image_gets_none"),
        ("another file's network is the cell's own", "        found = _trained(apart)\n", "        found = trained\n", f"{BY_ITSELF}another_file_is_the_twin"),
        ("without a twin another network's images are attacked", "right = (behind if bare is None else bare).right", "right = behind.right", f"{KEPT}only_images_that_the_network_gets_right_are_attacked {BY_ITSELF}another_file_is_the_twin"),
    ],
    "bench/analysis/transfer.py": [
        ("recognition is of images alone", 'seen.rate("right", "shared" in other.get("draws", {}), indices)', 'seen.rate("right", False, indices)', f"{SHARED}a_sweep_says_it_in_its_tables_and_before_it"),
        ("a record says where files are", "{**found, \"config\": self.configs[key]}", "found",
         "tests/analysis/test_transfer.py::test_a_record_is_read_under_the_settings_of_the_sweep_that_names_it"),
        ("changed code looks all the same", 'unlike = "" if self.store.reference else', 'unlike = "" if True else',
         "tests/analysis/test_transfer.py::test_an_edited_operation_looks_at_nothing_until_its_cells_are_computed_again"),
        ("row and column swapped in the table", '"generated_under": generated["defence"],\n                            "recognised_by": recogniser["defence"],',
         '"recognised_by": generated["defence"],\n                            "generated_under": recogniser["defence"],',
         "tests/analysis/test_transfer.py::test_every_scheme_looks_at_every_schemes_samples"),
        ("matrix turned round", 'pairs.pivot(index="recognised_by", columns="generated_under"', 'pairs.pivot(index="generated_under", columns="recognised_by"',
         "tests/analysis/test_transfer.py::test_means_stand_at_the_edges"),
        ("all samples, not the claimed", 'claimed = looks.unflagged(one["images"]["claimed"])', 'claimed = looks.unflagged(one["images"]["claimed"]) | True', "tests/analysis/test_transfer.py tests/test_kept_apart.py"),
        ("recogniser's scheme doesn't act", "return restored.defended\n", "return restored.defended.twin\n",
         f"{KEPT}cross_recognition_is_under_the_recognisers_scheme_and_rate"),
        ("what is kept ignores whose samples",
         'f"claimed of {one[\'samples\'][\'content\']}",\n                images,\n                None,\n                other["metrics"]["fresh_draws"],\n                fingerprint.derive_seed(\n                    other["config"]["seed"], f"cross recognition of {one[\'samples\'][\'sha256\']}"\n                ),\n',
         '"claimed",\n                images,\n                None,\n                other["metrics"]["fresh_draws"],\n                other["config"]["seed"],\n',
         f"{KEPT}cross_recognition_is_of_the_samples_that_are_there"),
        ("what is kept ignores the recogniser's scheme", "(one, _), (other, looker) =", "(one, looker), (other, _) =", f"{KEPT}cross_recognition_is_under_the_recognisers_scheme_and_rate"),
    ],
    "bench/config.py": [
        ("the sweep's name is in a record", 'NO_RESULT = ("device", "data_dir", "output_dir", "name",', 'NO_RESULT = ("device", "data_dir", "output_dir",',
         f"{DEPENDS}a_table_does_not_depend_on_what_ran_before"),
        ("the device is in a key", 'NO_RESULT = ("device", "data_dir",', 'NO_RESULT = ("data_dir",', f"{DEPENDS}the_device_is_in_no_key"),
        ("a way's options stand elsewhere", 'found["training"] |= found["training"].pop("options")', "pass", f"{COMMAND}a_setting_that_is_no_finite_number_is_refused"),
        ("a claim may be anything", "not 0 <= value <= 100:", "False:", f"{AUDIT_ASKING}what_cannot_be_used_is_one_line"),
        ("a way's fractions are words", "{key: fraction(value) for", "{key: value for", f"{COMMAND}a_fraction_is_a_number"),
        ("a short name is another's", '"noise": "bench.schemes.Noise"', '"noise": "bench.schemes.Dropout"', f"{COMMAND}an_operation_has_a_short_name"),
        ("a name may lead out of output_dir", 'if not parts or Path(self.name).is_absolute() or ".." in parts:', "if False:", f"{COMMAND}a_name_is_a_folder_inside_output_dir"),
    ],
    "bench/targets.py": [
        ("what a module has imported is its own", "    if of != package and not (", "    if False and not (", f"{DEPENDS}a_target_is_what_its_package_has_defined"),
        ("any module is trusted", "    if package not in trusted:\n", "    if False:\n", f"{DEPENDS}a_target_is_what_its_package_has_defined"),
        ("anything of bench is anything", "if not any(home == room or", "if False and not any(home == room or", f"{DEPENDS}a_target_is_what_its_package_has_defined"),
        ("all of Foolbox is trusted", '    if package == "foolbox":\n', "    if False:\n", f"{DEPENDS}a_target_is_what_its_package_has_defined"),
        ("unknown options are passed over", "        if name not in allowed:\n", "        if False:\n", f"{COMMAND}an_option_needs_no_plus_and_a_typo_still_gets_its_line {COMMAND}a_ways_option_stands_beside_the_others"),
        ("files of defaults don't count", "for p in parameters if p.name not in options}", "for p in parameters if False}", f"{DEPENDS}files_that_defaults_name_count_too"),
        ("a way's options are said to stand elsewhere", 'return key if key == "training" else f"{key}.options"', 'return f"{key}.options"', f"{COMMAND}a_ways_option_stands_beside_the_others"),
        ("a module that breaks is a traceback", "    except Exception as error:\n        raise ConfigError(\n", "    except ImportError as error:\n        raise ConfigError(\n",
         f"{DEPENDS}a_module_of_ones_own_that_breaks_is_one_line"),
    ],
    "bench/composing.py": [
        ("choices are not named after their files", "own[group].name = own[group].get(\"name\") or str(chosen[group])", "own[group].name = own[group].get(\"name\") or group",
         "tests/test_run.py::test_one_cell_prints_its_result_and_keeps_its_record"),
        ("an old scheme is no such choice", 'if group == "scheme" and choice in WAYS:', "if False:", f"{COMMAND}a_way_of_training_that_was_a_scheme_says_its_new_form"),
        ("an old scheme's training is no such key", 'if error.full_key == "scheme.training":', "if False:", f"{COMMAND}a_way_of_training_that_was_a_scheme_says_its_new_form"),
        ("a twin's file is not looked for in one's own folder", '(o for o in hydras.overrides.hydra if "searchpath" in o)', "()", f"{BY_ITSELF}another_file_is_the_twin"),
    ],
    "bench/run.py": [
        ("every job is composed twice", "composed.pop(tuple(overrides), None) or anew", "anew", "tests/test_run.py::test_a_job_of_a_sweep_is_composed_once"),
        ("bad jobs don't stop a sweep", "    if problems:\n", "    if False:\n", "tests/test_run.py::test_a_sweep_names_every_bad_job_at_once"),
        ("a failed cell is status 0", "fail(record[\"reason\"], 1)", "fail(record[\"reason\"], 0)", "tests/test_run.py::test_a_failing_cell_is_recorded_and_the_others_go_on"),
        ("an incomplete sweep is status 0", "status = status or (0 if complete else 1)", "status = status or 0", "tests/test_run.py::test_a_failing_cell_is_recorded_and_the_others_go_on"),
    ],
    "bench/command.py": [
        ("SIGTERM is not caught", "for number in (signal.SIGINT, signal.SIGTERM):", "for number in (signal.SIGINT,):", "tests/test_command.py::test_sigterm_is_one_line_and_a_table_and_leaves_no_process"),
        ("a signal's status is 1", "    return 128 + number\n", "    return 1\n", "tests/test_command.py::test_sigterm_is_one_line_and_a_table_and_leaves_no_process"),
        ("a setting that can't be used is status 1", "status: int = 2) -> NoReturn", "status: int = 1) -> NoReturn", "tests/test_command.py::test_a_name_is_a_folder_inside_output_dir"),
        ("arguments of a command of old are lost", 'is now python -m bench {command}{arguments}', 'is now python -m bench {command}', f"{CLI}a_command_of_old_says_its_new_form"),
        ("a ConfigError is a traceback", "            except ConfigError as error:\n", "            except ZeroDivisionError as error:\n", f"{DEPENDS}a_sweep_without_its_store_keeps_its_table"),
    ],
    "bench/analysis/search.py": [
        ("a loss of exactly what is allowed is allowed", "9) >= max_loss:", "9) > max_loss:", "tests/analysis/test_search.py::test_a_loss_of_exactly_what_is_allowed_is_too_much"),
        ("the rate that broke the requirement is the answer", "return Found(train_rate, trace[-2][0],", "return Found(train_rate, trace[-1][0],",
         "tests/analysis/test_search.py::test_it_takes_the_most_accurate_network_and_the_largest_rate_that_costs_little"),
        ("the least accurate network is taken", "max(candidates.items()", "min(candidates.items()",
         "tests/analysis/test_search.py::test_it_takes_the_most_accurate_network_and_the_largest_rate_that_costs_little"),
        ("rates are not rounded", "(round(k * step, 9) for k", "(k * step for k", "tests/analysis/test_search.py::test_it_never_reaches_1_however_little_dropout_costs"),
    ],
    "bench/analysis/game.py": [
        ("the defender maximises", "_mix(payoff), _mix(-payoff.T)", "_mix(payoff), _mix(payoff.T)", "tests/analysis/test_game.py"),
        ("maximin is the best of the best", "maximin=float(worst.max())", "maximin=float(best.max())", "tests/analysis/test_game.py::test_matching_pennies"),
        ("a defence that costs exactly the loss stays", "if x >= max_loss}", "if x > max_loss}", "tests/analysis/test_game.py::test_a_defence_that_costs_too_much_is_left_out"),
        ("of equal holes the attack is left out", "of_defences = holes.mean().max() >= holes", "of_defences = holes.mean().max() > holes",
         "tests/analysis/test_game.py::test_a_hole_leaves_out_what_lacks_most"),
        ("cells of different networks are one game", "if len(seen) > 1:", "if False:", "tests/analysis/test_game.py::test_cells_of_different_networks_are_no_game"),
        ("the first of several records counts", 'keep="last"', 'keep="first"', "tests/analysis/test_game.py::test_a_finished_record_counts_wherever_a_hole_of_the_same_settings_is"),
    ],
    "bench/analysis/gradients.py": [
        ("the scheme doesn't act", "with defended.model(fingerprint", "with defended.twin.model(fingerprint",
         "tests/analysis/test_gradients.py::test_measures_follow_the_rate"),
        ("two make a correlation", "if count >= 3:", "if count >= 2:", "tests/analysis/test_gradients.py"),
        ("images count as often as they are attacked", "list(dict.fromkeys(indices.tolist()))[:images]", "indices.tolist()[:images]", "tests/analysis/test_gradients.py"),
    ],
    "bench/analysis/accuracy.py": [
        ("training accuracy is the test set's",
         "images, labels = data.x_train, data.y_train", "images, labels = data.x_test, data.y_test",
         "tests/papers/test_testing_phase.py::test_table_1_is_the_accuracy_under_each_scheme"),
        ("the scheme is not installed", "with restored.defended.model(seed)", "with restored.defended.twin.model(seed)",
         "tests/papers/test_testing_phase.py::test_table_1_is_the_accuracy_under_each_scheme"),
        ("every scheme is the first", 'first.setdefault(record["cell"]["scheme"], record)', 'first.setdefault(record["cell"]["model"], record)',
         "tests/papers/test_testing_phase.py::test_table_1_is_the_accuracy_under_each_scheme"),
    ],
    "bench/papers/published.py": [
        ("errata are not put right", 'float(slip["value"]) if slip["value"] else math.nan', "math.nan", "tests/papers/test_published.py::test_a_misprint_is_carried_with_its_note_and_not_silently_mended"),
        ("a mean over what there is", "of = [cells.get((other, name) if turned else (name, other), hole) for other in keys[edge]]",
         "of = [c for o in keys[edge] if (c := cells.get((o, name) if turned else (name, o)))]",
         "tests/papers/test_testing_phase.py::test_a_mean_over_a_cell_that_failed_is_not_measured"),
        ("as printed is as measured", 'frame.assign(**{f"measured{end}": frame["published"] for end in ENDS})', "frame",
         "tests/papers/test_claims.py::test_verdicts_on_printed_figures_stand_beside_those_that_have_them"),
        ("means of means", "(name, other), hole) for other in keys[edge]]", "(name, other), hole) for other in keys[edge][:1]]",
         "tests/papers/test_testing_phase.py::test_means_are_of_the_measured_entries"),
    ],
    "bench/papers/claims.py": [
        ("an undecided order holds", "decided(values, first.low > 0 and not reversed_,", "decided(values, first.mean > 0 and not reversed_,", "tests/papers/test_claims.py::test_order_is_judged_by_intervals_and_not_by_eye"),
        ("small is judged by the mean", "inside = max(abs(value.low), abs(value.high)) < limit", "inside = abs(value.mean) < limit",
         "tests/papers/test_claims.py::test_a_small_difference_is_judged_by_its_interval"),
        ("a missing figure is undecided", "return NOT_MEASURED\n    return HOLDS if holds", "return UNDECIDED\n    return HOLDS if holds",
         "tests/papers/test_claims.py::test_what_is_missing_is_not_measured_whatever_is_asked_of_it"),
        ("a gain is a loss", "max(loss.low, 0.0), max(loss.high, 0.0)", "loss.low, loss.high",
         "tests/papers/test_claims.py::test_a_gain_is_no_loss_and_a_loss_is_judged_by_its_interval"),
        ("falling is growing", "return grows(at, [(b, a) for a, b in steps])", "return grows(at, steps)",
         "tests/papers/test_claims.py::test_growing_is_judged_at_each_step_and_falling_is_growing_backwards"),
        ("what rises on the way falls",
         "steps = [(there[-1], there[0]), *((after, before) for before, after in itertools.pairwise(there))]",
         "steps = [(there[-1], there[0])]",
         "tests/papers/test_claims.py::test_what_rises_on_the_way_does_not_fall"),
        ("one point is a trend", "if len(there) < 2:", "if len(there) < 1:",
         "tests/papers/test_claims.py::test_what_rises_on_the_way_does_not_fall"),
    ],
    "bench/papers/report.py": [
        ("what isn't printed is not measured there", 'as_printed = "" if own == NOT_MEASURED else own', "as_printed = own",
         "tests/papers/test_claims.py::test_verdicts_on_printed_figures_stand_beside_those_that_have_them"),
        ("printed and measured change places", 'return f"{left}{\'*\' if row[\'note\'] else \'\'} / {right}"', 'return f"{right} / {left}"',
         "tests/papers/test_defensive_dropout.py::test_the_report_names_the_data_of_its_records"),
        ("a caption names no data", 'return about.caption + (self.on.format(data) if data else "")', "return about.caption",
         "tests/papers/test_testing_phase.py::test_the_report_names_the_data_of_its_records"),
        ("what failed is done", 'return self.frame[self.frame["status"] == OK]', "return self.frame",
         "tests/papers/test_pictures.py::test_what_failed_fools_nobody"),
    ],
    "bench/papers/pictures.py": [
        ("samples that failed are shown", 'claimed = np.flatnonzero(samples["claimed"])', 'claimed = np.arange(len(samples["claimed"]))',
         "tests/papers/test_pictures.py::test_images_are_those_that_every_attack_fooled_one_of_a_class"),
        ("several images of a class", "if of[index][0] not in [of[i][0] for i in chosen]:", "if True:",
         "tests/papers/test_pictures.py::test_images_are_those_that_every_attack_fooled_one_of_a_class"),
        ("other data than the records'", 'if data.fingerprint != record["data"]["fingerprint"]:', "if False:",
         "tests/papers/test_pictures.py::test_originals_are_of_the_records_data"),
    ],
    "bench/papers/testing_phase.py": [
        ("failed cells have a MAD", 'frame[frame["status"] == OK]', "frame",
         "tests/papers/test_testing_phase.py::test_a_mean_over_a_cell_that_failed_is_not_measured"),
        ("recognition of the last attack alone", 'pairs[pairs["attack"] == attack]', 'pairs[pairs["attack"] == attacks[-1]]',
         "tests/papers/test_testing_phase.py::test_means_are_of_the_measured_entries"),
        ("correlations have the means in them", "inner = frame[~(frame[list(TABLES[table].keys)] == MEAN).any(axis=1)]", "inner = frame",
         "tests/papers/test_testing_phase.py::test_order_is_compared_without_the_means"),
    ],
    "bench/papers/testing_phase_claims.py": [
        ("more dropout is less dropout", '("none", "all"), ("none", "input"), ("none", "feature")', '("all", "none"), ("none", "input"), ("none", "feature")',
         "tests/papers/test_testing_phase.py::test_the_papers_own_numbers_bear_out_what_they_clearly_say"),
        ("what counts as a tiny loss", "TINY_LOSS_PCT = 1.0", "TINY_LOSS_PCT = 0.1",
         "tests/papers/test_testing_phase.py::test_the_papers_own_numbers_bear_out_what_they_clearly_say"),
        ("means that are judged hold none/none", "named = [{key: scheme, other: one} for one in SCHEMES[1:]]", "named = [{key: scheme, other: one} for one in SCHEMES]",
         "tests/papers/test_testing_phase.py::test_means_that_are_judged_leave_out_what_is_0_by_construction"),
        ("no trend at all", "return claims.FAILS if claims.HOLDS in trends else alike", "return claims.HOLDS if claims.HOLDS in trends else claims.HOLDS",
         "tests/papers/test_testing_phase.py::test_a_change_beyond_the_margin_is_a_trend"),
    ],
    "bench/papers/defensive_dropout.py": [
        ("a loss is a gain", "for r in (without, row))", "for r in (row, without))",
         "tests/papers/test_defensive_dropout.py::test_accuracy_that_a_rate_costs_is_against_the_same_network"),
        ("a way of training is no defence", 'WAYS.get(way, way) if way != "standard" else ""', '""',
         "tests/papers/test_defensive_dropout.py::test_a_defence_is_a_way_of_training_a_scheme_or_both"),
        ("defences in the order of the sweeps", "order = list(dict.fromkeys([*DEFENCES, *named]))", "order = list(dict.fromkeys(named))",
         "tests/papers/test_defensive_dropout.py::test_defences_of_both_sweeps_are_one_table"),
    ],
    "bench/papers/defensive_dropout_claims.py": [
        ("vulnerable from half on", "TOTAL_SUCCESS_PCT = 90.0", "TOTAL_SUCCESS_PCT = 45.0",
         "tests/papers/test_defensive_dropout.py::test_totally_vulnerable_takes_35_images_and_the_right_bound"),
        ("few images can tell", "if images < TOTAL_IMAGES else", "if images < 1 else",
         "tests/papers/test_defensive_dropout.py::test_totally_vulnerable_takes_35_images_and_the_right_bound"),
        ("a figure of another table", '_points(findings.tables[table], rate, "measured")', '_points(findings.tables["table4"], rate, "measured")',
         "tests/papers/test_defensive_dropout.py::test_the_report_sets_the_records_beside_the_paper"),
    ],
}
# fmt: on

FAULTS = [
    Fault(file, name, old, new, tuple(tests.split()))
    for file, group in BY_MODULE.items()
    for name, old, new, tests in group
]


if __name__ == "__main__":
    raise SystemExit(main())
