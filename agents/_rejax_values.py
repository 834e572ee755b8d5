"""Networks of action values, exploration by random actions, and the replay buffer.

`ActionValues` reads a policy's outputs as the values of its discrete actions; `QNetwork` acts by
them. `EpsilonGreedy` and `Replay` are bases of rejax's algorithms, in front of their class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.buffers import Minibatch, ReplayBuffer

from rl_es.agents._rejax import PolicyNetwork, SuiteAlgorithm, check_actions, check_stateless
from rl_es.agents._rejax_environments import AutoReset
from rl_es.errors import UserError
from rl_es.interfaces import Environment, Observation, Params, Policy
from rl_es.rollout.heads import Greedy, mask_logits
from rl_es.rollout.policy import ModulePolicy, trainable_network


@dataclass(frozen=True)
class ActionValues(PolicyNetwork):
    """A policy without state whose outputs are values of its discrete actions."""

    def __call__(self, params: Params, observation: Observation) -> Array:
        """Returns the values [N, A] of all actions."""

        def apply(values: Array) -> Array:
            _, output = self.policy.apply(params["network"], (), values)
            return jnp.asarray(output).reshape(-1)

        return jax.vmap(apply)(observation.values)

    def take(self, params: Params, observation: Observation, actions: Array) -> Array:
        """Returns the values [N] of actions [N]."""
        outputs = ActionValues.__call__(self, params, observation)
        return jnp.take_along_axis(outputs, actions[:, None], axis=1)[:, 0]


class QNetwork(ActionValues):
    """Values that actions are chosen by: a forbidden action has the value -inf, but in `take`."""

    def __call__(self, params: Params, observation: Observation) -> Array:
        """Returns the values [N, A] of all actions."""
        outputs = super().__call__(params, observation)
        if observation.action_mask is None:
            return outputs
        return jax.vmap(mask_logits)(outputs, observation.action_mask)

    def act(self, params: Params, observation: Observation, key: Array, epsilon: Array) -> Array:
        """Returns actions [N]: uniform ones with probability `epsilon` [], else of largest value.

        Of equal values each has the same probability, as in rejax. Consumes `key`.
        """
        values = self(params, observation)
        best, allowed = values == values.max(axis=1, keepdims=True), jnp.isfinite(values)
        shares = [mask / mask.sum(axis=1, keepdims=True) for mask in (best, allowed)]
        probabilities = (1 - epsilon) * shares[0] + epsilon * shares[1]
        return jax.random.categorical(key, jnp.log(probabilities)).astype(jnp.int32)


class EpsilonGreedy(SuiteAlgorithm):
    """A base of algorithms that learn the values of discrete actions."""

    agent: QNetwork
    eps_start: Array
    eps_end: Array
    exploration_steps: Array

    @property
    def policy(self) -> ModulePolicy:
        return self.agent.policy

    @property
    def epsilon_schedule(self) -> Any:
        """The probability of a random action [] by the number of steps []."""

        def schedule(steps: Array) -> Array:
            rest = 1 - jnp.clip(steps, 0, self.exploration_steps) / self.exploration_steps
            return (self.eps_start - self.eps_end) * rest + self.eps_end

        return schedule


_Untyped: Any = ReplayBuffer  # its annotations allow its own observations only


class UniformBuffer(_Untyped):
    """rejax's buffer, which draws with replacement: in a time that does not depend on its size."""

    def sample(self, num: int, rng: Array) -> Minibatch:
        """Returns `num` steps that the buffer holds. Consumes `rng`."""
        indices = jax.random.randint(rng, (num,), 0, self.num_entries)
        return jax.tree.map(lambda rows: rows[indices], self.data)


class Replay(SuiteAlgorithm):
    """A base of algorithms with a replay buffer: it holds what a step led to before a reset.

    So an episode whose time is over is continued in the targets, and only the end of the task
    counts as one.
    """

    buffer_size: int
    num_envs: int
    env: AutoReset
    keeps_outcome = True

    @register_init
    def initialize_replay_buffer(self, rng: Array) -> Mapping[str, UniformBuffer]:
        space = self.env.action_space()
        observation = jax.eval_shape(lambda: self.env.env.reset(jax.random.key(0))[1])
        fields: Any = Minibatch  # of shapes here
        step = fields(
            obs=observation,
            action=jax.ShapeDtypeStruct(space.shape, space.dtype),
            reward=jax.ShapeDtypeStruct((), jnp.float32),
            done=jax.ShapeDtypeStruct((), bool),
            next_obs=observation,
        )
        data = jax.tree.map(
            lambda leaf: jnp.zeros((self.buffer_size, *leaf.shape), leaf.dtype), step
        )
        buffer = UniformBuffer(
            self.buffer_size, data, jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        )
        return {"replay_buffer": buffer}

    def collect_transitions(self, ts: Any, *args: Any, **options: Any) -> tuple[Any, Minibatch]:
        ts, steps = super().collect_transitions(ts, *args, **options)  # pyright: ignore
        outcome = ts.env_state.outcome
        return ts, steps._replace(next_obs=outcome.observation, done=outcome.terminated)


def make_q_network(env: Environment, policy: Policy, agent: str) -> QNetwork:
    """Returns a policy as a network of action values.

    Raises:
      UserError: actions are not discrete, or the policy is not a network without state that takes
        the action of the largest output.
    """
    check_actions(env, "discrete", agent, "td3, sac or ppo")
    network = trainable_network(policy, agent)
    check_stateless(policy, agent)
    if not isinstance(network.head, Greedy):
        raise UserError(
            f"{agent}: its outputs are values of actions, of which the largest is taken; write "
            "head: deterministic"
        )
    return QNetwork(network)
