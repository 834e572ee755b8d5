"""Agents and environments by file, module and entry point, and in other libraries' styles."""

import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es import cli, plugins, registry
from rl_es.config import Style
from rl_es.errors import UserError
from rl_es.interfaces import ParameterSpec
from rl_es.results import manifest
from rl_es.sweep.cells import expand_cells
from rl_es.sweep.store import Store
from tests.running import sweep_of

AGENT = '''
"""Mine."""
from rl_es.config import traced
from rl_es.evolution.strategy import episodic_strategy
from rl_es.evolution.config import EpisodicConfig
from rl_es.evolution.perturbation import FullRank


class Mine:
    """An agent of mine."""

    class Hyperparameters(EpisodicConfig):
        extra: float = traced(0.5, "one of its own", ge=0)

    @staticmethod
    def make(config, problem):
        return episodic_strategy(config, FullRank(problem.parameters))
'''
ENVIRONMENTS = '''
"""Environments in other libraries' styles."""
import jax
import jax.numpy as jnp
from brax.envs.base import State
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.classic_control.pendulum import Pendulum


@struct.dataclass
class Params:
    max_steps_in_episode: int = 7
    bound: float = 2.0


@struct.dataclass
class Point:
    x: jax.Array
    time: jax.Array


class Five:
    """gymnax 0.0.x: five values, and done mixes in the time limit."""

    @property
    def default_params(self):
        return Params()

    def action_space(self, params=None):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Box(-9, 9, (1,))

    def reset_env(self, key, params):
        state = Point(jax.random.uniform(key, ()), 0)
        return state.x[None], state

    def step_env(self, key, state, action, params):
        state = Point(state.x + action - 0.5, state.time + 1)
        return state.x[None], state, state.x, self.is_terminal(state, params), {}

    def is_terminal(self, state, params):
        return (jnp.abs(state.x) > params.bound) | (state.time >= params.max_steps_in_episode)


class Six(Five):
    """Six values, with a truncation of its own."""

    def step_env(self, key, state, action, params):
        observation, state, reward, _, info = super().step_env(key, state, action, params)
        terminated = jnp.abs(state.x) > params.bound
        over = (state.time >= params.max_steps_in_episode) & ~terminated
        return observation, state, reward, terminated, over, info


class Brax:
    """brax: what it goes by lies in the state's info."""

    observation_size = 2
    action_size = 1

    def reset(self, rng):
        rng, own = jax.random.split(rng)
        place = jax.random.uniform(own, (2,))
        info = {"rng": rng, "place": place, "steps": 0}
        return State(None, place, jnp.zeros(()), jnp.zeros(()), {}, info)

    def step(self, state, action):
        rng, own = jax.random.split(state.info["rng"])
        place = state.info["place"] + 0.1 * action + 0.01 * jax.random.normal(own, (2,))
        info = {"rng": rng, "place": place, "steps": state.info["steps"] + 1}
        done = (jnp.abs(place).max() > 3).astype(float)
        return state.replace(obs=place, reward=-jnp.sum(place**2), done=done, info=info)


class Sized(Five):
    """Takes options."""

    def __init__(self, bound: float = 2.0, steps: int = 7):
        self.given = Params(steps, bound)

    @property
    def default_params(self):
        return self.given


pendulum = Pendulum()
'''
SWEEP = """
name: plugged
seeds: 1
defaults: {{budget: {{generations: 1}}}}
environments: [{{name: "{env}"}}]
agents: [{{name: "{agent}", with: {{extra: 0.25}}}}]
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with plug-ins, which is the current one."""
    (tmp_path / "mine.py").write_text(AGENT)
    (tmp_path / "worlds.py").write_text(ENVIRONMENTS)
    monkeypatch.chdir(tmp_path)
    registry._load_plugin.cache_clear()
    return tmp_path


def made(name: str, **options):
    suite = registry.environment_suite(name)
    return suite.make(name, suite.Options(**options))


def only(agent: str, env: str):
    return expand_cells(sweep_of(SWEEP.format(agent=agent, env=env)))[0]


def test_an_agent_in_a_file(directory: Path) -> None:
    cell = only("./mine.py:Mine", "CartPole-v1")
    assert cell.agent == "./mine.py:Mine" and cell.label == "Mine"
    assert cell.settings["extra"] == 0.25
    with pytest.raises(UserError, match="unknown key; did you mean 'extra'"):
        sweep_of(SWEEP.format(agent="./mine.py:Mine", env="CartPole-v1").replace("extra", "extar"))


def test_other_code_is_another_run(directory: Path, tmp_path: Path) -> None:
    def run_id(text: str, folder: str) -> str:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text)
        module = plugins.load(f"{tmp_path / folder / 'mine.py'}:Mine")
        return str(plugins.module_numerics(*module))

    usual = run_id(AGENT, "a")
    assert run_id(AGENT.replace('"""Mine."""', '"""Other words."""  # and a comment'), "b") == usual
    assert run_id(AGENT.replace("FullRank(problem", "FullRank( problem"), "c") == usual
    assert run_id(AGENT.replace("0.5", "0.6"), "d") != usual
    assert run_id(AGENT + "\n    NUMERICS = 3\n", "e") == "3"


def test_a_file_may_import_files_beside_it_and_their_code_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    constants = tmp_path / "neighbour_constants.py"
    constants.write_text("BOUND = 2.0\n")
    (tmp_path / "neighbour_points.py").write_text(
        "from neighbour_constants import BOUND\nimport neighbour_points\n"
    )
    (tmp_path / "user.py").write_text(
        "from neighbour_points import BOUND\nclass Here:\n    bound = BOUND\n"
    )
    here, module = plugins.load(f"{tmp_path}/user.py:Here")
    assert here.bound == 2.0
    before = plugins.module_numerics(here, module)
    constants.write_text("BOUND = 2.0  # metres\n")
    assert plugins.module_numerics(here, module) == before
    constants.write_text("BOUND = 3.0\n")
    assert plugins.module_numerics(here, module) != before


def test_files_of_one_name_beside_two_plugins_are_not_confused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(f"WHERE = '{folder}'\n")
        (tmp_path / folder / "user.py").write_text("import same_name\nclass Here: ...\n")
    plugins.load(f"{tmp_path}/first/user.py:Here")
    with pytest.raises(UserError, match=r"imports same_name, which is .*first/same_name.py by now"):
        plugins.load(f"{tmp_path}/second/user.py:Here")


def test_a_function_that_makes_an_environment_is_not_called(tmp_path: Path) -> None:
    (tmp_path / "factory.py").write_text("def make(size=3):\n    raise SystemExit\n")
    with pytest.raises(UserError, match=r"write env = make\(\) in .*, and name .*factory.py:env"):
        registry.environment_suite(f"{tmp_path}/factory.py:make")


def test_a_module_of_the_path(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(directory))
    cell = only("mine:Mine", "worlds:Five")
    assert (cell.label, cell.env) == ("Mine", "Five")
    monkeypatch.delitem(sys.modules, "mine")
    monkeypatch.delitem(sys.modules, "worlds")


def test_former_names_of_our_packages() -> None:
    """References of older files say `agents.` and `envs.`, which are parts of rl_es by now."""
    assert plugins.load("agents.eggroll:make")[1].__name__ == "rl_es.agents.eggroll"
    assert plugins.load("envs._styles:adapt")[1].__name__ == "rl_es.envs._styles"
    with pytest.raises(UserError, match=r"no module 'agents\.nonesuch' can be imported here"):
        plugins.load("agents.nonesuch:make")


def test_entry_points(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        "rl_es.agents": [metadata.EntryPoint("mine", "./mine.py:Mine", "rl_es.agents")],
        "rl_es.envs": [metadata.EntryPoint("my/five", "./worlds.py:Five", "rl_es.envs")],
    }
    monkeypatch.setattr(metadata, "entry_points", lambda group: points[group])
    registry._entry_points.cache_clear()
    try:
        assert "mine" in registry.agents.names()
        assert "my/five" in registry.environment_names()
        cell = only("mine", "my/five")
        assert (cell.label, cell.env) == ("mine", "my/five")
        assert registry.environment_suite("my/five").make("my/five", cell.options).spec.name == (
            "my/five"
        )
    finally:
        registry._entry_points.cache_clear()


STYLED = AGENT.replace(
    "class Hyper", 'STYLE = Style("#123456", marker="v")\n\n    class Hyper'
).replace("import FullRank\n", "import FullRank\nfrom rl_es.config import Style\n")


def test_a_run_records_the_style_of_a_plug_in(directory: Path) -> None:
    (directory / "mine.py").write_text(STYLED)
    sweep = sweep_of(SWEEP.format(agent="./mine.py:Mine", env="CartPole-v1"))
    Store(directory / "out").write_manifest(sweep, ())
    style = manifest.read_sweep_manifest(directory / "out").styles["./mine.py:Mine"]
    assert style == Style("#123456", marker="v")


def test_drawing_imports_no_plug_in(directory: Path) -> None:
    (directory / "mine.py").write_text("raise SystemExit('imported')")
    assert registry.declarations("STYLE", ["./mine.py:Mine", "no such agent"]) == {}


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ("'#123456'", r"\./mine\.py:Mine: STYLE must be a rl_es\.config\.Style"),
        ("Style('red')", r"mine\.py: ValueError: colour must be '#rrggbb'.* \(mine\.py:\d+\)"),
    ],
)
def test_a_style_that_is_none_is_refused(directory: Path, style: str, message: str) -> None:
    (directory / "mine.py").write_text(STYLED.replace('Style("#123456", marker="v")', style))
    with pytest.raises(UserError, match=message):
        registry.agents.load("./mine.py:Mine")


def test_two_entry_points_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [metadata.EntryPoint("x", value, "g") for value in ("a:B", "c:D")]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    with pytest.raises(UserError, match="two plug-ins are named 'x' in g: a:B and c:D"):
        plugins.entry_points("g")


def ends(env, steps: int) -> list[tuple[bool, bool]]:
    """(terminated, truncated) of steps that push to the right."""
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    step, result = jax.jit(env.step), []
    for _ in range(steps):
        after = step(jax.random.key(1), state, jnp.int32(1))
        state = after.state
        result.append((bool(after.terminated), bool(after.truncated)))
    return result


@pytest.mark.parametrize("name", ["Five", "Six"])
def test_termination_and_truncation_are_told_apart(directory: Path, name: str) -> None:
    """From below 1 in steps of a half, the bound at 2 is passed after three or four steps."""
    env = made(f"./worlds.py:{name}")
    assert env.spec.episode_length == 7
    result = ends(env, 7)
    first = next(i for i, one in enumerate(result) if one[0])
    assert first in (2, 3) and not any(over for _, over in result[:6])


@pytest.mark.parametrize("bound", [2.0, 100.0])
def test_options_from_a_signature(directory: Path, bound: float) -> None:
    env = made("./worlds.py:Sized", bound=bound, steps=9)
    assert env.spec.episode_length == 9
    result = ends(env, 9)
    assert any(terminated for terminated, _ in result) == (bound == 2.0)
    assert result[8] == ((True, False) if bound == 2.0 else (False, True))


def test_an_object(directory: Path) -> None:
    env = made("./worlds.py:pendulum")
    assert env.spec.observation_shape == (3,) and env.spec.episode_length == 200


def test_all_of_a_brax_style_state_is_carried(directory: Path) -> None:
    env = made("./worlds.py:Brax")
    state, _ = env.reset(jax.random.key(3))
    for _ in range(3):
        before = state.info["place"]
        after = env.step(jax.random.key(0), state, jnp.ones(1))
        state = after.state
        assert not np.array_equal(before, state.info["place"])
    assert int(state.info["steps"]) == 3 and env.spec.episode_length is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./none.py:It", "no file none.py"),
        ("./worlds.py:Fife", "has no 'Fife'; did you mean 'Five'?"),
        ("./worlds.py:Params", "is no environment"),
        ("subprocess:Popen", "is no environment"),
        ("os:system", "is no environment"),
        ("no_such_package.at_all:It", "no module 'no_such_package.at_all'"),
        ("./broken.py:It", "broken.py: NameError: name 'undefined' is not defined (broken.py:2)"),
        ("./syntax.py:It", "syntax.py: SyntaxError: invalid syntax (syntax.py:1)"),
    ],
)
def test_what_is_no_environment(directory: Path, name: str, says: str) -> None:
    (directory / "broken.py").write_text("import jax\nundefined()\n")
    (directory / "syntax.py").write_text("def (:\n")
    with pytest.raises(UserError) as refusal:
        registry.environment_suite(name)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./worlds.py:Five", "has no Hyperparameters"),
        ("subprocess:Popen", "has no Hyperparameters"),
        ("rl_es.evolution.config:EpisodicConfig", "has no Hyperparameters"),
    ],
)
def test_what_is_no_agent(directory: Path, name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        registry.agents.load(name)


def test_the_list_shows_its_settings(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "./mine.py:Mine", "--long"]) == 0
    message = capfd.readouterr().out
    assert "An agent of mine." in message and "one of its own" in message
    assert cli.main(["list", "./worlds.py:Sized", "--long"]) == 0
    assert "bound" in capfd.readouterr().out
    assert cli.main(["list", "./mine.py:Yours"]) == 2
    assert "has no 'Yours'" in capfd.readouterr().err


def test_a_field_that_a_strategy_lacks_is_named(directory: Path) -> None:
    text = AGENT.replace("FullRank(problem.parameters)", "FullRank(problem.parameters), extra=1")
    (directory / "lacking.py").write_text(text)
    agent = plugins.load_agent(f"{directory}/lacking.py:Mine")
    problem = SimpleNamespace(parameters=ParameterSpec({}))
    with pytest.raises(UserError, match=r"no field extra; write @dataclass\(frozen=True\) above"):
        agent.make(agent.Hyperparameters(), problem)
