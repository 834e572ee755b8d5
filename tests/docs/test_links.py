"""Links between the files of the repository lead somewhere, down to the heading."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as sites make them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return {re.sub(r"\s", "-", one.strip()) for one in plain}


def broken_links(page: Path, text: str) -> list[str]:
    """Returns the links of a page's text that lead nowhere."""
    broken = []
    for path, anchor in _LINK.findall(_FENCED.sub("", text)):
        target = page.parent / path if path else page
        lost = anchor and target.suffix == ".md" and anchor not in _anchors(target)
        if not target.exists() or lost:
            broken.append(f"{path}#{anchor}")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path):
    assert broken_links(page, page.read_text()) == []


def test_a_broken_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    text = "# A heading\n[a](page.md#a-heading) [b](other.md) [c](#another) [d](#a-heading)"
    page.write_text(text)
    assert broken_links(page, text) == ["other.md#", "#another"]
