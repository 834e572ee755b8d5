"""Unrolls: particles that are stepped without auto-reset, and masked after an episode's end.

A particle is one copy of an environment, its observation and its policy's state. A `Step` acts on
particles of any leading axes: [H, 2, E] (pairs, signs, episodes) for a population, [E] for one
policy. Particles that are done are still stepped, because selecting their whole state would cost
more; their rewards, steps and observations are masked.

`unroll_episodes` stops when all particles are done; `unroll_window` takes a fixed number of steps.
`rl_es/rollout/segments.py` leaves out the pairs of a population that are done.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.linen import perturb_products
from rl_es.evolution.perturbation import leaves_by_path, nest_by_path
from rl_es.interfaces import (
    Environment,
    EnvState,
    Observation,
    Params,
    Policy,
    PolicyState,
    Population,
    SeparateMembers,
    Transition,
)
from rl_es.rollout.normalisation import Statistics, add_moments, batch_moments, normalise

CHUNK = 25  # most steps between two checks of whether a particle is alive


class Particle(NamedTuple):
    """One copy of an environment.

    Attributes:
      env: State of the environment.
      observation: Observation of that state.
      policy: State of the policy.
      done: [] bool, the episode is over.
    """

    env: EnvState
    observation: Observation
    policy: PolicyState
    done: Array


class UnrollOutcome(NamedTuple):
    """The outcome of an unroll of particles with leading axes [...].

    Attributes:
      particles: The particles after the last step.
      returns: [...] sums of rewards while alive.
      lengths: [...] int32, numbers of environment steps while alive.
      moments: Moments of the observations while alive; None if they are not normalised.
    """

    particles: Particle
    returns: Array
    lengths: Array
    moments: Statistics | None


# (particles, keys) -> particles, rewards, environment steps; the last two are 0 where done
Step = Callable[[Particle, Array], tuple[Particle, Array, Array]]


def time_limit(env: Environment) -> int:
    """Returns the steps after which the environment truncates an episode (T).

    Raises:
      UserError: it has no time limit, so that whole episodes cannot be unrolled.
    """
    length = env.spec.episode_length
    if length is None:
        raise UserError(f"environment {env.spec.name}: it never ends; give it an episode_length")
    return length


def start_particle(env: Environment, policy: Policy, key: Array) -> Particle:
    """Returns a particle at the start of an episode. Consumes `key`."""
    state, observation = env.reset(key)
    return Particle(state, observation, policy.initial_state(), jnp.zeros((), bool))


def _act(
    policy: Policy, params: Params, statistics: Statistics | None, particle: Particle, key: Array
) -> tuple[PolicyState, Array]:
    """Returns the next state of one particle's policy, and its action. Consumes `key`."""
    return policy.act(params, particle.policy, normalise(statistics, particle.observation), key)


def _move(
    env: Environment, particle: Particle, policy_state: PolicyState, action: Array, key: Array
) -> tuple[Particle, Transition]:
    """Steps one particle's environment. Consumes `key`."""
    transition = env.step(key, particle.env, action)
    done = particle.done | transition.terminated | transition.truncated
    next_particle = Particle(transition.state, transition.observation, policy_state, done)
    return next_particle, transition


def _mask_outcome(particle: Particle, transition: Transition) -> tuple[Array, Array]:
    """Returns the reward and the environment steps of a transition; 0 if the particle was done."""
    steps = jnp.asarray(transition.steps, jnp.int32)
    reward = jnp.where(particle.done, 0.0, transition.reward)
    return reward, jnp.where(particle.done, 0, steps)


def act_and_step(
    env: Environment,
    policy: Policy,
    params: Params,
    statistics: Statistics | None,
    particle: Particle,
    key: Array,
) -> tuple[Particle, Array, Transition]:
    """Steps one particle; returns it, its action and the transition. Consumes `key`."""
    act_key, env_key = jax.random.split(key)
    policy_state, action = _act(policy, params, statistics, particle, act_key)
    next_particle, transition = _move(env, particle, policy_state, action, env_key)
    return next_particle, action, transition


def single_step(
    env: Environment, policy: Policy, params: Params, statistics: Statistics | None
) -> Step:
    """Returns the step of unperturbed particles [E] with keys [E]."""

    def step(particle: Particle, key: Array) -> tuple[Particle, Array, Array]:
        next_particle, _, transition = act_and_step(env, policy, params, statistics, particle, key)
        return next_particle, *_mask_outcome(particle, transition)

    return jax.vmap(step)


def differentiable_step(
    env: Environment, policy: Policy, params: Params, statistics: Statistics | None
) -> Step:
    """Returns the step of unperturbed particles [E] with keys [E], for gradients of their rewards.

    Nothing that a done particle does reaches the gradient: masked rewards alone would let in the
    product of 0 and an infinite derivative, which is nan.
    """

    def step(particle: Particle, key: Array) -> tuple[Particle, Array, Array]:
        act_key, env_key = jax.random.split(key)
        particle = _detach(particle.done, particle)
        outputs = _act(policy, params, statistics, particle, act_key)
        policy_state, action = _detach(particle.done, outputs)
        next_particle, transition = _move(env, particle, policy_state, action, env_key)
        return next_particle, *_mask_outcome(particle, transition)

    return jax.vmap(step)


def _detach(done: Array, tree: Any) -> Any:
    """Returns the same values, through which no gradient passes where `done` []."""

    def detach(leaf: Array) -> Array:
        is_real = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.where(done, jax.lax.stop_gradient(leaf), leaf) if is_real else leaf

    return jax.tree.map(detach, tree)


def population_step(
    env: Environment, policy: Policy, members: Population, statistics: Statistics | None
) -> Step:
    """Returns the step of a population's particles [H, 2, E] with keys [H, E].

    The members of a pair share their keys. Policies act under three nested axes, so that each reads
    the noise of its pair. Environments step under one flat axis: on CPU, XLA does not vectorise a
    loop over a minor axis of one or two members.
    """
    if isinstance(members, SeparateMembers):
        return separate_step(env, policy, members.params, statistics, pair_axis=0)

    def act(products: Any, direct: Any, sign: Array, particle: Particle, key: Array) -> Any:
        params = members.shared
        if direct:
            leaves = leaves_by_path(params)
            leaves |= {path: leaves[path] + sign * noise for path, noise in direct.items()}
            params = nest_by_path(leaves)
        with perturb_products(products, sign):
            return _act(policy, params, statistics, particle, key)

    over_episodes = jax.vmap(act, (None, None, None, 0, 0))
    over_signs = jax.vmap(over_episodes, (None, None, 0, 0, None))
    over_pairs = jax.vmap(over_signs, (0, 0, None, 0, 0))
    signs = jnp.array([1.0, -1.0], jnp.float32)

    def step(particles: Particle, keys: Array) -> tuple[Particle, Array, Array]:
        act_keys, env_keys = jnp.moveaxis(_split(keys), -1, 0)
        policy_outputs = over_pairs(members.products, members.direct, signs, particles, act_keys)
        return _move_all(env, particles, policy_outputs, env_keys[:, None])

    return step


def separate_step(
    env: Environment,
    policy: Policy,
    params: Params,
    statistics: Statistics | None,
    pair_axis: int = 1,
) -> Step:
    """Returns the step of members that share no parameters, for strategies that write all out.

    Args:
      env: The environment.
      policy: The policy.
      params: Leaves [2, H, ...], or [H, 2, ...] with `pair_axis` 0.
      statistics: Frozen observation statistics, or None.
      pair_axis: The axis of pairs, 0 or 1; the other one is that of partners.

    Returns:
      A step of particles [2, H, E] or [H, 2, E] with keys [H, E], which partners share.
    """

    def act(params: Params, particle: Particle, key: Array) -> tuple[PolicyState, Array]:
        return _act(policy, params, statistics, particle, key)

    act_all = jax.vmap(act, (None, 0, 0))
    for axis in (1, 0):
        act_all = jax.vmap(act_all, (0, 0, 0 if axis == pair_axis else None))

    def step(particles: Particle, keys: Array) -> tuple[Particle, Array, Array]:
        act_keys, env_keys = jnp.moveaxis(_split(keys), -1, 0)
        outputs = act_all(params, particles, act_keys)
        env_keys = env_keys[None] if pair_axis == 1 else env_keys[:, None]
        return _move_all(env, particles, outputs, env_keys)

    return step


def _move_all(
    env: Environment, particles: Particle, policy_outputs: tuple[PolicyState, Array], keys: Array
) -> tuple[Particle, Array, Array]:
    """Steps particles of any leading axes as one flat axis; keys broadcast to those axes."""

    def move(particle: Particle, policy_state: PolicyState, action: Array, key: Array) -> Any:
        next_particle, transition = _move(env, particle, policy_state, action, key)
        return next_particle, *_mask_outcome(particle, transition)

    lead = particles.done.shape
    return _flatten_axes(jax.vmap(move), lead)(
        particles, *policy_outputs, jnp.broadcast_to(keys, lead)
    )


def _split(keys: Array) -> Array:
    """Splits keys [...] into [..., 2]."""
    return jax.vmap(jax.random.split)(keys.reshape(-1)).reshape(*keys.shape, 2)


def _flatten_axes(function: Callable[..., Any], lead: tuple[int, ...]) -> Callable[..., Any]:
    """Turns a function of arrays with one leading axis into one of arrays [*lead, ...]."""
    count = math.prod(lead)  # not -1, which is ambiguous for an empty leaf

    def call(*args: Any) -> Any:
        flat = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[len(lead) :]), args)
        return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), function(*flat))

    return call


def _fold(keys: Array, t: Array) -> Array:
    """Returns the keys of step t, shaped like `keys`."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys.reshape(-1), t).reshape(keys.shape)


def initial_outcome(particles: Particle, statistics: Statistics | None) -> UnrollOutcome:
    """Returns the outcome of no steps."""
    zeros = None if statistics is None else jax.tree.map(jnp.zeros_like, statistics)
    return UnrollOutcome(
        particles,
        returns=jnp.zeros(particles.done.shape),
        lengths=jnp.zeros(particles.done.shape, jnp.int32),
        moments=zeros,
    )


# (particles before a step, particles after it) -> what is recorded of it
Record = Callable[[Particle, Particle], Any]


def take_steps(
    step: Step,
    outcome: UnrollOutcome,
    keys: Array,
    times: Array,
    statistics: Statistics | None,
    record: Record = lambda before, after: None,
) -> tuple[UnrollOutcome, Any]:
    """Continues an unroll by the steps with numbers `times` [T]; returns its record [T], too.

    Consumes `keys`, into which each step folds its number.
    """

    def body(carry: UnrollOutcome, t: Array) -> tuple[UnrollOutcome, Any]:
        alive = ~carry.particles.done
        moments = carry.moments
        if statistics is not None and moments is not None:
            batch = batch_moments(statistics, carry.particles.observation.values, alive)
            moments = add_moments(moments, batch)
        particles, rewards, steps = step(carry.particles, _fold(keys, t))
        returns, lengths = carry.returns + rewards, carry.lengths + steps
        outcome = UnrollOutcome(particles, returns, lengths, moments)
        return outcome, record(carry.particles, particles)

    return jax.lax.scan(body, outcome, times)


def unroll_window(
    step: Step, particles: Particle, keys: Array, steps: int, statistics: Statistics | None = None
) -> UnrollOutcome:
    """Takes exactly `steps` steps. Consumes `keys`."""
    times = jnp.arange(steps, dtype=jnp.int32)
    return take_steps(step, initial_outcome(particles, statistics), keys, times, statistics)[0]


def record_window(
    step: Step,
    particles: Particle,
    keys: Array,
    steps: int,
    record: Record,
    statistics: Statistics | None = None,
) -> tuple[UnrollOutcome, Any]:
    """Takes exactly `steps` steps; returns what is recorded of them [T], too. Consumes `keys`."""
    times = jnp.arange(steps, dtype=jnp.int32)
    start = initial_outcome(particles, statistics)
    return take_steps(step, start, keys, times, statistics, record)


def chunk_length(horizon: int) -> int:
    """Returns the steps of a chunk, with which the last one hardly exceeds the horizon."""
    return -(-horizon // -(-horizon // CHUNK))


def unroll_episodes(
    step: Step,
    particles: Particle,
    keys: Array,
    horizon: int,
    statistics: Statistics | None = None,
    lanes: str | None = None,
) -> UnrollOutcome:
    """Takes steps until every particle is done, in chunks of equal length. Consumes `keys`.

    Args:
      step: Steps all particles.
      particles: Particles at the start of their episodes.
      keys: Keys of the particles, which some may share; each step folds its number into them.
      horizon: Number of steps after which the environment has ended every episode.
      statistics: Frozen observation statistics, or None; if given, moments are summed.
      lanes: Name of a vmapped axis around this call, if any. All lanes then stop together: a stop
        of each lane would cost a select of the whole carry every step.
    """
    length = chunk_length(horizon)

    def is_unfinished(carry: tuple[Array, UnrollOutcome]) -> Array:
        t, outcome = carry
        alive = jnp.any(~outcome.particles.done)
        if lanes is not None:
            alive = jax.lax.pmax(alive.astype(jnp.int32), lanes) > 0
        return alive & (t < horizon)

    def chunk(carry: tuple[Array, UnrollOutcome]) -> tuple[Array, UnrollOutcome]:
        t, outcome = carry
        times = t + jnp.arange(length, dtype=jnp.int32)
        return t + length, take_steps(step, outcome, keys, times, statistics)[0]

    first = (jnp.zeros((), jnp.int32), initial_outcome(particles, statistics))
    return jax.lax.while_loop(is_unfinished, chunk, first)[1]
