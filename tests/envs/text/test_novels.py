"""The novels themselves, where Debian's package r-cran-janeaustenr or $RL_ES_AUSTEN has them."""

import pytest

from benchmarks.text_references import reference_bits
from rl_es.envs import text
from rl_es.envs._text import austen
from rl_es.envs._text.sources import read_corpus, read_documents
from rl_es.errors import UserError


@pytest.fixture(autouse=True, scope="module")
def _novels() -> None:
    try:
        austen.find_text(None)
    except UserError as error:
        pytest.skip(str(error))


def test_documents() -> None:
    documents = read_documents("text/austen", text.Options())
    assert (len(documents.training), len(documents.held_out)) == (245 + 5, 24 + 1)
    assert documents.held_out[1].startswith(b"Chapter 1\n\n\nSir Walter Elliot")
    assert documents.training_size == 3_558_420
    corpus = read_corpus("text/austen", text.Options())
    assert (len(corpus.training), len(corpus.held_out)) == (3_558_420, 466_878)
    assert len(corpus.vocabulary) == 83


def test_reference_bits() -> None:
    """As computed independently before."""
    bits = reference_bits(read_corpus("text/austen", text.Options()), 6)
    expected = {"unigram": 4.435, "bigram": 3.538, "trigram": 2.843, "order 4": 2.334}
    expected |= {"order 6": 2.046, "gzip -9": 2.93, "bzip2 -9": 2.14}
    for name, value in expected.items():
        assert bits[name] == pytest.approx(value, abs=0.005)
