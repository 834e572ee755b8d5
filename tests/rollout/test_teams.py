"""Policies of several agents: whose parameters act on what, and how their actions are drawn."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete, EnvSpec, Observation, Snapshot
from rl_es.rollout.acting import EpisodeActor, make_act_step
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.heads import Categorical, Gaussian, Greedy, TeamHead, stochastic
from rl_es.rollout.networks import join_agents
from rl_es.rollout.policy import ModulePolicy, UniformPolicy, make_policy

ROLES = ("speaker", "listener", "speaker")
REAL = Box(np.full(2, -1, np.float32), np.full(2, 1, np.float32))
SPEC = EnvSpec("talk", (3, 4), Discrete(5), 10, agents=ROLES)
MASK = jnp.array([[True, True, False, False, False], [True] * 5, [False, False, True, True, True]])
KEY = jax.random.key(0)


def policy_of(spec: EnvSpec = SPEC, **settings: Any) -> ModulePolicy:
    policy = make_policy(PolicyConfig(**{"widths": (8,), **settings}), spec)
    assert isinstance(policy, ModulePolicy)
    return policy


def outputs(policy: ModulePolicy, params: Any, values: jax.Array) -> np.ndarray:
    """What the network gives for the agents' observations [I, ...], from its initial state."""
    return np.asarray(policy.apply(params["network"], policy.initial_state(), values)[1])


def test_an_action_has_an_element_for_each_agent():
    assert SPEC.action_shape == (3,)
    assert replace(SPEC, action_space=REAL).action_shape == (3, 2)
    assert replace(SPEC, agents=()).action_shape == ()


@pytest.mark.parametrize("network", ["mlp", "linear", "gru"])
def test_agents_of_one_network_differ_by_their_number_alone(network: str):
    values = jnp.broadcast_to(jnp.array([1.0, -2.0, 0.5, 3.0]), (3, 4))
    alike = policy_of(network=network, agent_id=False)
    rows = outputs(alike, alike.init(KEY), values)
    assert rows.shape == (3, 5)
    np.testing.assert_allclose(rows, rows[[0, 0, 0]], rtol=1e-6)
    identified = policy_of(network=network)
    rows = outputs(identified, identified.init(KEY), values)
    assert (np.ptp(rows, axis=0) > 1e-3).all()


def test_an_agent_acts_by_its_own_observation():
    policy = policy_of()
    params, values = policy.init(KEY), jax.random.normal(KEY, (3, 4))
    before, after = (outputs(policy, params, x) for x in (values, values.at[1].add(1.0)))
    np.testing.assert_array_equal((before != after).any(1), [False, True, False])


def test_each_agent_s_output_is_that_of_the_network_alone():
    """Of every role, with the agent's number after its observation."""
    policy = policy_of(sharing="roles")
    params, values = policy.init(KEY), jax.random.normal(KEY, (3, 4))
    assert set(params["network"]) == {"speaker", "listener"}
    rows = outputs(policy, params, values)
    for agent, number in ((0, [1.0, 0.0]), (1, []), (2, [0.0, 1.0])):
        one_agent = replace(SPEC, observation_shape=(4 + len(number),), agents=())
        alone = policy_of(one_agent)
        observation = jnp.concatenate([values[agent], jnp.array(number)])
        agent_params = {"network": params["network"][ROLES[agent]]}
        np.testing.assert_allclose(
            rows[agent], outputs(alone, agent_params, observation), rtol=1e-5
        )


def test_roles_share_no_parameters():
    policy = policy_of(sharing="roles")
    params, values = policy.init(KEY), jax.random.normal(KEY, (3, 4))
    changed = jax.tree.map(lambda leaf: leaf + 1.0, params["network"]["listener"])
    other = {"network": {**params["network"], "listener": changed}}
    same = (outputs(policy, params, values) == outputs(policy, other, values)).all(1)
    np.testing.assert_array_equal(same, [True, False, True])


@pytest.mark.parametrize("sharing", ["all", "roles"])
def test_agents_of_a_recurrent_network_remember_by_themselves(sharing: str):
    policy = policy_of(network="gru", sharing=sharing)
    params, start = policy.init(KEY), policy.initial_state()
    assert start.shape == (3, 8)
    values = jax.random.normal(KEY, (3, 4))
    states = [policy.apply(params["network"], start, x)[0] for x in (values, values.at[2].add(1.0))]
    np.testing.assert_array_equal((states[0] != states[1]).any(1), [False, False, True])


def test_a_number_is_a_channel_of_images():
    spec = replace(SPEC, observation_shape=(3, 4, 4, 2))
    policy = policy_of(spec, network="cnn")
    kernel = policy.parameters.shapes["network"]["shared"]["Conv_0"]["kernel"]
    assert kernel.shape == (3, 3, 2 + 3, 16)
    assert join_agents(jnp.zeros(spec.observation_shape)).shape == (4, 4, 6)


def test_joined_observations_stand_agent_by_agent():
    np.testing.assert_array_equal(join_agents(jnp.arange(6).reshape(3, 2)), np.arange(6))


def team_head() -> TeamHead:
    return TeamHead(Categorical(5), ROLES)


def test_masks_are_each_agent_s_own():
    head = team_head()
    output = 10.0 * jax.random.normal(KEY, (15,))
    act = jax.vmap(lambda key: head.act({}, output, MASK, key))
    actions = np.asarray(act(jax.random.split(KEY, 500)))
    assert np.asarray(MASK)[np.arange(3), actions].all()
    greedy = np.asarray(TeamHead(Greedy(5), ROLES).act({}, output, MASK, KEY))
    best = np.where(MASK, np.asarray(output).reshape(3, 5), -np.inf).argmax(1)
    np.testing.assert_array_equal(greedy, best)


def test_agents_draw_independently():
    act = jax.vmap(lambda key: team_head().act({}, jnp.zeros(15), None, key))
    actions = np.asarray(act(jax.random.split(KEY, 4000)))
    counts = np.histogramdd(actions, bins=[np.arange(6)] * 3)[0]
    assert counts.min() > 8 and counts.max() < 70  # 32 of each of 125 joint actions


def test_the_density_of_a_joint_action_is_the_product_of_the_agents():
    head, alone = team_head(), Categorical(5)
    output, action = jax.random.normal(KEY, (15,)), jnp.array([1, 4, 2])
    rows = [({}, output.reshape(3, 5)[agent], MASK[agent]) for agent in range(3)]
    log_probs = [alone.log_prob(*row, action[agent]) for agent, row in enumerate(rows)]
    np.testing.assert_allclose(head.log_prob({}, output, MASK, action), sum(log_probs), rtol=1e-5)
    entropies = [alone.entropy(*row) for row in rows]
    np.testing.assert_allclose(head.entropy({}, output, MASK), sum(entropies), rtol=1e-5)
    tempered = head.temper({}, output, jnp.float32(2.0))
    np.testing.assert_allclose(tempered[1], output / 2)


def test_agents_of_a_network_share_its_standard_deviation():
    head = TeamHead(Gaussian((2,)), ROLES)
    params = head.init()
    assert {name: params[name]["log_std"].shape for name in params} == {
        "speaker": (2,),
        "listener": (2,),
    }
    params = {"speaker": {"log_std": jnp.full(2, -9.0)}, "listener": {"log_std": jnp.full(2, 1.0)}}
    actions = jax.vmap(lambda key: head.act(params, jnp.zeros(6), None, key))(
        jax.random.split(KEY, 300)
    )
    spread = np.asarray(actions).std(0).mean(-1)
    assert spread[0] < 0.01 and 2 < spread[1] < 3.5 and spread[2] < 0.01
    mean, log_std = jnp.zeros((3, 2)), jnp.array([-9.0, 1.0, -9.0])
    expected = sum(
        Gaussian((2,)).log_prob({"log_std": jnp.full(2, log_std[i])}, mean[i], None, mean[i])
        for i in range(3)
    )
    np.testing.assert_allclose(head.log_prob(params, mean.reshape(-1), None, mean), expected, 1e-5)


def test_the_sampling_form_of_a_team_s_head():
    assert stochastic(TeamHead(Greedy(5), ROLES)) == team_head()


@pytest.mark.parametrize("mask", [None, MASK])
def test_uniform_agents(mask: Any):
    policy = UniformPolicy(SPEC)
    act = jax.vmap(lambda key: policy.act({}, (), Observation(jnp.zeros((3, 4)), mask), key)[1])
    actions = np.asarray(act(jax.random.split(KEY, 600)))
    allowed = np.ones((3, 5), bool) if mask is None else np.asarray(mask)
    for agent in range(3):
        shares = np.bincount(actions[:, agent], minlength=5) / 600
        np.testing.assert_allclose(shares, allowed[agent] / allowed[agent].sum(), atol=0.08)
    real = UniformPolicy(replace(SPEC, action_space=REAL)).act({}, (), Observation(KEY), KEY)[1]
    assert real.shape == (3, 2) and len(np.unique(real)) == 6


def test_an_actor_gives_the_actions_of_all_agents():
    policy = policy_of(head="deterministic")
    actor = EpisodeActor(SPEC, (), make_act_step(policy), Snapshot(policy.init(KEY)))
    actor.start(KEY)
    actions = np.asarray(actor.act(np.ones((3, 4)), np.asarray(MASK)))
    assert actions.shape == (3,) and np.asarray(MASK)[np.arange(3), actions].all()
    with pytest.raises(UserError, match=r"action_mask: must have the shape \(3, 5\), has \(5,\)"):
        actor.act(np.ones((3, 4)), np.ones(5, bool))


class FourOutputs(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(4)(x)


@pytest.mark.parametrize(
    ("spec", "settings", "message"),
    [
        (replace(SPEC, agents=()), {"sharing": "roles"}, "sharing: talk has one agent; leave it"),
        (replace(SPEC, agents=()), {"agent_id": False}, "agent_id: talk has one agent; leave it"),
        (SPEC, {"network": "parameters"}, "parameters is for one agent; talk has 3"),
        (SPEC, {"network": "cnn"}, "cnn needs images"),
        (SPEC, {"network": "gru_lm", "widths": (8,)}, "talk observes"),
        (SPEC, {"network": f"{__file__}:FourOutputs"}, "FourOutputs: it has 4 outputs.*reads 5"),
    ],
)
def test_what_does_not_fit_is_refused(spec: EnvSpec, settings: dict, message: str):
    with pytest.raises(UserError, match=message) as error:
        _ = policy_of(spec, **settings).parameters
    assert "\n" not in str(error.value)
