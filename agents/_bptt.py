"""Truncated backpropagation as a `Learner`: a window of all particles, a step up its gradient.

The objective of a window is the mean over particles of the sum of its rewards. A particle whose
episode is over idles at zero reward to the end of the window and starts anew with the next one, as
particles of persistent strategies do. A particle whose return in a window is not finite does not
count in it, and starts anew as well. Where the gradient is not finite all the same, the window
changes nothing, momentum and decays included, and all particles start anew: what made it so may
stand in any of their states.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.extend.core import Literal

from rl_es.config import Config
from rl_es.errors import UserError, short_reason
from rl_es.evolution.fitness_shaping import finite_fitness
from rl_es.evolution.optimiser import OPTIMISERS, OptimiserFactory, ascend
from rl_es.evolution.perturbation import global_norm, select_fresh
from rl_es.interfaces import (
    Discrete,
    Environment,
    Hyper,
    Learner,
    Limit,
    Params,
    Policy,
    Rows,
    Snapshot,
)
from rl_es.rollout.normalisation import Statistics, initial_statistics, merge_moments
from rl_es.rollout.unroll import (
    Particle,
    UnrollOutcome,
    differentiable_step,
    start_particle,
    unroll_window,
)
from rl_es.training.jaxprs import dependent_variables
from rl_es.training.learner import GenerationMetrics, PairlessLearner, run_generations


@struct.dataclass
class BackpropagationState:
    """The complete state of a run between two windows.

    Attributes:
      key: [] the run's key; each window folds its number into it.
      generation: [] int32, number of windows so far.
      params: the parameters.
      optimiser: state of the optimiser.
      updates: [] int32, number of windows that changed the parameters.
      hyper: traced hyper-parameters, by name.
      particles: [B, ...] the particles, which live on.
      fresh: [B] bool, particles whose episode starts with the next window.
      statistics: running statistics of observations; None where they are not normalised.
    """

    key: Array
    generation: Array
    params: Params
    optimiser: Any
    updates: Array
    hyper: Hyper
    particles: Particle
    fresh: Array
    statistics: Statistics | None


@dataclass(frozen=True, eq=False)
class Backpropagation(PairlessLearner):
    """Truncated backpropagation through time as a learner; a generation is a window.

    There are no members: the population's mean and best are those of the particles' returns.

    Attributes:
      env: the environment of training.
      policy: the policy that is trained.
      optimiser: returns the optimiser for hyper-parameters and a learning rate.
      particles: number of particles (B).
      steps: of a window (K).
      normalise_observations: keep running statistics of observations, and apply them.
    """

    env: Environment
    policy: Policy
    optimiser: OptimiserFactory
    particles: int
    steps: int
    normalise_observations: bool = False

    @property
    def generation_steps(self) -> int:
        return self.particles * self.steps

    def init(self, key: Array, hyper: Hyper) -> BackpropagationState:
        """Returns the state before the first window. Consumes `key`."""
        params_key, run_key = jax.random.split(key)  # the same start as an evolution strategy's
        run_key, reset_key = jax.random.split(run_key)
        params = self.policy.init(params_key)
        return BackpropagationState(
            key=run_key,
            generation=jnp.zeros((), jnp.int32),
            params=params,
            optimiser=self.optimiser(hyper, hyper["lr"]).init(params),
            updates=jnp.zeros((), jnp.int32),
            hyper=hyper,
            particles=self.start(reset_key),
            fresh=jnp.zeros((self.particles,), bool),
            statistics=self.initial_statistics(),
        )

    def advance(
        self, state: BackpropagationState, limit: Limit
    ) -> tuple[BackpropagationState, Rows]:
        """Runs windows until a limit is reached (none if it already is), or one diverges."""
        return run_generations(limit, self.generation, state)

    def snapshot(self, state: BackpropagationState) -> Snapshot:
        """Returns what is evaluated and saved."""
        return Snapshot(state.params, state.statistics)

    def generation(
        self, state: BackpropagationState
    ) -> tuple[BackpropagationState, GenerationMetrics]:
        """Runs one window and takes one step up its gradient."""
        reset_key, step_key = jax.random.split(jax.random.fold_in(state.key, state.generation))
        particles = select_fresh(state.fresh, self.start(reset_key), state.particles)
        gradient, outcome = self.gradient(state.params, particles, step_key, state.statistics)
        fitness = finite_fitness(outcome.returns)
        is_finite = jnp.all(jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(gradient)]))
        usable = is_finite & fitness.finite.any()

        hyper = state.hyper
        after = ascend(
            self.optimiser,
            hyper,
            hyper["lr"] * hyper["lr_decay"] ** state.updates.astype(jnp.float32),
            state.optimiser,
            state.params,
            shorten(gradient, hyper["clip_norm"]),
        )
        params, optimiser, change = jax.tree.map(
            lambda new, old: jnp.where(usable, new, old),
            after,
            (state.params, state.optimiser, jnp.zeros(())),
        )
        statistics = state.statistics
        if statistics is not None and outcome.moments is not None:
            statistics = merge_moments(statistics, outcome.moments)
        done = outcome.particles.done | ~fitness.finite
        next_state = BackpropagationState(
            key=state.key,
            generation=state.generation + 1,
            params=params,
            optimiser=optimiser,
            updates=state.updates + usable.astype(jnp.int32),
            hyper=hyper,
            particles=outcome.particles,
            fresh=done | ~usable,
            statistics=statistics,
        )
        metrics = GenerationMetrics(
            env_steps=outcome.lengths.sum(),
            episodes=done.sum(dtype=jnp.int32),
            population_mean=fitness.mean,
            population_best=fitness.best,
            update_norm=change,
            nonfinite_members=jnp.where(usable, fitness.nonfinite, self.particles),
        )
        return next_state, metrics

    def gradient(
        self, params: Params, particles: Particle, key: Array, statistics: Statistics | None
    ) -> tuple[Params, UnrollOutcome]:
        """Returns the gradient of the window's objective, and the window. Consumes `key`."""
        function = jax.grad(self.objective, has_aux=True)
        return function(params, particles, key, statistics)

    def objective(
        self, params: Params, particles: Particle, key: Array, statistics: Statistics | None
    ) -> tuple[Array, UnrollOutcome]:
        """Returns the mean of the particles' finite returns [], and the window. Consumes `key`."""
        step = differentiable_step(self.env, self.policy, params, statistics)
        keys = jax.random.split(key, self.particles)
        outcome = unroll_window(step, particles, keys, self.steps, statistics)
        finite = jnp.isfinite(outcome.returns)
        total = jnp.where(finite, outcome.returns, 0.0).sum()
        return total / jnp.maximum(finite.sum(dtype=jnp.float32), 1.0), outcome

    def initial_statistics(self) -> Statistics | None:
        """Returns the statistics that a run starts with; None where they are not used."""
        return initial_statistics(self.env, self.policy) if self.normalise_observations else None

    def start(self, key: Array) -> Particle:
        """Returns fresh particles [B]. Consumes `key`."""
        keys = jax.random.split(key, self.particles)
        return jax.vmap(lambda key: start_particle(self.env, self.policy, key))(keys)


def shorten(gradient: Params, longest: Array) -> Params:
    """Returns a gradient whose norm is at most `longest` []; as it is where that is 0."""
    # Divided by its largest number first: squares of large numbers overflow.
    largest = jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(gradient)]).max()
    largest = jnp.maximum(largest, jnp.finfo(jnp.float32).tiny)
    norm = global_norm(jax.tree.map(lambda leaf: leaf / largest, gradient))
    limit = jnp.where(longest > 0, longest / largest, jnp.inf)  # of the divided gradient
    return jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, limit / norm), gradient)


def passes_gradient(function: Callable[[Params], Any], params: Params) -> bool:
    """Returns whether any output of a function depends differentiably on its parameters.

    Only its program is looked at: whether any gradient can differ from zero, whatever the numbers.
    """

    def pull_back(params: Params, cotangents: Any) -> Params:
        return jax.vjp(function, params)[1](cotangents)[0]

    cotangents = jax.eval_shape(function, params)
    program = jax.make_jaxpr(pull_back)(params, cotangents).jaxpr
    dependents = dependent_variables(program, program.invars[len(jax.tree.leaves(params)) :])
    return any(not isinstance(x, Literal) and x in dependents for x in program.outvars)


def check_differentiable(learner: Backpropagation) -> None:
    """Refuses environments and policies through which no gradient passes.

    Raises:
      UserError: actions are discrete, a step cannot be differentiated backwards, or no reward of a
        window depends differentiably on the parameters.
    """
    env, policy = learner.env, learner.policy
    name, remedy = env.spec.name, "choose an evolution strategy, which needs no gradient"
    if isinstance(env.spec.action_space, Discrete):
        raise UserError(
            f"bptt: {name} has discrete actions, through which no gradient passes; {remedy}, or ppo"
        )
    key, statistics = jax.random.key(0), learner.initial_statistics()

    def first_rewards(params: Params) -> Array:
        step = differentiable_step(env, policy, params, statistics)
        return step(learner.start(key), jax.random.split(key, learner.particles))[1]

    def window_return(params: Params) -> Array:
        return learner.objective(params, learner.start(key), key, statistics)[0]

    params = jax.eval_shape(policy.init, key)
    try:
        passes = passes_gradient(window_return, params)
        # The program of a window is that of longer ones: a reward may pay for earlier steps alone.
        if passes and learner.steps == 1 and not passes_gradient(first_rewards, params):
            passes, remedy = False, "give a window of 2 or more"
    except UserError:
        raise
    except Exception as error:  # jax raises errors of many kinds
        reason = short_reason(error)
        raise UserError(f"bptt: {name} cannot be differentiated ({reason}); {remedy}") from None
    if not passes:
        raise UserError(
            f"bptt: no reward of {name} in a window of {learner.steps} depends differentiably on "
            f"the parameters; {remedy}"
        )


def make_bptt(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns truncated backpropagation as a learner with these settings.

    Raises:
      UserError: no gradient passes through the environment and the policy.
    """
    settings = config.model_dump()
    length = env.spec.episode_length
    _ = policy.parameters  # refuses a network that does not fit
    learner = Backpropagation(
        env=env,
        policy=policy,
        optimiser=OPTIMISERS[settings["optimiser"]],
        particles=settings["particles"],
        steps=min(settings["window"], length or settings["window"]),
        normalise_observations=normalise_observations,
    )
    check_differentiable(learner)
    return learner
