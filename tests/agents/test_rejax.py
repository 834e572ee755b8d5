"""Agents of rejax beside PPO: what they learn, how they go on, and rejax's own iterations."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from rl_es import registry
from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.interfaces import Discrete, Limit, ProblemSpec
from rl_es.results import tables
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from rl_es.rollout.wrappers import implicit_promotion
from rl_es.sweep import execution
from rl_es.training.learner import Evolution
from rl_es.training.resources import Resources, pair_bytes, place_group
from rl_es.training.sharding import UNSHARDED
from tests.running import ran, sweep_of
from tests.toys import Corridor

pytestmark = pytest.mark.extra("rejax")
BUFFER = {
    **{"buffer_size": 512, "fill_buffer": 64, "batch_size": 32, "polyak": 0.9},
    **{"num_epochs": 2, "target_update_freq": 1},
}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "dqn": {"num_envs": 8, "num_steps": 16, "lr": 0.01, "exploration_steps": 1000.0, **BUFFER},
    "pqn": {
        **{"num_envs": 8, "num_steps": 16, "lr": 0.01, "exploration_steps": 1000.0},
        **{"num_epochs": 2, "num_minibatches": 4},
    },
    "sac": {"num_envs": 8, "num_steps": 16, "lr": 0.01, **BUFFER},
    "td3": {"num_envs": 8, "num_steps": 16, "lr": 0.01, **BUFFER},
}
AGENTS = [*SMALL]
HEADS = {"dqn": "deterministic", "pqn": "deterministic", "sac": "tanh_mean", "td3": "tanh"}


def build(agent: str, env: Any, normalise: bool = False, **settings: Any) -> tuple[Any, Any]:
    """Returns a learner of a small network, and its traced settings."""
    module = registry.agents.load(agent)
    config = module.Hyperparameters(**{**SMALL[agent], **settings})
    head = "deterministic" if isinstance(env.spec.action_space, Discrete) else HEADS[agent]
    policy = make_policy(PolicyConfig(widths=(8,), head=head), env.spec)
    learner = module.make_learner(config, env, policy, normalise)
    return learner, {name: jnp.float32(value) for name, value in split_traced(config)[1].items()}


def task(agent: str, **options: Any) -> Corridor:
    return Corridor(masked=is_discrete(agent), real=not is_discrete(agent), **options)


def is_discrete(agent: str) -> bool:
    return getattr(registry.agents.load(agent), "ACTIONS", "real") == "discrete"


def limit(generations: int) -> Limit:
    return Limit(jnp.int32(generations), jnp.int32(2**30))


def mean_return(learner: Any, state: Any) -> float:
    evaluate = make_evaluator(learner.env, learner.policy, 16)
    return float(evaluate(jax.random.key(9), learner.snapshot(state)).mean())


DISCRETE_SAC = pytest.param("sac", Corridor(masked=True), id="discrete sac")


@pytest.mark.parametrize(("agent", "env"), [*((name, task(name)) for name in AGENTS), DISCRETE_SAC])
def test_it_learns(agent: str, env: Corridor) -> None:
    """Of a forbidden action each would cost a thousand."""
    learner, hyper = build(agent, env, True)
    state = learner.init(jax.random.key(0), hyper)
    state, rows = jax.jit(learner.advance)(state, limit(60))
    assert int(rows.generations) == 60
    assert mean_return(learner, state) > 5.5
    assert 0 <= float(rows.population_mean) <= float(rows.population_best) <= 6
    assert set(learner.snapshot(state).params) == set(learner.policy.parameters.shapes)
    assert float(learner.snapshot(state).statistics.count) == 60 * 8 * 16


@pytest.mark.parametrize("agent", AGENTS)
def test_steps_and_episodes_are_counted(agent: str) -> None:
    """Eight environments of sixteen steps, each of two of the environment; episodes of six."""
    learner, hyper = build(agent, task(agent))
    _, rows = jax.jit(learner.advance)(learner.init(jax.random.key(0), hyper), limit(2))
    assert int(rows.generations) == 2 and int(rows.env_steps) == 2 * 2 * 8 * 16
    assert int(rows.episodes) == 8 * (32 // 6)


@pytest.mark.parametrize("agent", AGENTS)
def test_it_starts_where_an_evolution_strategy_of_the_same_seed_does(agent: str) -> None:
    learner, hyper = build(agent, task(agent))
    strategies = registry.agents.load("open_es")
    problem = ProblemSpec(learner.policy.parameters, 6)
    strategy = strategies.make(strategies.Hyperparameters(population=4), problem)
    evolution = Evolution(strategy, learner.env, learner.policy)
    numbers = {n: jnp.float32(v) for n, v in split_traced(strategies.Hyperparameters())[1].items()}
    key = jax.random.key(3)
    jax.tree.map(
        np.testing.assert_array_equal,
        learner.snapshot(learner.init(key, hyper)).params,
        evolution.snapshot(evolution.init(key, numbers)).params,
    )


def data(leaf: Array) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


@pytest.mark.parametrize("agent", AGENTS)
def test_how_calls_are_cut_changes_no_number(agent: str) -> None:
    learner, hyper = build(agent, task(agent), True)
    advance = jax.jit(learner.advance)
    complete, _ = advance(learner.init(jax.random.key(1), hyper), limit(3))
    parts, _ = advance(learner.init(jax.random.key(1), hyper), limit(1))
    parts, _ = advance(parts, limit(2))
    for a, b in zip(jax.tree.leaves(complete), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(data(a), data(b))


@pytest.mark.parametrize("agent", AGENTS)
def test_settings_are_traced(agent: str) -> None:
    learner, hyper = build(agent, Corridor(masked=True) if agent != "td3" else task(agent))
    run = jax.jit(
        lambda hyper: learner.advance(learner.init(jax.random.key(2), hyper), limit(4))[0].leaves
    )
    usual = jax.tree.leaves(run(hyper))
    for name, value in hyper.items():
        other = {"max_grad_norm": 0.01, "eps_end": 0.9}.get(name, float(value) / 2)
        leaves = jax.tree.leaves(run({**hyper, name: jnp.float32(other)}))
        assert not all(map(np.array_equal, map(data, usual), map(data, leaves))), name
    assert run._cache_size() == 1


@pytest.mark.parametrize("agent", AGENTS)
def test_lanes_are_runs_of_their_own(agent: str) -> None:
    learner, hyper = build(agent, task(agent), True)
    keys = jax.random.split(jax.random.key(0), 2)
    both = {name: jnp.stack([value, value / 2]) for name, value in hyper.items()}
    limits = Limit(jnp.array([2, 3]), jnp.array([2**30] * 2))
    placed = learner.with_placement("lanes", UNSHARDED)
    together = jax.vmap(placed.init)(keys, both)
    together, rows = jax.jit(jax.vmap(placed.advance, axis_name="lanes"))(together, limits)
    for i in range(2):
        lane_hyper = jax.tree.map(lambda leaf, i=i: leaf[i], both)
        alone, row = jax.jit(learner.advance)(learner.init(keys[i], lane_hyper), limit(2 + i))
        lane = learner.snapshot(jax.tree.map(lambda leaf, i=i: leaf[i], together))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
            lane,
            learner.snapshot(alone),
        )
        assert int(rows.env_steps[i]) == int(row.env_steps)


SWEEP = """
name: x
seeds: 2
defaults:
  budget: {generations: 4}
  evaluation: {points: 2, episodes: 4}
  policy: {widths: [8], normalise_observations: true}
environments: [{name: ENV, episode_length: 20}]
agents: [{name: AGENT, with: {num_envs: 4, num_steps: 8}, policy: {head: HEAD}}]
"""
TASKS = {"dqn": "CartPole-v1", "pqn": "CartPole-v1", "sac": "Pendulum-v1", "td3": "Pendulum-v1"}
MORE = {"pqn": "agents.0.with.num_minibatches=2"}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_sweep_goes_on_and_its_lanes_are_runs(
    agent: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended after two iterations and continued, or both seeds in one call: the same curves."""
    monkeypatch.setattr(execution, "prepare_jax", lambda devices: None)
    text = SWEEP
    for name, value in {"ENV": TASKS[agent], "AGENT": agent, "HEAD": HEADS[agent]}.items():
        text = text.replace(name, value)
    more = MORE.get(agent, "agents.0.with.fill_buffer=16")
    four, two = sweep_of(text, more), sweep_of(text, more, "budget.generations=2")
    ran(tmp_path / "parts", two)
    parts, runs = tables.load_tables(ran(tmp_path / "parts", four))
    complete, _ = tables.load_tables(ran(tmp_path / "whole", four, lanes=2))
    parts = parts[parts["generation"].isin(complete["generation"])]
    assert list(parts["generation"]) == list(complete["generation"]) == [0, 2, 4, 0, 2, 4]
    np.testing.assert_allclose(parts["return_mean"], complete["return_mean"], rtol=1e-3)
    assert (runs["env_steps"] == 4 * 32).all() and (runs["status"] == "finished").all()


@pytest.mark.parametrize(
    ("agent", "env", "policy", "reason"),
    [
        ("dqn", Corridor(real=True), {}, "dqn: it needs discrete actions, those of corridor are"),
        ("pqn", Corridor(real=True), {}, "are real; choose td3, sac or ppo"),
        ("dqn", Corridor(), {}, "values of actions.*write head: deterministic"),
        ("pqn", Corridor(), {"network": "gru", "head": "deterministic"}, "pqn: a recurrent"),
        ("dqn", Corridor(), {"init": "zeros", "head": "deterministic"}, "no gradient reaches"),
        ("td3", Corridor(), {}, "td3: it needs real actions, those of corridor are discrete"),
        ("td3", Corridor(real=True), {}, "td3: its actions are squashed .* write head: tanh"),
        ("td3", Corridor(real=True), {"head": "tanh", "network": "gru"}, "td3: a recurrent"),
        ("sac", Corridor(real=True), {"head": "gaussian"}, "sac: .* write head: tanh_mean, or"),
        ("sac", Corridor(), {"network": "gru"}, "sac: a recurrent network cannot be trained"),
        ("ppo", Corridor(real=True), {"head": "tanh"}, "head: the entropy of a tanh"),
    ],
)
def test_what_it_cannot_train_is_refused(
    agent: str, env: Corridor, policy: dict[str, Any], reason: str
) -> None:
    module = registry.agents.load(agent)
    with pytest.raises(UserError, match=reason) as refusal:
        module.make_learner(
            module.Hyperparameters(), env, make_policy(PolicyConfig(**policy), env.spec), False
        )
    assert "\n" not in str(refusal.value)


NETWORK = """
from flax import linen as nn

class Image(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(x[:2])
"""


def test_a_critic_reads_observation_and_action_as_one_vector(tmp_path: Any) -> None:
    (tmp_path / "networks.py").write_text(NETWORK.replace("x[:2]", "x.reshape(2)"))
    module, env = registry.agents.load("td3"), Corridor(real=True)
    config = PolicyConfig(network=f"{tmp_path}/networks.py:Image", head="tanh")
    with pytest.raises(UserError, match="td3: network Image cannot read .* as one vector, .*mlp"):
        module.make_learner(module.Hyperparameters(), env, make_policy(config, env.spec), False)


def test_a_buffer_that_does_not_fit_is_refused() -> None:
    learner, hyper = build("dqn", Corridor(masked=True), buffer_size=10**6)
    numbers = {name: float(value) for name, value in hyper.items()}
    size = pair_bytes(learner, numbers)
    row = 2 * (2 * 4 + 3) + 4 + 4 + 1  # two observations with masks, action, reward, done
    assert 2 * 10**6 * row <= size.fixed <= 2.1 * 10**6 * row
    assert place_group(None, 2, size, Resources(memory=2**30)).needed_bytes >= size.fixed
    with pytest.raises(UserError, match="the agent's state needs about .* smaller replay buffer"):
        place_group(None, 1, size, Resources(memory=2**24))


def test_the_end_of_the_time_is_no_end_of_the_task() -> None:
    """The buffer holds the observation that a step led to, not that after a reset."""
    for terminal in (False, True):
        learner, hyper = build("dqn", Corridor(masked=True, terminal=terminal))
        state, _ = jax.jit(learner.advance)(learner.init(jax.random.key(0), hyper), limit(1))
        buffer = learner._unpack(state).replay_buffer
        rows = 8 * 16
        assert int(buffer.num_entries) == rows
        before, after = (np.asarray(o.values[:rows, 1]) for o in (buffer.obs, buffer.next_obs))
        np.testing.assert_array_equal(after, before + 1)
        assert after.max() == 6
        np.testing.assert_array_equal(buffer.done[:rows], terminal & (after == 6))


def test_targets_are_lambda_returns() -> None:
    """Worked out by hand: the second step ends an episode by its time, the third the task."""
    from rejax.algos.pqn import Trajectory

    learner, hyper = build("pqn", Corridor())
    algorithm = learner._algorithm({**hyper, "gamma": 0.5, "td_lambda": 0.5})
    steps = Trajectory(
        obs=None,
        action=None,
        next_q=jnp.array([[4.0], [8.0], [0.0], [2.0]]),
        reward=jnp.array([[1.0], [2.0], [3.0], [4.0]]),
        done=jnp.array([[False], [True], [True], [False]]),
    )
    # 4 + 2 / 2; 3; 2 + 8 / 2; 1 + (4 + (6 - 4) / 2) / 2
    targets = algorithm.calculate_targets(steps, jnp.zeros(1))
    np.testing.assert_allclose(targets[:, 0], [3.5, 6.0, 3.0, 5.0])


class Plain:
    """An environment of the suite in the form of gymnax, one of them, without `Observation`."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def action_space(self, params: Any = None) -> Any:
        from rl_es.agents._rejax_environments import AutoReset

        return AutoReset(self.env).action_space()

    def observation_space(self, params: Any = None) -> Any:
        from rl_es.agents._rejax_environments import AutoReset

        return AutoReset(self.env).observation_space()

    def reset(self, key: Array, params: Any = None) -> Any:
        state, observation = self.env.reset(key)
        return observation.values, state

    def step(self, key: Array, state: Any, action: Array, params: Any = None) -> Any:
        step_key, reset_key = jax.random.split(key)
        after, done = self.env.step(step_key, state, action), None
        done = after.terminated | after.truncated
        fresh = self.env.reset(reset_key)
        state, observation = jax.tree.map(
            lambda new, old: jnp.where(done, new, old), fresh, (after.state, after.observation)
        )
        return observation.values, state, after.reward, done, {}


def lambda_returns(algorithm: Any, trajectories: Any, max_last_q: Array) -> Array:
    """Returns what rejax's targets are meant to be, step by step."""
    values, rows = trajectories.next_q.max(axis=2), []
    for t in reversed(range(len(values))):
        further = rows[0] if rows else values[t]
        value = values[t] + algorithm.td_lambda * (further - values[t])
        rows.insert(
            0, trajectories.reward[t] + (1 - trajectories.done[t]) * algorithm.gamma * value
        )
    return jnp.stack(rows)


def rejax_dqn(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> Any:
    from rejax.algos import DQN

    return DQN(agent=q_network(3), ddqn=True, **settings)


def rejax_pqn(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> Any:
    from rejax.algos import PQN

    patch.setattr(PQN, "calculate_targets", lambda_returns)
    return PQN(agent=q_network(3), **settings)


def rejax_sac(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> Any:
    from rejax.algos import SAC
    from rejax.networks import QNetwork, SquashedGaussianPolicy

    sizes: Any = {"hidden_layer_sizes": (8,), "activation": jnp.tanh}
    actor = SquashedGaussianPolicy(1, (-1.0, 1.0), log_std_range=(-10, 2), **sizes)
    return SAC(actor=actor, critic=QNetwork(**sizes), **settings)


def rejax_discrete_sac(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> Any:
    from rejax.algos import SAC
    from rejax.networks import DiscretePolicy, DiscreteQNetwork

    sizes: Any = {"hidden_layer_sizes": (8,), "activation": jnp.tanh}
    actor, critic = DiscretePolicy(3, **sizes), DiscreteQNetwork(action_dim=3, **sizes)
    return SAC(actor=actor, critic=critic, **settings)


def rejax_td3(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> Any:
    """The noise has a key of its own, and the first step of the actor is left out, as here."""
    from rejax.algos import TD3
    from rejax.networks import DeterministicPolicy, QNetwork

    sizes: Any = {"hidden_layer_sizes": (8,), "activation": jnp.tanh}
    actor, critic = DeterministicPolicy(1, (-1.0, 1.0), **sizes), QNetwork(**sizes)
    update, train = TD3.update_critic, TD3.train_policy

    def update_critic(self: Any, ts: Any, minibatch: Any) -> Any:
        key, noise_key = jax.random.split(ts.rng)
        return update(self, ts.replace(rng=noise_key), minibatch).replace(rng=key)

    def train_policy(self: Any, ts: Any, minibatches: Any, step: Array) -> Any:
        late = self.replace(fill_buffer=self.fill_buffer + self.num_envs)
        return train(late, ts, minibatches, step)

    patch.setattr(TD3, "update_critic", update_critic)
    patch.setattr(TD3, "train_policy", train_policy)
    return TD3(actor=actor, critic=critic, **settings)


def q_network(actions: int) -> Any:
    from rejax.networks import DiscreteQNetwork, EpsilonGreedyPolicy

    kind: Any = EpsilonGreedyPolicy(DiscreteQNetwork)  # pyright: ignore[reportArgumentType]
    return kind(hidden_layer_sizes=(8,), activation=jnp.tanh, action_dim=actions)


def as_flax(params: Any, actor: str = "") -> Any:
    """Returns the suite's parameters as those of a module of rejax."""
    network = params.get("network", params)
    if actor == "sac False":
        layers = {"features": {"Dense_0": network["Dense_0"]}, "action_logits": network["Dense_1"]}
        return {"params": layers}
    if actor != "sac True":
        return {"params": network}
    names = ("action_mean", "action_log_std")
    output = [jnp.split(network["Dense_1"][name], 2, axis=-1) for name in ("kernel", "bias")]
    heads = {n: dict(zip(("kernel", "bias"), o)) for n, o in zip(names, zip(*output, strict=True))}
    return {"params": {"features": {"Dense_0": network["Dense_0"]}, **heads}}


@pytest.mark.parametrize(
    ("agent", "real", "make"),
    [
        ("dqn", False, rejax_dqn),
        ("pqn", False, rejax_pqn),
        ("sac", True, rejax_sac),
        ("sac", False, rejax_discrete_sac),
        ("td3", True, rejax_td3),
    ],
    ids=["dqn", "pqn", "sac", "discrete sac", "td3"],
)
def test_its_iterations_are_rejaxs(
    agent: str, real: bool, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same keys give the same parameters, where nothing is put right.

    Episodes end by the task, actions are free and observations plain; rejax draws from its buffer
    and takes its targets as the suite does.
    """
    from rejax.buffers import ReplayBuffer

    from rl_es.agents._rejax_values import UniformBuffer

    monkeypatch.setattr(ReplayBuffer, "sample", UniformBuffer.sample)
    env = Corridor(real=real, terminal=True)
    learner, hyper = build(agent, env)
    state = learner.init(jax.random.key(5), hyper)
    advanced, _ = jax.jit(learner.advance)(state, limit(3))
    names = {"lr": "learning_rate", "normalise_rewards": "normalize_rewards"}
    settings = {names.get(n, n): v for n, v in learner.config.model_dump().items()}
    settings |= {"env": Plain(env), "env_params": None, "eval_callback": None}
    if steps := settings.pop("exploration_steps", None):
        settings |= {"total_timesteps": int(steps), "exploration_fraction": 1.0}
    if agent != "pqn":
        del settings["num_steps"]
    settings.pop("ddqn", None)
    reference = make(settings, monkeypatch)
    with implicit_promotion():
        training = reference.init_state(jax.random.split(jax.random.key(5))[1])
        training = with_parameters(training, learner._unpack(state), f"{agent} {real}")
        iterate = jax.jit(reference.train_iteration)
        for _ in range(3 * learner.iterations):
            training = iterate(training)
    result = learner._unpack(advanced)
    np.testing.assert_array_equal(data(training.rng), data(result.rng))
    name = learner.kind.trained
    expected, params = getattr(training, name).params, getattr(result, name).params
    assert float(jnp.abs(jax.tree.leaves(params)[1]).max()) > 0.01  # biases start at 0
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        expected,
        as_flax(params, f"{agent} {real}"),
    )


def with_parameters(training: Any, ours: Any, agent: str) -> Any:
    """Returns rejax's state with the suite's initial parameters."""
    fields = {}
    for name, value in vars(training).items():
        actor = agent if name.startswith("actor") else ""
        if name in ("q_ts", "actor_ts", "critic_ts"):
            params = as_flax(getattr(ours, name).params, actor)
            fields[name] = value.replace(params=params, opt_state=value.tx.init(params))
        elif name.endswith("_params"):
            fields[name] = as_flax(getattr(ours, name), actor)
    return training.replace(**fields)
