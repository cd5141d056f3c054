"""README and docs: every command is run, at a small size, and every file of a page is used as it stands there."""

import json
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import HydraException
from matplotlib.figure import Figure
from pages import NAMES, PAGES, ROOT, Block, anchors, blocks, links
from PIL import Image
from standing_in import FILES, peers

from bench import cli, listing
from bench import run as command
from bench.analysis import figures
from bench.composing import compose
from bench.datasets import cifar10

QUICK = ("samples=5", "training.epochs=1", "evaluation.draws=2", "transfer=false")
"""What makes a sweep small: every command that runs cells gets it."""

AUDITED = ("samples=4", "training.epochs=1")
"""What makes an audit small."""

INSTEAD = {
    # as many steps as it takes to learn something
    "dataset=npz": "dataset=npz training.epochs=2 training.batch_size=32",
    "dataset=bars": "dataset=bars training.epochs=2 training.batch_size=32",
    "dataset=shifted": "dataset=shifted training.epochs=2 training.batch_size=32",
    "model=noisy": "model=noisy training.epochs=2 training.batch_size=16",
    "model=purified": "model=purified training.epochs=2 training.batch_size=16",
    "dataset=mnist": "dataset=digits",
    "search": "search --train-rates 0.3 --step 0.5",
    "gradients": "gradients --images 2",
    "--max-loss 3.0": "--max-loss 90",
}
"""Words of commands that have others in their place, since data isn't there or time is short."""

COMPOSED = {
    "+experiment=": "a paper's sweep; tests/papers runs them at a small size",
    "hydra/launcher=joblib": "starts processes that take seconds; tests/test_process.py runs one",
    "dataset=cifar10_jpeg": "needs 60,000 images",
    "search dataset=": "trains networks for minutes; how-to/scheme.md has a search that is run",
    "benchmark_attacks.py": "measures for minutes; tests/test_benchmark_attacks.py tries its parts",
    "dataset=birds": "needs a network and images that are not here",
}
"""Commands of which only the settings are composed and checked, by what tells them, and why."""

NOT_RUN = {
    "pip install": "installs packages; .ci/run does",
    "-m venv": "makes an environment; .ci/run does",
    "hydra/launcher=submitit_slurm": "needs Slurm, and an extra",
    "docs/examples/": "tests/test_examples.py runs them",
    "pack.py": "needs images; a test of its own packs some",
    "paper testing_phase": "needs the paper's sweeps; tests/papers makes the report, from what is kept too",
    "paper defensive_dropout": "needs the paper's sweeps; tests/papers makes the report",
    "pytorchcv": "needs a package and weights of somebody else",
}
"""Commands that are not run, by what tells them, and why."""


def told(line: str, table: dict[str, str]) -> bool:
    return any(words in line for words in table)


def fewer(words: list[str]) -> list[str]:
    """Of the longest list of values those that are not bench's own, or two; of the others the last value."""
    lists = [word for word in words if "," in word and "=[" not in word]
    longest = max(lists, key=lambda word: word.count(","), default="")
    found = []
    for word in words:
        key, _, value = word.partition("=")
        if word in lists:
            values = value.split(",")
            own = [one for one in values if not (ROOT / "conf" / key / f"{one}.yaml").exists()]
            kept = (own or values[-2:]) if word == longest else values[-1:]
            word = f"{key}={','.join(kept)}"
        found.append(word)
    return found


class Walk:
    """Somebody who does what a page says, in a folder of his own.

    Args:
        folder: Where files are written and commands are started.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.names: dict[str, Any] = {}
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))

    def do(self, block: Block, capsys: pytest.CaptureFixture[str]) -> None:
        """What one block says."""
        if block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind in ("bash", "console"):
            for line, output in block.commands():
                capsys.readouterr()
                self.run(line)
                printed = capsys.readouterr().out
                assert not output or printed.rstrip() == output.rstrip(), f"{block.page}: {line}\n{printed}"
        elif block.kind == "python":
            exec(compile(block.text, f"{block.page}, line {block.line}", "exec"), self.names)
        else:
            assert block.kind in ("text", "json"), f"{block.page}, line {block.line}: {block.kind}: not tried"

    def run(self, line: str) -> None:
        """A command; one that is of no known kind, and in no table, fails."""
        if told(line, NOT_RUN):
            return
        composed = told(line, COMPOSED)
        for words, others in INSTEAD.items():
            line = line.replace(words, others)
        words = shlex.split(line)
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            self.monkeypatch.setenv(name, value)
        assert words.pop(0) in ("python", ".venv/bin/python", "bench"), f"no known command: {line}"
        if composed:
            self.compose(words)
        elif words[:2] == ["-m", "bench.run"]:
            words = fewer(words)
            fits = "training=pretrained" not in words
            more = [
                key for key in QUICK if key.partition("=")[0] not in line and (fits or "epochs" not in key)
            ]
            self.call(["bench.run", *words[2:], *more], command.main)
        elif words[:2] == ["-m", "bench"]:
            more = {"search": QUICK[:3], "audit": AUDITED}.get(words[2], ())
            if words[2] == "audit":
                words = fewer(words)
            self.call(["bench", *words[2:], *more], lambda: cli.main(sys.argv[1:]))
        elif words[0].endswith(".py"):
            path = self.folder / words[0] if (self.folder / words[0]).exists() else ROOT / words[0]
            self.call(words, lambda: runpy.run_path(str(path), run_name="__main__"))
        else:
            raise AssertionError(f"no known command, and not in COMPOSED or NOT_RUN: {line}")

    def call(self, argv: list[str], main: Callable[[], Any]) -> None:
        """A command in this process."""
        self.monkeypatch.setattr(sys, "argv", argv)
        code = None
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        assert not code, argv

    def compose(self, words: list[str]) -> None:
        """Whether a command's settings can be used: the first value of each that is swept."""
        overrides = []
        for word in words:
            key, equals, value = word.partition("=")
            if equals:
                swept = "," in value and not value.startswith("[")
                overrides.append(f"{key}={value.partition(',')[0]}" if swept else word)
        compose(overrides)


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_dir: Path) -> Iterator[Walk]:
    """Someone in an empty folder, whose networks others have trained."""
    (tmp_path / "outputs").mkdir()
    (output_dir / "store").mkdir(exist_ok=True)
    (tmp_path / "outputs" / "store").symlink_to(output_dir / "store")
    before, here = set(sys.modules), os.getcwd()
    yield Walk(tmp_path, monkeypatch)
    os.chdir(here)
    # modules of the page's own
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_packed_images_are_read_as_they_were(walk: Walk, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for half, count in (("train", 5), ("test", 1)):
        for label in range(10):
            folder = Path("cifar_images", half, f"class {label}")
            folder.mkdir(parents=True)
            for number in range(count):
                # of one colour, so that little is lost in JPEG: red says the class, green and blue which image
                colour = (20 * label, 40 * number, int(rng.integers(256)))
                Image.new("RGB", (32, 32), colour).save(folder / f"{number}.jpg", quality=95)
    (block,) = (b for b in blocks(ROOT / "docs" / "results" / "defensive_dropout.md") if b.file == "pack.py")
    walk.do(block, capsys)
    walk.call(["pack.py"], lambda: runpy.run_path("pack.py", run_name="__main__"))
    x_train, y_train, x_test, y_test = cifar10(Path("data"), images_per_file=10)
    for images, labels, count in ((x_train, y_train, 50), (x_test, y_test, 10)):
        assert images.shape == (count, 3, 32, 32)
        assert np.bincount(labels).tolist() == [count // 10] * 10
        assert np.abs(images[:, 0].mean((1, 2)) - 20 * labels).max() < 6
        assert (np.diff(labels.astype(int)) < 0).any(), "not shuffled"
    assert sorted(np.round(x_train[:, 1].mean((1, 2)) / 40)) == sorted([0, 1, 2, 3, 4] * 10)


def network() -> torch.nn.Module:
    """That of the README's snippet."""
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
    )


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_can_be_done_word_for_word(
    page: Path, walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if page.name == "README.md" and page.parent == ROOT:
        torch.save(network().state_dict(), "net.pt")
    if page.name == "attack.md":
        walk.names |= {"network": network(), "images": torch.rand(2, 1, 8, 8), "labels": torch.tensor([1, 2])}
    # drawn in tests/analysis, and below
    walk.monkeypatch.setattr(figures, "heatmaps", lambda table, folder: [])
    walk.monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: Path(path).touch())
    # libraries of attacks, of which none is needed
    with peers(tmp_path / "libraries", walk.monkeypatch, *FILES):
        for block in blocks(page):
            walk.do(block, capsys)


def test_what_is_not_run_is_still_on_a_page() -> None:
    lines = [
        line
        for page in PAGES
        for block in blocks(page)
        if block.kind in ("bash", "console") and block.file is None
        for line, _ in block.commands()
    ]
    for table in (INSTEAD, COMPOSED, NOT_RUN):
        for words in table:
            assert any(words in line for line in lines), words


def test_a_command_that_nobody_knows_fails(walk: Walk) -> None:
    for line in ("rm -rf outputs", "python -m http.server", "sh run.sh"):
        with pytest.raises(AssertionError, match="no known command"):
            walk.run(line)


def test_settings_that_are_only_composed_are_checked(walk: Walk) -> None:
    with pytest.raises(HydraException):
        walk.run("python -m bench.run -m +experiment=testing_phase/nothing")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_a_link_out_of_docs_leads_to_the_same_file_in_the_site() -> None:
    found = runpy.run_path(str(ROOT / "scripts" / "docs_hook.py"))
    moved: Callable[[str, str], str] = lambda uri, text: found["on_page_markdown"](  # noqa: E731
        text, SimpleNamespace(file=SimpleNamespace(src_uri=uri)), None, None
    )
    table = "outputs/reference/intervals/README.md"
    assert moved("why/intervals.md", f"[the table](../../{table})") == f"[the table](../{table})"
    assert (
        moved("index.md", "[README](../README.md#within-a-minute)")
        == "[README](repository.md#within-a-minute)"
    )
    assert moved("repository.md", "[why](docs/why/intervals.md)") == "[why](why/intervals.md)"
    for link in ("[no such file](../../outputs/nothing.md)", "[elsewhere](https://example.org/a.md)"):
        assert moved("why/intervals.md", link) == link


KINDS: dict[str, dict[str, Any]] = {
    "weight_noise": {"_target_": "defences.WeightNoise"},
    "mixed_noise": {"_target_": "defences.MixedNoise"},
    "filters": {"_target_": "defences.ProjectionFilters"},
    "bayesian": {"_target_": "defences.Bayesian", "outputs": 0},
    "training_noise": {"_target_": "defences.SelfEnsemble"},
    "mc10": {"_target_": "defences.Dropped", "options": {"draws": 1}},
    "mc_dropout": {"_target_": "defences.Dropped", "outputs": {"stacked": 10}},
    "precision": {"_target_": "defences.Quantised"},
    "transforms": {"_target_": "defences.Transformed"},
    "one_of_two": {"_target_": "defences.OneOfTwo"},
    "vote": {"_target_": "defences.Smoothed"},
}
"""For each scheme of how-to/random.md the model's file of a network that it is for."""

SHARED = {
    "the pass's": "one for all images of a pass",
    "the pass's in part": "partly one for all images of a pass, partly each image's own",
    "the image's": "each image has its own",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_network_that_draws_by_itself_is_found_out_as_its_page_says(
    kind: str, walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs" / "how-to" / "random.md"
    for block in blocks(page):
        if block.file == f"my/scheme/{kind}.yaml":
            walk.do(block, capsys)
    (tmp_path / "my" / "model").mkdir(parents=True)
    (tmp_path / "my" / "model" / "kind.yaml").write_text(json.dumps(KINDS[kind]))
    config = compose(
        [
            "model=kind", f"scheme={kind}", "training=pretrained", f"output_dir={tmp_path}",
            "trusted_modules=[bench,foolbox,defences]",
        ],
        tmp_path / "my",
    )  # fmt: skip
    found = dict(line.split(": ", 1) for line in listing.draws(config).splitlines())
    ((shared, changes, twin),) = re.findall(
        rf"^\| `{kind}`.*? \| (.*) \| (.*) \| (.*) \|$", page.read_text(), re.M
    )
    assert found["draws"].startswith(SHARED[shared])
    assert found["seeds"] == "two passes of one seed are equal"
    changed = "is changed by a pass: " + changes.replace("`", "")
    assert found["network"] == (changed if "`" in changes else "is left as it was")
    assert ("written into" in found["images"]) == (changes == "its images")
    assert found["gradient at the image"] == "there, finite and not zero"
    assert found["twin"].startswith("there is none") == (twin == "none")


def test_the_readme_is_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_only_the_files_that_the_reference_names_are_left(walk: Walk) -> None:
    walk.run("python -m bench.run -m scheme=none,fc attack=fgsm name=left")
    walk.run("python -m bench game outputs/left")
    walk.run("python -m bench gradients outputs/left")
    text = (ROOT / "docs" / "reference" / "store.md").read_text()
    for path in (*Path("outputs/left").iterdir(), *Path("outputs/store").iterdir()):
        name = path.name
        if name.endswith(".png") and "_" in name and not name.startswith("gradient"):
            name = f"{name.partition('_')[0]}_*.png"
        assert path.name.startswith(".") or f"`{name}`" in text or f"`{name}/KEY." in text, path
    shutil.rmtree("outputs/left")
