"""Networks of the user's own: by file or by module, with their code in a run's identity."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.interfaces import Discrete, EnvSpec, Observation
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import make_policy
from rl_es.rollout.wrappers import implicit_promotion
from rl_es.training.policies import find_policy
from tests.running import ran, single_device, sweep_of

ROOT = Path(__file__).parents[2]
SPEC = EnvSpec("toy", (3,), Discrete(2), 10)
NET = '''
"""A network."""
import jax.numpy as jnp
from flax import linen as nn

class Net(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4{argument})(x)
        {line}
        return nn.Dense(self.outputs)(x)
'''


def config(folder: Path, argument: str = "", line: str = "x = nn.relu(x)") -> PolicyConfig:
    """Returns the settings of a network in a file of its own."""
    count = len(list(folder.glob("*.py")))
    path = folder / f"net{count}.py"
    path.write_text(NET.format(argument=argument, line=line))
    return PolicyConfig(network=f"{path}:Net")


def test_a_network_is_named_by_its_file(tmp_path):
    policy = make_policy(config(tmp_path), SPEC)
    params = policy.init(jax.random.key(0))
    assert policy.parameters.size == 3 * 4 + 4 + 4 * 2 + 2
    _, action = policy.act(params, (), Observation(jnp.ones(3)), jax.random.key(1))
    assert action in (0, 1)


@pytest.fixture(autouse=True)
def promotion():
    """The promotion of dtypes that users have; these tests otherwise run under strict rules."""
    with implicit_promotion():
        yield


def test_its_code_is_part_of_identity_and_its_comments_are_not(tmp_path):
    codes = [
        config(tmp_path, line=line).identity()["network_code"]
        for line in ("x = nn.relu(x)", "x = nn.relu(x)  # a comment", "x = nn.tanh(x)")
    ]
    assert codes[0] == codes[1] != codes[2]
    assert "network_code" not in PolicyConfig().identity()


@pytest.mark.parametrize(
    ("argument", "line", "words"),
    [
        (
            ", param_dtype=jnp.bfloat16",
            "x = nn.relu(x)",
            "Dense_0/bias is bfloat16, and only float32",
        ),
        (", param_dtype=jnp.complex64", "x = nn.relu(x)", "Dense_0/bias is complex64"),
        (
            "",
            "x = x + self.param('steps', lambda key: jnp.zeros(4, jnp.int32))",
            "parameter steps is int32",
        ),
        ("", "x = x.rellu()", r"AttributeError: .*rellu.* \(net0.py:12\)"),
        (
            "",
            "x = x if x.sum() > 0 else -x",
            r"Attempted boolean conversion of traced .* \(net0.py:12\)",
        ),
        ("", "x = x @ jnp.ones((9, 9))", r"cannot be called: .* \(net0.py:12\)"),
    ],
)
def test_what_cannot_be_evolved_or_called_is_named_on_one_line(tmp_path, argument, line, words):
    with pytest.raises(UserError, match=words) as caught:
        make_policy(config(tmp_path, argument, line), SPEC).parameters  # noqa: B018
    assert "\n" not in str(caught.value)


def test_computation_in_bfloat16_is_allowed(tmp_path):
    policy = make_policy(config(tmp_path, ", dtype=jnp.bfloat16"), SPEC)
    assert {leaf.dtype for leaf in jax.tree.leaves(policy.parameters.shapes)} == {np.dtype("f4")}


def test_a_module_that_cannot_be_imported_names_its_line(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("import jax\njax.numpyy\n")
    with pytest.raises(UserError, match=r"network: .*net.py: AttributeError: .* \(net.py:2\)"):
        make_policy(PolicyConfig(network=f"{path}:Net"), SPEC)


SWEEP = """
name: foreign
seeds: 1
defaults:
  budget: {{generations: 1}}
  evaluation: {{points: 1, episodes: 1}}
  policy: {{network: "{folder}/net0.py:Net"}}
environments: [{{name: "{folder}/my_env.py:MyEnv", label: plane, episode_length: 5}}]
agents: [{{name: random_search, with: {{population: 4}}}}]
"""


def evaluate(folder: Path) -> list[str]:
    """Evaluates the policies in a process of its own; returns its messages."""
    ended = subprocess.run(
        [sys.executable, "-m", "rl_es", "evaluate", folder / "out", "--episodes", "1"],
        cwd=ROOT,
        env=single_device(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr.splitlines()


def test_evaluation_warns_of_code_that_has_changed_since_training(tmp_path):
    config(tmp_path)
    environment = (ROOT / "rl_es/tools/templates/my_env.py").read_text()
    (tmp_path / "my_env.py").write_text(environment)
    out = ran(tmp_path / "out", sweep_of(SWEEP.format(folder=tmp_path)))
    find_policy(out, "plane", "random_search")  # warns of nothing, which would be an error here
    (tmp_path / "my_env.py").write_text(environment + "# a comment\n")
    network = (tmp_path / "net0.py").read_text()
    (tmp_path / "net0.py").write_text(network.replace("nn.relu", "nn.tanh"))
    (message,) = evaluate(tmp_path)
    assert message.startswith("warning: ") and message.endswith(
        f"the code of {tmp_path}/net0.py:Net has changed since this policy was trained"
    )
    (tmp_path / "net0.py").write_text(network)
    (tmp_path / "my_env.py").write_text(environment.replace("1.0 - distance", "2.0 - distance"))
    (message,) = evaluate(tmp_path)
    assert f"the code of {tmp_path}/my_env.py:MyEnv has changed" in message


OTHERS = """
import dataclasses
from typing import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn, nnx

class ByAnotherName(nn.Module):
    action_dim: int
    hidden: int = 4

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.Dropout(0.5)(nn.LayerNorm()(nn.Dense(self.hidden)(x)), deterministic=not train)
        return nn.Dense(self.action_dim)(x)

class OfItsOwn(nn.Module):
    features: Sequence[int] = (4, 2)

    @nn.compact
    def __call__(self, x):
        for size in self.features:
            x = nn.tanh(nn.Dense(size)(x))
        return x

class Recurrent(nn.Module):
    action_dim: int

    def setup(self):
        self.cell = nn.OptimizedLSTMCell(4)
        self.out = nn.Dense(self.action_dim)

    def __call__(self, carry, x):
        carry, y = self.cell(carry, x)
        return carry, self.out(y)

    def initialize_carry(self, rng, input_shape):
        return self.cell.initialize_carry(rng, input_shape)

class StaticCarry(Recurrent):
    @staticmethod
    def initialize_carry(batch_size, hidden_size):
        return jnp.zeros((batch_size, hidden_size))

class TwoSizes(nn.Module):
    depth: int
    action_dim: int

class Batched(nn.Module):
    action_dim: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.action_dim)(x.reshape((x.shape[0], -1)))

class WithValue(ByAnotherName):
    def __call__(self, x):
        return super().__call__(x), x.sum()

class RunningMean(ByAnotherName):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.action_dim)(nn.BatchNorm(use_running_average=True)(x))

class NotCallable(nn.Module):
    action_dim: int

class WithResets(Recurrent):
    def __call__(self, carry, x, resets):
        return super().__call__(carry, x)

class WithComputedField(ByAnotherName):
    size: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.size = 3
        super().__post_init__()

class NotLinen(nnx.Module):
    pass

class Raises(ByAnotherName):
    def __post_init__(self):
        raise ValueError("no such size")
"""


def other_policy(folder: Path, name: str, spec: EnvSpec = SPEC):
    """Returns the policy of a network of `OTHERS`."""
    path = folder / "others.py"
    path.write_text(OTHERS)
    return make_policy(PolicyConfig(network=f"{path}:{name}"), spec)


@pytest.mark.parametrize("name", ["ByAnotherName", "OfItsOwn", "WithComputedField"])
def test_the_field_without_a_default_is_the_number_of_outputs(tmp_path, name):
    policy = other_policy(tmp_path, name)
    params = policy.init(jax.random.key(0))
    assert policy.initial_state() == ()
    assert policy.act(params, (), Observation(jnp.ones(3)), jax.random.key(1))[1] in (0, 1)


def test_a_recurrent_network_starts_with_the_carry_that_it_initialises(tmp_path):
    policy = other_policy(tmp_path, "Recurrent")
    params, start = policy.init(jax.random.key(0)), policy.initial_state()
    assert [leaf.shape for leaf in jax.tree.leaves(start)] == [(4,), (4,)]
    after, action = policy.act(params, start, Observation(jnp.ones(3)), jax.random.key(1))
    assert action in (0, 1)
    assert any(leaf.any() for leaf in jax.tree.leaves(after))
    assert policy.parameters.size == 10 + sum(
        leaf.size for leaf in jax.tree.leaves(params["network"]["cell"])
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TwoSizes", "from the number of its outputs alone; write a default for action_dim"),
        ("StaticCarry", r"\(carry, x\); .* write def initialize_carry\(self, rng, input_shape\)"),
        (
            "WithResets",
            r"\(carry, x, resets\); give all but the carry and the observation a default",
        ),
        ("NotCallable", r"NotCallable: it cannot be called; write def __call__\(self, x\)"),
        ("Batched", r"6 outputs, the action head reads 2; flatten by x.reshape\(-1\): .* \(3, 1\)"),
        ("WithValue", "not a tuple; return the 2 numbers"),
        ("RunningMean", r"\['batch_stats'\]; .*, such as LayerNorm"),
        ("NotLinen", r"write: class NotLinen\(flax.linen.Module\), also for one of flax.nnx"),
        ("Raises", r"made by Raises\(action_dim=2\): no such size \(others.py:\d+\)"),
    ],
)
def test_what_a_network_lacks_is_said_on_one_line(tmp_path, name, words):
    spec = EnvSpec("toy", (3, 1), Discrete(2), 10) if name == "Batched" else SPEC
    with pytest.raises(UserError, match=words) as caught:
        other_policy(tmp_path, name, spec).parameters  # noqa: B018
    assert "\n" not in str(caught.value)
