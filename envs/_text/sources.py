"""Finds and reads the text of an environment, by its name and options."""

import hashlib
import pydoc_data.topics
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rl_es.envs._text import austen
from rl_es.envs._text.corpus import Corpus, Documents, split_documents, tokenise
from rl_es.envs._vocabulary import SEPARATOR, FileVocabulary, read_vocabulary
from rl_es.errors import UserError

PYTHON_DOCS, FILES, AUSTEN = "text/python_docs", "text/files", "text/austen"


def check_options(name: str, options: Any) -> None:
    """Refuses options of a text that is not there, or does not suffice.

    Raises:
      UserError: says what is wrong.
    """
    if name == PYTHON_DOCS and options.folder is not None:
        raise UserError(f"folder: {name} comes with Python; leave it out")
    if name == FILES and options.folder is None:
        raise UserError(f"{name} needs a folder of .txt files: options: {{folder: PATH}}")
    if options.loss == "tables" and options.logits == "nats":
        raise UserError("logits: nats; loss: tables reads sixteenths of a bit, leave one out")
    if options.vocabulary_file is not None:
        read_vocabulary(options.vocabulary_file)
    documents, streams = read_documents(name, options), options.streams
    size = documents.training_size
    if streams is not None and options.vocabulary_file is not None:
        size = len(read_corpus(name, options).training)
    if streams is not None and streams > size:
        raise UserError(
            f"streams: {streams}, but the training text of {name} has {size} tokens; "
            f"choose at most {size}"
        )


def text_digest(name: str, options: Any) -> str:
    """Returns 16 hex digits that stand for the text of an environment."""
    text = austen.text_digest() if name == AUSTEN else read_documents(name, options).digest
    if options.vocabulary_file is None:
        return text
    content = text + read_vocabulary(options.vocabulary_file).digest
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_corpus(name: str, options: Any) -> Corpus:
    """Returns the text of an environment as tokens.

    Raises:
      UserError: it cannot be read.
    """
    documents = read_documents(name, options)
    if options.vocabulary_file is None:
        return tokenise(documents, options.vocabulary)
    return _cut(documents, read_vocabulary(options.vocabulary_file))


@lru_cache(maxsize=2)
def _cut(documents: Documents, vocabulary: FileVocabulary) -> Corpus:
    """Returns a text as tokens of several bytes."""
    dtype = np.min_scalar_type(len(vocabulary.tokens) - 1)
    splits = (
        [token for document in split for token in (0, *vocabulary.encode(document))]
        for split in documents
    )
    training, held_out = (np.array(split, dtype) for split in splits)
    return Corpus(training, held_out, vocabulary.tokens)


def read_documents(name: str, options: Any) -> Documents:
    """Returns the text of an environment.

    Raises:
      UserError: it cannot be read.
    """
    if name == AUSTEN:
        return austen.read_documents(austen.find_text(options.folder).resolve())
    if name == PYTHON_DOCS:
        return read_python_docs()
    folder = Path(options.folder).expanduser()
    try:
        paths = sorted(path for path in folder.rglob("*.txt") if path.is_file())
        stamps = [(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        if len(stamps) < 2:
            raise UserError(
                f"folder: {folder} has {len(stamps)} .txt files; two are needed, one of them to be "
                "held out"
            )
        return _read_files(tuple(stamps))
    except OSError as error:
        raise UserError(f"folder: {folder} cannot be read ({error})") from None


@lru_cache(maxsize=1)
def read_python_docs() -> Documents:
    """Returns the help topics of the Python that runs, a document each, sorted by name."""
    topics = pydoc_data.topics.topics
    return split_documents([topics[name].encode() for name in sorted(topics)])


@lru_cache(maxsize=2)
def _read_files(stamps: tuple[tuple[Path, int, int], ...]) -> Documents:
    """Returns files, a document each; `stamps` hold sizes and times, so that changes are seen."""
    documents = []
    for path, _, _ in stamps:
        documents.append(path.read_bytes())
        if SEPARATOR in documents[-1]:
            raise UserError(f"{path}: holds a byte 0, which stands between documents; remove it")
    return split_documents(documents)
