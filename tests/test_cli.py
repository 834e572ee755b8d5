"""The command line, in a process of its own: messages, exit codes, and what it must not load."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import rl_es
from rl_es.cli.main import EXAMPLES, GROUPS, VERBS
from rl_es.cli.parsing import parse

ROOT = Path(__file__).parent.parent

# The command line with toys for agents and environments; it prints the heavy modules it loaded.
PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from rl_es import registry
registry.agents.add_package("tests.sweep.toy_agents")
registry.suites.add_package("tests.sweep.toy_suites")
from rl_es.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
heavy = [name for name in ("jax", "flax", "pandas", "pyarrow", "matplotlib") if name in sys.modules]
print("loaded:", *heavy, file=sys.stderr)
sys.exit(code)
"""
GOOD = """
name: toy
seeds: 2
defaults: {budget: {env_steps: 1e4}}
environments: [Toy-v0]
agents: [plain]
"""
SPEED = """
name: toy
workloads: {environments: [Toy-v0], widths: [[8]], populations: [4]}
contestants: [inference, plain]
"""


def _call(folder: Path, *arguments: str, code: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def _refused(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Asserts exit code 2, one message of at most three lines, and no heavy module loaded."""
    message, _, loaded = result.stderr.rpartition("loaded:")
    assert result.returncode == 2 and not result.stdout, (result.stdout, result.stderr)
    assert message.startswith("error: ") and len(message.splitlines()) <= 3
    assert "Traceback" not in message and all(part in message for part in parts), message
    assert not loaded.strip()


@pytest.mark.parametrize(
    ("verb", "changed", "parts"),
    [
        ("run", ("[plain]", "[plane]"), ("agents[0].name", "did you mean 'plain'?")),
        ("run", ("Toy-v0", "Toy-v1"), ("environments[0].name", "line 5", "did you mean 'Toy-v0'?")),
        ("run", ("seeds: 2", "seeds: 2\nseeds: 3"), ("seeds", "key given twice (lines 3 and 4)")),
        ("run", ("name: toy", "name: ../toy"), ("name (line 2)", "not a path")),
        ("run", ("seeds: 2", "seeds:"), ("seeds (line 3)", "null")),
        ("speed", (", plain", ", plane"), ("contestants[1].name", "line 4", "'plain'?")),
        ("speed", ("Toy-v0", "Toy-v1"), ("workloads.environments[0].name", "'Toy-v0'?")),
        ("speed", ("[4]", "[5]"), ("workloads.populations[0]", "must be even, such as 6")),
        ("speed", ("widths", "seeds"), ("workloads.seeds", "unknown key")),
    ],
)
def test_a_wrong_file_is_refused_before_anything_heavy_is_loaded(
    tmp_path: Path, verb: str, changed: tuple[str, str], parts: tuple[str, ...]
) -> None:
    text = SPEED if verb == "speed" else GOOD
    (tmp_path / "toy.yaml").write_text(text.replace(*changed))
    _refused(_call(tmp_path, verb, "toy.yaml"), "toy.yaml", *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("run", "tiy.yaml"), ("tiy.yaml: no such file; did you mean 'toy.yaml'?",)),
        (("run", "."), ("is a folder",)),
        (("run", "quickstar"), ("quickstar: no such file", "did you mean 'quickstart'?")),
        (("speed", "speed/rank"), ("no such sweep in the package; did you mean 'speed/ranks'?",)),
        (("plan", "toy"), ("toy: no such file", "did you mean 'toy.yaml'?")),
        (("sweeps", "--copy", "quickstar"), ("--copy: ", "did you mean 'quickstart'?")),
        (("sweeps", "--out", "."), ("--out: needs --copy",)),
        (("run", "toy.yaml", "--set", "agents.plane.with.lr=1"), ("--set", "'plain'?")),
        (("run", "toy.yaml", "--set", "seeds=0", "--set", "name=x"), ("seeds (--set)", "least 1")),
        (("plan", "toy.yaml", "--set", "seeds=0"), ("seeds (--set)", "least 1")),
        (("run", "toy.yaml", "--out", "toy.yaml"), ("toy.yaml: is a file",)),
        (("report", "nowhere"), ("nowhere: no such folder",)),
        (("evaluate", "nowhere"), ("nowhere: no such folder",)),
        (("evaluate", "."), ("no final policies here",)),
        (("evaluate", ".", "--episodes", "0"), ("--episodes: must be at least 1",)),
        (("replay", "nowhere"), ("nowhere: no such folder",)),
        (("replay", "."), ("no policies here",)),
        (("replay", ".", "--size", "3x3"), ("--size: must be two even numbers",)),
        (("replay", ".", "--out", "film.avi"), ("must end in .mp4, .gif, .html",)),
        (("rum", "toy.yaml"), ("unknown command 'rum'; did you mean 'run'?",)),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    (tmp_path / "toy.yaml").write_text(GOOD)
    _refused(_call(tmp_path, *arguments), *parts)


@pytest.mark.parametrize("name", ["nonesuch", "nonesuch.yaml"])
def test_files_whose_names_start_with_a_dot_are_not_suggested(tmp_path: Path, name: str) -> None:
    (tmp_path / ".nonesuch.yaml").write_text(GOOD)
    result = _call(tmp_path, "run", name)
    _refused(result, f"{name}: no such file")
    assert ".nonesuch.yaml" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "run: needs SWEEP"),
        (("run", "toy.yaml", "--sett", "x=1"), "unknown option '--sett'; did you mean '--set'?"),
        (("list", "agent"), "did you mean 'agents'?"),
        (("--lst",), "unknown option '--lst'"),
    ],
)
def test_wrong_syntax(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    _refused(_call(tmp_path, *arguments), message)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--help",),
        ("run", "--help"),
        ("speed", "--help"),
        ("evaluate", "--help"),
        ("replay", "--help"),
    ],
)
def test_help(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = _call(tmp_path, *arguments)
    assert result.returncode == 0 and "usage: rl_es" in result.stdout
    assert result.stderr.strip() == "loaded:"


def test_help_is_grouped_and_has_every_command(tmp_path: Path) -> None:
    lines = _call(tmp_path, "--help").stdout.splitlines()
    commands = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert commands == list(VERBS)
    assert {f"{title}:" for title in GROUPS} <= set(lines)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_an_example_that_is_valid(verb: str) -> None:
    words = shlex.split(EXAMPLES[verb])
    assert words[0] == verb and isinstance(parse(words, VERBS), VERBS[verb])


def test_an_example_ends_the_help_of_a_command(tmp_path: Path) -> None:
    lines = _call(tmp_path, "plan", "--help").stdout.splitlines()
    assert lines[-1] == f"example: rl_es {EXAMPLES['plan']}"


def test_version(tmp_path: Path) -> None:
    result = _call(tmp_path, "--version")
    assert result.returncode == 0 and result.stdout == f"rl_es {rl_es.__version__}\n"
    assert result.stderr.strip() == "loaded:"


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    result = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert targets is not None
    assert {line.split()[0] for line in result.stdout.splitlines()} == {*targets[1].split()}


@pytest.mark.parametrize("program", ["run_benchmark.py", "rl_es"])
def test_help_names_the_program_that_was_started(program: str) -> None:
    start = "run_path('run_benchmark.py'" if program.endswith(".py") else "run_module('rl_es'"
    code = f"import runpy, sys; sys.argv = [{program!r}, '--help']\ntry:\n"
    code += f"    runpy.{start}, run_name='__main__')\nexcept SystemExit: pass\n"
    code += "print('jax' in sys.modules)"
    result = _call(ROOT, code=f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}")
    assert result.returncode == 0 and result.stdout.splitlines()[-1] == "False", result.stderr
    assert f"usage: {program} " in result.stdout


def test_sweeps_of_the_package(tmp_path: Path) -> None:
    result = _call(tmp_path, "sweeps")
    assert result.returncode == 0 and result.stderr.strip() == "loaded:"
    assert "paper/cartpole " in result.stdout and "the EGGROLL paper's comparison" in result.stdout
    result = _call(tmp_path, "sweeps", "--copy", "paper/cartpole", "--out", "mine")
    copy = tmp_path / "mine" / "cartpole.yaml"
    assert result.stdout == "mine/cartpole.yaml\n"
    assert copy.read_bytes() == (ROOT / "sweeps/paper/cartpole.yaml").read_bytes()
    copy.write_text("changed")
    result = _call(tmp_path, "sweeps", "--copy", "paper/cartpole", "--out", "mine")
    _refused(result, "mine/cartpole.yaml: exists already")
    assert copy.read_text() == "changed"


def test_a_sweep_is_found_by_name_after_files_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rl_es.cli.arguments import find_sweep

    monkeypatch.chdir(tmp_path)
    assert find_sweep(Path("quickstart")).samefile(ROOT / "sweeps/quickstart.yaml")
    assert find_sweep(Path("sweeps/quickstart.yaml")).samefile(ROOT / "sweeps/quickstart.yaml")
    assert find_sweep(Path("sweeps/nonesuch.yaml")) == Path("sweeps/nonesuch.yaml")
    Path("paper").mkdir()
    assert find_sweep(Path("paper/cartpole")).samefile(ROOT / "sweeps/paper/cartpole.yaml")
    Path("paper/cartpole").write_text(GOOD)
    assert find_sweep(Path("paper/cartpole")) == Path("paper/cartpole")


def test_list(tmp_path: Path) -> None:
    result = _call(tmp_path, "list")
    assert result.returncode == 0 and result.stderr.strip() == "loaded:"
    assert "plain" in result.stdout and "A plain agent." in result.stdout
    assert "Toy-v0, toy/other" in result.stdout and "A suite of two" in result.stdout
    assert "plain" not in _call(tmp_path, "list", "environments").stdout


def test_long_list(tmp_path: Path) -> None:
    result = _call(tmp_path, "list", "--long")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "lr float > 0 0.01 traced learning rate" in lines
    assert "rule sgd | adam adam static rule" in lines
    assert "backend fast | exact fast static how it is computed" in lines
    assert any(line.startswith("widths list of int [64, 64]") for line in lines)


FAKES = """
import sys, types
fake = types.ModuleType("rl_es.sweep.execution")
def run_sweep(sweep, out, progress, resources, **how):
    print(sweep.name, sweep.seeds, out)
    {body}
fake.run_sweep = run_sweep
sys.modules["rl_es.sweep.execution"] = fake
report = types.ModuleType("rl_es.analysis.sweep_report")
report.write = lambda folder, warn: [folder / "index.md"]
sys.modules["rl_es.analysis.sweep_report"] = report
import rl_es.sweep
rl_es.sweep.execution = fake
import rl_es.analysis
rl_es.analysis.sweep_report = report
"""


def _run(folder: Path, body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "toy.yaml").write_text(GOOD)
    fakes = f"import sys; sys.path.insert(0, {str(ROOT)!r})" + FAKES.format(body=body)
    return _call(folder, "run", "toy.yaml", *arguments, code=fakes + PROGRAM)


def test_run_passes_the_sweep_on(tmp_path: Path) -> None:
    result = _run(tmp_path, "return 1")
    assert result.returncode == 1 and result.stdout.splitlines() == [
        f"toy (0, 1) {Path('results/toy')}",
        str(Path("results/toy/index.md")),
    ]
    result = _run(tmp_path, "return 0", "--out", "there", "--set", "seeds=3", "--set", "name=other")
    assert result.returncode == 0 and result.stdout.splitlines()[0] == "other (0, 1, 2) there"


def test_interrupt(tmp_path: Path) -> None:
    result = _run(tmp_path, "raise KeyboardInterrupt")
    assert result.returncode == 130
    assert (
        result.stderr.splitlines()[0].startswith("interrupted") and "Traceback" not in result.stderr
    )


def test_leaving_does_not_wait_for_threads(tmp_path: Path) -> None:
    code = f"import sys, threading, time\nsys.path.insert(0, {str(ROOT)!r})\n"
    code += "from rl_es.cli import leave\n"
    code += "threading.Thread(target=time.sleep, args=(200,)).start()\nprint('message')\nleave(130)"
    result = _call(tmp_path, code=code)
    assert (result.returncode, result.stdout) == (130, "message\n")


def test_error_while_running(tmp_path: Path) -> None:
    result = _run(tmp_path, "from rl_es.errors import UserError; raise UserError('disk is full')")
    assert result.returncode == 2 and result.stderr.splitlines()[0] == "error: disk is full"
