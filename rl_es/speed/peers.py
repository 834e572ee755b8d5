"""Peers: strategies of other libraries on the same network, population, episodes and environment.

evosax (Lange 2022, https://arxiv.org/abs/2212.04180), version 0.3: `Open_ES` as its documentation
uses it, with ask, evaluate and tell in one jitted generation. Its population is one full parameter
pytree a member. Episodes, random keys and the rollout are those of the suite's own agents (partners
share them), so that only the strategy differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from rl_es import registry
from rl_es.config import Config, static
from rl_es.errors import UserError

if TYPE_CHECKING:
    from jax import Array

    from rl_es.interfaces import Environment, Params, Policy


class PeerSettings(Config):
    """Settings of evosax's Open_ES."""

    population: int = static(256, "members (P)", ge=2)
    episodes: int = static(1, "episodes a member and generation (E)", ge=1)
    sigma: float = static(0.1, "standard deviation of the perturbation", gt=0)
    lr: float = static(0.01, "learning rate of adam", gt=0)


class Peer(NamedTuple):
    """A strategy of another library as two functions.

    Attributes:
      init: key -> state. Consumes the key.
      generation: state -> (state, (returns [P], steps [])).
      population: state -> the perturbed parameters [P, ...].
    """

    init: Callable[[Array], Any]
    generation: Callable[[Any], Any]
    population: Callable[[Any], Params]


def require_evosax() -> Any:
    """Imports Open_ES of evosax.

    Raises:
      UserError: it is not installed.
    """
    try:
        from evosax.algorithms import Open_ES
    except ImportError as error:
        raise UserError(
            f"evosax cannot be loaded ({error}); install it: {registry.install_command('evosax')}"
        ) from None
    return Open_ES


def peer_versions() -> dict[str, str]:
    """Returns the installed versions of the peers."""
    import importlib.metadata

    try:
        return {"evosax": importlib.metadata.version("evosax")}
    except importlib.metadata.PackageNotFoundError:
        return {}


def make_evosax_peer(env: Environment, policy: Policy, settings: PeerSettings) -> Peer:
    """Makes the Open_ES of evosax on an environment.

    Raises:
      UserError: evosax is not installed.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from rl_es.evolution.perturbation import block_keys, pair_keys
    from rl_es.rollout.unroll import separate_step, start_particle, time_limit, unroll_episodes
    from rl_es.rollout.wrappers import implicit_promotion

    open_es = require_evosax()
    shapes = policy.parameters.shapes
    solution = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    pairs, count = settings.population // 2, settings.episodes
    strategy = open_es(
        population_size=settings.population,
        solution=solution,
        optimizer=optax.adam(settings.lr),
        std_schedule=optax.constant_schedule(settings.sigma),
    )
    limit = time_limit(env)

    def init(key: Array) -> Any:
        init_key, params_key, run_key = jax.random.split(key, 3)
        with implicit_promotion():
            state = strategy.init(init_key, policy.init(params_key), strategy.default_params)
        return run_key, state

    def ask(key: Array, state: Any) -> Any:
        with implicit_promotion():
            return strategy.ask(key, state, strategy.default_params)

    def unroll(params: Params, reset_key: Array, step_key: Array) -> Any:
        resets, steps = (
            pair_keys(block_keys(key, pairs), pairs, count) for key in (reset_key, step_key)
        )
        fresh = jax.vmap(jax.vmap(lambda key: start_particle(env, policy, key)))(resets)
        # Its members are all plus ones, then all minus ones: [2, H] of [P].
        first = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), fresh)
        pair_params = jax.tree.map(lambda leaf: leaf.reshape(2, pairs, *leaf.shape[1:]), params)

        return unroll_episodes(separate_step(env, policy, pair_params, None), first, steps, limit)

    def generation(carry: Any) -> Any:
        run_key, state = carry
        run_key, ask_key, reset_key, step_key, tell_key = jax.random.split(run_key, 5)
        params, state = ask(ask_key, state)
        rollout = unroll(params, reset_key, step_key)
        returns = rollout.returns.mean(-1).reshape(-1)
        with implicit_promotion():  # it minimises
            state, _ = strategy.tell(tell_key, params, -returns, state, strategy.default_params)
        return (run_key, state), (returns, rollout.lengths.sum())

    return Peer(init, generation, lambda carry: ask(*carry)[0])
