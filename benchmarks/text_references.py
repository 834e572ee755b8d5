"""Computes what simple models of text reach on the held-out text of an environment, in bits a byte.

    python -m benchmarks.text_references text/austen [--settings '{folder: PATH}'] [--order 6]
                                                     [--out references.csv]

- `order n`: an n-gram model of the training text, interpolated by the method of Witten and Bell
  (1991, https://doi.org/10.1109/18.87000). After a context h that was followed c(h) times, by t(h)
  different tokens, p(x | h) = (c(h x) + t(h) p(x | g)) / (c(h) + t(h)), where g is h without its
  first token. Below order 1 all tokens are equally likely.
- `gzip -9`, `bzip2 -9`, `xz -9`: the held-out text alone, compressed.

These are lines to compare the scores of `text/` environments with: minus a score is bits a byte.
"""

import argparse
import bz2
import gzip
import lzma
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.envs._text.corpus import Corpus
from rl_es.envs._text.sources import read_corpus
from rl_es.envs.text import NAMES
from rl_es.errors import UserError
from rl_es.registry import data_digest
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.tools.check import parse_settings
from rl_es.training.task import Task

MODELS = {1: "unigram", 2: "bigram", 3: "trigram"}
MOST_ORDER = 7  # contexts of 256 tokens are then still int64
COMPRESSORS = {
    "gzip -9": lambda text: gzip.compress(text, 9, mtime=0),
    "bzip2 -9": lambda text: bz2.compress(text, 9),
    "xz -9": lambda text: lzma.compress(text, preset=9),
}


def ngram_bits(training: np.ndarray, text: np.ndarray, vocabulary: int, order: int) -> list[float]:
    """Returns the mean bits of a token of a text under n-gram models of order 1 to `order`.

    The first tokens of the text have contexts as long as there are.

    Args:
      training: [n] tokens that are counted.
      text: [m] tokens.
      vocabulary: number of tokens that there are.
      order: tokens of the longest context, and one.
    """
    probability = np.full(len(text), 1 / vocabulary)
    bits = []
    for n in range(1, order + 1):
        contexts, tokens = _contexts(training, n, vocabulary)
        pairs, pair_counts = np.unique(contexts * vocabulary + tokens, return_counts=True)
        known, kinds = np.unique(pairs // vocabulary, return_counts=True)
        totals = np.add.reduceat(pair_counts, np.searchsorted(pairs, known * vocabulary))
        contexts, tokens = _contexts(text, n, vocabulary)
        total, kind = _look_up(known, totals, contexts), _look_up(known, kinds, contexts)
        count = _look_up(pairs, pair_counts, contexts * vocabulary + tokens)
        shorter = probability[n - 1 :]
        is_known = total > 0
        mixed = (count + kind * shorter) / np.maximum(total + kind, 1)
        probability[n - 1 :] = np.where(is_known, mixed, shorter)
        bits.append(float(-np.log2(probability).mean()))
    return bits


def _contexts(text: np.ndarray, n: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the n - 1 tokens before each token as one number, and the tokens from there on."""
    numbers = np.zeros(max(len(text) - n + 1, 0), np.int64)
    for k in range(n - 1):
        numbers = numbers * vocabulary + text[k : k + len(numbers)]
    return numbers, text[n - 1 :].astype(np.int64)


def _look_up(keys: np.ndarray, values: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Returns the value of each query among sorted keys; 0 where it is none of them."""
    places = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[places] == queries, values[places], 0)


def compression_bits(text: bytes) -> dict[str, float]:
    """Returns the bits of a byte of a compressed text, by the compressor's name."""
    return {name: 8 * len(call(text)) / len(text) for name, call in COMPRESSORS.items()}


def reference_bits(corpus: Corpus, order: int) -> dict[str, float]:
    """Returns bits a byte of the held-out text by the reference's name.

    Raises:
      UserError: there are too many tokens for n-grams of this order.
    """
    size = len(corpus.vocabulary)
    if size**order >= 2**63:
        most = int(math.log(2**63, size))
        raise UserError(f"--order: {order}; with {size} tokens at most {most} can be counted")
    models = ngram_bits(corpus.training, corpus.held_out, size, order)
    text = b"".join(corpus.vocabulary[token] for token in corpus.held_out)
    tokens = len(corpus.held_out) / len(text)  # a byte
    named = {MODELS.get(n, f"order {n}"): tokens * bits for n, bits in enumerate(models, 1)}
    return named | compression_bits(text)


def main() -> int:
    """Prints a Markdown table, and writes it with --out."""
    parser = argparse.ArgumentParser(description="Bits a byte of simple models of text.")
    parser.add_argument("environment", choices=NAMES)
    parser.add_argument("--settings", help="its options, a mapping in YAML")
    parser.add_argument("--order", type=int, default=6, choices=range(1, MOST_ORDER + 1))
    parser.add_argument("--out", type=Path, help="a CSV file: env, data, reference, bits")
    args = parser.parse_args()
    try:
        settings = parse_settings(args.settings)
        task = Task.from_options(args.environment, settings, WrapperConfig(), PolicyConfig())
        references = reference_bits(read_corpus(task.name, task.options), args.order)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("| reference | bits a byte |\n|---|---:|")
    for name, bits in references.items():
        print(f"| {name} | {bits:.3f} |")
    if args.out is not None:
        frame = pd.DataFrame({"reference": [*references], "bits": [*references.values()]})
        frame.insert(0, "env", task.name)
        frame.insert(1, "data", data_digest(task.name, task.options))
        frame.to_csv(args.out, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
