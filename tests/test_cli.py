"""What somebody sees who types ``python -m bench``."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recording import settings
from running import Outcome

import bench
from bench import choices, manual
from bench.analysis import figures
from bench.cli import RUNS, main
from bench.results.store import Store
from bench.results.sweep import write_manifest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs ``python -m bench`` in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python on the checkout's package."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def test_help_tells_a_newcomer_what_there_is(cli: Callable[..., Outcome]) -> None:
    outcome = cli("--help")
    assert (outcome.status, outcome.err) == (0, "")
    for name in manual.COMMANDS:
        assert re.search(f"^  {name} +[a-zA-Z]", outcome.out, re.MULTILINE), name
    # the README's example, word for word
    command = re.search(r"python -m bench\.run -m .*", (ROOT / "README.md").read_text())
    assert command is not None
    assert f"  {command[0]}\n" in outcome.out
    assert "README.md and docs/" in outcome.out
    assert set(RUNS) == set(manual.COMMANDS)
    # without a word it is the same, but nothing was asked for
    nothing = cli()
    assert (nothing.status, nothing.out, nothing.err) == (2, outcome.out, "")
    assert cli("-h").out == outcome.out


@pytest.mark.parametrize("name", manual.COMMANDS)
def test_the_help_of_each_command_says_what_it_takes_and_writes_and_how_it_ends(
    cli: Callable[..., Outcome], name: str
) -> None:
    outcome = cli(name, "--help")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"usage: python -m bench {name} ")
    assert "\nWrites " in outcome.out
    assert "xit status: 0" in outcome.out
    assert "130 after Ctrl-C" in outcome.out
    assert f"\n  python -m bench {name} " in outcome.out
    # every argument has its word
    for argument in manual.parser(name)._actions:
        assert argument.help, argument.dest


def test_the_examples_in_the_help_can_be_parsed() -> None:
    texts = [manual.usage(), *(about.ends for about in manual.COMMANDS.values())]
    examples = [
        line.split()[3:] for text in texts for line in re.findall("^  python -m bench .*", text, re.M)
    ]
    assert len(examples) > len(manual.COMMANDS)
    for name, *arguments in examples:
        manual.parser(name).parse_intermixed_args(arguments)


def test_help_and_lists_are_there_without_what_takes_seconds_to_import() -> None:
    program = (
        "import sys\n"
        "from bench.cli import main\n"
        "asked = [['--help'], ['--version'], *([name, '--help'] for name in sys.argv[1].split())]\n"
        "asked += [['ls', what] for what in sys.argv[2].split()]\n"
        "for arguments in asked:\n"
        "    try:\n"
        "        main(arguments)\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, arguments\n"
        "heavy = {'torch', 'foolbox', 'matplotlib', 'hydra', 'pandas', 'sklearn', 'scipy', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    lists = [what for what in manual.WHAT if what not in ("sites", "draws")]
    found = process("-c", program, " ".join(manual.COMMANDS), " ".join(lists))
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("usage: ") == 1 + len(manual.COMMANDS)


def test_it_says_its_version(cli: Callable[..., Outcome]) -> None:
    assert cli("--version").out == f"bench {bench.__version__}\n"


@pytest.mark.parametrize(("arguments", "words"), [
    (("run", "-m", "scheme=fc"), "run: cells and sweeps are run by python -m bench.run -m scheme=fc"),
    (("-m", "scheme=fc,all"), "-m: cells and sweeps are run by python -m bench.run -m scheme=fc,all"),
    (("attack=fgsm",), "attack=fgsm: cells and sweeps are run by python -m bench.run attack=fgsm"),
    (("aggregate",), "aggregate: no such command; allowed: ls, audit, table, transfer, game, gradients, search, "),
    (("serach", "attack=fgsm"), "serach: no such command; did you mean search?"),
    (("table",), "the following arguments are required: SWEEP"),
    (("paper", "nothing"), "argument NAME: invalid choice: 'nothing' (choose from 'testing_phase', "),
    (("ls", "things"), "argument WHAT: invalid choice: 'things' (choose from 'datasets', 'models', "),
    (("ls", "attacks", "attack=fgsm"), "attack=fgsm: ls attacks takes no settings"),
    (("ls", "attacks", "-cd", "nowhere"), "--config-dir: no folder nowhere"),
    (("ls", "sites", "-cd", "nowhere"), "--config-dir: no folder nowhere"),
    (("ls", "sites", "modle=two_conv"), "modle: no such key"),
    (("gradients", "nowhere", "--draws", "1"), "--draws: expected at least 2, got 1"),
    (("transfer", "nowhere"), "nowhere: no sweep was started there (it has no cells.json)"),
])  # fmt: skip
def test_what_cannot_be_used_gets_one_line(
    cli: Callable[..., Outcome], arguments: tuple[str, ...], words: str
) -> None:
    outcome = cli(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"error: {words}"), line


@pytest.mark.parametrize(("module", "command"), [
    ("aggregate", "table"), ("transfer", "transfer"), ("game", "game"), ("gradients", "gradients"),
    ("search", "search"), ("papers.testing_phase", "paper testing_phase"),
    ("papers.defensive_dropout", "paper defensive_dropout"),
])  # fmt: skip
def test_a_command_of_old_says_its_new_form(module: str, command: str) -> None:
    ended = process("-m", f"bench.{module}", "outputs/my sweep", "--trust", "mine")
    assert (ended.returncode, ended.stdout) == (2, "")
    said = f"python -m bench.{module} is now python -m bench {command} 'outputs/my sweep' --trust mine"
    assert ended.stderr == f"error: {said}\n"


@pytest.mark.parametrize("what", [what for what in manual.WHAT if what not in ("sites", "draws")])
def test_each_choice_is_listed_with_a_few_words(cli: Callable[..., Outcome], what: str) -> None:
    from bench.listing import GROUPS

    outcome = cli("ls", what)
    assert (outcome.status, outcome.err) == (0, "")
    head, *lines = outcome.out.splitlines()
    words = head.index("what it is")
    files = sorted((Path(choices.conf_dir()) / GROUPS[what]).glob("*.yaml"))
    assert [line.split()[0] for line in lines] == [path.stem for path in files]
    for line, path in zip(lines, files, strict=True):
        first = path.read_text().splitlines()[0]
        # a comment that stands by itself
        assert f"# {line[words:]}" == first
        assert len(line[words:]) > 10, path
        assert not line.endswith((",", ";", " the", " no")), path


def test_lists_say_what_tells_choices_from_each_other(cli: Callable[..., Outcome]) -> None:
    def row(what: str, name: str) -> str:
        (found,) = [line for line in cli("ls", what).out.splitlines() if line.split()[0] == name]
        return " ".join(found.split())

    assert row("attacks", "lbfgs").startswith("lbfgs smallest all that it takes L-BFGS")
    assert row("attacks", "pgd").startswith("pgd epsilon 0.3 untargeted, targeted ")
    assert row("models", "four_conv").startswith("four_conv input, conv, fc1, fc2 ")
    assert row("schemes", "all").startswith("all input 0.1, feature 0.2, fc 0.5 ")
    assert row("schemes", "none").startswith("none - nothing")
    assert row("schemes", "own").startswith("own the network itself the network draws by itself; ")
    assert "<data_dir>/MNIST/raw/" in row("datasets", "mnist")
    assert row("datasets", "digits").endswith("no files")


def test_files_of_ones_own_are_listed_too_whatever_they_hold(
    cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    own = {
        "mine": "# my own scheme\nsites:\n  fc: {operation: noise, rate: 0.2}\n  image: 0.1\n",
        "fc": "# never chosen: bench's own comes first\n",
        "off": "off: nets.0\nsites:\n  fc: 0.5\n",
        "silent": "sites: {}\n",
        "tabs": "# it says so\nsites:\n\tfc: 0.5\n",
        "list": "- fc: 0.5\n",
    }
    (tmp_path / "scheme").mkdir()
    for name, text in own.items():
        (tmp_path / "scheme" / f"{name}.yaml").write_text(text)
    outcome = cli("ls", "schemes", "--config-dir", tmp_path)
    assert (outcome.status, outcome.err) == (0, "")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    # to YAML the key off is a boolean
    assert lines[-5:] == [
        "list -", "mine fc 0.2, image 0.1 my own scheme", "off the network itself, fc 0.5", "silent -", "tabs - not YAML",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("fc ")] == [
        "fc fc 0.5 dropout on the fully connected layer"
    ]
    assert not any("mine" in line for line in cli("ls", "schemes").out.splitlines())


def test_sites_are_those_of_a_network_with_its_settings(cli: Callable[..., Outcome]) -> None:
    outcome = cli("ls", "sites", "model=four_conv", "--config-dir", ROOT, "model.options.padding=1")
    assert outcome.status == 0, outcome.err
    assert "layers.relu5" in outcome.out
    rows = [line.split() for line in cli("ls", "sites", "model=two_conv").out.splitlines()]
    assert rows[1] == ['""', "1x8x8", "the", "image,", "before", "preprocessing", "input"]
    assert rows[-2:] == [["layers.relu3", "1024", "ReLU", "fc"], ["layers.fc2", "10", "Linear"]]


def test_a_table_says_what_is_missing_and_whether_a_sweep_is_whole(
    sweep: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(*folders: Path) -> int:
        return cli("table", *folders).status

    monkeypatch.setattr(figures, "heatmaps", lambda table, folder: [])
    outcome = cli("table", sweep)
    assert outcome.status == 1
    assert f"{sweep}: 1 of 4 cells have no record (not run yet, or removed)" in outcome.err
    assert "it broke" in outcome.out
    assert outcome.out.endswith(f"{sweep / 'results.csv'}\n")
    store = Store(sweep.parent / "store")
    other = sweep.with_name("other")
    write_manifest(other, store, json.loads((sweep / "cells.json").read_text())["cells"][:2])
    assert status(other) == 0
    # of several sweeps each has to be
    assert status(sweep, other) == status(other, sweep) == 1
    write_manifest(sweep, store, [{"key": "x", "config": settings(), "checkpoint": None}])
    before = (sweep / "results.csv").read_bytes()
    assert status(sweep) == 2
    assert (sweep / "results.csv").read_bytes() == before


def test_a_paper_without_a_sweep_says_which_to_run(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    for name, first in (("testing_phase", "targeted"), ("defensive_dropout", "mnist_fgsm")):
        outcome = cli("paper", name, tmp_path)
        assert outcome.status == 2
        assert outcome.err == (
            f"error: {tmp_path}: no sweep; run python -m bench.run -m +experiment={name}/{first}\n"
        )
    assert not list(tmp_path.iterdir())


def test_one_scheme_has_nothing_to_compare(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.folder.mkdir()
    cells = [{"key": name, "config": settings(attack=name), "checkpoint": None} for name in ("fgsm", "jsma")]
    write_manifest(tmp_path / "sweep", store, cells)
    outcome = cli("transfer", tmp_path / "sweep")
    assert outcome.status == 0
    assert outcome.out == f"{tmp_path / 'sweep'}: fewer than two schemes, nothing to compare\n"
