"""PQN of rejax as a `Learner`: its training iteration, with targets that are put right."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax.training.train_state import TrainState
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.algos.pqn import PQN, Trajectory

from rl_es.agents._rejax import RejaxLearner
from rl_es.agents._rejax_values import EpsilonGreedy, make_q_network
from rl_es.config import Config
from rl_es.interfaces import Environment, Learner, Policy

_Untyped: Any = PQN  # its annotations allow its own environments and networks only


class SuitePQN(EpsilonGreedy, _Untyped):
    """rejax's algorithm with the suite's environments, networks and observation statistics."""

    exploration_steps: Any = 50_000.0
    trained = "q_ts"
    keeps_outcome = True

    @register_init
    def initialize_network_params(self, rng: Array) -> Mapping[str, TrainState]:
        return {"q_ts": self.train_state(self.agent.init(rng))}

    def collect_trajectories(self, ts: Any, epsilon: Array) -> tuple[Any, Trajectory]:
        """Takes `num_steps` steps in each environment.

        rejax reads the values of next observations after a reset, and before they are normalised.

        Returns:
          The state, and the steps [T, N, ...], whose `next_q` [T, N] is the value of the state that
          the step led to; 0 where the task ended.
        """
        single = self.replace(num_steps=1)

        def step(ts: Any, _: None) -> tuple[Any, Trajectory]:
            ts, trajectory = super(SuitePQN, single).collect_trajectories(ts, epsilon)
            observation, terminated = ts.env_state.outcome
            if self.normalize_observations:
                observation = self.normalize_obs(ts.obs_rms_state, observation)
            value: Array = self.agent.apply(ts.q_ts.params, observation).max(axis=1)
            trajectory = trajectory.replace(next_q=jnp.where(terminated, 0.0, value)[None])
            return ts, jax.tree.map(lambda leaf: leaf[0], trajectory)

        return jax.lax.scan(step, ts, None, self.num_steps)

    def calculate_targets(self, trajectories: Trajectory, max_last_q: Array) -> Array:
        """Returns the lambda returns [T, N]; an episode's end cuts them.

        rejax takes the value of the state one step later.
        """

        def backward(following: Array, step: Trajectory) -> tuple[Array, Array]:
            further = jnp.where(step.done, 0.0, following - step.next_q)
            target = step.reward + self.gamma * (step.next_q + self.td_lambda * further)
            return target, target

        last = jnp.asarray(trajectories.next_q)[-1]
        return jax.lax.scan(backward, last, trajectories, reverse=True)[1]


def make_pqn(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns PQN as a learner with these settings.

    Raises:
      UserError: the policy is not a network without state, or its head is not deterministic.
    """
    networks = {"agent": make_q_network(env, policy, "pqn")}
    return RejaxLearner(SuitePQN, config, env, policy, networks, normalise_observations)
