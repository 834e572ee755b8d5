"""Language modelling on bytes: an observation is a byte, an action the logits of the next one.

- `text/python_docs`: the help topics of the Python that runs (`pydoc_data.topics`): always there.

An observation [1] is the token, the index of a byte in the vocabulary; index 0 is the byte 0, which
stands in front of every document. An action [V] holds logits in 1/16 bit, of which nothing is
clipped: use `head: deterministic`. A reward is the log2-likelihood of the next token. Episodes
never end. Evaluation reads held-out text from random positions; its score is the mean exact
log2-likelihood, minus the bits a byte, whatever `loss` is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rl_es.config import Config, static

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("text/python_docs",)


class Options(Config):
    """Settings of the environments of text."""

    streams: int | None = static(
        None, "evenly spaced starts, one of which a reset picks; any position if absent", ge=1
    )
    loss: Literal["tables", "exact"] = static(
        "exact", "reward: by the exact softmax, or by integer tables, 0.03 bits a byte higher"
    )
    vocabulary: Literal["used", "bytes"] = static(
        "used", "tokens: the bytes that the text uses, or all 256"
    )
    evaluation_steps: int = static(1500, "held-out bytes that an episode of evaluation reads", ge=1)


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`."""
    from rl_es.envs._text.corpus import python_docs, tokenise
    from rl_es.envs._text.environment import TextEnvironment

    return TextEnvironment(name, tokenise(python_docs(), options.vocabulary), options)


def data_digest(name: str, options: Options) -> str:
    """Returns 16 hex digits that stand for the text of an environment."""
    from rl_es.envs._text.corpus import python_docs

    return python_docs().digest
