"""Problems of reasoning as environments: answers by actions, and solutions to be predicted."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box
from rl_es.envs._reasoning.encoding import START, Encoding, WordEncoding, token_at
from rl_es.envs._reasoning.problems import Grade, ReasoningTask, draw_problem
from rl_es.interfaces import Discrete, EnvSpec, Observation, Transition

WELL_FORMED, NONSENSE = 0.05, 0.01  # what reasoning_gym pays for an answer that is not right


class AnswerState(NamedTuple):
    """A problem and the answer so far; its field names are in checkpoints.

    Attributes:
      prompt: [Q] int32, words.
      answer: [k] int32, tokens; that of the end where nothing is written yet.
      step: [] int32, number of tokens of instruction, prompt and answer so far.
      is_over: [] bool, the answer has ended.
    """

    prompt: Array
    answer: Array
    step: Array
    is_over: Array


class AnswerEnvironment:
    """Reads a prompt to the policy, and takes its next actions as the answer.

    An observation is the current token, an action the next one. While the prompt is read, only its
    next token is allowed; an answer may have the tokens that the encoding allows.
    """

    def __init__(
        self,
        name: str,
        task: ReasoningTask,
        reward: Literal["exact", "partial", "steps"],
        encoding: Encoding | None = None,
        is_held_out: bool = False,
    ):
        """Asks problems of the training split, or those that are held out; in words by default."""
        self._name, self._task, self._reward = name, task, reward
        self._encoding = encoding = encoding or WordEncoding(task)
        self._is_held_out = is_held_out
        self._prompt_length = len(encoding.instruction) + encoding.prompt_length
        self._length = self._prompt_length + encoding.answer_length
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=Discrete(encoding.size),
            episode_length=self._length,
        )

    def held_out(self) -> "AnswerEnvironment":
        """Returns the environment of the held-out problems, where only right answers pay."""
        return AnswerEnvironment(self._name, self._task, "exact", self._encoding, is_held_out=True)

    def reset(self, key: Array) -> tuple[AnswerState, Observation]:
        prompt = draw_problem(self._task, key, self._is_held_out).prompt
        encoding = self._encoding
        empty = jnp.full(encoding.answer_length, encoding.end, jnp.int32)
        state = AnswerState(prompt, empty, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return state, self._observe(jnp.asarray(START, jnp.int32), state)

    def step(self, key: Array, state: AnswerState, action: Array) -> Transition:
        encoding = self._encoding
        place = state.step - self._prompt_length  # in the answer
        is_answering = place >= 0
        token = jnp.where(is_answering, action, self._prompt_token(state))
        answer = jnp.where(jnp.arange(encoding.answer_length) == place, token, state.answer)
        step = state.step + 1
        is_over = (is_answering & (token == encoding.end)) | (step >= self._length)
        is_end = is_over & ~state.is_over
        state = AnswerState(state.prompt, answer, step, state.is_over | is_over)
        grade = self._task.grade(state.prompt, encoding.decode_answer(answer))
        reward = jnp.where(is_end, self._pay(grade), 0.0)
        observation = self._observe(token, state)
        return Transition(state, observation, reward, state.is_over, jnp.zeros((), bool))

    def transcribe(self, actions: np.ndarray) -> str:
        """Returns the prompt and the answer of an episode's actions [T] as text."""
        return self._encoding.transcribe(actions)

    def _prompt_token(self, state: AnswerState) -> Array:
        """Returns the next token of instruction and prompt."""
        return token_at(self._encoding, self._encoding.encode_prompt(state.prompt), state.step)

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
        is_prompt_token = jnp.arange(self._encoding.size) == self._prompt_token(state)
        is_allowed = jnp.asarray(self._encoding.is_allowed)
        mask = jnp.where(state.step < self._prompt_length, is_prompt_token, is_allowed)
        return Observation(token[None].astype(jnp.float32), mask)


class DemonstrationState(NamedTuple):
    """A place in a problem with its solution; its field names are in checkpoints.

    Attributes:
      document: [q + k] int32, tokens of prompt and solution.
      step: [] int32, number of tokens that were predicted so far, with those of the instruction.
      is_over: [] bool, the solution has ended.
    """

    document: Array
    step: Array
    is_over: Array


class DemonstrationEnvironment:
    """Reads problems with their solutions; an action holds the logits of the next token.

    A reward is the log2-likelihood of a token of the solution, its end included; tokens of the
    instruction and prompt give none. Logits are in nats, as those of an action that is a token.
    """

    def __init__(
        self,
        name: str,
        task: ReasoningTask,
        encoding: Encoding | None = None,
        is_held_out: bool = False,
    ):
        """Reads problems of the training split, or those held out; in words by default."""
        self._name, self._task, self._is_held_out = name, task, is_held_out
        self._encoding = encoding = encoding or WordEncoding(task)
        self._prompt_length = len(encoding.instruction) + encoding.prompt_length
        self._length = self._prompt_length + encoding.answer_length
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(-np.inf, np.inf, (encoding.size,)),
            episode_length=self._length,
        )

    def held_out(self) -> "DemonstrationEnvironment":
        """Returns the environment of the held-out problems."""
        return DemonstrationEnvironment(self._name, self._task, self._encoding, is_held_out=True)

    def reset(self, key: Array) -> tuple[DemonstrationState, Observation]:
        encoding = self._encoding
        problem = draw_problem(self._task, key, self._is_held_out)
        prompt = encoding.encode_prompt(problem.prompt)
        document = jnp.concatenate([prompt, encoding.encode_answer(problem.solution)])
        state = DemonstrationState(document, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return state, _observe_token(jnp.asarray(START, jnp.int32))

    def step(self, key: Array, state: DemonstrationState, action: Array) -> Transition:
        token = token_at(self._encoding, state.document, state.step)
        is_answer = state.step >= self._prompt_length
        bits = jax.nn.log_softmax(action)[token] / math.log(2)
        step = state.step + 1
        is_over = (
            state.is_over | (is_answer & (token == self._encoding.end)) | (step >= self._length)
        )
        reward = jnp.where(is_answer & ~state.is_over, bits, 0.0)
        state = DemonstrationState(state.document, step, is_over)
        return Transition(state, _observe_token(token), reward, is_over, jnp.zeros((), bool))


def _observe_token(token: Array) -> Observation:
    return Observation(token[None].astype(jnp.float32))
