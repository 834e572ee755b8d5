"""Problems of reasoning as environments: answers by actions, and solutions to be predicted."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box
from rl_es.envs._reasoning.problems import END, Grade, ReasoningTask, draw_problem
from rl_es.interfaces import Discrete, EnvSpec, Observation, Transition

WELL_FORMED, NONSENSE = 0.05, 0.01  # what reasoning_gym pays for an answer that is not right


class AnswerState(NamedTuple):
    """A problem and the answer so far; its field names are in checkpoints.

    Attributes:
      prompt: [Q] int32.
      answer: [K] int32, END where nothing is written yet.
      step: [] int32, number of tokens of prompt and answer so far.
      is_over: [] bool, the answer has ended.
    """

    prompt: Array
    answer: Array
    step: Array
    is_over: Array


class AnswerEnvironment:
    """Reads a prompt to the policy, and takes its next actions as the answer.

    An observation is the current token, an action the next one. While the prompt is read, only its
    next token is allowed; an answer may have any tokens.
    """

    def __init__(
        self,
        name: str,
        task: ReasoningTask,
        reward: Literal["exact", "partial", "steps"],
        is_held_out: bool = False,
    ):
        """Asks problems of the training split, or those that are held out."""
        self._name, self._task, self._reward = name, task, reward
        self._is_held_out = is_held_out
        self._length = task.prompt_length + task.answer_length
        self._tokens = len(task.vocabulary.words)
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=Discrete(self._tokens),
            episode_length=self._length,
        )

    def held_out(self) -> "AnswerEnvironment":
        """Returns the environment of the held-out problems, where only right answers pay."""
        return AnswerEnvironment(self._name, self._task, "exact", is_held_out=True)

    def reset(self, key: Array) -> tuple[AnswerState, Observation]:
        prompt = draw_problem(self._task, key, self._is_held_out).prompt
        empty = jnp.full(self._task.answer_length, END, jnp.int32)
        state = AnswerState(prompt, empty, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return state, self._observe(jnp.asarray(END, jnp.int32), state)

    def step(self, key: Array, state: AnswerState, action: Array) -> Transition:
        task = self._task
        place = state.step - task.prompt_length  # in the answer
        is_answering = place >= 0
        prompted = state.prompt[jnp.minimum(state.step, task.prompt_length - 1)]
        token = jnp.where(is_answering, action, prompted)
        answer = jnp.where(jnp.arange(task.answer_length) == place, token, state.answer)
        step = state.step + 1
        is_over = (is_answering & (token == END)) | (step >= self._length)
        is_end = is_over & ~state.is_over
        state = AnswerState(state.prompt, answer, step, state.is_over | is_over)
        reward = jnp.where(is_end, self._pay(task.grade(state.prompt, answer)), 0.0)
        observation = self._observe(token, state)
        return Transition(state, observation, reward, state.is_over, jnp.zeros((), bool))

    def transcribe(self, actions: np.ndarray) -> str:
        """Returns the prompt and the answer of an episode's actions [T] in words."""
        words = [self._task.vocabulary.words[token] for token in actions]
        length = self._task.prompt_length
        return f"{' '.join(words[:length])} : {' '.join(words[length:])}".rstrip()

    def _pay(self, grade: Grade) -> Array:
        """Returns the reward of an answer."""
        if self._reward == "exact":
            return grade.is_right.astype(jnp.float32)
        if self._reward == "steps":
            return jnp.where(grade.is_right, 1.0, 0.5 * grade.right_steps)
        return jnp.where(
            grade.is_right, 1.0, jnp.where(grade.is_well_formed, WELL_FORMED, NONSENSE)
        )

    def _observe(self, token: Array, state: AnswerState) -> Observation:
        """Returns a token, with the mask of the tokens that may follow it."""
        length = self._task.prompt_length
        prompted = state.prompt[jnp.minimum(state.step, length - 1)]
        mask = (jnp.arange(self._tokens) == prompted) | (state.step >= length)
        return Observation(token[None].astype(jnp.float32), mask)


class DemonstrationState(NamedTuple):
    """A place in a problem with its solution; its field names are in checkpoints.

    Attributes:
      document: [Q + K] int32, prompt and solution.
      step: [] int32, number of tokens that were predicted so far.
      is_over: [] bool, the solution has ended.
    """

    document: Array
    step: Array
    is_over: Array


class DemonstrationEnvironment:
    """Reads problems with their solutions; an action holds the logits of the next token.

    A reward is the log2-likelihood of a token of the solution, its end included; tokens of the
    prompt give none. Logits are in nats, as those of an action that is a token.
    """

    def __init__(self, name: str, task: ReasoningTask, is_held_out: bool = False):
        """Reads problems of the training split, or those that are held out."""
        self._name, self._task, self._is_held_out = name, task, is_held_out
        self._length = task.prompt_length + task.answer_length
        tokens = len(task.vocabulary.words)
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(-np.inf, np.inf, (tokens,)),
            episode_length=self._length,
        )

    def held_out(self) -> "DemonstrationEnvironment":
        """Returns the environment of the held-out problems."""
        return DemonstrationEnvironment(self._name, self._task, is_held_out=True)

    def reset(self, key: Array) -> tuple[DemonstrationState, Observation]:
        document = jnp.concatenate(draw_problem(self._task, key, self._is_held_out))
        state = DemonstrationState(document, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return state, _observe_token(jnp.asarray(END, jnp.int32))

    def step(self, key: Array, state: DemonstrationState, action: Array) -> Transition:
        token = state.document[jnp.minimum(state.step, self._length - 1)]
        is_answer = state.step >= self._task.prompt_length
        bits = jax.nn.log_softmax(action)[token] / math.log(2)
        step = state.step + 1
        is_over = state.is_over | (is_answer & (token == END)) | (step >= self._length)
        reward = jnp.where(is_answer & ~state.is_over, bits, 0.0)
        state = DemonstrationState(state.document, step, is_over)
        return Transition(state, _observe_token(token), reward, is_over, jnp.zeros((), bool))


def _observe_token(token: Array) -> Observation:
    return Observation(token[None].astype(jnp.float32))
