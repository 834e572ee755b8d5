"""The bits of simple models, by hand and against counts in dictionaries."""

import bz2
import csv
import gzip
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import text_references
from benchmarks.text_references import compression_bits, ngram_bits

RNG = np.random.default_rng(0)


def test_by_hand() -> None:
    unigram, bigram = ngram_bits(np.array([1, 1, 2]), np.array([1, 2]), 3, 2)
    # p(1) = (2 + 2/3) / 5, p(2) = (1 + 2/3) / 5; after 1 came 1 and 2: p(2 | 1) = (1 + 2/3) / 4.
    assert unigram == pytest.approx(-(math.log2(8 / 15) + math.log2(1 / 3)) / 2)
    assert bigram == pytest.approx(-(math.log2(8 / 15) + math.log2(5 / 12)) / 2)


def reference(training: list[int], text: list[int], vocabulary: int, order: int) -> float:
    """Mean bits of a token, by recursion over contexts."""
    counts = Counter(
        (tuple(training[i - n : i]), training[i])
        for n in range(order)
        for i in range(n, len(training))
    )

    def probability(context: tuple[int, ...], token: int) -> float:
        followers = {x: counts[context, x] for x in range(vocabulary) if counts[context, x]}
        shorter = 1 / vocabulary if not context else probability(context[1:], token)
        total, kinds = sum(followers.values()), len(followers)
        if not total:
            return shorter
        return (followers.get(token, 0) + kinds * shorter) / (total + kinds)

    contexts = [tuple(text[max(0, i - order + 1) : i]) for i in range(len(text))]
    values = [probability(*pair) for pair in zip(contexts, text, strict=True)]
    return -sum(map(math.log2, values)) / len(values)


@pytest.mark.parametrize("vocabulary", [4, 256])
def test_against_dictionaries(vocabulary: int) -> None:
    high = min(vocabulary, 6)
    training, text = RNG.integers(0, high, 400) % 4, RNG.integers(0, high, 60)
    training[50:90], text[:9] = training[:40], training[:9]
    bits = ngram_bits(training.astype(np.uint8), text.astype(np.uint8), vocabulary, 4)
    for order, value in enumerate(bits, 1):
        expected = reference(training.tolist(), text.tolist(), vocabulary, order)
        assert value == pytest.approx(expected, rel=1e-12)


def test_compression() -> None:
    text = b"a text, and a text" * 20
    bits = compression_bits(text)
    assert bits["gzip -9"] == 8 * len(gzip.compress(text, 9)) / len(text)
    assert bits["bzip2 -9"] == 8 * len(bz2.compress(text, 9)) / len(text)


def test_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(name * 20)
    out = tmp_path / "out.csv"
    command = ["text_references", "text/files", "--order", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*command, "--settings", f"{{folder: {tmp_path}}}"])
    assert text_references.main() == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    names = ["unigram", "bigram", "gzip -9", "bzip2 -9", "xz -9"]
    assert [row["reference"] for row in rows] == names
    table = [f"| {row['reference']} | {float(row['bits']):.3f} |" for row in rows]
    assert capsys.readouterr().out.splitlines()[2:] == table
    monkeypatch.setattr(sys, "argv", command)
    assert text_references.main() == 2
    assert "error: text/files needs a folder" in capsys.readouterr().err
