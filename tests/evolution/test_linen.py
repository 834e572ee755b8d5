"""A member's forward pass equals that of parameters with its noise written out, for any module.

The engine's own step runs a population in an environment that keeps the action as its state, so
that a network's outputs are seen as the rollout computes them.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from rl_es.errors import UserError
from rl_es.evolution.perturbation import FullRank, LowRank, block_keys
from rl_es.interfaces import Box, Discrete, EnvSpec, Observation, Transition
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.networks import Team
from rl_es.rollout.policy import ModulePolicy, make_policy
from rl_es.rollout.unroll import Particle, population_step
from tests.evolution import modules, refused

PAIRS, EPISODES, SIGMA, OUTPUTS = 3, 2, 0.3, 3
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
STEPS = 2  # more than one, so that a carried state is perturbed as well
REAL = Box(np.full(OUTPUTS, -1, np.float32), np.full(OUTPUTS, 1, np.float32))


@dataclass(frozen=True)
class Outputs:
    """A head that gives the network's outputs themselves as the action."""

    outputs: int = OUTPUTS

    def init(self) -> dict:
        return {}

    def act(self, params: Any, output: Any, action_mask: Any, key: Any) -> Any:
        return output


@dataclass(frozen=True, eq=False)
class Mirror:
    """Random observations; the state is the last action."""

    shape: tuple[int, ...]
    space: Discrete | Box = REAL
    agents: tuple[str, ...] = ()

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("mirror", self.shape, self.space, 10, agents=self.agents)

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        no = jnp.zeros((), bool)
        values = jax.random.normal(key, self.shape)
        return Transition(action, Observation(values), jnp.zeros(()), no, no)


class Compared(NamedTuple):
    """Actions of several perturbations, [perturbations, T, H, 2, E, ...]."""

    applied: Any  # as the population's rollout takes them
    written: Any  # of parameters with the noise written out
    unmoved: Any  # of the unperturbed parameters, without the leading axis


def compare(policy: ModulePolicy, env: Mirror, perturbations: list) -> Compared:
    """Runs each perturbation both ways, all in one compiled program."""

    def run(key):
        params_key, noise_key, start_key, step_key = jax.random.split(key, 4)
        params = policy.init(params_key)
        lead = (PAIRS, 2, EPISODES)
        values = jax.random.normal(start_key, (*lead, *env.shape))
        states = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (*lead, *leaf.shape)), policy.initial_state()
        )
        action = jax.eval_shape(
            lambda: policy.act(params, policy.initial_state(), Observation(values[0, 0, 0]), key)
        )[1]
        actions = jnp.zeros((*lead, *action.shape), action.dtype)
        first = Particle(actions, Observation(values), states, jnp.zeros(lead, bool))
        keys = jax.random.split(step_key, (STEPS, PAIRS, EPISODES))

        def roll(step):
            def body(particle, key):
                particle, *_ = step(particle, key)
                return particle, particle.env

            return jax.lax.scan(body, first, keys)[1]

        def one(params, particle, key):
            act_key, env_key = jax.random.split(key)
            carried, action = policy.act(params, particle.policy, particle.observation, act_key)
            after = env.step(env_key, particle.env, action)
            return Particle(after.state, after.observation, carried, particle.done), 0.0

        over_members = jax.vmap(jax.vmap(jax.vmap(one, (None, 0, 0)), (0, 0, None)))
        signs = jnp.array([1.0, -1.0])

        def written(unit):
            """Actions of parameters with unit noise [H, ...] added to them."""

            def add(center, e):
                both = SIGMA * signs.reshape(-1, *(1,) * center.ndim) * e[:, None]
                return center[None, None] + both

            both = jax.tree.map(add, params, unit)
            return roll(lambda particles, keys: over_members(both, particles, keys))

        applied, dense = [], []
        for perturbation in perturbations:
            noise = perturbation.draw(block_keys(noise_key, PAIRS), PAIRS)
            members = perturbation.members(params, noise, jnp.float32(SIGMA))
            applied.append(roll(population_step(env, policy, members, None)))
            dense.append(perturbation.dense(noise))
        dense.append(jax.tree.map(jnp.zeros_like, dense[0]))
        side_by_side = jax.tree.map(lambda *leaves: jnp.stack(leaves), *dense)
        *result, unmoved = jax.vmap(written)(side_by_side)
        return jnp.stack(applied), jnp.stack(result), unmoved

    with jax.numpy_rank_promotion("allow"):
        compiled = jax.jit(run, compiler_options=FAST)(jax.random.key(5))
    return Compared(*jax.device_get(compiled))


def all_ranks(policy: ModulePolicy) -> list:
    spec = policy.parameters
    return [LowRank(spec, 1), LowRank(spec, 3), FullRank(spec)]


def check(result: Compared, tolerance: float = 1e-5) -> None:
    applied, written, unmoved = result
    np.testing.assert_allclose(applied, written, tolerance, tolerance)
    moved = np.abs(applied - unmoved).reshape(len(applied), STEPS, PAIRS, 2, -1).max(-1)
    assert moved.min() > 1e-3, "a member is not perturbed"


def built_in(network: str, shape=(6,), **settings) -> tuple[ModulePolicy, Mirror]:
    """A built-in network, its outputs seen as they are."""
    env = Mirror(shape)
    policy = make_policy(PolicyConfig(network=network, **settings), env.spec)
    return ModulePolicy(policy.module, Outputs(), shape), env


def foreign(module: type[nn.Module]) -> ModulePolicy:
    return ModulePolicy(module(outputs=OUTPUTS), Outputs(), (6,))


@pytest.mark.parametrize(
    ("network", "settings", "matrices"),
    [
        ("mlp", {"widths": (20, 7), "activation": "tanh"}, 3),
        ("mlp", {"widths": (20, 7), "activation": "relu"}, 3),
        ("mlp", {"widths": (20, 7), "activation": "pqn"}, 3),
        ("linear", {}, 1),
        ("cnn", {"shape": (4, 4, 2), "widths": (9,), "activation": "relu"}, 2),
        ("gru", {"widths": (9, 5)}, 8),
    ],
)
def test_built_in_networks(network: str, settings: dict, matrices: int):
    policy, env = built_in(network, **settings)
    assert len(policy.parameters.matrices) == matrices
    assert not policy.parameters.refused
    check(compare(policy, env, all_ranks(policy)))


@pytest.mark.parametrize("inputs", [16, 17, 64, 70, 256])
def test_every_way_to_sum_over_inputs(inputs: int):
    """The product x B is written differently by width."""
    policy, env = built_in("linear", (inputs,))
    check(compare(policy, env, all_ranks(policy)), 2e-5)


@pytest.mark.parametrize("head", ["categorical", "gaussian", "deterministic"])
def test_heads(head: str):
    space = {"space": Discrete(OUTPUTS)} if head == "categorical" else {}
    env = Mirror((6,), **space)
    policy = make_policy(PolicyConfig(head=head, widths=(8,)), env.spec)
    result = compare(policy, env, all_ranks(policy))
    if head == "categorical":
        np.testing.assert_array_equal(result.applied, result.written)
        assert all((actions != result.unmoved).any() for actions in result.applied)
    else:
        check(result)


ROLES = ("speaker", "listener", "speaker")


@pytest.mark.parametrize(
    ("network", "widths", "sharing", "matrices"),
    [
        ("mlp", (9, 7), "all", 3),
        ("mlp", (9, 7), "roles", 6),
        ("linear", (), "roles", 2),
        ("gru", (9, 5), "all", 8),
        ("gru", (9, 5), "roles", 16),
    ],
)
def test_teams(network: str, widths: tuple[int, ...], sharing: str, matrices: int):
    env = Mirror((3, 6), agents=ROLES)
    config = PolicyConfig(network=network, widths=widths, sharing=sharing, head="deterministic")  # type: ignore
    policy = make_policy(config, env.spec)
    assert len(policy.parameters.matrices) == matrices and not policy.parameters.refused
    check(compare(policy, env, all_ranks(policy)))  # type: ignore


def test_agents_are_rows_of_the_product_that_members_share():
    """One product of the unperturbed weights for pairs, signs, episodes and agents together."""
    agents = 5
    env = Mirror((agents, 6), agents=("agent",) * agents)
    policy = make_policy(PolicyConfig(widths=(16,), head="deterministic", agent_id=False), env.spec)
    perturbation = LowRank(policy.parameters, 1)

    def act(params, key):
        noise = perturbation.draw(block_keys(key, PAIRS), PAIRS)
        lead = (PAIRS, 2, EPISODES)
        particles = Particle(
            jnp.zeros((*lead, *env.spec.action_shape)),
            Observation(jnp.zeros((*lead, *env.shape))),
            (),
            jnp.zeros(lead, bool),
        )
        members = perturbation.members(params, noise, jnp.float32(SIGMA))
        keys = jax.random.split(key, (PAIRS, EPISODES))
        return population_step(env, policy, members, None)(particles, keys)  # type: ignore

    with jax.numpy_rank_promotion("allow"):
        program = jax.make_jaxpr(act)(policy.parameters.shapes, jax.random.key(0))
    products = [
        [operand.aval.shape for operand in equation.invars]
        for equation in program.eqns
        if equation.primitive.name == "dot_general"
    ]
    weights = {(6, 16), (16, OUTPUTS)}
    rows = [math.prod(x[:-1]) for x, w in products if w in weights]
    assert rows == 2 * [PAIRS * 2 * EPISODES * agents]


FOREIGN = {  # module -> the matrices that low-rank noise must find, by path
    "Attention": {
        *((f"MultiHeadDotProductAttention_0/{part}") for part in ("query", "key", "value", "out")),
        "Dense_0",
        "Dense_1",
    },
    "Embedding": {"Embed_0", "Dense_0"},
    "TiedEmbedding": {"Embed_0"},
    "Attend": {"Embed_0"},
    "Convolution": {"Dense_0"},
    "ScanOverTime": {
        "Dense_0",
        *(f"ScanGRUCell_0/{gate}" for gate in ("ir", "iz", "in", "hr", "hz", "hn")),
    },
    "RNN": {"Dense_0", "SimpleCell_0/h", "SimpleCell_0/i"},
    "Twice": {"Dense_0", "Dense_1"},
    "Axes": {"DenseGeneral_0", "DenseGeneral_1"},
    "AxesReversed": {"DenseGeneral_0"},
    "BatchAxis": set(),
    "Keyword": {"Dense_0"},
    "Remat": {"CheckpointDense_0", "Dense_0"},
    "RematBlock": {"Dense_0", "Dense_1"},
    "SharedVmap": {"VmapDense_0", "Dense_0"},
    "Subclass": {"Dense_0"},
    "OwnProduct": set(),
    "Setup": {
        "blocks_0/Dense_0", "blocks_1/Dense_0", "blocks_1/Dense_1", "last/layers_0", "last/layers_2"
    },
    "Norm": {"Dense_0", "Dense_1"},
    "Partitioned": {"Dense_0"},
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_modules(name: str):
    policy = foreign(getattr(modules, name))
    assert {"/".join(path[1:-1]) for path in policy.parameters.matrices} == FOREIGN[name]
    check(compare(policy, Mirror((6,)), all_ranks(policy)))


@pytest.mark.parametrize("name", ["Attention", "RNN", "Setup", "SharedVmap"])
def test_foreign_modules_on_each_agent(name: str):
    alone = foreign(getattr(modules, name))
    shape = (3, 6)
    team = Team(alone.module, ROLES, shape, agent_id=False)
    policy = ModulePolicy(team, Outputs(3 * OUTPUTS), shape)
    assert len(policy.parameters.matrices) == 2 * len(FOREIGN[name])
    check(compare(policy, Mirror(shape), all_ranks(policy)))


@pytest.mark.parametrize("name", ["KernelEach", "WeightNorm", "JittedBlock"])
def test_what_low_rank_noise_refuses_of_one_agent_it_refuses_of_a_team(name: str):
    team = Team(getattr(refused, name)(outputs=OUTPUTS), ROLES, (3, 6), agent_id=False)
    policy = ModulePolicy(team, Outputs(3 * OUTPUTS), (3, 6))
    reasons = list(policy.parameters.refused.values())
    assert any(re.search(REFUSED[name], reason) for reason in reasons), reasons
    assert not set(policy.parameters.refused) & set(policy.parameters.matrices)


def test_a_module_that_computes_in_half_precision():
    policy = foreign(modules.Half)
    assert policy.parameters.matrices
    check(compare(policy, Mirror((6,)), all_ranks(policy)), 3e-2)


REFUSED = {  # module -> what the refusal must name
    "ScanOverLayers": "Dense_0.*lifted.*nn.scan",
    "KernelEach": "VmapDense_0.*lifted.*nn.vmap",
    "ReadElsewhere": "Dense_0/kernel.*other than as a matrix",
    "WeightNorm": "Dense_0/kernel.*computed from",
    "MappedKernel": "Map_variablesDense_0/kernel.*computed from",
    "Jitted": "JitDense_0/kernel.*nn.jit",
    "JittedBlock": "Dense_0/kernel.*nn.jit",
    "JittedBlocks": "b/inner/Dense_0/kernel.*nn.jit",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_low_rank_noise_refuses(name: str):
    """By name; noise on every scalar still works, and is applied to the parameters themselves."""
    policy = foreign(getattr(refused, name))
    with pytest.raises(UserError, match="low-rank noise cannot treat") as error:
        LowRank(policy.parameters, 1)
    assert "\n" not in str(error.value)
    reasons = list(policy.parameters.refused.values())
    assert any(re.search(REFUSED[name], reason) for reason in reasons), reasons
    assert not set(policy.parameters.refused) & set(policy.parameters.matrices)
    check(compare(policy, Mirror((6,)), [FullRank(policy.parameters)]))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("Batch", "batch_stats"),
        ("WrongSize", "4 outputs.*reads 3"),
        ("TwoOutputs", "one array"),
        ("Fixed", "no parameters"),
        ("NeedsKeys", "dropout"),
        ("GrowingCarry", "carries must keep its shapes"),
    ],
)
def test_what_is_no_policy(name: str, what: str):
    with pytest.raises(UserError, match=f"network {name}: .*{what}") as error:
        foreign(getattr(refused, name)).parameters  # noqa: B018
    assert "\n" not in str(error.value)
