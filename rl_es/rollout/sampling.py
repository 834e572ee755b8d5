"""Groups of sampled episodes that start alike, and pass@k of what they reach.

A `SamplingPolicy` samples a network's actions at a temperature, whatever its head does in
evaluation, and keeps them with their log-probabilities: in its state, where a rollout carries them.

`pass_at` estimates the share of starts that at least one of k sampled episodes solves: Chen et al.,
"Evaluating Large Language Models Trained on Code", 2021, https://arxiv.org/abs/2107.03374, eq. (1).

Axis letters besides those of `rl_es.interfaces`: Q starts, G episodes of a start, E = Q G.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import (
    Environment,
    Observation,
    ParameterSpec,
    Params,
    Policy,
    PolicyState,
    Snapshot,
)
from rl_es.rollout.heads import Stochastic, stochastic
from rl_es.rollout.policy import ModulePolicy
from rl_es.rollout.unroll import (
    Particle,
    single_step,
    start_particle,
    time_limit,
    unroll_episodes,
)


class SampledStep(NamedTuple):
    """What a `SamplingPolicy` carries between steps.

    Attributes:
      carry: The network's state.
      action: The last action.
      log_prob: [] its log-probability.
    """

    carry: PolicyState
    action: Array
    log_prob: Array


@dataclass(frozen=True, eq=False)
class SamplingPolicy:
    """A network that samples at a temperature [], and keeps what it samples in its state."""

    network: ModulePolicy
    temperature: Array

    @property
    def head(self) -> Stochastic:
        """The head that samples."""
        return stochastic(self.network.head)

    @property
    def parameters(self) -> ParameterSpec:
        return self.network.parameters

    def init(self, key: Array) -> Params:
        return self.network.init(key)

    def initial_state(self) -> SampledStep:
        head, key = self.head, jax.random.key(0)
        output = jax.ShapeDtypeStruct((head.outputs,), jnp.float32)
        action = jax.eval_shape(lambda x: head.act(head.init(), x, None, key), output)
        blank = jnp.zeros(action.shape, action.dtype)
        return SampledStep(self.network.initial_state(), blank, jnp.zeros(()))

    def act(
        self, params: Params, state: SampledStep, observation: Observation, key: Array
    ) -> tuple[SampledStep, Array]:
        carry, output = self.network.apply(params["network"], state.carry, observation.values)
        head, output = self._temper(params, output)
        action = self.head.act(head, output, observation.action_mask, key)
        log_prob = self.head.log_prob(head, output, observation.action_mask, action)
        return SampledStep(carry, action, log_prob), action

    def log_probs(
        self,
        params: Params,
        observations: Observation,
        actions: Array,
        recompute: bool = False,
    ) -> Array:
        """Returns the log-probabilities [T] of an episode's actions, after its observations.

        Args:
          params: The parameters.
          observations: [T] of the episode.
          actions: [T].
          recompute: A gradient keeps the network's state at each step, and computes the rest of the
            step again.
        """
        network, start = params["network"], self.network.initial_state()

        def evaluate(output: Array, action_mask: Array | None, action: Array) -> Array:
            head, output = self._temper(params, output)
            return self.head.log_prob(head, output, action_mask, action)

        @jax.checkpoint
        def step(carry: PolicyState, inputs: tuple[Observation, Array]) -> tuple[Any, Array]:
            observation, action = inputs
            carry, output = self.network.apply(network, carry, observation.values)
            return carry, evaluate(output, observation.action_mask, action)

        if recompute:
            return jax.lax.scan(step, start, (observations, actions))[1]
        if jax.tree.leaves(start):
            _, outputs = jax.lax.scan(
                lambda carry, values: self.network.apply(network, carry, values),
                start,
                observations.values,
            )
        else:
            outputs = jax.vmap(lambda values: self.network.apply(network, (), values)[1])(
                observations.values
            )
        return jax.vmap(evaluate)(outputs, observations.action_mask, actions)

    def _temper(self, params: Params, output: Array) -> tuple[Params, Array]:
        return self.head.temper(params.get("head", {}), output.reshape(-1), self.temperature)


def start_groups(env: Environment, policy: Policy, key: Array, starts: int, group: int) -> Particle:
    """Returns particles [E] at starts that the episodes of a group share. Consumes `key`."""
    keys = jax.random.split(key, starts)
    particles = jax.vmap(lambda key: start_particle(env, policy, key))(keys)
    indices = jnp.arange(starts * group) // group
    return jax.tree.map(lambda leaf: leaf[indices], particles)


def make_group_evaluator(
    env: Environment, network: ModulePolicy, starts: int, group: int
) -> Callable[[Array, Snapshot, Array], Array]:
    """Returns a function that samples whole episodes from starts. Compile it once.

    Its arguments are a key, which it consumes, a snapshot and a temperature []; it returns the
    returns [Q, G]. The starts are those of `make_evaluator` with this key.

    Args:
      env: The environment.
      network: A network whose head samples.
      starts: Number of starts (Q).
      group: Number of episodes of each (G).

    Raises:
      UserError: episodes never end.
    """
    limit = time_limit(env)

    def evaluate(key: Array, snapshot: Snapshot, temperature: Array) -> Array:
        reset_key, step_key = jax.random.split(key)
        policy = SamplingPolicy(network, temperature)
        parts = {"head": network.head.init(), **snapshot.params}  # of another head: as it starts
        params = {name: parts[name] for name in network.parameters.shapes}
        particles = start_groups(env, policy, reset_key, starts, group)
        step = single_step(env, policy, params, snapshot.statistics)
        keys = jax.random.split(step_key, starts * group)
        return unroll_episodes(step, particles, keys, limit).returns.reshape(starts, group)

    return evaluate


def pass_at(successes: np.ndarray, k: int) -> float:
    """Returns the unbiased estimate of pass@k: the chance that one of k episodes succeeds.

    Args:
      successes: [Q, G] bool, of independent episodes of each start.
      k: number of episodes, at most G.

    Returns:
      The mean over starts of 1 - C(G - c, k) / C(G, k), with c successes among G episodes.
    """
    group = successes.shape[1]
    failures = group - successes.sum(1)
    factors = 1 - k / np.arange(1, group + 1)  # of 1 .. G; k <= 0 leaves a start without success
    chances = [np.prod(factors[n:]) if n >= k else 0.0 for n in failures]
    return float(1 - np.mean(chances))
