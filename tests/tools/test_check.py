"""The checks find planted faults, and nothing in what is sound; `new` writes what passes them."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from rl_es import cli, registry
from rl_es.terminal import FAIL, OK, WARN, CheckResult, run_check
from rl_es.tools.check import checks_of
from rl_es.tools.check_agent import StrategyChecks
from rl_es.tools.check_environment import EnvironmentChecks
from tests import extras
from tests.tools import faults

FAULTS = Path(faults.__file__)
ENVIRONMENTS = {
    "ReusedKey": "keys",
    "RewardAfterTheEnd": "after the end",
    "Impure": "pure",
    "WrongShape": "types",
    "PythonReward": "types",
    "ChangingState": "types",
    "BothEnds": "ends",
    "LateTruncation": "ends",
    "OneStep": "ends",
    "Unclipped": "finite",
    "RewardEach": "types",
    "MissingRow": "specification",
    "OneMask": "action mask",
}
AGENTS = {
    "WrongSign": "improves",
    "OneKey": "noise",
    "Uncentred": "shift",
    "Squared": "symmetry",
    "Turning": "scale",
    "StaticRate": "pure",
    "IdleRate": "traced settings",
    "LostState": "pure",
    "StateOutsideArrays": "types",
    "Whole": "chunks",
}


def results_of(checks, name: str) -> list[CheckResult]:
    return list(run_check(name, checks[name]))


@pytest.mark.parametrize(("fault", "check"), ENVIRONMENTS.items())
def test_a_fault_of_an_environment(fault: str, check: str) -> None:
    (result,) = results_of(EnvironmentChecks(getattr(faults, fault)()).checks(), check)
    assert result.state == FAIL and result.remedy
    assert not result.detail.startswith("Traceback")


@pytest.mark.parametrize("kind", [faults.Sound, faults.TwoPoints])
def test_a_sound_environment(kind: type) -> None:
    checks = EnvironmentChecks(kind()).checks()
    assert {result.state for name in checks for result in results_of(checks, name)} == {OK}


class LateNoise(faults.Sound):
    """A point that starts at the same place, and that keys push after some steps."""

    def reset(self, key):
        return super().reset(jax.random.key(0))

    def step(self, key, state, action):
        push = jnp.where(state.time > 4, 0.01 * jax.random.normal(key, (1,)), 0.0)
        return self.after(state, state.position + 0.1 * jnp.clip(action, -1, 1) + push)


class Determined(LateNoise):
    """The same point without noise."""

    def step(self, key, state, action):
        return super().step(jax.random.key(1), state, action)


@pytest.mark.parametrize(
    ("env", "detail"),
    [
        (LateNoise, "the same key gives the same; other keys others"),
        (Determined, "the same from every key: it is deterministic"),
        (faults.Sound, "the same key gives the same; other keys others"),
    ],
)
def test_an_environment_is_deterministic_if_no_step_depends_on_a_key(env: Any, detail: str) -> None:
    (result,) = results_of(EnvironmentChecks(env()).checks(), "keys")
    assert (result.state, result.detail) == (OK, detail)


@pytest.mark.parametrize(("fault", "check"), AGENTS.items())
def test_a_fault_of_an_agent(fault: str, check: str) -> None:
    checks = StrategyChecks(f"{FAULTS}:{fault}", {}).checks()
    (result,) = results_of(checks, check)
    assert result.state == FAIL and result.remedy


REPLAY = {"gamma": 0.0, "lr": 0.003, "num_steps": 16, "batch_size": 64, "fill_buffer": 256}
SETTINGS = {  # with which they learn the target, where their defaults do not; docs/agents.md
    "evosax/LM_MA_ES": {"population": 8},
    "evosax/SV_Open_ES": {"optimiser": "adam"},
    "evosax/iAMaLGaM_Univariate": {"sigma": 0.3, "sigma_decay": 0.98},
    "sac": REPLAY,
    "td3": REPLAY,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent", [pytest.param(name, marks=extras.marks(name)) for name in registry.agents.names()]
)
def test_every_agent_passes(agent: str) -> None:
    checks = checks_of(agent, SETTINGS.get(agent, {}), 0)
    wrong = [result for name in checks for result in results_of(checks, name) if result.state != OK]
    assert not wrong


QUICK = ("CartPole-v1", "Pendulum-v1", "unrolled/lorenz", "unrolled/linear")
EVERY = registry.environment_names()
WITHOUT_DATA = {"text/files", "text/austen"}  # they need files that are not everywhere


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=extras.marks(name) + ([] if name in QUICK else [pytest.mark.slow]))
        for name in EVERY
        if name not in WITHOUT_DATA
    ],
)
def test_every_environment_passes(name: str) -> None:
    checks = checks_of(name, {}, 0)
    wrong = [
        result for check in checks for result in results_of(checks, check) if result.state != OK
    ]
    # Several libraries draw twice from one key, which is said, and theirs to change.
    assert {(result.subject, result.state) for result in wrong} <= {("keys", WARN)}, wrong


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("env", [], "one_of_mine"),
        ("env", ["--agents", "4"], "team_of_mine"),
        ("agent", [], "one_of_mine"),
    ],
)
def test_new_writes_what_passes(
    kind: str,
    options: list[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", kind, name, *options]) == 0
    assert sorted(os.listdir()) == [f"{name}.py", f"{name}.yaml"]
    reference = f"./{name}.py:{name.title().replace('_', '')}"
    assert reference in Path(f"{name}.yaml").read_text()
    settings = "{speed: 0.2}" if kind == "env" else "{keep: 0.7}"
    capfd.readouterr()
    assert cli.main(["check", reference, "--steps", "0", "--settings", settings]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "all well"
    assert ("4 agents (4 point)" in lines[0]) == bool(options)
    assert cli.main(["plan", f"{name}.yaml"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["agent", "mine", "--agents", "3"], "--agents: is for an environment"),
     (["env", "mine", "--agents", "1"], "--agents: must be")],
)  # fmt: skip
def test_new_refuses_agents_where_there_are_none(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", *arguments]) == 2
    assert says in capfd.readouterr().err and not os.listdir()


def test_new_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("name: other\n")
    assert cli.main(["new", "env", "mine"]) == 2
    assert "mine.yaml: is there already" in capfd.readouterr().err
    assert os.listdir() == ["mine.yaml"]


@pytest.mark.parametrize("name", ["My", "1a", "a-b", "../a", "class", "", "a" * 61])
def test_names_that_are_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "env", name]) == 2
    assert capfd.readouterr().err.startswith("error: ") and not os.listdir()


def test_an_agent_is_trained_and_it_is_said_what_came_of_it(capfd) -> None:
    assert cli.main(["check", "eggroll", "--steps", "2000", "--settings", "{population: 16}"]) == 0
    assert "CartPole-v1: not learned: a return of" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonesuch"], "no agent and no environment is named 'nonesuch'"),
        (["CartPole-v2"], "did you mean 'CartPole-v1'?"),
        (
            ["eggroll", "--settings", "{rnk: 1}"],
            "--settings: rnk: unknown key; did you mean 'rank'?",
        ),
        (["eggroll", "--settings", "3"], "--settings: must be a mapping"),
        (["brax/ant", "--settings", "{backend: x}"], "--settings: backend: "),
        (["eggroll", "--steps", "-1"], "--steps"),
        (["./none.py:It"], "no file none.py"),
    ],
)
def test_what_cannot_be_checked(arguments, says: str, capfd) -> None:
    assert cli.main(["check", *arguments]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ") and says in line
