"""The tokens that stand for the words of a problem, on their way to a policy and back.

With the suite's own vocabulary a word is its own token. With that of a file, a problem is a text
after an instruction: words have the tokens of the file, and separators stand between them.
"""

from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._reasoning.notation import END, TextTokens
from rl_es.envs._reasoning.problems import ReasoningTask
from rl_es.envs._vocabulary import FileVocabulary

START = 0  # the token that stands in front of everything


class Encoding(Protocol):
    """Prompts and answers as tokens; Q and K words, q and k tokens.

    Attributes:
      size: Number of tokens of the vocabulary (V).
      end: The token that ends an answer.
      instruction: [I] int32, what is read before a prompt.
      prompt_length: Number of tokens of a prompt, without the instruction (q).
      answer_length: Most tokens of an answer, its end included (k).
      is_allowed: [V] bool, the tokens that an answer may have.
    """

    size: int
    end: int
    instruction: np.ndarray
    prompt_length: int
    answer_length: int
    is_allowed: np.ndarray

    def encode_prompt(self, prompt: Array) -> Array:
        """Returns the tokens [q] of a prompt [Q]."""
        ...

    def encode_answer(self, answer: Array) -> Array:
        """Returns the tokens [k] of a well-formed answer [K]."""
        ...

    def decode_answer(self, tokens: Array) -> Array:
        """Returns the words [K] of the tokens of any answer [k]."""
        ...

    def transcribe(self, tokens: np.ndarray) -> str:
        """Returns the text of the tokens of instruction, prompt and answer, without the first."""
        ...


def token_at(encoding: Encoding, tokens: Array, step: Array) -> Array:
    """Returns the token at a step of an instruction and the tokens [n] that follow; the last then.

    Args:
      encoding: Has the instruction.
      tokens: [n] int32.
      step: [] int32.
    """
    document = jnp.concatenate([encoding.instruction, tokens])
    return document[jnp.minimum(step, len(document) - 1)]


class WordEncoding(Encoding):
    """The suite's own vocabulary: words are tokens."""

    def __init__(self, task: ReasoningTask):
        """Writes the problems of a task."""
        self._words = task.vocabulary.words
        self.size, self.end = len(self._words), END
        self.instruction = np.zeros(0, np.int32)
        self.prompt_length, self.answer_length = task.prompt_length, task.answer_length
        self.is_allowed = np.ones(self.size, bool)

    def encode_prompt(self, prompt: Array) -> Array:
        return prompt

    def encode_answer(self, answer: Array) -> Array:
        return answer

    def decode_answer(self, tokens: Array) -> Array:
        return tokens

    def transcribe(self, tokens: np.ndarray) -> str:
        words = [self._words[token] for token in tokens]
        prompt, answer = words[: self.prompt_length], words[self.prompt_length :]
        return f"{' '.join(prompt)} : {' '.join(answer)}".rstrip()


class TextEncoding(Encoding):
    """The vocabulary of a file: a problem is a text, with separators between its words."""

    def __init__(self, task: ReasoningTask, vocabulary: FileVocabulary, tokens: TextTokens):
        """Writes the problems of a task by these tokens of a vocabulary."""
        self._vocabulary, self._token_of = vocabulary, np.array(tokens.words, np.int32)
        self.size, self.end = len(vocabulary.tokens), tokens.words[END]
        self.instruction = np.array(tokens.instruction, np.int32)
        places, fixed = [], []  # of a prompt's tokens: the word there, or the separator after it
        for place, separator in enumerate(task.notation.prompt_separators):
            places += [place] * (2 if separator else 1)
            fixed += [-1, tokens.separators[separator]] if separator else [-1]
        self._places, self._fixed = np.array(places), np.array(fixed, np.int32)
        self._separator = tokens.separators.get(task.notation.answer_separator)
        self.prompt_length, self.answer_length = len(places), task.answer_length
        self._unknown = len(tokens.words)  # no word
        self._word_of = np.full(self.size, self._unknown, np.int32)
        self._word_of[self._token_of] = np.arange(len(tokens.words))
        self.is_allowed = self._word_of < self._unknown
        if self._separator is not None:  # between all words but the last and its end
            self.answer_length = 2 * (task.answer_length - 1)
            self.is_allowed[self._separator] = True

    def encode_prompt(self, prompt: Array) -> Array:
        words = jnp.asarray(self._token_of)[prompt[self._places]]
        return jnp.where(self._fixed < 0, words, self._fixed)

    def encode_answer(self, answer: Array) -> Array:
        tokens: Array = jnp.asarray(self._token_of)[answer]
        if self._separator is None:
            return tokens
        after = jnp.where(answer[1:] == END, self.end, self._separator)
        return jnp.stack([tokens[:-1], after], axis=1).reshape(-1)

    def decode_answer(self, tokens: Array) -> Array:
        """Returns the words [K]; what is no word, or in a wrong place, is one that is never right.

        With separators, an answer goes on by a separator and a word, or ends.
        """
        words = jnp.asarray(self._word_of)[tokens]
        if self._separator is None:
            return words
        words, after = words[::2], tokens[1::2]
        following = jnp.append(words[1:], jnp.int32(self._unknown))
        goes_on = (after == self._separator) & (following != END)
        following = jnp.where(goes_on, following, self._unknown)
        return jnp.concatenate([words[:1], jnp.where(after == self.end, END, following)])

    def transcribe(self, tokens: np.ndarray) -> str:
        """Returns the text in one line, without the instruction, which is always the same."""
        content = self._vocabulary.decode(tokens[len(self.instruction) :])
        return content.decode(errors="backslashreplace").rstrip("\n").replace("\n", "\\n")
