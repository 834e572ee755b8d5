"""The site is built without a warning, and loads nothing from a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a page loads by itself, as against links that a reader may follow.
_LOADED = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)="(?:https?:)?//[^"]*""")
_IN_STYLES = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"']*")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # of the theme, about its successor
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=quiet)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "WARNING" not in said, said
    return folder


def test_every_page_is_there(site: Path):
    pages = [path.stem for path in (ROOT / "docs").glob("*.md")]
    assert pages and all((site / f"{page}.html").exists() for page in pages)
    assert (site / "measured" / "reference" / "speed" / "index.html").exists()


def test_nothing_is_loaded_from_a_network(site: Path):
    for page in site.rglob("*.html"):
        assert _LOADED.findall(page.read_text()) == [], page
    for style in site.rglob("*.css"):
        assert _IN_STYLES.findall(style.read_text()) == [], style


def test_the_reference_of_the_api_is_filled(site: Path):
    text = (site / "api.html").read_text()
    for name in (
        "interfaces.Agent.ask",
        "results.tables.load_tables",
        "training.policies.find_policy",
    ):
        assert f'id="rl_es.{name}"' in text, name
