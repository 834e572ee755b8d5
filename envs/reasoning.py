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

One problem in eight is held out, by a hash. Evaluation asks these, and counts right answers.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from rl_es.config import Config, static

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
TASKS = ("countdown", "sums")
FEWEST = 100  # choices of numbers, one in eight of which is held out


class ProblemOptions(Config):
    """Settings of the problems."""

    numbers: int = static(3, "numbers of a problem", ge=2, le=8)
    largest: int = static(20, "largest of these numbers", ge=1)
    largest_result: int = static(
        99, "largest result of a step; a number up to it is one token", ge=2, le=9999
    )

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


def make(name: str, options: Any) -> Environment:
    """The environment of this name."""
    from rl_es.envs._reasoning.environment import AnswerEnvironment, DemonstrationEnvironment

    task = _make_task(name, options)
    if isinstance(options, Options):
        return AnswerEnvironment(name, task, options.reward)
    return DemonstrationEnvironment(name, task)


SUITES = {
    "reasoning": SimpleNamespace(
        NAMES=tuple(f"reasoning/{task}" for task in TASKS),
        Options=Options,
        NUMERICS=NUMERICS,
        RETURN_LABEL="accuracy",
        TRANSCRIBED=tuple(f"reasoning/{task}" for task in TASKS),
        make=make,
        __doc__="Problems whose answers are verified, written token by token.",
    ),
    "reasoning_demonstrations": SimpleNamespace(
        NAMES=tuple(f"reasoning/{task}_demonstrations" for task in TASKS),
        Options=ProblemOptions,
        NUMERICS=NUMERICS,
        RETURN_LABEL="log2-likelihood of a solution (bits)",
        make=make,
        __doc__="Problems of reasoning with solutions to be predicted.",
    ),
}
