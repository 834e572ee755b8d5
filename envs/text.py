"""Language modelling: an observation is a token, an action the logits of the next one.

- `text/python_docs`: the help topics of the Python that runs (`pydoc_data.topics`): always there.
- `text/files`: the .txt files below a folder, in the order of their paths.
- `text/austen`: Jane Austen's six novels, from Debian's package r-cran-janeaustenr.

A topic, a file or a chapter is a document. Persuasion is held out, and every tenth document of the
others (of fewer than ten, the last).

An observation [1] is the token, the index of a byte in the vocabulary; index 0 is the byte 0, which
stands in front of every document. A file of tokens, such as RWKV's, gives tokens of several bytes.
An action [V] holds logits, of which nothing is clipped: use `head: deterministic`. A reward is the
log2-likelihood of the next token. Episodes never end. Evaluation reads held-out text from random
positions; its score is the exact log2-likelihood of a byte, minus the bits a byte, whatever `loss`
is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator

from rl_es.config import Config, static
from rl_es.errors import brief, did_you_mean

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("text/python_docs", "text/files", "text/austen")
GENERATIVE = NAMES
RETURN_LABEL = "log2-likelihood (bits/byte)"
NOTES = {
    "text/python_docs": "The text is that of the Python that runs: under another version, runs are "
    "other runs.",
    "text/austen": "janeaustenr 1.0.0, checked by SHA-256; Persuasion is held out.",
}


VOCABULARIES = ("used", "bytes")


def _check_vocabulary(name: str) -> str:
    """Returns the name of a vocabulary, or raises a ValueError that names the nearest."""
    if name not in VOCABULARIES and not name.endswith(".txt"):
        raise ValueError(
            f"unknown vocabulary '{brief(name)}'{did_you_mean(name, VOCABULARIES)} "
            "(or name a file of tokens in RWKV's format, rwkv_vocab_v20230424.txt)"
        )
    return name


class Options(Config):
    """Settings of the environments of text."""

    folder: str | None = static(
        None,
        "files: where the .txt files are; austen: a .deb, or a folder with the package or .txt "
        "files, if absent $RL_ES_AUSTEN or where Debian installs it",
    )
    streams: int | None = static(
        None, "evenly spaced starts, one of which a reset picks; any position if absent", ge=1
    )
    loss: Literal["tables", "exact"] = static(
        "exact", "reward: by the exact softmax, or by integer tables, 0.03 bits a byte higher"
    )
    logits: Literal["sixteenths", "nats"] = static(
        "sixteenths",
        "unit of an action: 1/16 bit, as egg gives them, or nats, as rwkv7 does",
        implied="sixteenths",
    )
    vocabulary: Annotated[str, AfterValidator(_check_vocabulary)] = static(
        "used",
        "tokens: used, the bytes that the text uses; bytes, all 256; or a file of tokens in RWKV's "
        "format, rwkv_vocab_v20230424.txt",
    )
    evaluation_steps: int = static(
        1500, "held-out tokens that an episode of evaluation reads", ge=1
    )

    @property
    def vocabulary_file(self) -> str | None:
        """The path of a vocabulary of a file; None for bytes."""
        return None if self.vocabulary in VOCABULARIES else self.vocabulary

    def identity(self) -> dict[str, Any]:
        """Returns the settings without paths: text and vocabulary are known by their digest."""
        paths = {"folder"} if self.vocabulary_file is None else {"folder", "vocabulary"}
        return {name: value for name, value in super().identity().items() if name not in paths}


def check(name: str, options: Options) -> None:
    """Checks that the text of an environment is there, and that the options fit it.

    Raises:
      UserError: says what is wrong.
    """
    from rl_es.envs._text.sources import check_options

    check_options(name, options)


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: its text cannot be read.
    """
    from rl_es.envs._text.environment import TextEnvironment
    from rl_es.envs._text.sources import read_corpus

    return TextEnvironment(name, read_corpus(name, options), options)


def data_digest(name: str, options: Options) -> str:
    """Returns 16 hex digits that stand for the text of an environment and a vocabulary file."""
    from rl_es.envs._text.sources import text_digest

    return text_digest(name, options)
