"""Countdown: to reach a target from given numbers, each used once, by + - * and /.

The prompt holds the numbers and the target, the answer one step for each operation:

    3 5 7 -> 22        3 * 5 = 15 , 15 + 7 = 22

A step takes two numbers that are left, given ones or results, and puts its result in their place.
Results are whole numbers from 1 to a largest one. Problems are made by random steps, so that each
has a solution.
"""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.envs._reasoning.notation import END, OPERATORS, Notation, Vocabulary, countdown_notation
from rl_es.envs._reasoning.problems import Grade, SolvedProblem, as_words, draw_index

_STEP = 6  # words of a step: a, operator, b, =, result, and what separates it from the next


@dataclass(frozen=True)
class Countdown:
    """Problems of Countdown.

    Attributes:
      numbers: How many numbers are given (n).
      largest: The largest of them.
      largest_result: The largest result of a step, and so the largest target.
    """

    numbers: int
    largest: int
    largest_result: int

    @property
    def notation(self) -> Notation:
        return countdown_notation(self.numbers, self.largest_result)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.notation.vocabulary

    @property
    def prompt_length(self) -> int:
        return self.numbers + 2

    @property
    def answer_length(self) -> int:
        return _STEP * (self.numbers - 1)

    def draw(self, key: Array) -> SolvedProblem:
        words = self.vocabulary
        number_key, *step_keys = jax.random.split(key, self.numbers)
        given = jax.random.randint(number_key, (self.numbers,), 1, self.largest + 1, jnp.int32)
        values, is_left = given, jnp.ones(self.numbers, bool)
        # Every ordered pair of places with every operator; the result takes the first place.
        pairs = itertools.permutations(range(self.numbers), 2)
        moves = [(*pair, i) for pair in pairs for i in range(len(OPERATORS))]
        first, second, operator = jnp.asarray(moves, jnp.int32).T
        solution, closings = [], [words.symbol(",")] * (self.numbers - 2) + [END]
        for step_key, closing in zip(step_keys, closings, strict=True):
            a, b = values[first], values[second]
            result, is_possible = self._compute(a, operator, b)
            is_allowed = is_left[first] & is_left[second] & is_possible
            move = draw_index(step_key, is_allowed)
            solution += [
                words.number(a[move]),
                words.symbol("+") + operator[move],
                words.number(b[move]),
                words.symbol("="),
                words.number(result[move]),
                closing,
            ]
            values = values.at[first[move]].set(result[move])
            is_left = is_left.at[second[move]].set(False)
        prompt = [*words.number(given), words.symbol("->"), solution[-2]]
        return SolvedProblem(as_words(prompt), as_words(solution))

    def question(self, prompt: Array) -> Array:
        return jnp.concatenate([jnp.sort(prompt[: self.numbers]), prompt[-1:]])

    def grade(self, prompt: Array, answer: Array) -> Grade:
        words = self.vocabulary
        values, is_left = words.value(prompt[: self.numbers]), jnp.ones(self.numbers, bool)
        are_readable, are_right = [], []
        steps = answer.reshape(-1, _STEP)
        for i, (a, operator, b, equals, result, closing) in enumerate(steps):
            is_last = i == len(steps) - 1
            operator = operator - words.symbol("+")
            is_readable = (
                words.is_number(a)
                & (operator >= 0)
                & (operator < len(OPERATORS))
                & words.is_number(b)
                & (equals == words.symbol("="))
                & words.is_number(result)
                & (closing == (END if is_last else words.symbol(",")))
            )
            a, b, result = words.value(a), words.value(b), words.value(result)
            expected, is_possible = self._compute(a, operator, b)
            is_left, has_a, place = _take(values, is_left, a)
            is_left, has_b, _ = _take(values, is_left, b)
            values = jnp.where(place, result, values)
            is_left |= place
            is_right = is_readable & has_a & has_b & is_possible & (result == expected)
            if is_last:
                is_right &= result == words.value(prompt[-1])
            are_readable.append(is_readable)
            are_right.append(is_right)
        right = jnp.stack(are_right)
        share = right.astype(jnp.float32).mean()
        return Grade(right.all(), jnp.stack(are_readable).all(), share)

    def _compute(self, a: Array, operator: Array, b: Array) -> tuple[Array, Array]:
        """Returns the result of a step, and whether the step is possible."""
        divisor = jnp.maximum(b, 1)
        results = jnp.stack([a + b, a - b, a * b, a // divisor])
        index = jnp.clip(operator, 0, len(OPERATORS) - 1)
        result = jnp.take_along_axis(results, index[None], axis=0)[0]
        is_exact = (operator < OPERATORS.index("/")) | (result * b == a)
        return result, is_exact & (result >= 1) & (result <= self.largest_result)


def _take(values: Array, is_left: Array, value: Array) -> tuple[Array, Array, Array]:
    """Takes a value from those that are left.

    Returns:
      What is left then [n] bool, whether the value was there [] bool, and its place [n] bool.
    """
    matches = is_left & (values == value)
    place = matches & (jnp.cumsum(matches) == 1)
    return is_left & ~place, matches.any(), place
