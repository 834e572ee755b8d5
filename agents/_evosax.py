"""Strategies of evosax as `PopulationStrategy`: state, signs, starts, and traced numbers.

evosax jits its methods with the strategy as a static argument. Here the functions inside are called
within a program of the suite: the optimiser and the schedule of the deviation are built in the
trace from traced numbers, so that a sweep over them compiles once. The arrays of a state keep the
dtypes that they have at the start, since some of evosax are Python's numbers first.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import evosax.core.fitness_shaping as shapings
import jax
import jax.numpy as jnp
from evosax.algorithms import algorithms
from evosax.core.optimizer import clipup
from flax import struct
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.optimiser import OPTIMISERS, OptimiserFactory
from rl_es.interfaces import Episode, Hyper, Params, Persistent
from rl_es.rollout.unroll import time_limit
from rl_es.rollout.wrappers import implicit_promotion
from rl_es.training.population import PopulationLearner

if TYPE_CHECKING:
    from rl_es.config import Config
    from rl_es.interfaces import Environment, Policy

SHAPINGS = {
    "raw": shapings.identity_fitness_shaping_fn,
    "z_score": shapings.standardize_fitness_shaping_fn,
    "centred_ranks": shapings.centered_rank_fitness_shaping_fn,
    "range": shapings.normalize_fitness_shaping_fn,
}
MEAN_OPTIMISERS: dict[str, OptimiserFactory] = {
    **OPTIMISERS,
    "clipup": lambda hyper, lr: clipup(lr, hyper["max_velocity"], hyper["momentum"]),  # pyright: ignore
}
# Static settings that are arguments of constructors, and those that are attributes.
ARGUMENTS = (
    "max_context_len", "num_diff", "num_generations", "num_groups", "num_populations", "m",
    "subspace_dims", "use_antithetic_sampling",
)  # fmt: skip
ATTRIBUTES = ("elite_ratio", "temperature")


@struct.dataclass
class EvosaxState:
    """The state of an `EvosaxStrategy`.

    Attributes:
      inner: evosax's state; arrays alone.
      hyper: Traced hyper-parameters, by name.
      start: The initial parameters.
      generation: [] int32, number of generations so far.
    """

    inner: Any
    hyper: Hyper
    start: Params
    generation: Array


@dataclass(frozen=True, eq=False)
class EvosaxStrategy:
    """A strategy of evosax.

    Attributes:
      algorithm: evosax's object; its optimiser and schedules are not read.
      defaults: evosax's default parameters.
      fixed: Parameters that replace the defaults, by name.
      population: Number of members (P).
      segment: The part of an episode that members are evaluated on.
      optimiser: Moves the mean; None where the strategy has none.
      start: What it starts with: a mean, a population, or several means.
    """

    algorithm: Any
    defaults: Any
    fixed: dict[str, Any]
    population: int
    segment: Episode | Persistent
    optimiser: OptimiserFactory | None
    start: str

    def init(self, key: Array, params: Params, hyper: Hyper) -> EvosaxState:
        noise_key, init_key = jax.random.split(key)
        zero = jnp.zeros((), jnp.int32)
        first = EvosaxState(None, hyper, params, zero)
        algorithm, numbers = self._prepare(first)
        if self.start == "mean":
            arguments: tuple[Any, ...] = (params,)
        elif self.start == "means":
            arguments = (self._scatter(noise_key, params, algorithm.num_populations, hyper),)
        else:
            members = self._scatter(noise_key, params, self.population, hyper)
            arguments = (members, jnp.full((self.population,), jnp.inf))
        with implicit_promotion():
            inner = _call(algorithm, "init", init_key, *arguments, numbers)
        # Python's numbers become arrays, and none of them has a weak type.
        inner = jax.tree.map(lambda leaf: jnp.array(leaf, jnp.asarray(leaf).dtype), inner)
        return first.replace(inner=inner)  # pyright: ignore[reportAttributeAccessIssue]

    def ask(self, key: Array, state: EvosaxState) -> tuple[Params, EvosaxState]:
        algorithm, numbers = self._prepare(state)
        with implicit_promotion():
            population, inner = _call(algorithm, "ask", key, state.inner, numbers)
            if self.start == "population":
                members = algorithm.get_population(state.inner)
                population = _select(state.generation == 0, members, population)
        return population, self._replace(state, inner)

    def tell(
        self, key: Array, state: EvosaxState, population: Params, returns: Array
    ) -> EvosaxState:
        algorithm, numbers = self._prepare(state)
        fitness = -returns  # evosax minimises
        inner = state.inner
        with implicit_promotion():
            members = population
            if self.start == "means":
                members = jax.tree.map(
                    lambda leaf: leaf.reshape(algorithm.num_populations, -1, *leaf.shape[1:]),
                    population,
                )
            after, _ = _call(algorithm, "tell", key, members, fitness, inner, numbers)
            if self.start == "population":
                seeded = _call(algorithm, "init", key, population, fitness, numbers)
                after = _select(state.generation == 0, seeded, after)
            if hasattr(inner, "grad"):  # the guide of GuidedES: its last estimate
                after = after.replace(grad=self._estimate(algorithm, inner, fitness, numbers))
        state = self._replace(state, after)
        return state.replace(generation=state.generation + 1)  # pyright: ignore

    def starts_episodes(self, state: EvosaxState) -> Array:
        if isinstance(self.segment, Episode):
            return jnp.ones((), bool)
        return state.inner.inner_step_counter == 0

    def center(self, state: EvosaxState) -> Params:
        algorithm, inner = self.algorithm, state.inner
        if self.start == "population":
            return algorithm.get_best_solution(inner)
        if self.start == "means":
            means = algorithm.get_mean(inner)
            best = jnp.argmin(inner.best_fitness)
            return jax.tree.map(lambda leaf: leaf[best], means)
        return algorithm.get_mean(inner)

    def _prepare(self, state: EvosaxState) -> tuple[Any, Any]:
        """Returns evosax's object and parameters with the traced numbers of a state."""
        algorithm, hyper = copy.copy(self.algorithm), state.hyper
        generation = state.generation.astype(jnp.float32)
        if self.optimiser is not None:
            lr = hyper["lr"] * hyper["lr_decay"] ** generation
            algorithm.optimizer = self.optimiser(hyper, lr)
        if "sigma_decay" in hyper:
            algorithm.std_schedule = lambda count: (
                hyper["sigma"] * hyper["sigma_decay"] ** jnp.asarray(count, jnp.float32)
            )
        elif hasattr(algorithm, "std_schedule"):
            algorithm.std_schedule = lambda count: hyper["sigma"]
        if hasattr(algorithm, "sampling_fn"):
            algorithm.sampling_fn = lambda key: _add_noise(key, state.start, hyper["sigma"])
        names = {*self.defaults.__dataclass_fields__}
        values = {name: value for name, value in hyper.items() if name in names} | self.fixed
        for name, value in hyper.items():
            number = name.removesuffix("_factor")
            if number in names and number != name:
                values[number] = value * getattr(self.defaults, number)
        return algorithm, self.defaults.replace(**values)

    def _scatter(self, key: Array, params: Params, count: int, hyper: Hyper) -> Params:
        """Returns the start [1, ...] and normal noise around it, [count, ...]. Consumes `key`."""
        keys = jax.random.split(key, count)
        around = jax.vmap(lambda key: _add_noise(key, params, hyper["init_std"]))(keys)
        return jax.tree.map(lambda first, leaf: leaf.at[0].set(first), params, around)

    def _estimate(self, algorithm: Any, inner: Any, fitness: Array, numbers: Any) -> Array:
        """Returns the estimate [D] that GuidedES makes in `tell` and does not keep."""
        half = self.population // 2
        shaped = algorithm.fitness_shaping_fn(None, fitness, inner, numbers)
        differences = shaped[:half] - shaped[half:]
        return numbers.beta * jnp.dot(differences, inner.z[:half]) / (2 * inner.std**2)

    def _replace(self, state: EvosaxState, inner: Any) -> EvosaxState:
        """Returns the state with another inner one, whose arrays keep their dtypes."""
        inner = jax.tree.map(
            lambda new, old: jax.lax.convert_element_type(new, old.dtype), inner, state.inner
        )
        return state.replace(inner=inner)  # pyright: ignore[reportAttributeAccessIssue]


def make_evosax_learner(
    name: str,
    start: str,
    config: Config,
    env: Environment,
    policy: Policy,
    normalise_observations: bool,
) -> PopulationLearner:
    """Returns the learner of a strategy of evosax.

    Raises:
      UserError: the settings do not fit each other, the policy or the environment.
    """
    settings = config.model_dump()
    population, fixed = settings["population"], {}
    arguments = {key: settings[key] for key in ARGUMENTS if key in settings}
    if "shaping" in settings:
        arguments["fitness_shaping_fn"] = SHAPINGS[settings["shaping"]]
    if "window" in settings:
        length = time_limit(env)
        if settings["window"] > length:
            raise UserError(
                f"window: {settings['window']} steps, but an episode ends after {length}; choose "
                f"at most {length}"
            )
        fixed = {"T": length, "K": settings["window"]}
        segment: Episode | Persistent = Persistent(settings["window"])
    else:
        segment = Episode(settings["episodes"])
    if "elitism" in settings:
        fixed["elitism"] = settings["elitism"]
    size = population
    if "num_populations" in settings:
        size, rest = divmod(population, settings["num_populations"])
        if rest or size % 2:
            raise UserError(
                f"num_populations: {settings['num_populations']} means cannot share "
                f"{population} members in equal and even parts"
            )
    if "num_groups" in settings and (population - 1) % settings["num_groups"]:
        raise UserError(
            f"num_groups: {settings['num_groups']} groups cannot share the {population - 1} "
            "members beside the best; choose a divisor"
        )
    parameters = policy.parameters
    if settings.get("subspace_dims", 1) > parameters.size:
        raise UserError(f"subspace_dims: must be at most {parameters.size}, those of the policy")
    if name == "LM_MA_ES" and population >= 2 * parameters.size:
        raise UserError(
            f"population: LM_MA_ES needs fewer than {2 * parameters.size} members, twice the "
            f"parameters of the policy; is {population}"
        )
    kind = algorithms[name]
    if name == "RandomSearch":
        arguments["sampling_fn"] = None
    with jax.ensure_compile_time_eval(), implicit_promotion():
        solution = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), parameters.shapes)
        algorithm = kind(population_size=size, solution=solution, **arguments)
        for key in ATTRIBUTES:
            if key in settings:
                setattr(algorithm, key, settings[key])
        defaults = algorithm.default_params
    optimiser = MEAN_OPTIMISERS[settings["optimiser"]] if "optimiser" in settings else None
    strategy = EvosaxStrategy(algorithm, defaults, fixed, population, segment, optimiser, start)
    return PopulationLearner(strategy, env, policy, normalise_observations)


def _call(algorithm: Any, method: str, *arguments: Any) -> Any:
    """Calls the function inside a method of evosax that is jitted with its object as static."""
    return getattr(type(algorithm), method).__wrapped__(algorithm, *arguments)


def _select(condition: Array, first: Any, second: Any) -> Any:
    """Returns the first tree where the condition [] holds, else the second."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), first, second)


def _add_noise(key: Array, params: Params, sigma: Array) -> Params:
    """Returns parameters with normal noise of deviation `sigma`. Consumes `key`."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        tree,
        [
            leaf + sigma * jax.random.normal(leaf_key, leaf.shape, leaf.dtype)
            for leaf_key, leaf in zip(keys, leaves, strict=True)
        ],
    )
