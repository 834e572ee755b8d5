"""The environments of text: what they show, pay, and evaluate on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import text
from rl_es.envs._text.corpus import (
    Corpus,
    Documents,
    join,
    split_documents,
    tokenise,
)
from rl_es.envs._text.environment import TextEnvironment
from rl_es.envs._text.likelihood import exact_log2_likelihood
from rl_es.envs._text.sources import read_python_docs
from rl_es.interfaces import Scored
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.training.task import Task
from tests.envs.contract import check, check_types

DOCUMENTS = Documents((b"abca", b"", b"cab"), (b"bd",))
TRAINING, HELD_OUT = b"\0abca\0\0cab", b"\0bd"


def made(**options: Any) -> TextEnvironment:
    return TextEnvironment("text/small", corpus(), text.Options(**options))


def corpus(vocabulary: str = "used") -> Corpus:
    return tokenise(DOCUMENTS, vocabulary)


def reset_positions(env: TextEnvironment, count: int = 200) -> list[int]:
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(env.reset))(keys)[0].position).tolist()


def read(
    env: TextEnvironment, steps: int, logits: Any = None
) -> tuple[list[int], list[float], Any]:
    """Returns tokens shown, rewards, and the last state of `steps` steps from one reset."""
    logits = jnp.zeros(len(env.vocabulary)) if logits is None else jnp.asarray(logits)
    state, observation = env.reset(jax.random.key(0))
    step, tokens, rewards = jax.jit(env.step), [int(observation.values[0])], []
    for _ in range(steps):
        after = step(jax.random.key(0), state, logits)
        assert not after.terminated and not after.truncated
        state = after.state
        tokens.append(int(after.observation.values[0]))
        rewards.append(float(after.reward))
    return tokens, rewards, state


def test_documents_begin_with_the_separator() -> None:
    assert join(DOCUMENTS.training) == TRAINING
    used = corpus()
    assert b"".join(used.vocabulary) == b"\0abcd"
    assert b"".join(used.vocabulary[i] for i in used.training) == TRAINING
    assert b"".join(used.vocabulary[i] for i in used.held_out) == HELD_OUT
    every = corpus("bytes")
    assert b"".join(every.vocabulary) == bytes(range(256)) and every.training.tobytes() == TRAINING


@pytest.mark.parametrize(("count", "held_out"), [(2, [1]), (9, [8]), (10, [9]), (25, [9, 19])])
def test_every_tenth_document_is_held_out(count: int, held_out: list[int]) -> None:
    documents = [b"%d" % i for i in range(count)]
    split = split_documents(documents)
    assert split.held_out == tuple(documents[i] for i in held_out)
    assert sorted([*split.training, *split.held_out]) == sorted(documents)


def test_the_text_is_read_in_order_and_for_ever() -> None:
    env = made()
    tokens, _, _ = read(env, 25)
    shown = b"".join(env.vocabulary[token] for token in tokens)
    assert shown in TRAINING * 5 and len(shown) == 26


@pytest.mark.parametrize("loss", ["exact", "tables"])
def test_rewards_and_score(loss: str) -> None:
    env = made(loss=loss)
    logits = np.array([0.0, 32.0, 16.0, 0.0, -16.0])  # of a sum of 8.5 in units of 2^0
    tokens, rewards, state = read(env, 12, logits)
    likelihoods = logits / 16 - np.log2(8.5)
    exact = likelihoods[tokens[1:]]
    # log2(8.5) = 3.0875, which is 49.4 sixteenths; the tables have 49.
    expected = exact if loss == "exact" else logits[tokens[1:]] / 16 - 49 / 16
    np.testing.assert_allclose(rewards, expected, rtol=1e-5)
    assert float(env.score(state)) == pytest.approx(exact.mean(), rel=1e-5)


@pytest.mark.parametrize("loss", ["exact", "tables"])
def test_a_logit_that_is_no_number_is_no_reward(loss: str) -> None:
    assert np.isnan(read(made(loss=loss), 1, [0.0, 0.0, np.nan, 0.0, 0.0])[1]).all()


def test_streams_start_at_fixed_even_places() -> None:
    assert {*reset_positions(made(streams=3))} == {0, 3, 6}
    assert {*reset_positions(made())} == {*range(len(TRAINING))}
    assert {*reset_positions(made(streams=3).held_out())} == {0, 1, 2}


def test_evaluation_reads_the_held_out_text() -> None:
    env = made().held_out()
    shown = b"".join(env.vocabulary[token] for token in read(env, 8)[0])
    assert shown in HELD_OUT * 5


@pytest.mark.parametrize("loss", ["exact", "tables"])
def test_contract(loss: str) -> None:
    env = text.make("text/python_docs", text.Options(loss=loss))
    check_types(env)
    check(env, 20)


def test_tokens_are_written_with_the_probabilities_that_rewards_are_paid_for() -> None:
    env = made()
    logits = jnp.asarray([0.0, 16.0, -300.0, 7.0, 40.0])
    log2 = [float(exact_log2_likelihood(logits, jnp.int32(token))) for token in range(5)]
    np.testing.assert_allclose(env.log_probabilities(logits), np.log(2) * np.array(log2), rtol=1e-5)
    assert env.observe(jnp.int32(3)).values.tolist() == [3.0]


def test_a_task_evaluates_on_the_held_out_text_alone() -> None:
    wrappers = WrapperConfig(reward_scale=2.0, action_repeat=2)
    task = Task.from_options("text/python_docs", {"evaluation_steps": 7}, wrappers, PolicyConfig())
    training = task.environment()
    evaluation = task.evaluation_environment(training)
    assert evaluation is task.evaluation_environment() is not training
    assert evaluation.spec.evaluation_steps == 4
    documents = read_python_docs()
    vocabulary = tokenise(documents, "used").vocabulary
    state, observation = evaluation.reset(jax.random.key(3))
    shown = [int(observation.values[0])]
    for _ in range(30):
        after = evaluation.step(jax.random.key(0), state, jnp.zeros(len(vocabulary)))
        state = after.state
        shown.append(int(after.observation.values[0]))
    every_second = b"".join(vocabulary[token] for token in shown)
    held_out = join(documents.held_out)
    held_out = held_out + held_out[:70]
    assert every_second in held_out[::2] or every_second in held_out[1::2]
    uniform = -np.log2(len(vocabulary))
    assert float(after.reward) == pytest.approx(2 * uniform, rel=1e-5)  # two steps, unscaled
    scored: Scored = evaluation  # pyright: ignore[reportAssignmentType]
    assert float(scored.score(state)) == pytest.approx(uniform, rel=1e-5)


def test_a_task_without_held_out_data_evaluates_where_it_trains() -> None:
    task = Task.from_options("CartPole-v1", {}, WrapperConfig(), PolicyConfig())
    env = task.environment()
    assert task.evaluation_environment(env) is env is task.evaluation_environment()
