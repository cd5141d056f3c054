"""The reference pages, made from the code: settings, columns, and what is kept in files.

    python scripts/reference.py
    python scripts/reference.py --check

writes docs/reference/{settings,columns,store}.md, or says which of them is not what it would write (exit
status 1).

Here belongs how such a page is laid out. What it says is where the thing itself is: in docstrings under
"Attributes" and "Args", in the columns and axes, and in the comments of the files of conf/.
"""

import argparse
import dataclasses
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench import choices, record
from bench import config as settings
from bench.analysis.audit import curves, tables, writing
from bench.axes import AXES, GROUPS
from bench.results import files, store, sweep
from bench.results.columns import COLUMNS
from bench.schemes import strength_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
KEPT = ROOT / "outputs" / "reference" / "digits" / "store" / "records"
MADE = "<!-- written by scripts/reference.py: change the code, and run it again -->"
GIVEN = {"model": ("shape", "classes"), "dataset": ("data_dir",)}
"""What a network and a loader are called with besides their options."""
FETCHED = ("url", "urls", "sha256", "download_sha256")
"""Options that are too long for a table."""


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """The command of the module's docstring; returns its exit status."""
    parser = argparse.ArgumentParser(description="Write the reference pages from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, say what would change")
    check = parser.parse_args(arguments).check
    stale = 0
    for name, page in PAGES.items():
        path, text = folder / name, page()
        if check and (not path.exists() or path.read_text() != text):
            stale += 1
            print(f"{path}: not what the code says; run python scripts/reference.py", file=sys.stderr)
        elif not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return min(stale, 1)


def settings_page() -> str:
    """Every key, its default, and what it may be; every choice of conf/, and its options."""
    whole = settings.Config
    parts = {f.name: f.type for f in dataclasses.fields(whole) if dataclasses.is_dataclass(f.type)}
    defaults = yaml.safe_load((Path(choices.conf_dir()) / "config.yaml").read_text())
    chosen = {k: v for one in defaults["defaults"] if isinstance(one, dict) for k, v in one.items()}
    said = entries(_text(whole), "Attributes")
    rows = []
    for field in dataclasses.fields(whole):
        if field.name in GROUPS:
            rows.append((f"[`{field.name}`](#{field.name})", f"`{chosen[field.name]}`", said[field.name]))
        elif field.name in parts:
            inner = entries(_text(parts[field.name]), "Attributes")
            for name, what in inner.items():
                rows.append((f"`{field.name}.{name}`", _value(defaults[field.name][name]), what))
        else:
            rows.append((f"`{field.name}`", _value(defaults[field.name]), said[field.name]))
    lines = [
        "# Settings",
        MADE,
        _prose("""
            Every key of `python -m bench.run`, as `key=value`; with `-m` several values, `key=1,2,3`, are a
            sweep. `python -m bench.run --help` prints them as they stand. A value of the wrong type, out of
            its range or under an unknown key is one line and exit status 2, before anything runs.
            """),
        table(("key", "default", "what it is"), rows),
        _prose("""
            Six of them choose a file; what stands in the file are settings too, and can be set or swept
            (`attack.options.steps=20`). `--config-dir my` adds the files of a folder of yours,
            `my/scheme/mine.yaml`; of two files of one name bench's own wins.
            """),
        "What names a cell in tables, and whose choice it is:",
        table(
            ("axis", "whose choice", "meaning"),
            [(f"`{a.name}`", a.side or "neither's", a.meaning) for a in AXES],
        ),
    ]
    for group in GROUPS:
        lines += _group(group, parts[group])
    return "\n\n".join(lines) + "\n"


def _group(group: str, part: Any) -> list[str]:
    """The section of one group of conf/: its keys, its files, and the options of what these name."""
    said = entries(_text(part), "Attributes")
    own = {f.name: f for f in dataclasses.fields(part)}
    assert sorted(said) == sorted(own), f"{part.__name__}: its Attributes are not its fields"
    if group == "training":
        # its options stand beside the others
        del said["options"]
    rows = [(f"`{group}.{name}`", _default(own[name]), what) for name, what in said.items()]
    files_of = choices.of(group)
    lines = [f"## {group}", _summary(part), table(("key", "default", "what it is"), rows)]
    of_files = [(f"`{one.name}`", one.words.replace("<", "&lt;"), _set(one.settings)) for one in files_of]
    lines.append(table(("file", "what it is", "what it sets"), of_files))
    targets: dict[str, dict[str, Any]] = {}
    for one in files_of:
        target = one.settings.get("_target_") or (one.settings.get("operation") or {}).get("_target_")
        if target:
            options = one.settings if group == "training" else one.settings.get("options", {})
            targets.setdefault(target, {})[one.name] = options
    if group == "scheme":
        targets = {target: targets.get(target, {}) for target in settings.OPERATIONS.values()}
    for target, named in targets.items():
        lines += _options(group, target, named)
    return lines


def _options(group: str, target: str, named: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a target takes, with its defaults; one of another project is not explained here.

    Args:
        named: For each file that names it the options that it sets.
    """
    module, _, name = target.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    takes = {
        n: p
        for n, p in inspect.signature(thing).parameters.items()
        if n not in GIVEN.get(group, ()) and p.kind is not p.VAR_KEYWORD and p.kind is not p.VAR_POSITIONAL
    }
    of = f" ({', '.join(f'`{n}`' for n in named)})" if named else ""
    lines = [f"`{target}`{of}"]
    own = target.startswith("bench.")
    if own:
        lines[0] += f": {_summary(thing)}"
    if group == "scheme":
        strength = strength_of(thing)
        short = next(s for s, t in settings.OPERATIONS.items() if t == target)
        span = f"{strength.ends[0]}{strength.low:g}, {strength.high:g}{strength.ends[1]}"
        off = "" if strength.off is None else f", {strength.off:g} being off"
        lines.append(f"Its short name is `{short}`. Its rate is its {strength.name}, in {span}{off}.")
    if takes:
        said = _args(thing) if own else {}
        keys = {"scheme": "operation.options.", "training": ""}.get(group, "options.")
        rows = []
        for n, p in takes.items():
            set_to = [options[n] for options in named.values() if n in options]
            # where all the files that name it agree
            same = n not in FETCHED and [*set_to[:1]] * len(named) == set_to != []
            default = _value(set_to[0]) if same else _of_signature(p)
            rows.append((f"`{group}.{keys}{n}`", default, said.get(n, "see Foolbox")))
        missing = [n for n in takes if own and n not in said]
        assert not missing, f"{target}: its Args don't explain {', '.join(missing)}"
        lines.append(table(("key", "default", "what it is"), rows))
    return lines


def columns_page() -> str:
    """Every column of results.csv."""
    rows = [(f"`{c.name}`", f"`{c.short}`" if c.short else "", c.meaning) for c in COLUMNS]
    lines = [
        "# Columns",
        MADE,
        _prose("""
            `results.csv` has one row a cell and these columns, in this order; the terminal shows a few of
            them under shorter names. A setting that was swept and isn't among them is a column behind
            `seed`.
            """),
        table(("column", "on the terminal", "meaning"), rows),
        _prose("""
            Rates, successes and means with `_low` and `_high` beside them carry a 95 % interval over images
            and draws like these ([Intervals](../why/intervals.md)). Distances are over the claimed
            successes; of none there is no distance. `device` is there only where a table mixes devices, a
            median or an interval only where there is one.
            """),
        _prose("""
            A column is one line of `bench/results/columns.py`: its name, its path into a record, what it
            means. Of a record that lacks the path, an older one or that of a hole, it is empty.
            """),
    ]
    return "\n\n".join(lines) + "\n"


def store_page() -> str:
    """What lies where, in which format, and what a record says."""
    one = json.loads(min(KEPT.glob("*.json")).read_text())
    fields = listing(record.__doc__, "The fields:")
    held = {name for name in one if name not in ("format", "kind", "sha256")}
    # what those that were kept are too old for, or have no part in
    held |= {"draws", "twin"}
    assert set(fields) == held, f"record.py explains {sorted(set(fields) ^ held)} or doesn't"
    example = f"[{one['key']}](../../outputs/reference/digits/store/records/{one['key']}.json)"
    lines = [
        "# Files",
        MADE,
        _prose("""
            A sweep leaves a folder of its own, which anybody can read, and puts what it computed into the
            store, which all sweeps of one `output_dir` share. The store is what makes a command go on where
            it stopped: whatever is kept there is kept under a hash of all that decides it. A sweep's folder
            needs the store beside it; copy or move both.
            """),
        "## A sweep's folder",
        "`outputs/NAME`, where `output_dir=outputs` and `name=NAME`:",
        table(("file", "what it is"), _ticked(listing(sweep.__doc__, "What is in its folder"))),
        "## The store",
        "`outputs/store`:",
        table(("file", "what it is"), _ticked(listing(store.__doc__, "What is in the folder"))),
        _prose(f"""
            Every file carries the format ({files.FORMAT}), its kind and key, and a hash of all that it
            holds, so that a changed number, a flipped bit, or another file under its name is noticed. In
            JSON these are `format`, `kind`, `key` and `sha256`; in safetensors they are JSON under `bench`
            in the metadata. Files are written whole or not at all. What is damaged is said in one line, set
            aside (`NAME.damaged-1`) and computed again by `python -m bench.run`; commands that only read
            leave a hole. Files of another format stay as they are.
            """),
        _prose("""
            To make room, remove `samples/` or `checkpoints/`: what needs them makes them again. Remove a
            record, and its cell is computed again.
            """),
        "## A record",
        f"`store/records/KEY.json`; the examples are of {example}, a cell of the README's sweep.",
        table(
            ("field", "what it is", "for example"),
            [(f"`{n}`", words, _example(one.get(n))) for n, words in fields.items()],
        ),
    ]
    return "\n\n".join(lines) + "\n"


def audit_page() -> str:
    """Every key of an audit, what it leaves in its folder, and every column of its tables."""
    defaults = yaml.safe_load((Path(choices.conf_dir()) / "audit.yaml").read_text())
    asked = entries(_text(settings.AuditConfig), "Attributes")
    besides = entries(_text(settings.AuditSettings), "Attributes")
    del besides["asked"]
    said = {**{n: v for n, v in asked.items() if n in defaults}, "attacks": besides.pop("attacks")}
    said["samples"] = "How many images are attacked, at least 2: the first of the test set, right or wrong."
    section = {n: v for n, v in asked.items() if n not in defaults} | besides
    rows = [(f"`{name}`", _value(defaults[name]), what) for name, what in said.items()]
    rows += [(f"`audit.{name}`", _value(_of_audit(name)), what) for name, what in section.items()]
    lines = [
        "# Audit",
        MADE,
        _prose("""
            `python -m bench audit` says what a defence's randomness is worth; `bench.audit` does so of an
            object. The command takes the [settings](settings.md) of `python -m bench.run`, but for those of
            an attack, a criterion and an evaluation, of which it has its own; and:
            """),
        table(("key", "default", "what it is"), rows),
        "From Python, `audit.` is left out, and `baseline` is a `bench.Defended`.",
        "## Its folder",
        "`outputs/NAME`, where `output_dir=outputs` and `name=NAME`, which is `audit` where nothing is said:",
        table(("file", "what it is"), _ticked(listing(writing.__doc__, "What is in the folder"))),
    ]
    named = ", ".join(f"`{name}`" for name in tables.NAMES)
    for name, columns in (
        ("audit.csv", tables.COLUMNS),
        ("checks.csv", tables.OF_CHECKS),
        ("attacks.csv", tables.OF_ATTACKS),
        ("images.csv", tables.OF_IMAGES),
        ("curves.csv", curves.COLUMNS),
    ):
        lines += [f"## {name}", _head(name, named)] if name == "audit.csv" else [f"## {name}"]
        lines.append(
            table(("column", "meaning"), [(f"`{c}`", words) for c, words in columns.items() if words])
        )
    return "\n\n".join(lines) + "\n"


def _of_audit(name: str) -> Any:
    """The default of a key of the section ``audit``."""
    fields = {field.name: field.default for field in dataclasses.fields(settings.AuditConfig)}
    return fields.get(name)


def _head(name: str, named: str) -> str:
    return _prose(f"""
        `{name}` has one row a scheme, beside all that was swept with it. {named} name it, and so does every
        other setting that was swept; these columns stand first in every table here. From Python there is one
        row, and none of them. `real_pct`, and differences from `worth_points` on, have `_low` and `_high`
        beside them, a 95 % interval. A figure that there is nothing for, as of a twin where there is none,
        is empty.
        """)


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "columns.md": columns_page,
    "store.md": store_page,
    "audit.md": audit_page,
}


def _prose(text: str) -> str:
    """A paragraph in one line, as whoever shows it wraps it."""
    return " ".join(text.split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [[" ".join(c.split()).replace("|", "\\|") for c in row] for row in rows]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)])


def listing(text: str | None, heading: str) -> dict[str, str]:
    """What stands indented under the line that begins with ``heading``: ``name: text``, by name."""
    lines = iter((text or "").splitlines())
    assert any(line.startswith(heading) for line in lines), heading
    block = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        block.append(line)
    return _pairs(inspect.cleandoc("\n".join(block)))


def entries(text: str, section: str) -> dict[str, str]:
    """What a docstring says under ``Attributes:`` or ``Args:``, by name; ``a, b: text`` is said of both."""
    found = re.search(rf"^{section}:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    return _pairs(inspect.cleandoc(found[1])) if found else {}


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in re.split(r"\n(?! |\n|$)", text):
        names, colon, what = part.partition(": ")
        assert colon, f"expected name: text, got {part!r}"
        for name in names.split(", "):
            words = " ".join(what.split()).replace("``", "`")
            # there is a column for that
            found[name] = re.sub(r" Default [-\w.]*\w\.(?= |$)", "", words)
    return found


def _args(thing: Any) -> dict[str, str]:
    """What a class's docstring and those that it inherits from say of its arguments."""
    found: dict[str, str] = {}
    for cls in getattr(thing, "__mro__", (thing,)):
        if str(cls.__module__).startswith("bench."):
            said = {**entries(_text(cls), "Args"), **entries(_text(cls.__init__), "Args")}
            found = {**said, **found}
    return found


def _text(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def _summary(thing: Any) -> str:
    """The first paragraph of a docstring, without marks of footnotes."""
    words = " ".join(_text(thing).partition("\n\n")[0].split()).replace("``", "`")
    return re.sub(r" \[#\w+\]_", "", words)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.name == "name":
        return "the file's"
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
        return _value(value) if not value or isinstance(value, list) else "`dropout`"
    return "the file's" if field.default in (settings.MISSING, "") else _value(field.default)


def _value(value: Any) -> str:
    """As it is written on the command line."""
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{json.dumps(value).replace(chr(34), '')}`"


def _of_signature(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "has to be given"
    value = parameter.default
    plain = value is None or isinstance(value, str | int | float | bool | list | tuple)
    return _value(value) if plain else f"`{getattr(value, '__name__', type(value).__name__)}`"


def _set(content: Mapping[str, Any]) -> str:
    """What a file sets, but for what it fetches."""
    said = []
    for key, value in content.items():
        if key == "options":
            for name, option in value.items():
                if name not in FETCHED:
                    said.append(f"`options.{name}={_plain(option)}`")
        elif key not in ("defaults", "name"):
            said.append(f"`{key}={_plain(value)}`")
    return ", ".join(said)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()
    return json.dumps(value)


def _ticked(pairs: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"`{name}`", what) for name, what in pairs.items()]


def _example(value: Any) -> str:
    """The beginning of a value, as JSON."""
    text = json.dumps(value)
    return f"`{text if len(text) < 80 else text[:76] + ' ...'}`"


if __name__ == "__main__":
    sys.exit(main())
