"""Vocabularies of files: reading them, cutting texts by the longest token, and rewards by byte."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.text_references import reference_bits
from rl_es.envs import text
from rl_es.envs._text.corpus import Documents, join
from rl_es.envs._text.environment import TextEnvironment
from rl_es.envs._text.sources import read_corpus, read_documents
from rl_es.envs._vocabulary import read_vocabulary
from rl_es.errors import UserError
from rl_es.sweep.cells import expand_cells
from tests.envs.contract import check, check_types
from tests.running import sweep_of

ENVIRONMENT = "text/python_docs"


def write_vocabulary(path: Path, *tokens: str | bytes, every_byte: bool = True) -> Path:
    """Writes a file in RWKV's format: all bytes, then these tokens."""
    single = [bytes([value]) for value in range(256)] if every_byte else []
    lines = []
    for index, token in enumerate([*single, *tokens], 1):
        size = len(token.encode() if isinstance(token, str) else token)
        lines.append(f"{index} {token!r} {size}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def tokens_of(path: Path, content: bytes) -> list[bytes]:
    vocabulary = read_vocabulary(str(path))
    tokens = vocabulary.encode(content)
    assert vocabulary.decode(tokens) == content
    return [vocabulary.tokens[token] for token in tokens]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    tokens = (" the", " them", "the", "ü", "\n\n", "'", " ", "the then", b"\xe6\x97", "日", "a b")
    return write_vocabulary(tmp_path / "tokens.txt", *tokens)


def test_the_longest_token_is_taken(vocabulary: Path) -> None:
    content = "the them the then ünot'\n\n\n日 日".encode()
    expected = ["the", " them", " the", " the", "n", " ", "ü", *"not'", "\n\n", "\n", "日", " "]
    expected.append("日")
    assert tokens_of(vocabulary, content) == [token.encode() for token in expected]
    assert tokens_of(vocabulary, b"the then") == [b"the then"]  # though "the" comes before
    assert tokens_of(vocabulary, b"\xe6\x97\x00\xff") == [b"\xe6\x97", b"\0", b"\xff"]


def test_any_bytes_are_cut_and_joined(vocabulary: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        content = bytes(rng.choice([*b"the mn\n '\xe6\x97\xa5\xff"], 300).tolist())
        assert len(tokens_of(vocabulary, content)) < 300


def test_the_last_of_equal_tokens_is_used(vocabulary: Path) -> None:
    assert read_vocabulary(str(vocabulary)).encode(b"' ") == [256 + 6, 256 + 7]


def test_an_index_without_a_token_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "gap.txt"
    path.write_text("1 'a' 1\n\n4 'bc' 2\n")
    vocabulary = read_vocabulary(str(path))
    assert vocabulary.tokens == (b"\0", b"a", b"", b"", b"bc")
    assert vocabulary.encode(b"abca") == [1, 4, 1]
    with pytest.raises(UserError, match=r"gap.txt has no token for b'b', which the text holds"):
        vocabulary.encode(b"aba")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 'b' 2", "does not have 2 bytes"),
        ("2 'b'", "does not have 'b' bytes|invalid|values"),
        ("b 'b' 1", "invalid literal"),
        ("0 'b' 1", "an index is 1 to 1048576"),
        ("1 'b' 1", "index 1 is there twice"),
        ("2 __import__('os').getcwd() 1", "malformed node"),
        ("2 'b 1", "unterminated|EOL"),
        ("2 7 1", "does not have 1 bytes"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text(f"1 'a' 1\n{line}\n")
    with pytest.raises(UserError, match=rf"vocabulary: {path}, line 2: .*({reason})") as error:
        read_vocabulary(str(path))
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    with pytest.raises(UserError, match=r"tokens.txt cannot be read \(.*No such file"):
        text.check(ENVIRONMENT, text.Options(vocabulary=str(path)))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        text.check(ENVIRONMENT, text.Options(vocabulary=str(path)))
    with pytest.raises(ValueError, match="unknown vocabulary 'byte'; did you mean 'bytes'"):
        text.Options(vocabulary="byte")


def test_a_text_in_tokens_of_a_file(vocabulary: Path) -> None:
    options = text.Options(vocabulary=str(vocabulary))
    corpus, documents = read_corpus(ENVIRONMENT, options), read_documents(ENVIRONMENT, options)
    for tokens, split in zip((corpus.training, corpus.held_out), documents, strict=True):
        assert b"".join(corpus.vocabulary[token] for token in tokens) == join(split)
        assert (tokens == 0).sum() == len(split)
        assert len(tokens) < 0.97 * len(join(split))
    with pytest.raises(UserError, match=f"python_docs has {len(corpus.training)} tokens"):
        text.check(ENVIRONMENT, options.model_copy(update={"streams": len(corpus.training) + 1}))
    env = text.make(ENVIRONMENT, options)
    assert env.spec.action_space.shape == (256 + 12,)  # pyright: ignore[reportAttributeAccessIssue]
    check_types(env)
    check(env, 10)


def test_a_score_counts_bytes(vocabulary: Path) -> None:
    """Also beyond the end of the text, from any position."""
    tokens = read_vocabulary(str(vocabulary)).tokens
    documents = Documents((b"a the them",), (b" thema the",))
    env = TextEnvironment("text/small", _cut(documents, vocabulary), text.Options()).held_out()
    step = jax.jit(env.step)
    for seed in range(4):
        state, _ = env.reset(jax.random.key(seed))
        shown = b""
        for _ in range(11):
            after = step(jax.random.key(0), state, jnp.zeros(len(tokens)))
            state = after.state
            shown += tokens[int(after.observation.values[0])]
        expected = -11 * np.log2(len(tokens)) / len(shown)
        assert float(env.score(state)) == pytest.approx(expected, rel=1e-5)  # pyright: ignore[reportAttributeAccessIssue]


def _cut(documents: Documents, vocabulary: Path) -> Any:
    from rl_es.envs._text import sources

    return sources._cut(documents, read_vocabulary(str(vocabulary)))


def test_logits_in_nats() -> None:
    options = text.Options(logits="nats")
    env = text.make(ENVIRONMENT, options)
    sixteenths = text.make(ENVIRONMENT, text.Options())
    logits = jax.random.normal(jax.random.key(0), env.spec.action_space.shape)  # pyright: ignore[reportAttributeAccessIssue]
    state, _ = env.reset(jax.random.key(1))
    after = env.step(jax.random.key(0), state, logits)
    other = sixteenths.step(jax.random.key(0), state, logits * 16 / np.log(2))
    token = int(after.observation.values[0])
    expected = jax.nn.log_softmax(logits)
    assert float(after.reward) == pytest.approx(float(expected[token]) / np.log(2), rel=1e-5)
    assert float(other.reward) == pytest.approx(float(after.reward), rel=1e-5)
    np.testing.assert_allclose(env.log_probabilities(logits), expected, rtol=1e-5)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(UserError, match="loss: tables reads sixteenths"):
        text.check(ENVIRONMENT, text.Options(logits="nats", loss="tables"))


SWEEP = """
name: tokens
seeds: 1
defaults: {{budget: {{generations: 1}}}}
environments: [{{name: text/python_docs, options: {{{options}}}}}]
agents: [nres]
"""


def test_a_run_is_known_by_the_tokens_alone(vocabulary: Path, tmp_path: Path) -> None:
    def run_id(options: str) -> str:
        return expand_cells(sweep_of(SWEEP.format(options=options)))[0].run_id

    copy = tmp_path / "copy.txt"
    copy.write_bytes(vocabulary.read_bytes())
    first = run_id(f"vocabulary: {vocabulary}")
    assert run_id(f"vocabulary: {copy}") == first != run_id("vocabulary: bytes")
    write_vocabulary(copy, "other")
    assert run_id(f"vocabulary: {copy}") != first
    ids = {run_id(options) for options in ("", "logits: sixteenths", "logits: nats")}
    assert len(ids) == 2


def test_references_are_by_byte_and_of_an_order_that_can_be_counted(vocabulary: Path) -> None:
    corpus = _cut(Documents((b"the them the",), (b"the the the",)), vocabulary)
    assert corpus.training.tolist() == [0, 259, 258, 257]
    assert corpus.held_out.tolist() == [0, 259, 257, 257]  # 12 bytes
    share = (1 + 4 / len(corpus.vocabulary)) / (4 + 4)  # of each of them, as all are seen once
    assert reference_bits(corpus, 1)["unigram"] == pytest.approx(-4 * np.log2(share) / 12)
    with pytest.raises(UserError, match="--order: 8; with 268 tokens at most 7 can be counted"):
        reference_bits(corpus, 8)
