"""Problems with answers that a program can verify, written token by token.

- `reasoning/countdown`: reach a target from given numbers, each used once, by + - * and /, step by
  step: `3 5 7 -> 22 : 3 * 5 = 15 , 15 + 7 = 22`.
- `reasoning/sums`: add and subtract numbers in a chain: `12 + 7 - 4 = : 19 15`.
- `reasoning/countdown_demonstrations`, `reasoning/sums_demonstrations`: the same problems with
  solutions to be predicted.

An observation [1] is the current token; token 0 stands in front of a prompt. An action is the next
token. While the prompt is read, the mask allows its next token alone. Token 0 ends an answer. The
reward of a whole answer comes at its end.

A demonstration's action [V] holds the logits of the next token, in nats: use
`head: deterministic`. The reward is the log2-likelihood of each token of the solution. A policy
that was trained so is the `init:` of one that answers: both have the same parameters.

With `vocabulary: PATH.txt` the tokens are those of a file, such as RWKV's, and a problem is a text:
`3,5,7->22:3*5=15,15+7=22`, and a line feed. Each word of it is one token. An answer may have the
tokens of the task's words alone. An `instruction` is a text that is read before each prompt.

One problem in eight is held out, by a hash. Evaluation asks these, and counts right answers.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, model_validator

from rl_es.config import Config, static
from rl_es.errors import brief

if TYPE_CHECKING:
    from rl_es.envs._reasoning.notation import TextTokens
    from rl_es.envs._vocabulary import FileVocabulary
    from rl_es.interfaces import Environment

NUMERICS = 1
TASKS = ("countdown", "sums")
FEWEST = 100  # choices of numbers, one in eight of which is held out


def _check_vocabulary(path: str | None) -> str | None:
    """Returns the path of a vocabulary, or raises a ValueError for one of another kind."""
    if path is not None and not path.endswith(".txt"):
        raise ValueError(
            f"'{brief(path)}' is no file of tokens; name one in RWKV's format, "
            "rwkv_vocab_v20230424.txt, or leave it out for the suite's own words"
        )
    return path


class ProblemOptions(Config):
    """Settings of the problems."""

    numbers: int = static(3, "numbers of a problem", ge=2, le=8)
    largest: int = static(20, "largest of these numbers", ge=1)
    largest_result: int = static(
        99, "largest result of a step; a number up to it is one token", ge=2, le=9999
    )

    vocabulary: Annotated[str | None, AfterValidator(_check_vocabulary)] = static(
        None,
        "a file of tokens in RWKV's format, rwkv_vocab_v20230424.txt; the words of the problems "
        "are the tokens if absent",
        implied=None,
    )
    instruction: str = static(
        "", "text that is read before each prompt; needs a file's vocabulary", implied=""
    )

    def identity(self) -> dict[str, Any]:
        """Returns the settings without paths: a vocabulary is known by its digest."""
        content = super().identity()
        return {name: value for name, value in content.items() if name != "vocabulary"}

    @model_validator(mode="after")
    def _check_instruction(self) -> Self:
        if self.instruction and self.vocabulary is None:
            raise ValueError(
                f"instruction: {brief(self.instruction)!r} cannot be read in the suite's own "
                "words; add vocabulary: PATH.txt, a file of tokens, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if 2 * self.largest > self.largest_result:
            raise ValueError(
                f"largest: {self.largest}, of which two may not fit largest_result, "
                f"{self.largest_result}; choose at most {self.largest_result // 2}"
            )
        if math.comb(self.largest + self.numbers - 1, self.numbers) < FEWEST:
            raise ValueError(
                f"largest: {self.largest} leaves too few problems of {self.numbers} numbers to "
                f"hold some out; there must be {FEWEST} choices of the numbers"
            )
        return self


class Options(ProblemOptions):
    """Settings of the environments of reasoning."""

    reward: Literal["exact", "partial", "steps"] = static(
        "exact",
        "a right answer gives 1, and another one 0; partial: 0.05 if it is well-formed, else 0.01; "
        "steps: half the share of its steps that are right",
    )


def _make_task(name: str, options: ProblemOptions) -> Any:
    """Returns the generator and verifier of an environment's problems."""
    from rl_es.envs._reasoning.countdown import Countdown
    from rl_es.envs._reasoning.sums import Sums

    kind = Countdown if name.startswith("reasoning/countdown") else Sums
    return kind(options.numbers, options.largest, options.largest_result)


def check(name: str, options: ProblemOptions) -> None:
    """Checks that a vocabulary of a file has the words of an environment.

    Raises:
      UserError: says what is wrong.
    """
    if options.vocabulary is not None:
        _find_tokens(name, options, options.vocabulary)


def _find_tokens(
    name: str, options: ProblemOptions, path: str
) -> tuple[FileVocabulary, TextTokens]:
    """Returns the vocabulary of a file, and the tokens of an environment's words in it."""
    from rl_es.envs._reasoning.notation import countdown_notation, find_tokens, sums_notation
    from rl_es.envs._vocabulary import read_vocabulary

    notation = countdown_notation if name.startswith("reasoning/countdown") else sums_notation
    vocabulary = read_vocabulary(path)
    words = notation(options.numbers, options.largest_result)
    return vocabulary, find_tokens(words, vocabulary, options.instruction)


def data_digest(name: str, options: ProblemOptions) -> str | None:
    """Returns 16 hex digits that stand for the vocabulary of a file; None without one."""
    from rl_es.envs._vocabulary import read_vocabulary

    return None if options.vocabulary is None else read_vocabulary(options.vocabulary).digest


def make(name: str, options: Any) -> Environment:
    """The environment of this name.

    Raises:
      UserError: its vocabulary does not fit.
    """
    from rl_es.envs._reasoning.encoding import TextEncoding
    from rl_es.envs._reasoning.environment import AnswerEnvironment, DemonstrationEnvironment

    task, encoding = _make_task(name, options), None
    if options.vocabulary is not None:
        encoding = TextEncoding(task, *_find_tokens(name, options, options.vocabulary))
    if isinstance(options, Options):
        return AnswerEnvironment(name, task, options.reward, encoding)
    return DemonstrationEnvironment(name, task, encoding)


SUITES = {
    "reasoning": SimpleNamespace(
        NAMES=tuple(f"reasoning/{task}" for task in TASKS),
        Options=Options,
        NUMERICS=NUMERICS,
        RETURN_LABEL="accuracy",
        TRANSCRIBED=tuple(f"reasoning/{task}" for task in TASKS),
        check=check,
        data_digest=data_digest,
        make=make,
        __doc__="Problems whose answers are verified, written token by token.",
    ),
    "reasoning_demonstrations": SimpleNamespace(
        NAMES=tuple(f"reasoning/{task}_demonstrations" for task in TASKS),
        Options=ProblemOptions,
        NUMERICS=NUMERICS,
        RETURN_LABEL="log2-likelihood of a solution (bits)",
        check=check,
        data_digest=data_digest,
        make=make,
        __doc__="Problems of reasoning with solutions to be predicted.",
    ),
}
