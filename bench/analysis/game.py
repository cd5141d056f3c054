"""The game that "Defensive Dropout" speaks of (section 3.4), played out on records.

Here belongs what each side's best strategy is, from the records of sweeps; no attack is run here. By
itself: ``python -m bench game outputs/sweep``, or several sweeps, whose cells are then one matrix.

An attacker's strategy is an attack and its settings, a defender's is a model, a scheme, its rates and
their settings. The payoff is the attack's success on fresh draws, in %: the attacker wants it high and
the defender low, so that the game has zero sum. Each dataset, criterion and seed is a game of its own.

In the mixed equilibrium each side draws its strategy, and chooses the mix to draw from without having
seen what the other draws. Whose knowledge this stands for needs care. A cell's samples were crafted
against the very defence that they are measured on, so the attacker chooses *which attack* to run
without having seen the draw of the defence, and then *runs it* with the drawn network and rates at
hand. For attacks that make the best of what they know, that is an upper bound on their success against
a defence whose draw stays hidden. It is no bound on other attackers: attacks that aren't in the matrix,
and samples crafted on another defence, or on several at once, which may do better where noisy gradients
mislead (``transfer`` measures the first of these). An attacker who can choose the attack after the draw
as well leaves a mix nothing to gain: against that one the best pure defence is the answer, at the
minimax. So the equilibrium's value and the minimax are the answers to the two kinds of attacker.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from bench import axes
from bench.checks import ConfigError
from bench.results import sweep
from bench.results.files import write_text
from bench.results.store import OK
from bench.results.sweep import Sweep, Table, labels


@dataclass(frozen=True)
class Equilibrium:
    """The answer to a matrix game: row i of the payoffs is the attacker's, column j the defender's.

    Attributes:
        value: What the attacker gets on average when both play their mix.
        attacker: A best mix of the attacker's, shape (rows,): shares, of sum 1. Others may be as good.
        defender: A best mix of the defender's, shape (columns,).
        attack: The row whose smallest payoff is largest, the first of several.
        maximin: That payoff: what the attacker is sure of without mixing.
        defence: The column whose largest payoff is smallest, the first of several.
        minimax: That payoff: what the defender concedes at most without mixing.
    """

    value: float
    attacker: np.ndarray
    defender: np.ndarray
    attack: int
    maximin: float
    defence: int
    minimax: float

    @property
    def saddle(self) -> bool:
        """Whether neither side gains by mixing: ``attack`` and ``defence`` are best against each other."""
        return self.maximin == self.minimax


def solve(payoff: np.ndarray) -> Equilibrium:
    """The equilibrium of a zero-sum game in which rows maximise and columns minimise.

    Args:
        payoff: Finite, shape (rows, columns), both at least 1.

    Source: von Neumann (1928); as a linear program, Dantzig (1951).
    """
    worst, best = payoff.min(axis=1), payoff.max(axis=0)
    attacker, defender = _mix(payoff), _mix(-payoff.T)
    return Equilibrium(
        value=float((attacker @ payoff).min()),
        attacker=attacker,
        defender=defender,
        attack=int(worst.argmax()),
        maximin=float(worst.max()),
        defence=int(best.argmin()),
        minimax=float(best.min()),
    )


def _mix(payoff: np.ndarray) -> np.ndarray:
    """The rows' mix whose smallest payoff over the columns is largest."""
    rows, columns = payoff.shape
    # the last variable is that smallest payoff; linprog minimises
    found = linprog(
        c=[0.0] * rows + [-1.0],
        A_ub=np.hstack([-payoff.T, np.ones((columns, 1))]),
        b_ub=np.zeros(columns),
        A_eq=[[1.0] * rows + [0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
        method="highs",
    )
    if not found.success:
        raise ArithmeticError(f"the linear program has no answer: {found.message}")
    mix: np.ndarray = found.x[:-1]
    # a strategy that isn't played has a share of 0 up to rounding
    mix = np.where(mix < 1e-9, 0, mix)
    return mix / mix.sum()


@dataclass(frozen=True)
class Game:
    """One game of the records.

    Attributes:
        name: Its dataset, criterion and seed, and whatever else was swept that is neither side's.
        payoffs: Row, attacker's strategy; column, defender's; success on fresh draws in %.
        low, high: Bounds of the payoffs' 95 % intervals, of the same shape.
        accuracy: Accuracy on the whole test set under each defence, in %.
        left_out: Strategies that are not in it, and why.
    """

    name: dict[str, Any]
    payoffs: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    accuracy: pd.Series
    left_out: dict[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.name.items())


def games(table: Table, max_loss: float | None = None) -> list[Game]:
    """The games that the records of sweeps make.

    Args:
        table: Of one sweep or several.
        max_loss: Points of accuracy that a defence has to cost less than, as in Algorithm 1, beside the
            best of the game's accuracies with and without scheme; None: whatever it costs.

    Returns:
        For each dataset, criterion and seed its game, which has no payoffs where all was left out.

    Raises:
        ConfigError: if cells of one defence are of different networks, which sweeps with other settings
            of training can bring together.
    """
    defence, rest = axes.split(table.names)
    attack = [c for c in rest if axes.side(c) == "attacker"]
    own = [c for c in rest if c not in attack]
    # of several records of the same settings, the last one that was finished
    frame = table.frame.sort_values("status", key=lambda status: status == OK, kind="stable")
    frame = frame.drop_duplicates([*own, *attack, *defence], keep="last").sort_index()
    found = []
    for values, group in frame.groupby(own, sort=False, dropna=False):
        group = group.copy()
        for side, columns in (("attacker", attack), ("defender", defence)):
            first = "attack" if side == "attacker" else "scheme"
            varying = [c for c in columns if c != first and len(group[c].unique()) > 1]
            group[side] = labels(group, [first, *varying])
        found.append(_game(dict(zip(own, values, strict=True)), group, max_loss))
    return found


def _game(name: dict[str, Any], group: pd.DataFrame, max_loss: float | None) -> Game:
    order = {side: list(dict.fromkeys(group[side])) for side in ("attacker", "defender")}
    payoffs, low, high = (
        group.assign(value=group.get(f"fresh_success_pct{end}", np.nan))
        .pivot(index="attacker", columns="defender", values="value")
        .loc[order["attacker"], order["defender"]]
        .astype(float)
        for end in ("", "_low", "_high")
    )
    accuracy = group.groupby("defender", sort=False)["clean_accuracy_pct"].mean().astype(float)
    # a defence whose randomness can't be switched off has none
    group = group.assign(clean_accuracy_no_scheme_pct=group.get("clean_accuracy_no_scheme_pct", np.nan))
    networks = group.groupby("defender", sort=False)["clean_accuracy_no_scheme_pct"].unique()
    for defender, accuracies in networks.items():
        seen = [f"{a:.2f}" for a in accuracies if pd.notna(a)]
        # the same network gets the same test images right, whatever attacks it
        if len(seen) > 1:
            raise ConfigError(
                f"{defender}: different networks, of {' and '.join(seen)} % accuracy without scheme; "
                "play sweeps with the same settings of training"
            )
    left_out = {}
    if max_loss is not None:
        best = float(group[["clean_accuracy_pct", "clean_accuracy_no_scheme_pct"]].max().max())
        # as in search: a difference of accuracies is exact only up to rounding
        losses = {str(d): round(best - a, 9) for d, a in accuracy.to_dict().items()}
        left_out = {d: f"costs {x:.2f} points of accuracy" for d, x in losses.items() if x >= max_loss}
        payoffs = payoffs.drop(columns=list(left_out))
    payoffs, holes = without_holes(payoffs)
    left_out |= holes
    low, high = (bound.loc[payoffs.index, payoffs.columns] for bound in (low, high))
    return Game(name, payoffs, low, high, accuracy[payoffs.columns], left_out)


def without_holes(payoffs: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Leaves out strategies until no payoff is NaN: again and again the one that lacks the largest share.

    Of a defence and an attack that lack as much it is the defence: fewer attacks would flatter the
    defences that are left, while fewer defences can only make the game better for the attacker.

    Returns:
        What is left, maybe nothing, and for each strategy that isn't, what it lacked.
    """
    left_out = {}
    while payoffs.size and payoffs.isna().any(axis=None):
        holes = payoffs.isna()
        of_defences = holes.mean().max() >= holes.T.mean().max()
        holes = holes if of_defences else holes.T
        worst = str(holes.mean().idxmax())
        left_out[worst] = f"has no result with {', '.join(map(str, holes.index[holes[worst]]))}"
        payoffs = payoffs.drop(columns=worst) if of_defences else payoffs.drop(index=worst)
    return payoffs, left_out


def answer(game: Game) -> tuple[dict[str, Any], pd.DataFrame]:
    """A game's equilibrium, as JSON-able values, and its payoffs, one row for each pair of strategies.

    The value's bounds are the values of the games of all lower and of all upper bounds. The value
    grows with every payoff, so it lies between them if every payoff lies in its interval; that is
    asked of all the intervals at once, each of them a 95 % one.
    """
    found = solve(game.payoffs.to_numpy())
    attacks, defences = game.payoffs.index, game.payoffs.columns
    mixes = {"attacker": pd.Series(found.attacker, attacks), "defender": pd.Series(found.defender, defences)}
    equilibrium = {
        **game.name,
        "value_pct": found.value,
        "value_pct_low": solve(game.low.to_numpy()).value,
        "value_pct_high": solve(game.high.to_numpy()).value,
        **{side: mix[mix > 0].to_dict() for side, mix in mixes.items()},
        "accuracy_pct": float(game.accuracy.to_numpy() @ found.defender),
        "minimax": {"defender": defences[found.defence], "value_pct": found.minimax},
        "maximin": {"attacker": attacks[found.attack], "value_pct": found.maximin},
        "saddle_point": found.saddle,
        "left_out": game.left_out,
    }
    rows = [
        {
            **game.name,
            "attacker": a,
            "defender": d,
            "payoff_pct": game.payoffs.loc[a, d],
            "payoff_pct_low": game.low.loc[a, d],
            "payoff_pct_high": game.high.loc[a, d],
            "accuracy_pct": game.accuracy[d],
            "attacker_share": mixes["attacker"][a],
            "defender_share": mixes["defender"][d],
        }
        for a in attacks
        for d in defences
    ]
    return equilibrium, pd.DataFrame(rows)


def printed(equilibrium: dict[str, Any], pairs: pd.DataFrame) -> str:
    """A game and its answer as a person reads them."""
    square = pairs.pivot(index="defender", columns="attacker", values="payoff_pct")
    square = square.loc[pairs["defender"].unique(), pairs["attacker"].unique()]
    ways = pairs.drop_duplicates("defender").set_index("defender")
    square["accuracy"], square["share"] = ways["accuracy_pct"], 100 * ways["defender_share"]
    square.loc["share"] = 100 * pairs.drop_duplicates("attacker").set_index("attacker")["attacker_share"]
    table = square.rename_axis(None).rename_axis(None, axis=1)
    least, most = equilibrium["maximin"], equilibrium["minimax"]
    pure = (
        f"pure: {most['defender']} concedes {most['value_pct']:.1f} % at most, "
        f"{least['attacker']} gets {least['value_pct']:.1f} % at least"
    )
    return "\n".join(
        [
            table.to_string(float_format="{:.1f}".format, na_rep=""),
            pure + (": a saddle point" if equilibrium["saddle_point"] else ""),
            f"mixed: value {equilibrium['value_pct']:.1f} % ({equilibrium['value_pct_low']:.1f} to "
            f"{equilibrium['value_pct_high']:.1f}), at {equilibrium['accuracy_pct']:.2f} % accuracy",
        ]
    )


def write(results: Sequence[Path | Sweep], max_loss: float | None = None) -> tuple[str, list[Path]]:
    """Writes the games of sweeps into the first one's folder.

    Args:
        results: The sweeps, or their folders.
        max_loss: As for ``games``.

    Returns:
        The games and their answers as a person reads them; and what was written: ``game.csv``, the payoffs
        and both mixes; ``equilibrium.json``, the answers; ``game_*.png``. Nothing is if no game has a
        strategy left on both sides.
    """
    from bench.analysis import figures

    sweeps = [Sweep.of(one) for one in results]
    folder = sweeps[0].folder
    paths = [folder / "game.csv", folder / "equilibrium.json"]
    said, answers = [], []
    table = sweep.table(*sweeps)
    # what is left out of a game says by itself what it lacks
    table.say_damaged()
    for game in games(table, max_loss):
        said.append(f"{game}: attack success on fresh draws, %")
        said += [f"  left out: {strategy} {reason}" for strategy, reason in game.left_out.items()]
        if game.payoffs.size:
            answers.append(answer(game))
            said.append(printed(*answers[-1]))
        else:
            said.append("  nothing is left to play with")
    if not answers:
        _remove(folder)
        return "\n".join(said), []
    write_text(paths[0], pd.concat([pairs for _, pairs in answers]).to_csv(index=False))
    equilibria = [{**equilibrium, "max_loss": max_loss} for equilibrium, _ in answers]
    write_text(paths[1], json.dumps(equilibria, indent=1, default=lambda value: value.item()) + "\n")
    written = [*paths, *figures.games(answers, folder)]
    _remove(folder, but=written)
    return "\n".join(said), written


def _remove(folder: Path, but: Sequence[Path] = ()) -> None:
    """Removes what an earlier call has found, which may have been more games."""
    for old in (folder / "game.csv", folder / "equilibrium.json", *folder.glob("game_*.png")):
        if old not in but:
            old.unlink(missing_ok=True)
