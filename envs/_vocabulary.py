"""Vocabularies of tokens of several bytes, read from a file, and the text that they cut.

The format is that of RWKV's `rwkv_vocab_v20230424.txt`: a line for each token, with its index, its
text or bytes as a literal of Python, and its number of bytes: `98 'a' 1`. A text is cut from its
beginning, always by the longest token that fits. Index 0 is in no file: it separates documents.
"""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from rl_es.errors import UserError, brief

SEPARATOR = b"\0"  # the bytes of token 0
LARGEST_INDEX = 2**20  # a token is observed as a float32, and is a row of the embedding


class FileVocabulary:
    """A vocabulary that a file states.

    Attributes:
      tokens: The bytes of each token [V]; those of token 0 are the separator, and those of an index
        that is not in the file are empty.
      digest: 16 hex digits of the SHA-256 of the tokens.
      path: Where it was read, for messages.
    """

    def __init__(self, path: Path, tokens: tuple[bytes, ...]):
        """Of equal tokens the last one is used."""
        self.tokens, self.path = tokens, path
        content = repr(tokens).encode()
        self.digest = hashlib.sha256(content).hexdigest()[:16]
        self._indices = {token: index for index, token in enumerate(tokens) if index and token}
        lengths: dict[bytes, set[int]] = defaultdict(set)
        for token in self._indices:
            lengths[token[:2]] |= {1, len(token)}
        self._lengths = {start: sorted(sizes, reverse=True) for start, sizes in lengths.items()}

    def encode(self, text: bytes) -> list[int]:
        """Returns a text as tokens.

        Raises:
          UserError: no token begins with one of its bytes.
        """
        indices, lengths, position, tokens = self._indices, self._lengths, 0, []
        while position < len(text):
            start = text[position : position + 2]
            for length in lengths.get(start, (1,)):
                index = indices.get(text[position : position + length])
                if index is not None:
                    tokens.append(index)
                    position += length
                    break
            else:
                raise UserError(
                    f"vocabulary: {self.path} has no token for {brief(repr(start[:1]))}, which "
                    "the text holds; add a line for each byte"
                )
        return tokens

    def find(self, text: str) -> int | None:
        """Returns the token that is this text; None if there is none."""
        return self._indices.get(text.encode())

    def decode(self, tokens: Iterable[int]) -> bytes:
        """Returns the text of tokens."""
        return b"".join(self.tokens[token] for token in tokens)


def read_vocabulary(path: str) -> FileVocabulary:
    """Reads a vocabulary from a file.

    Raises:
      UserError: it cannot be read, or is damaged; names the line.
    """
    file = Path(path).expanduser()
    try:
        stamp = file.stat().st_mtime_ns
        return _read_file(file, stamp)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"vocabulary: {file} cannot be read ({reason}); name a file of tokens "
            "in RWKV's format, such as rwkv_vocab_v20230424.txt"
        ) from None


@lru_cache(maxsize=2)
def _read_file(path: Path, stamp: int) -> FileVocabulary:
    """Reads a file; `stamp` is its time, so that changes are seen."""
    tokens = {0: SEPARATOR}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                index, token = _read_line(line)
            except (SyntaxError, ValueError) as error:
                raise UserError(
                    f"vocabulary: {path}, line {number}: {brief(repr(line))} is no token "
                    f"({error}); a line is an index, a literal and a number of bytes: 98 'a' 1"
                ) from None
            if index in tokens:
                raise UserError(f"vocabulary: {path}, line {number}: index {index} is there twice")
            tokens[index] = token
    return FileVocabulary(path, tuple(tokens.get(index, b"") for index in range(max(tokens) + 1)))


def _read_line(line: str) -> tuple[int, bytes]:
    """Returns the index and the bytes of a token.

    Raises:
      ValueError, SyntaxError: the line has another form.
    """
    first, rest = line.strip().split(" ", 1)
    literal, size = rest.rsplit(" ", 1)
    token = ast.literal_eval(literal.strip())
    content = token.encode() if isinstance(token, str) else token
    if not isinstance(content, bytes) or len(content) != int(size):
        raise ValueError(f"it does not have {brief(size)} bytes")
    if not 0 < int(first) <= LARGEST_INDEX:
        raise ValueError(f"an index is 1 to {LARGEST_INDEX}")
    return int(first), content
