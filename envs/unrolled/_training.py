"""Training a classifier by a rule that an action steers, a step of it a step of the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from envs._adapter import valid_action
from envs.unrolled import _inner as inner
from envs.unrolled._data import load
from envs.unrolled._minibatches import Minibatches
from rl_es.interfaces import Box, EnvSpec, Observation, Transition

if TYPE_CHECKING:
    from envs.unrolled._options import TrainingOptions

REFERENCE = 2048  # most training images on which the last weights are scored
Memory = Any  # a pytree: what a rule keeps between steps


class Rule(Protocol):
    """How weights change, given a gradient and an action. Pure."""

    @property
    def actions(self) -> Box: ...

    @property
    def initial_action(self) -> tuple[float, ...] | None: ...

    @property
    def observation_shape(self) -> tuple[int, ...]: ...

    def init(self, weights: inner.Weights) -> Memory:
        """What is kept before the first gradient."""
        ...

    def receive(self, memory: Memory, gradient: inner.Weights) -> Memory:
        """What is kept once a gradient is there, before the action is chosen."""
        ...

    def observe(self, memory: Memory, state: Trained) -> Array:
        """[*observation_shape] what the action is chosen by."""
        ...

    def apply(self, memory: Memory, state: Trained, action: Array) -> tuple[inner.Weights, Memory]:
        """New weights, and what is kept after them."""
        ...


class Trained(NamedTuple):
    """A classifier in training, and the gradient of its weights on the minibatch of this step."""

    weights: inner.Weights
    gradient: inner.Weights
    t: Array  # [] int32


class Session(NamedTuple):
    """The state of the environment."""

    trained: Trained
    memory: Memory


class Training:
    """The reward is minus the loss of the new weights on a new minibatch; its gradient is next.

    Its own evaluation: minus the loss on the first training images after the last step.
    """

    def __init__(
        self,
        name: str,
        options: TrainingOptions,
        rule: Callable[[inner.Weights], Rule],
    ):
        """Loads the data; `rule` makes the rule for weights of these shapes."""
        images = load(options)
        self.options = options
        self.inputs = images.size
        self.train = Minibatches(images.train, options.batch, images)
        self.rule = rule(jax.eval_shape(self._initial, jax.random.key(0)))
        self.spec = EnvSpec(
            name=name,
            observation_shape=self.rule.observation_shape,
            action_space=self.rule.actions,
            episode_length=options.steps,
            initial_action=self.rule.initial_action,
            evaluation_steps=options.steps,
        )

    def reset(self, key: Array) -> tuple[Session, Observation]:
        weights_key, batch_key = jax.random.split(key)
        weights = self._initial(weights_key)
        start = jnp.zeros((), jnp.int32)
        return self._advanced(batch_key, weights, self.rule.init(weights), start)[:2]

    def step(self, key: Array, state: Session, action: Array) -> Transition:
        action = valid_action(self.spec.action_space, action)
        weights, memory = self.rule.apply(state.memory, state.trained, action)
        t = state.trained.t + 1
        after, observation, loss = self._advanced(key, weights, memory, t)
        over = t >= self.options.steps
        return Transition(after, observation, -loss, jnp.zeros((), bool), over)

    def score(self, state: Session) -> Array:
        return -inner.bounded(inner.loss(state.trained.weights, self.train.first(REFERENCE)))

    def _initial(self, key: Array) -> inner.Weights:
        return inner.initial(key, self.inputs, self.options.widths)

    def _advanced(
        self, key: Array, weights: inner.Weights, memory: Memory, t: Array
    ) -> tuple[Session, Observation, Array]:
        """State and observation once a minibatch is drawn for the weights, and their loss on it."""
        loss, gradient = jax.value_and_grad(inner.loss)(weights, self.train(key))
        trained = Trained(weights, gradient, t)
        memory = self.rule.receive(memory, gradient)
        observation = Observation(self.rule.observe(memory, trained))
        return Session(trained, memory), observation, inner.bounded(loss)
