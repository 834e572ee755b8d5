"""The environments of reasoning: what they show, allow and pay."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from rl_es import registry
from rl_es.envs import reasoning
from rl_es.envs._reasoning.environment import AnswerEnvironment, DemonstrationEnvironment
from rl_es.envs._reasoning.problems import draw_problem, is_held_out
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.training.task import Task
from tests.envs.contract import check, check_types

ANSWERS = [f"reasoning/{task}" for task in reasoning.TASKS]
DEMONSTRATIONS = [f"{name}_demonstrations" for name in ANSWERS]


def made(name: str, **options: Any) -> Any:
    return reasoning.make(name, registry.environment_suite(name).Options(**options))


def solution_of(env: Any, key: jax.Array) -> jax.Array:
    """Returns the tokens of the problem that a reset by this key asks, with its solution."""
    return jnp.concatenate(draw_problem(env._task, key, env._is_held_out))


def play(env: AnswerEnvironment, key: jax.Array, actions: Any) -> tuple[list[int], list[Any], Any]:
    """Returns the tokens shown, the masks, and the last transition of an episode."""
    state, observation = env.reset(key)
    shown, masks, step = (
        [int(observation.values[0])],
        [np.asarray(observation.action_mask)],
        jax.jit(env.step),
    )
    for number, action in enumerate(actions, 1):
        after = step(key, state, jnp.int32(action))
        state = after.state
        shown.append(int(after.observation.values[0]))
        masks.append(np.asarray(after.observation.action_mask))
        assert bool(after.terminated) == (number == len(actions))
        assert number == len(actions) or after.reward == 0.0
    return shown, masks, after


@pytest.mark.parametrize("name", [*ANSWERS, *DEMONSTRATIONS])
def test_contract(name: str) -> None:
    env = made(name)
    check_types(env)
    check(env, 20)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("held_out", [False, True])
def test_a_solution_is_asked_for_token_by_token(name: str, held_out: bool) -> None:
    env = made(name, reward="steps")
    env = env.held_out() if held_out else env
    key = jax.random.key(1)
    document = np.asarray(solution_of(env, key)).tolist()
    length = env._task.prompt_length
    assert bool(is_held_out(env._task.question(jnp.asarray(document[:length])))) == held_out
    shown, masks, last = play(env, key, document)
    assert shown == [0, *document]
    for token, mask in zip(document[:length], masks, strict=False):
        assert mask.sum() == 1 and mask[token]
    assert all(mask.all() for mask in masks[length:])
    assert last.reward == 1.0


@pytest.mark.parametrize(
    ("reward", "pays"),
    [("exact", (0.0, 0.0, 0.0)), ("partial", (0.05, 0.05, 0.01)), ("steps", (0.25, 0.0, 0.0))],
)
def test_rewards_of_wrong_answers(reward: str, pays: tuple[float, ...]) -> None:
    env, key = made("reasoning/countdown", reward=reward), jax.random.key(2)
    again = jax.jit(env.step)
    document = np.asarray(solution_of(env, key))
    tokens, length = env._task.vocabulary, env._task.prompt_length
    result, first = document.copy(), document.copy()
    result[-2] = tokens.number(98 if document[-2] == tokens.number(99) else 99)
    first[length + 4] = result[-2]
    for answer, pay in zip((result, first, [*document[:length], 0]), pays, strict=True):
        last = play(env, key, answer)[2]
        assert float(last.reward) == pytest.approx(pay)
        after = again(key, last.state, jnp.int32(0))
        assert after.terminated and after.reward == 0.0
    assert float(play(env.held_out(), key, [*document[:length], 0])[2].reward) == 0.0


def test_an_episode_reads_as_a_text() -> None:
    env = made("reasoning/sums", numbers=2)
    words = env._task.vocabulary.words
    actions = np.array([words.index(word) for word in ("3", "+", "4", "=", "7")] + [0])
    assert env.transcribe(actions) == "3 + 4 = : 7"


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_demonstrations_pay_the_bits_of_the_solution(name: str) -> None:
    env, key = made(name), jax.random.key(3)
    assert isinstance(env, DemonstrationEnvironment)
    document = np.asarray(solution_of(env, key)).tolist()
    logits = np.linspace(-1, 2, len(env._task.vocabulary.words)).astype(np.float32)
    expected = logits / np.log(2) - np.log2(np.exp(logits).sum())
    state, observation = env.reset(key)
    assert float(observation.values[0]) == 0 and observation.action_mask is None
    step = jax.jit(env.step)
    for i, token in enumerate(document):
        after = step(key, state, jnp.asarray(logits))
        state = after.state
        assert int(after.observation.values[0]) == token
        is_answer = i >= env._task.prompt_length
        assert float(after.reward) == pytest.approx(expected[token] * is_answer, rel=1e-5)
        assert bool(after.terminated) == (i == len(document) - 1)


@pytest.mark.parametrize("name", [*ANSWERS, *DEMONSTRATIONS])
def test_evaluation_asks_held_out_problems(name: str) -> None:
    options = {"reward": "partial"} if name in ANSWERS else {}
    task = Task.from_options(name, options, WrapperConfig(), PolicyConfig())
    evaluation: Any = task.evaluation_environment()
    assert evaluation.spec == task.environment().spec or name in DEMONSTRATIONS
    reset = jax.jit(jax.vmap(evaluation.reset))
    state = reset(jax.random.split(jax.random.key(0), 50))[0]
    length = evaluation._task.prompt_length
    prompts = state.prompt if name in ANSWERS else state.document[:, :length]
    questions = jax.vmap(evaluation._task.question)(prompts)
    assert jax.vmap(is_held_out)(questions).all()


def test_options_that_leave_no_problems_are_refused() -> None:
    with pytest.raises(ValidationError, match="largest: 5 leaves too few problems of 3 numbers"):
        reasoning.Options(largest=5)
    reasoning.Options(largest=8)


def test_options_that_allow_no_solution_are_refused() -> None:
    with pytest.raises(ValidationError, match="largest: 60, .* choose at most 49"):
        reasoning.Options(largest=60)
