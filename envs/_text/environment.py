"""Language modelling as an environment: an action is the logits of the next token."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box
from rl_es.envs._text.corpus import Corpus
from rl_es.envs._text.likelihood import (
    UNITS,
    exact_log2_likelihood,
    table_log2_likelihood,
)
from rl_es.interfaces import EnvSpec, Observation, Transition


class TextState(NamedTuple):
    """A place in a text; its field names are in checkpoints.

    Attributes:
      position: [] int32, of the token that is observed.
      log2_likelihood: [] float32, exact one of all tokens since the reset.
      tokens: [] int32, number of these.
    """

    position: Array
    log2_likelihood: Array
    tokens: Array


class TextEnvironment:
    """Reads a text for ever: after its last token comes its first.

    An observation is the current token. An action holds the logits of the next one, whose
    log2-likelihood is the reward.
    """

    def __init__(self, name: str, corpus: Corpus, options: Any, is_held_out: bool = False):
        """Reads the training text, or the held-out text from any position."""
        self._name, self._corpus, self._options = name, corpus, options
        self._text = corpus.held_out if is_held_out else corpus.training
        streams, size = None if is_held_out else options.streams, len(self._text)
        self._unit = UNITS[options.logits]
        sizes = np.array([len(token) for token in corpus.vocabulary])
        self._ends = sizes[self._text].cumsum() if sizes.max() > 1 else None
        self._starts = None if streams is None else np.arange(streams) * size // streams
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(-np.inf, np.inf, (len(corpus.vocabulary),)),
            episode_length=None,
            evaluation_steps=options.evaluation_steps,
        )

    @property
    def vocabulary(self) -> tuple[bytes, ...]:
        """The bytes of each token."""
        return self._corpus.vocabulary

    def held_out(self) -> "TextEnvironment":
        """Returns the same environment on the held-out text."""
        return TextEnvironment(self._name, self._corpus, self._options, is_held_out=True)

    def reset(self, key: Array) -> tuple[TextState, Observation]:
        starts = self._starts
        count = len(self._text) if starts is None else len(starts)
        position = jax.random.randint(key, (), 0, count, jnp.int32)
        if starts is not None:
            position = jnp.asarray(starts, jnp.int32)[position]
        state = TextState(position, jnp.zeros(()), jnp.zeros((), jnp.int32))
        return state, self.observe(jnp.asarray(self._text)[position])

    def step(self, key: Array, state: TextState, action: Array) -> Transition:
        position = (state.position + 1) % len(self._text)
        token = jnp.asarray(self._text)[position].astype(jnp.int32)
        exact = exact_log2_likelihood(action, token, self._unit)
        reward = exact
        if self._options.loss == "tables":  # a likelihood that is no number stays none
            reward = jnp.where(jnp.isnan(exact), jnp.nan, table_log2_likelihood(action, token))
        state = TextState(position, state.log2_likelihood + exact, state.tokens + 1)
        never = jnp.zeros((), bool)
        return Transition(state, self.observe(token), reward, never, never)

    def score(self, state: TextState) -> Array:
        """Returns the log2-likelihood by the number of bytes: minus the bits a byte."""
        return state.log2_likelihood / jnp.maximum(self._bytes(state), 1).astype(jnp.float32)

    def _bytes(self, state: TextState) -> Array:
        """Returns the number of bytes [] int32 of all tokens since the reset."""
        if self._ends is None:
            return state.tokens
        ends = jnp.asarray(self._ends, jnp.int32)
        laps, position = jnp.divmod(state.position - state.tokens, len(self._ends))
        return ends[state.position] - ends[position] - laps * ends[-1]

    def observe(self, token: Array) -> Observation:
        return Observation(token[None].astype(jnp.float32))

    def log_probabilities(self, action: Array) -> Array:
        return jax.nn.log_softmax(action * (math.log(2) / self._unit))
