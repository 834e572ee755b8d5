"""What a task of reasoning has to have, and the held-out problems.

A problem is a prompt of Q words and an answer of at most K. Word 0 ends an answer; word 1 + n is
the number n, and the symbols of a task come after the numbers.

Every eighth problem is held out, by a hash of what it asks: training never shows it.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.envs._reasoning.notation import Notation, Vocabulary

HELD_OUT_BITS = 3  # one problem of 2^3 is held out


class SolvedProblem(NamedTuple):
    """A problem with a solution, as words.

    Attributes:
      prompt: [Q] int32.
      solution: [K] int32, a right answer; END from its end on.
    """

    prompt: Array
    solution: Array


class Grade(NamedTuple):
    """What a verifier finds in an answer.

    Attributes:
      is_right: [] bool.
      is_well_formed: [] bool, the answer can be read, right or wrong.
      right_steps: [] float32, the share of the steps that are right, each by itself: on the results
        that earlier steps state.
    """

    is_right: Array
    is_well_formed: Array
    right_steps: Array


class ReasoningTask(Protocol):
    """A generator of problems and their verifier."""

    @property
    def notation(self) -> Notation:
        """How problems are written."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of prompts and answers."""
        ...

    @property
    def prompt_length(self) -> int:
        """Number of words of a prompt (Q)."""
        ...

    @property
    def answer_length(self) -> int:
        """Most words of an answer, its end included (K)."""
        ...

    def draw(self, key: Array) -> SolvedProblem:
        """Draws a problem. Consumes `key`."""
        ...

    def question(self, prompt: Array) -> Array:
        """Returns the words that the split goes by; equal ones are the same problem."""
        ...

    def grade(self, prompt: Array, answer: Array) -> Grade:
        """Verifies an answer [K], which holds END from its end on, if it has one."""
        ...


def as_words(words: Sequence[Array | int]) -> Array:
    """Returns words as one array int32."""
    return jnp.stack([jnp.asarray(word, jnp.int32) for word in words])


def draw_index(key: Array, is_allowed: Array) -> Array:
    """Draws the index of a true element of a mask [n], all with one probability. Consumes `key`."""
    counts = jnp.cumsum(is_allowed)
    return jnp.argmax(counts > jax.random.randint(key, (), 0, counts[-1]))


def is_held_out(question: Array) -> Array:
    """Tells whether the problem of a question is held out, by a hash of its words."""
    mixed = jnp.uint32(0x811C9DC5)
    for word in question.astype(jnp.uint32):
        mixed = (mixed ^ word) * jnp.uint32(0x01000193)  # FNV, whose low bits mix badly
        mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x2C1B3C6D)
    return (mixed >> (32 - HELD_OUT_BITS)) == 0


def draw_problem(task: ReasoningTask, key: Array, held_out: bool) -> SolvedProblem:
    """Draws a problem of the training or of the held-out split. Consumes `key`."""

    def is_of_other_split(carry: tuple[Array, SolvedProblem]) -> Array:
        return is_held_out(task.question(carry[1].prompt)) != held_out

    def draw_again(carry: tuple[Array, SolvedProblem]) -> tuple[Array, SolvedProblem]:
        next_key, draw_key = jax.random.split(carry[0])
        return next_key, task.draw(draw_key)

    return jax.lax.while_loop(is_of_other_split, draw_again, draw_again((key, None)))[1]  # pyright: ignore[reportArgumentType]
