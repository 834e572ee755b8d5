"""Which names become files: what is read never leads out of its folder."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rl_es.analysis import protocol
from rl_es.analysis.html.report import film_strips
from rl_es.errors import UserError
from rl_es.results import files, replays, text_files
from rl_es.results.manifest import SweepManifest
from tests.analysis import films


@pytest.mark.parametrize("env", ["CartPole-v1", "brax/ant", "a.b/c_d/e-1", "x" * 100])
def test_labels_of_environments_have_files_of_their_own(env: str) -> None:
    part = files.env_part(env)
    assert Path(part).name == part and part.replace("+", "/") == env


@pytest.mark.parametrize(
    "env", ["", "/", "a/", "/etc", "../x", "a/../b", ".ssh", "a+b", "a\0b", "é"]
)
def test_others_have_none(env: str) -> None:
    with pytest.raises(UserError, match="no label of an environment"):
        files.env_part(env)


@pytest.mark.parametrize(
    "text",
    ["", "..", "/", "../../etc/passwd", "a\0b", "\udcff", "<script>", ".hidden", "x" * 10_000],
)
def test_any_text_has_a_slug_that_stays_in_its_folder(text: str) -> None:
    slug = files.slug(text)
    assert 0 < len(slug) <= files.LONGEST and Path(slug).name == slug
    assert not slug.startswith(".") and slug.isascii()


def test_long_texts_that_differ_have_different_slugs() -> None:
    one, other = ("x" * 500 + end for end in "ab")
    assert files.slug(one) != files.slug(other) and files.slug(one) == files.slug(one)


@pytest.mark.parametrize(
    "key", ["", "0" * 15, "0" * 17, "A" * 16, "../../../../etc/p", "0" * 15 + "\n"]
)
def test_what_is_no_key(key: str) -> None:
    assert files.is_key("0123456789abcdef") and not files.is_key(key)


def _films(folder: Path, **changed: Any) -> None:
    """A list of one film; some of what it says is changed."""
    films.write(folder, [("cartpole", "pes")])
    content = text_files.read_json(folder / "replays" / "replays.json", "list of films")
    first = {**content["replays"][0], **changed}
    text_files.write_json(folder / "replays" / "replays.json", {**content, "replays": [first]})


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "/etc/x.mp4", "..", "", ".mp4", "replays.json", "a/b.mp4", None]
)
def test_films_that_lie_elsewhere_are_neither_shown_nor_removed(tmp_path: Path, name: str | None):
    _films(tmp_path, video=name)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    assert replays.usable_replays(tmp_path).files() == set()
    assert not film_strips(tmp_path, replays.read_replays(tmp_path).replays, ())


def test_a_link_to_elsewhere_is_not_shown(tmp_path: Path) -> None:
    _films(tmp_path, video="link.mp4")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "replays" / "link.mp4").symlink_to(tmp_path / "secret")
    assert not film_strips(tmp_path, replays.read_replays(tmp_path).replays, ())


@pytest.mark.parametrize(
    ("program", "start"),
    [("./run_benchmark.py", "python run_benchmark.py"), ("/usr/bin/rl_es", "rl_es")],
)
def test_commands_that_a_page_tells_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, start: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    runs = pd.DataFrame({"sweep": ["x; rm -rf ~ #", "good"]})
    lines, _ = protocol.command_lines(tmp_path / "it's $HOME", runs, SweepManifest())
    assert lines[:2] == [
        f"{start} run sweeps/good.yaml",
        f"{start} run 'sweeps/x; rm -rf ~ #.yaml'",
    ]
    assert lines[2].endswith("""'results/it'"'"'s $HOME'""")


def test_folders_by_as_much_of_their_paths_as_tells_them_apart(tmp_path: Path) -> None:
    assert files.distinct_names([tmp_path / "a" / "x", tmp_path / "b" / "x"]) == ["a/x", "b/x"]
    assert files.distinct_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert files.distinct_names([tmp_path, tmp_path]) == [
        f"{tmp_path.name} (1)",
        f"{tmp_path.name} (2)",
    ]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "file").write_text("")
    for name, said in (("quikstart", "did you mean 'quickstart'"), ("file", "is a file")):
        with pytest.raises(UserError, match=said):
            files.folder_of_results(tmp_path / name)
    assert files.folder_of_results(tmp_path / "quickstart") == tmp_path / "quickstart"
