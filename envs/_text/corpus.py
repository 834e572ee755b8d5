"""Documents of text as tokens: split into training and held-out text, with a vocabulary of bytes.

A token is an index in the vocabulary. A byte 0, index 0 of every vocabulary, stands in front of
each document.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rl_es.envs._vocabulary import SEPARATOR

SHARE = 10  # one document of so many is held out, where a source names none


class Documents(NamedTuple):
    """A text by documents."""

    training: tuple[bytes, ...]
    held_out: tuple[bytes, ...]

    @property
    def training_size(self) -> int:
        """Number of tokens of the training text."""
        return sum(len(SEPARATOR) + len(document) for document in self.training)

    @property
    def digest(self) -> str:
        """16 hex digits of the SHA-256 of both splits: what runs on this text are known by."""
        splits = (hashlib.sha256(join(split)).digest() for split in self)
        return hashlib.sha256(b"".join(splits)).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as tokens.

    Attributes:
      training: [n] tokens, unsigned integers.
      held_out: [m] tokens that training never shows.
      vocabulary: the bytes of each token [V]; those of the first are the separator.
    """

    training: np.ndarray
    held_out: np.ndarray
    vocabulary: tuple[bytes, ...]


def join(documents: Sequence[bytes]) -> bytes:
    """Returns documents as one text, with a separator in front of each."""
    return b"".join(SEPARATOR + document for document in documents)


def split_documents(documents: Sequence[bytes]) -> Documents:
    """Holds out every tenth document; of fewer than ten, the last."""
    if len(documents) < SHARE:
        return Documents(tuple(documents[:-1]), tuple(documents[-1:]))
    held_out = documents[SHARE - 1 :: SHARE]
    training = [document for i, document in enumerate(documents, 1) if i % SHARE]
    return Documents(tuple(training), tuple(held_out))


def tokenise(documents: Documents, vocabulary: str) -> Corpus:
    """Returns a text as tokens.

    Args:
      documents: The text.
      vocabulary: `used`, the bytes that occur in either split; or `bytes`, all 256.
    """
    training, held_out = (np.frombuffer(join(split), np.uint8) for split in documents)
    used = np.union1d(training, held_out)  # 0, the separator, comes first
    if vocabulary == "bytes":
        return Corpus(training, held_out, single_bytes(range(256)))
    tokens = np.zeros(256, np.uint8)
    tokens[used] = np.arange(len(used), dtype=np.uint8)
    return Corpus(tokens[training], tokens[held_out], single_bytes(used))


def single_bytes(values: Iterable[int]) -> tuple[bytes, ...]:
    """Returns a vocabulary of bytes."""
    return tuple(bytes([value]) for value in values)
