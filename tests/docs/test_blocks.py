"""Every block of README, CONTRIBUTING and docs/ is run, on small budgets, or excused by name."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rl_es import cli
from rl_es.errors import UserError
from rl_es.speed import workloads as speed_files
from rl_es.sweep import loading
from rl_es.sweep.yaml_reader import Document, parse_yaml
from tests.docs.blocks import EVERY, ROOT, Block, arguments, commands, link_repository
from tests.docs.excused import EXCUSED, EXTRAS, SLOW
from tests.docs.notebooks import PAGES as NOTEBOOK_PAGES
from tests.docs.shrinking import shrunk

DOOR = "python run_benchmark.py "
QUICKSTART = ["run", "sweeps/quickstart.yaml"]
# What the commands printed that were run in this process's workspace.
PRINTED: dict[tuple[str, ...], str] = {}
# The names that blocks of Python have bound, of each page that is a notebook too.
SESSIONS: dict[str, dict[str, object]] = {
    page.relative_to(ROOT).as_posix(): {"__name__": "__main__"} for page in NOTEBOOK_PAGES.values()
}
FINISHED: set[Block] = set()  # blocks of Python that these names are of
RUN_LANGUAGES = ("sh", "python", "yaml", "json", "toml", "latex", "text")
NAMES = 23  # columns in which a folder's tree has names
# A sweep that a block with some of its keys is put into.
FRAME = "name: frame\nseeds: 1\nenvironments: [CartPole-v1]\nagents: [eggroll, open_es, pes]\n"
FRAME += "defaults: {budget: {env_steps: 1e4}}\n"


def _blocks(language: str) -> list[Block]:
    return [block for block in EVERY if block.language == language]


def _parameters(language: str) -> pytest.MarkDecorator:
    def marks(block: Block) -> list[pytest.MarkDecorator]:
        slow = [pytest.mark.slow] if any(word in block.text for word in SLOW) else []
        needed = {extra for command, extra in EXTRAS.items() if command in block.text}
        return slow + [pytest.mark.extra(extra) for extra in sorted(needed)]

    found = [pytest.param(b, id=b.name, marks=marks(b)) for b in _blocks(language)]
    return pytest.mark.parametrize("block", found)


def _named(page: str) -> dict[str, str]:
    """The sweep files that a page shows, by the file's name."""
    return {
        block.file_name: block.text
        for block in _blocks("yaml")
        if block.page == page and block.file_name
    }


# Python files that a page shows, by the name in their first line.
FILES = {
    block.file_name: block.text for block in EVERY if block.language == "python" and block.file_name
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the repository's root is to a reader: sweeps, results of the quickstart."""
    folder = tmp_path_factory.mktemp("workspace")
    link_repository(folder)
    (folder / "docs").mkdir()
    with contextlib.chdir(folder):
        assert _call(shrunk(QUICKSTART))[0] == 0
    return folder


@pytest.fixture
def inside(workspace: Path) -> Iterator[Path]:
    """The workspace as current folder."""
    with contextlib.chdir(workspace):
        yield workspace


def _call(words: list[str]) -> tuple[int, str]:
    """Exit code and standard output of a command line, in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = cli.main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue()


def _process(words: list[str]) -> tuple[int, str]:
    """The same in a process of its own, where workers find the door."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )
    return done.returncode, done.stdout + done.stderr


def _run_commands(block: Block) -> None:
    for name, text in (_named(block.page) | FILES).items():
        Path(name).write_text(text)
    for command in commands(block.text):
        if command in EXCUSED:
            continue
        assert command.startswith(DOOR), f"{block.name}: neither run nor excused: {command}"
        words, written = arguments(command)
        small = shrunk(words)
        if tuple(small) in PRINTED and not written:  # shown on another page, too
            continue
        code, out = _process(small) if "--workers" in words else _call(small)
        PRINTED[tuple(small)] = out
        allowed = (0, 1) if "--fail-if" in words else (0,)
        assert code in allowed, f"{block.name}: {command}\nended with {code}\n{out}"
        if written:
            Path(written).write_text(out)


@_parameters("sh")
def test_commands_run(block: Block, inside: Path):
    _run_what_comes_before(block)
    _run_commands(block)


def _run_what_comes_before(block: Block) -> None:
    """Runs, of a page that is a notebook too, the blocks before one: later ones build on them."""
    for other in EVERY if block.page in SESSIONS else []:
        if other.page == block.page and other.line < block.line:
            if other.language == "sh":
                _run_commands(other)
            elif other.language == "python":
                _run_python(other)


def _run_python(block: Block) -> None:
    if block not in FINISHED:
        names = SESSIONS.get(block.page, {"__name__": "__main__"})
        exec(compile(block.text, block.name, "exec"), names)
    FINISHED.update({block} if block.page in SESSIONS else {})


@_parameters("python")
def test_python_runs(block: Block, inside: Path):
    _run_what_comes_before(block)
    _run_python(block)


@_parameters("yaml")
def test_sweep_files_are_right(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("results").symlink_to(ROOT / "results")  # saved policies that runs start from
    path = tmp_path / "shown.yaml"
    path.write_text(block.text)
    keys = set(parse_yaml(block.text, block.name).content)
    if "contestants" in keys:
        speed_files.load_benchmark(path)
    elif {"environments", "agents"} <= keys:
        loading.load_sweep(path)
    else:
        frame = parse_yaml(FRAME, block.name)
        shown = parse_yaml(block.text, block.name).content
        loading.validate_sweep(Document(block.name, frame.content | shown))


@_parameters("json")
def test_json_is_read(block: Block):
    assert json.loads(block.text)


@_parameters("toml")
def test_toml_is_read(block: Block):
    assert tomllib.loads(block.text)


@_parameters("latex")
def test_latex_includes_files_that_are_there(block: Block, inside: Path):
    _run_what_comes_before(block)
    files = re.findall(r"\{(results/[^}]*)\}", block.text)
    assert files and [file for file in files if not Path(file).exists()] == []


@_parameters("text")
def test_messages_and_folders_are_as_they_are_shown(block: Block, inside: Path):
    if block.text.startswith("error: "):
        assert block.text.removeprefix("error: ").strip() in _messages(block)
    elif block.text.startswith("ok "):
        assert set(block.text.splitlines()) <= set(_said_before(block).splitlines())
    else:
        root, *lines = [line for line in block.text.splitlines() if line]
        folder = Path(root.replace("<sweep>", "quickstart"))
        shown = [
            one.strip("/ ") for line in lines for one in line[:NAMES].split(",") if one.strip()
        ]
        missing = [name for name in shown if not list(folder.glob(_pattern(name)))]
        assert set(missing) <= {"replays"}, f"{block.name}: not in {folder}: {missing}"


def _said_before(block: Block) -> str:
    """What the command of the shell block before this one prints."""
    before = [b for b in _blocks("sh") if b.page == block.page and b.line < block.line]
    _run_commands(before[-1])
    (command,) = commands(before[-1].text)
    return PRINTED[tuple(shrunk(arguments(command)[0]))]


def _pattern(name: str) -> str:
    """A shown name as a pattern: `.csv` is any file that ends so, `<run>` any name."""
    return re.sub(r"<.*?>", "*", f"*{name}" if name.startswith(".") else name)


def _messages(block: Block) -> set[str]:
    """What is said of the page's sweep files where one word in them is misspelled as shown."""
    file, wrong, right = re.findall(r"(\S+\.yaml): .*?(\w+)(?:\[\d+\])? \(.*'(\w+)'", block.text)[0]
    text, said = _named(block.page)[file], set()
    for place in re.finditer(rf"\b{right}\b", text):
        changed = text[: place.start()] + wrong + text[place.end() :]
        try:
            loading.validate_sweep(parse_yaml(changed, file))
        except UserError as error:
            said.add(str(error))
    return said


def test_every_language_is_run():
    assert {block.language for block in EVERY} <= set(RUN_LANGUAGES)


def test_every_excuse_is_needed():
    shown = {command for block in _blocks("sh") for command in commands(block.text)}
    assert set(EXCUSED) <= shown, f"no page shows {set(EXCUSED) - shown}"
    for words in (SLOW, EXTRAS):
        assert {word for word in words for command in shown if word in command} == set(words)
