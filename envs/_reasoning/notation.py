"""The words of the tasks, and how a text writes their problems: `3,5,7->22:3*5=15,15+7=22`.

A problem is made of words: numbers and the symbols of its task. Their own indices are the suite's
tokens. A vocabulary of a file has a token for each word, if it fits; in its texts, separators stand
where a number would follow a number, and a line feed ends an answer.

Nothing here needs jax: an option that does not fit is refused before it is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rl_es.errors import UserError, brief

if TYPE_CHECKING:
    from jax import Array

    from rl_es.envs._vocabulary import FileVocabulary

END = 0  # the word that ends an answer
LINE_FEED = "\n"  # how a text writes it
OPERATORS = ("+", "-", "*", "/")


@dataclass(frozen=True)
class Vocabulary:
    """Words: END, the numbers 0 to `largest`, and the symbols of a task."""

    largest: int
    symbols: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The text of each word."""
        return ("", *map(str, range(self.largest + 1)), *self.symbols)

    def symbol(self, symbol: str) -> int:
        """Returns the word of a symbol."""
        return 2 + self.largest + self.symbols.index(symbol)

    @staticmethod
    def number(value: Array) -> Array:
        """Returns the word of a number."""
        return value + 1

    def is_number(self, word: Array) -> Array:
        """Tells whether a word is a number."""
        return (word > END) & (word <= self.largest + 1)

    @staticmethod
    def value(word: Array) -> Array:
        """Returns the number that a word stands for."""
        return word - 1


@dataclass(frozen=True)
class Notation:
    """How the problems of a task are written.

    Attributes:
      vocabulary: The words of prompts and answers.
      prompt_separators: What a text has after each word of a prompt (Q); empty for nothing.
      answer_separator: What a text has between the words of an answer; empty for nothing.
    """

    vocabulary: Vocabulary
    prompt_separators: tuple[str, ...]
    answer_separator: str


def countdown_notation(numbers: int, largest_result: int) -> Notation:
    """Returns the notation `3,5,7->22:3*5=15,15+7=22`."""
    vocabulary = Vocabulary(largest_result, (*OPERATORS, "=", ",", "->"))
    return Notation(vocabulary, (*[","] * (numbers - 1), "", "", ":"), "")


def sums_notation(numbers: int, largest_result: int) -> Notation:
    """Returns the notation `12+7-4=19,15`."""
    vocabulary = Vocabulary(largest_result, ("+", "-", "="))
    return Notation(vocabulary, ("",) * 2 * numbers, ",")


class TextTokens(NamedTuple):
    """The tokens of a file's vocabulary for the texts of a task.

    Attributes:
      words: The token of each word; that of END is a line feed.
      separators: The token of each separator.
      instruction: The tokens of the text in front of each prompt.
    """

    words: tuple[int, ...]
    separators: dict[str, int]
    instruction: tuple[int, ...]


def find_tokens(notation: Notation, vocabulary: FileVocabulary, instruction: str) -> TextTokens:
    """Finds the tokens of a task in the vocabulary of a file.

    Raises:
      UserError: a word has no token, or a text would be cut into others than those of its words.
    """
    separators = {*notation.prompt_separators, notation.answer_separator} - {""}
    texts = (LINE_FEED, *notation.vocabulary.words[1:])
    tokens = {text: vocabulary.find(text) for text in (*texts, *sorted(separators))}
    if missing := [text for text, token in tokens.items() if token is None]:
        remedy = "choose a vocabulary that has it"
        if missing[0].isdigit():
            remedy = f"set largest_result: {max(int(missing[0]) - 1, 0)} at most, or {remedy}"
        raise UserError(
            f"vocabulary: {vocabulary.path} has no token for {missing[0]!r}, a word of the "
            f"problems, which have to be one token each; {remedy}"
        )
    indices = {text: token for text, token in tokens.items() if token is not None}
    numbers = [text for text in texts if text.isdigit()]
    _check_cuts(vocabulary, indices.keys() - {*numbers})
    start = vocabulary.encode(instruction.encode())
    for number in numbers if start else ():
        if vocabulary.encode((instruction + number).encode()) != [*start, indices[number]]:
            raise UserError(
                f"instruction: its end and the number {number} have a token of {vocabulary.path} "
                f"in common; end it otherwise, as by a line feed: {brief(instruction)!r}"
            )
    words = tuple(indices[text] for text in texts)
    return TextTokens(words, {text: indices[text] for text in separators}, tuple(start))


def _check_cuts(vocabulary: FileVocabulary, symbols: set[str]) -> None:
    """Checks that texts in which numbers and symbols take turns are cut into these words.

    Raises:
      UserError: a token reaches over the border of two words.
    """
    number = rb"\d+"
    symbol = b"(?:" + b"|".join(re.escape(text.encode()) for text in sorted(symbols)) + b")"
    first = number + b"(?:" + symbol + number + b")*" + symbol + b"?"
    second = symbol + b"(?:" + number + symbol + b")*(?:" + number + b")?"
    is_text, words = re.compile(first + b"|" + second), {text.encode() for text in symbols}
    for token in vocabulary.tokens:
        if token not in words and not token.isdigit() and is_text.fullmatch(token):
            raise UserError(
                f"vocabulary: {vocabulary.path} has the token {token.decode()!r}, by which a text "
                "of numbers and symbols would be cut within a word; choose one without it"
            )
