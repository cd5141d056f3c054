"""What the commands of ``python -m bench`` take, and what ``--help`` says of them.

Here belong arguments and help. What a command does with them is in ``cli``.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.command import Parser

PAPERS = ("testing_phase", "defensive_dropout")
"""Modules of ``papers``."""

WHAT = ("datasets", "models", "sites", "trainings", "schemes", "draws", "attacks", "criteria")
"""What ``ls`` lists."""


@dataclass(frozen=True)
class Command:
    """What is known of a command beforehand.

    Attributes:
        does: What it does, a line of the list.
        says: What its help says before its arguments.
        ends: What its help says after them: what is written, exit status, an example.
        takes: Gives its parser arguments.
    """

    does: str
    says: str
    ends: str
    takes: Callable[[Parser], None]


def parser(name: str) -> Parser:
    """The parser of a command's arguments; the text of its help stays as it is written."""
    about = COMMANDS[name]
    made = Parser(
        prog=f"python -m bench {name}",
        description=about.says,
        epilog=about.ends,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    about.takes(made)
    return made


def usage() -> str:
    """What ``python -m bench --help`` prints."""
    commands = "\n".join(f"  {name:<11} {command.does}" for name, command in COMMANDS.items())
    return f"""\
usage: python -m bench COMMAND ...

bench measures how well a random defence holds: it takes a network or trains one, attacks it under schemes
that are random at test time (dropout, noise, ...), and counts what is left of each attack on draws that
the attacker has not seen, next to what the attacker claims.

Attacks are run by a command of its own, python -m bench.run: one cell of dataset x network x scheme x
attack, or with -m a sweep of many. This one takes about a minute, and fetches nothing:

  python -m bench.run -m scheme=input,feature,fc,all attack=lbfgs,fgsm,jsma,deepfool

All else is a command of python -m bench (or of bench, for short):

{commands}

python -m bench COMMAND --help says what a command does, takes and writes, python -m bench.run --help what
can be set. python -m bench --version prints the version.

Examples, the later ones after the sweep above:

  python -m bench ls attacks
  python -m bench ls sites model=two_conv
  python -m bench table outputs/sweep
  python -m bench game outputs/sweep --max-loss 1.0

A network that is an object in a script or a notebook takes a few lines: import bench (README.md).

To read on: README.md and docs/ of the checkout."""


def _sweeps(parser: Parser, words: str = "folder of a sweep, such as outputs/sweep; or several") -> None:
    parser.add_argument("sweeps", metavar="SWEEP", type=Path, nargs="+", help=words)


def _reads(parser: Parser) -> None:
    """What records can't say by themselves, since they must not decide what code runs."""
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="where data is (default: the environment variable BENCH_DATA_DIR, else data)",
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package of yours whose networks and operations may run; may be given again",
    )


def _settings(parser: Parser) -> None:
    parser.add_argument(
        "settings",
        metavar="KEY=VALUE",
        nargs="*",
        help="settings as python -m bench.run takes them, such as model=two_conv",
    )


def _config_dir(parser: Parser) -> None:
    parser.add_argument(
        "--config-dir",
        "-cd",
        metavar="FOLDER",
        type=Path,
        help="folder of files of your own (FOLDER/scheme/mine.yaml, ...), which are choices too",
    )


def _game(parser: Parser) -> None:
    _sweeps(parser, "folder of a sweep; of several, the first gets the files")
    parser.add_argument(
        "--max-loss",
        metavar="POINTS",
        type=float,
        help="leave out defences that cost this many points of accuracy or more (default: none is)",
    )


def _gradients(parser: Parser) -> None:
    _sweeps(parser)
    parser.add_argument(
        "--folder", type=Path, help="put all sweeps into one table there, not each into its own folder"
    )
    for name, default, words in (
        ("draws", 50, "gradients drawn at each image"),
        ("images", 20, "how many of a cell's images"),
        ("pixels", 5, "values of one image whose densities are drawn"),
        ("seed", 0, "seed of the draws"),
    ):
        parser.add_argument(
            f"--{name}", metavar="N", type=int, default=default, help=f"{words} (default: {default})"
        )
    _reads(parser)


def _search(parser: Parser) -> None:
    _settings(parser)
    _config_dir(parser)
    parser.add_argument(
        "--max-loss",
        metavar="POINTS",
        type=float,
        default=1.0,
        help="points of accuracy that the defence has to cost less than (default: 1)",
    )
    rates = [0.3, 0.5, 0.7]
    parser.add_argument(
        "--train-rates",
        metavar="RATE",
        type=float,
        nargs="+",
        default=rates,
        help="rates that networks are trained with (default: 0.3 0.5 0.7)",
    )
    parser.add_argument(
        "--step",
        type=float,
        default=0.1,
        help="by how much the rate at test time is raised at a time (default: 0.1)",
    )


def _audit(parser: Parser) -> None:
    _settings(parser)
    _config_dir(parser)
    parser.add_argument(
        "--multirun",
        "-m",
        action="store_true",
        help="every combination of values separated by commas is a row",
    )
    parser.add_argument(
        "--samples",
        metavar="FILE",
        type=Path,
        help="an npz of further samples: images, float32 in [0, 1], and indices into the audited images",
    )


def _paper(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", choices=PAPERS, help=" or ".join(PAPERS))
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        nargs="?",
        help="what the folders of the paper's sweeps are in (default: outputs/NAME)",
    )
    _reads(parser)


def _keep(parser: Parser) -> None:
    _sweeps(parser)
    parser.add_argument(
        "--into", metavar="FOLDER", type=Path, required=True, help="such as outputs/reference/NAME"
    )


def _ls(parser: Parser) -> None:
    parser.add_argument("what", metavar="WHAT", choices=WHAT, help=", ".join(WHAT))
    _settings(parser)
    _config_dir(parser)


def _transfer(parser: Parser) -> None:
    _sweeps(parser)
    _reads(parser)


_STOPPED = "130 after Ctrl-C, 143 after SIGTERM"

COMMANDS = {
    "ls": Command(
        "what there is to choose from (datasets, models, schemes, ...), and what a scheme's draws are like",
        """\
Lists what there is to choose from, a line each: the name that a setting takes, and what it is. What has
to stand in a file of your own is read off those of conf/; they are listed too with --config-dir.

  datasets   what is attacked, and which files it needs     dataset=NAME
  models     networks, and their sites                      model=NAME
  sites      a network's submodules, by the paths that `sites:` of a model's file names, and the shape
             of what each gives for one image; takes settings (the network is made for it: a few seconds)
  trainings  how a network gets its weights                 training=NAME
  schemes    what is random at test time, where, how much   scheme=NAME
  draws      what a scheme's draws are like in a network: what one is shared by, whether seeds reach
             them, ...; takes settings, and trains the network first if need be; attacks nothing
  attacks    what attacks, as far as it takes, or at which  attack=NAME
             epsilon, and the criteria that it is kept to
  criteria   what counts as adversarial                     criterion=NAME""",
        f"""\
Writes nothing (draws: a network that it trained, and what it found). Exit status: 0; 2 for an
argument that can't be used, or a network that can't be looked at; {_STOPPED}.

Examples:
  python -m bench ls attacks
  python -m bench ls schemes --config-dir my
  python -m bench ls sites model=two_conv
  python -m bench ls draws scheme=fc""",
        _ls,
    ),
    "audit": Command(
        "what a defence's randomness is worth against an attacker who knows that it is random",
        """\
Attacks a defence in one ball by a fixed plan, as an attacker does who knows weights, operation and rates,
and not the draw: the defence itself, the same network without randomness (its twin), and draws that are
known. All samples are scored on fresh draws of the defence, and on its twin; the difference is what the
randomness is worth, for one query and for ten. Says what of that can't be relied on, and a verdict.

Settings are those of python -m bench.run, but for attack, criterion, count and evaluation; and:

  norm            linf      or l2
  epsilon         0.1       the ball's radius
  effort          quick     at most 2,000 passes of each image; standard: 20,000; thorough: 200,000
  attacks         null      attacks=+NAME: its samples join the plan's; or [NAME, NAME]
  samples         100       how many images: the first of the test set, right or wrong
  audit.claim     null      an accuracy that somebody states, %
  audit.margin    5         points from which on a gain counts
  audit.baseline  null      settings of a network without the scheme that differ, such as {train_rate: 0}
  audit.passes    null      of each image, at most; what there are none for is said
  audit.minutes   null      of a row, at most, by passes that are timed first""",
        f"""\
Writes audit.csv (a row a scheme), checks.csv, attacks.csv, images.csv, and samples/ (each image's worst one,
in the form that --samples takes) into output_dir/name, outputs/audit; everything that was attacked or looked
at into output_dir/store, so that the same command goes on from there.
Exit status: 0; 1 if a row failed, or a file can't be written; 2 for a setting that can't be used;
{_STOPPED}.

Examples:
  python -m bench audit scheme=fc dataset=mnist norm=linf epsilon=0.1
  python -m bench audit -m scheme=input,feature,fc,all norm=linf epsilon=0.1,0.2""",
        _audit,
    ),
    "table": Command(
        "a sweep's table and heatmaps, written again from what is done",
        """\
Prints a sweep's table, and writes it and its heatmaps again from the records that are there: after an
interruption, or in a copy of the folder. Attacks nothing.""",
        f"""\
Writes results.csv (a row a cell) and heatmap_*.png into each SWEEP; what `transfer` writes stays as it is.
Exit status: 0 if every cell is done or can't be; 1 if one failed or is missing, or a file can't be written;
2 where there is no sweep, or none of its records; {_STOPPED}.

Example:
  python -m bench table outputs/sweep""",
        _sweeps,
    ),
    "transfer": Command(
        "who recognises whose adversarial samples: each scheme's network looks at each scheme's samples",
        """\
Passes the samples that were generated under each scheme of a sweep through the network behind each other
scheme, on fresh draws, and says how often the true label is output. A sweep ends with it unless it was
told transfer=false. Attacks nothing; what was looked at before is not passed again.""",
        f"""\
Writes transfer.csv (a row for each pair of schemes, attack and criterion) and transfer_*.png into each SWEEP.
Exit status: 0, also where there are fewer than two schemes and so nothing to compare; 1 if a file can't be
written; 2 where there is no sweep, or nothing of it can be used; {_STOPPED}.

Example:
  python -m bench transfer outputs/sweep""",
        _transfer,
    ),
    "game": Command(
        "a sweep as a game: the best attack, the best defence, and the equilibrium of mixing them",
        """\
Reads the cells of one or several sweeps as a game of zero sum: the attacker chooses an attack and its
settings, the defender a network, a scheme and its rates, and the payoff is success on fresh draws. Says
each side's best pure choice, and the mixed equilibrium with bounds from the cells' 95 % intervals.
Attacks nothing.""",
        f"""\
Writes game.csv (the payoffs and both mixes), equilibrium.json (the answers) and game_*.png into the first
SWEEP. Exit status: 0; 1 if no game has an attack and a defence left, or a file can't be written; 2 for an
argument that can't be used; {_STOPPED}.

Example:
  python -m bench game outputs/sweep --max-loss 1.0""",
        _game,
    ),
    "gradients": Command(
        "how much the attacker's gradient differs from draw to draw, through each defence of a sweep",
        """\
Draws the attacker's gradient many times through each defence of a sweep, and says its variance, that
variance beside the squared mean, and the cosine between two draws, next to accuracy and success; and how
each of these ranks against success. Attacks nothing.""",
        f"""\
Writes gradients.csv, gradient_correlations.csv, gradients.png and gradient_variance.png into each SWEEP,
or into the one --folder.
Exit status: 0; 1 if a file can't be written; 2 for an argument that can't be used; {_STOPPED}.

Example:
  python -m bench gradients outputs/sweep""",
        _gradients,
    ),
    "search": Command(
        'Algorithm 1 of "Defensive Dropout": which rate to train with, and which to use at test time',
        """\
Trains a network for each of --train-rates, takes the most accurate one, and raises the rate at test time
by --step, attacking at each, until the defence costs --max-loss points of accuracy; the rate before that
is the answer. All cells are checked before the first one runs, and what was computed before is not
computed again. Without settings, the scheme is defensive_dropout, and the folder outputs/search.""",
        f"""\
Writes trace.csv (a row for each rate at test time), trace.png, result.json (the answer) and cells.json into
output_dir/name, which is a SWEEP for the other commands; records, samples and networks into output_dir/store.
Exit status: 0; 1 if a cell failed, or a file can't be written; 2 for a setting that can't be used;
{_STOPPED}.

Example:
  python -m bench search model=four_conv model.options.padding=1 attack=fgsm_fixed --max-loss 1.0""",
        _search,
    ),
    "paper": Command(
        "a paper's tables, figures and sentences beside what was measured",
        """\
Sets a paper's printed tables beside what its sweeps have measured, and says of each of its sentences
whether it holds. Of sweeps that were not run it says so. NAME is one of:

  testing_phase      "Dropout in Testing Phase Makes Adversarial Samples Generation Difficult"
  defensive_dropout  "Defensive Dropout for Hardening Deep Neural Networks under Adversarial Attacks"

The sweeps are run by python -m bench.run -m +experiment=NAME/SWEEP; docs/results/ lists them.""",
        f"""\
Writes FOLDER/report/README.md, and a CSV and a picture for each table beside it.
Exit status: 0; 1 if a file can't be written; 2 where none of the sweeps is; {_STOPPED}.

Example:
  python -m bench.run -m +experiment=testing_phase/targeted dataset=digits samples=100
  python -m bench paper testing_phase""",
        _paper,
    ),
    "keep": Command(
        "what lasts of sweeps, small enough for a repository",
        """\
Copies what lasts of sweeps: records, and what was seen in looks, without samples and networks. That is small
enough for a repository, and enough for every table and report, whatever the code becomes. A look that was
not made is not kept: make the tables and reports first.""",
        f"""\
Writes a folder for each SWEEP, of its name, and one store for all into the folder of --into; a second call
adds to it.
Exit status: 0; 1 if a file can't be written; 2 for a sweep that isn't whole, or two of one name; {_STOPPED}.

Example:
  python -m bench keep outputs/sweep --into outputs/reference/mine""",
        _keep,
    ),
}
"""The commands, in the order of the list."""
