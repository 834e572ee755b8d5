"""What the site shows besides `docs/`: measured results, CONTRIBUTING and CHANGELOG.

Pages link to these files where they lie in the repository, so that links work there too. On the
site they lie elsewhere, and links to them are turned.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
KINDS = {".md", ".png", ".svg"}  # tables as files stay in the repository
PLACES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def places() -> dict[str, str]:
    """The files from outside `docs/`, and where they are on the site, as relative paths."""
    measured = [ROOT / "results" / "README.md", *(ROOT / "results" / "reference").rglob("*")]
    found = [path.relative_to(ROOT).as_posix() for path in measured if path.suffix in KINDS]
    return PLACES | {path: path.replace("results/", "measured/", 1) for path in sorted(found)}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files from outside."""
    for source, place in places().items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between those of the site.

    A file from outside may link to tables and folders that are in the repository only: what it
    says of them stays, without a link.
    """
    there = places()
    back = {place: source for source, place in there.items()}
    here = page.file.src_uri
    inside = back.get(here, f"docs/{here}")  # where the page lies in the repository

    def turned(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(inside), path))
        target = there.get(target) or target.removeprefix("docs/")
        if here in back and files.get_file_from_path(target) is None:
            return text
        path = posixpath.relpath(target, posixpath.dirname(here) or ".")
        return f"[{text}]({path}{anchor})"

    return _LINK.sub(turned, markdown)
