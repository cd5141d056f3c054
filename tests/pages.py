"""The blocks of code in README.md and docs/, and the commands and files that they show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page's path in the repository.
        line: Of the page, at which it begins.
        kind: What stands behind the fence: ``bash``, ``console``, ``python``, ``yaml``, ``text``, ...
        text: What is between the fences.
    """

    page: str
    line: int
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The path that its first line names, where it is a file's content."""
        found = re.match(r"# ([\w./-]+\.(?:ya?ml|py))\b", self.text)
        return found[1] if found else None

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command as one line, a loop word by word, and what the page shows of its output."""
        if self.kind == "console":
            for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield command, output
            return
        text = re.sub(r"\s*\\\n\s*", " ", self.text)
        for name, words, body in re.findall(r"^for (\w+) in (.*); do\n(.*?)\ndone$", text, re.M | re.S):
            for word in words.split():
                yield body.strip().replace(f"${name}", word), ""
        for line in re.sub(r"^for .*?^done$", "", text, flags=re.M | re.S).splitlines():
            if line.strip() and not line.startswith("#"):
                yield line.strip(), ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text()
    return [
        Block(str(page.relative_to(ROOT)), text.count("\n", 0, m.start()) + 1, m[1], m[2])
        for m in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    ]


def links(page: Path) -> list[str]:
    """Where a page's links and pictures lead, but for those that leave the repository."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"\w+:", link)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
