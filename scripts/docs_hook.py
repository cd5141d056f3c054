"""Brings into the site what pages of docs/ link to outside of it: the README, what outputs/reference holds.

Here belongs where such a file is in the site. In the repository a page's links are relative to itself, so
that they work wherever it is read; mkdocs knows docs/ alone. What a page links to, and isn't there, is left
as it is, for ``mkdocs build --strict`` to find.
"""

import os.path
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Adds every file that a page links to, and those that these link to."""
    from mkdocs.structure.files import File

    pages = [file.src_uri for file in files if file.is_documentation_page()]
    for uri in pages:
        for _, path, _, _ in LINK.findall((ROOT / at(uri)).read_text(encoding="utf-8")):
            found = target(uri, path)
            if found is not None and files.get_file_from_path(there(found)) is None:
                files.append(File.generated(config, there(found), abs_src_path=str(ROOT / found)))
                if found.endswith(".md"):
                    pages.append(there(found))
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files", **_: Any) -> str:
    """The page with its links as they are in the site."""
    uri = page.file.src_uri

    def moved(match: "re.Match[str]") -> str:
        found = target(uri, match[2])
        if found is None:
            return match[0]
        path = os.path.relpath(there(found), os.path.dirname(uri) or ".")
        return f"{match[1]}{path}{match[3] or ''}{match[4]}"

    return LINK.sub(moved, markdown)


def target(uri: str, link: str) -> str | None:
    """The path in the repository to which a page of the site links; None: there is no such file."""
    path = os.path.normpath(os.path.join(os.path.dirname(at(uri)), link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def there(path: str) -> str:
    """Where a file of the repository is in the site: docs/ is its root, and has an index of its own."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return "repository.md" if path == "README.md" else path


def at(uri: str) -> str:
    """Where a file of the site is in the repository."""
    if uri == "repository.md":
        return "README.md"
    return f"docs/{uri}" if (ROOT / "docs" / uri).exists() else uri
