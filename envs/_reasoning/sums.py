"""Sums: to add and subtract numbers in a chain, from left to right.

The prompt holds the chain, the answer the value after each operation; the last one counts:

    12 + 7 - 4 + 20 =        19 15 35

Values after each operation are whole numbers from 1 to a largest one.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.envs._reasoning.notation import END, Notation, Vocabulary, sums_notation
from rl_es.envs._reasoning.problems import Grade, SolvedProblem, as_words, draw_index


@dataclass(frozen=True)
class Sums:
    """Chains of sums and differences.

    Attributes:
      numbers: How many numbers a chain has (n).
      largest: The largest of them.
      largest_result: The largest value after an operation.
    """

    numbers: int
    largest: int
    largest_result: int

    @property
    def notation(self) -> Notation:
        return sums_notation(self.numbers, self.largest_result)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.notation.vocabulary

    @property
    def prompt_length(self) -> int:
        return 2 * self.numbers

    @property
    def answer_length(self) -> int:
        return self.numbers

    def draw(self, key: Array) -> SolvedProblem:
        words = self.vocabulary
        number_key, *sign_keys = jax.random.split(key, self.numbers)
        numbers = jax.random.randint(number_key, (self.numbers,), 1, self.largest + 1, jnp.int32)
        total = numbers[0]
        prompt, solution = [words.number(total)], []
        for sign_key, number in zip(sign_keys, numbers[1:], strict=True):
            totals = jnp.stack([total + number, total - number])
            sign = draw_index(sign_key, (totals >= 1) & (totals <= self.largest_result))
            total = totals[sign]
            prompt += [words.symbol("+") + sign, words.number(number)]
            solution.append(words.number(total))
        return SolvedProblem(as_words([*prompt, words.symbol("=")]), as_words([*solution, END]))

    def question(self, prompt: Array) -> Array:
        return prompt

    def grade(self, prompt: Array, answer: Array) -> Grade:
        words = self.vocabulary
        numbers = words.value(prompt[::2])
        signs = jnp.where(prompt[1:-1:2] == words.symbol("-"), -1, 1)
        changes = signs * numbers[1:]
        total = numbers[0] + changes.sum()
        is_end = answer == END
        length = jnp.where(is_end.any(), jnp.argmax(is_end), self.answer_length)
        is_written = jnp.arange(self.answer_length) < length
        is_well_formed = is_end.any() & (length > 0)
        is_well_formed &= jnp.where(is_written, words.is_number(answer), True).all()
        last = words.value(answer[jnp.maximum(length - 1, 0)])
        is_right = is_well_formed & (last == total)
        stated = words.value(answer[:-1])
        before = jnp.concatenate([numbers[:1], stated[:-1]])
        step_is_right = is_written[:-1] & (stated == before + changes)
        return Grade(is_right, is_well_formed, step_is_right.astype(jnp.float32).mean())
