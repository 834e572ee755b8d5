"""One rollout serves all: particles stepped without auto-reset, masked after an episode's end.

A particle is one copy of an environment with what belongs to it. Steps are vmapped functions of any
leading axes; the engine uses [H, 2, E] (pairs, signs, episodes) for a population and [E] for one
policy. A done particle goes on being stepped (a select of its whole state a step would cost more),
but its rewards, lengths and observations count nothing.
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
    Members,
    Observation,
    Params,
    Policy,
    PolicyState,
    Transition,
)
from rl_es.rollout.normalisation import Statistics, add_moments, batch_moments, normalise

CHUNK = 25  # most steps between two looks at whether any particle is alive


class Particle(NamedTuple):
    """One copy of an environment, what it shows, and what the policy carries."""

    env: EnvState
    observation: Observation
    policy: PolicyState
    done: Array  # bool


class UnrollOutcome(NamedTuple):
    """What an unroll gives; `moments` is None where observations are not normalised."""

    particles: Particle
    returns: Array  # [...] sums of rewards while alive
    lengths: Array  # [...] int32, steps taken while alive
    moments: Statistics | None


# (particles, keys) -> particles, rewards, environment steps; both are 0 for particles that are done
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
    """A particle at the start of an episode. Consumes `key`."""
    state, observation = env.reset(key)
    return Particle(state, observation, policy.initial_state(), jnp.zeros((), bool))


def _act(
    policy: Policy, params: Params, statistics: Statistics | None, particle: Particle, key: Array
) -> tuple[PolicyState, Array]:
    """What one particle's policy carries on, and its action. Consumes `key`."""
    return policy.act(params, particle.policy, normalise(statistics, particle.observation), key)


def _move(
    env: Environment, particle: Particle, carried: PolicyState, action: Array, key: Array
) -> tuple[Particle, Transition]:
    """One particle's next state, and what came of its action. Consumes `key`."""
    after = env.step(key, particle.env, action)
    done = particle.done | after.terminated | after.truncated
    return Particle(after.state, after.observation, carried, done), after


def _counted(particle: Particle, after: Transition) -> tuple[Array, Array]:
    """The reward and the environment steps that count: none of a particle that is done."""
    steps = jnp.asarray(after.steps, jnp.int32)
    return jnp.where(particle.done, 0.0, after.reward), jnp.where(particle.done, 0, steps)


def act_and_step(
    env: Environment,
    policy: Policy,
    params: Params,
    statistics: Statistics | None,
    particle: Particle,
    key: Array,
) -> tuple[Particle, Array, Transition]:
    """One particle's next state, the action that led to it, and what came of it. Consumes `key`."""
    act_key, env_key = jax.random.split(key)
    carried, action = _act(policy, params, statistics, particle, act_key)
    moved, after = _move(env, particle, carried, action, env_key)
    return moved, action, after


def single_step(
    env: Environment, policy: Policy, params: Params, statistics: Statistics | None
) -> Step:
    """The step of unperturbed particles [E] with keys [E]."""

    def one(particle: Particle, key: Array) -> tuple[Particle, Array, Array]:
        moved, _, after = act_and_step(env, policy, params, statistics, particle, key)
        return moved, *_counted(particle, after)

    return jax.vmap(one)


def population_step(
    env: Environment, policy: Policy, members: Members, statistics: Statistics | None
) -> Step:
    """The step of a population's particles [H, 2, E] with keys [H, E], which partners share.

    Policies act under three nested axes, so that each reads its own pair's noise. Environments step
    under one flat axis: on CPU a loop over a minor axis of one or two members is not vectorised.
    """

    def act(products: Any, direct: Any, sign: Array, particle: Particle, key: Array) -> Any:
        params = members.shared
        if direct:
            own = leaves_by_path(params)
            params = nest_by_path({**own, **{at: own[at] + sign * e for at, e in direct.items()}})
        with perturb_products(products, sign):
            return _act(policy, params, statistics, particle, key)

    over_episodes = jax.vmap(act, (None, None, None, 0, 0))
    over_signs = jax.vmap(over_episodes, (None, None, 0, 0, None))
    over_pairs = jax.vmap(over_signs, (0, 0, None, 0, 0))
    signs = jnp.array([1.0, -1.0], jnp.float32)

    def step(particles: Particle, keys: Array) -> tuple[Particle, Array, Array]:
        act_keys, env_keys = jnp.moveaxis(_split(keys), -1, 0)
        acted = over_pairs(members.products, members.direct, signs, particles, act_keys)
        return _move_all(env, particles, acted, env_keys[:, None])

    return step


def separate_step(
    env: Environment, policy: Policy, params: Params, statistics: Statistics | None
) -> Step:
    """The step of members that share nothing, for strategies that write all parameters out.

    Args:
      env: the environment.
      policy: the policy.
      params: leaves [2, H, ...].
      statistics: of observations, frozen, or None.

    Returns:
      A step of particles [2, H, E] with keys [H, E], which the two halves share.
    """
    act = jax.vmap(lambda *own: _act(policy, own[0], statistics, *own[1:]), (None, 0, 0))
    over_halves = jax.vmap(jax.vmap(act), (0, 0, None))

    def step(particles: Particle, keys: Array) -> tuple[Particle, Array, Array]:
        act_keys, env_keys = jnp.moveaxis(_split(keys), -1, 0)
        return _move_all(env, particles, over_halves(params, particles, act_keys), env_keys[None])

    return step


def _move_all(
    env: Environment, particles: Particle, acted: tuple[PolicyState, Array], keys: Array
) -> tuple[Particle, Array, Array]:
    """Steps particles of any leading axes as one flat axis; keys broadcast to those axes."""

    def move(particle: Particle, carried: PolicyState, action: Array, key: Array) -> Any:
        moved, after = _move(env, particle, carried, action, key)
        return moved, *_counted(particle, after)

    lead = particles.done.shape
    return _flat(jax.vmap(move), lead)(particles, *acted, jnp.broadcast_to(keys, lead))


def _split(keys: Array) -> Array:
    """[...] keys -> [..., 2]."""
    return jax.vmap(jax.random.split)(keys.reshape(-1)).reshape(*keys.shape, 2)


def _flat(function: Callable[..., Any], lead: tuple[int, ...]) -> Callable[..., Any]:
    """A function of arrays [N, ...] as one of arrays [*lead, ...]."""
    count = math.prod(lead)  # written out: a -1 cannot be told where a leaf is empty

    def call(*args: Any) -> Any:
        flat = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[len(lead) :]), args)
        return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), function(*flat))

    return call


def _fold(keys: Array, t: Array) -> Array:
    """Keys of step t, of the same shape as `keys`."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys.reshape(-1), t).reshape(keys.shape)


def _begin(particles: Particle, statistics: Statistics | None) -> UnrollOutcome:
    zeros = None if statistics is None else jax.tree.map(jnp.zeros_like, statistics)
    return UnrollOutcome(
        particles,
        returns=jnp.zeros(particles.done.shape),
        lengths=jnp.zeros(particles.done.shape, jnp.int32),
        moments=zeros,
    )


def _go_on(
    step: Step, so_far: UnrollOutcome, keys: Array, times: Array, statistics: Statistics | None
) -> UnrollOutcome:
    def body(carry: UnrollOutcome, t: Array) -> tuple[UnrollOutcome, None]:
        alive = ~carry.particles.done
        gathered = carry.moments
        if statistics is not None and gathered is not None:
            seen = batch_moments(statistics, carry.particles.observation.values, alive)
            gathered = add_moments(gathered, seen)
        particles, rewards, steps = step(carry.particles, _fold(keys, t))
        after = UnrollOutcome(particles, carry.returns + rewards, carry.lengths + steps, gathered)
        return after, None

    return jax.lax.scan(body, so_far, times)[0]


def unroll_window(
    step: Step, particles: Particle, keys: Array, steps: int, statistics: Statistics | None = None
) -> UnrollOutcome:
    """Exactly `steps` steps. Consumes `keys`."""
    times = jnp.arange(steps, dtype=jnp.int32)
    return _go_on(step, _begin(particles, statistics), keys, times, statistics)


def unroll_episodes(
    step: Step,
    particles: Particle,
    keys: Array,
    horizon: int,
    statistics: Statistics | None = None,
    lanes: str | None = None,
) -> UnrollOutcome:
    """Steps until every particle is done, in chunks of equal length. Consumes `keys`.

    Args:
      step: one step of all particles.
      particles: at the start of their episodes.
      keys: of the particles, or of those that share them; steps fold their number into them.
      horizon: the step by which the environment has ended every episode.
      statistics: of observations, frozen; their moments are gathered if given.
      lanes: name of a vmapped axis around this call, if any: the stop is then one scalar for all of
        them, since a stop of its own for each would cost a select of the whole carry every step.
    """
    length = -(-horizon // -(-horizon // CHUNK))  # chunks that hardly reach beyond the horizon

    def unfinished(carry: tuple[Array, UnrollOutcome]) -> Array:
        t, so_far = carry
        alive = jnp.any(~so_far.particles.done)
        if lanes is not None:
            alive = jax.lax.pmax(alive.astype(jnp.int32), lanes) > 0
        return alive & (t < horizon)

    def chunk(carry: tuple[Array, UnrollOutcome]) -> tuple[Array, UnrollOutcome]:
        t, so_far = carry
        times = t + jnp.arange(length, dtype=jnp.int32)
        return t + length, _go_on(step, so_far, keys, times, statistics)

    first = (jnp.zeros((), jnp.int32), _begin(particles, statistics))
    return jax.lax.while_loop(unfinished, chunk, first)[1]
