"""The verifiers agree with the scorers of reasoning-gym, on 2,000 answers of each task."""

import importlib
from typing import Any

import jax
import numpy as np
import pytest

from rl_es.envs._reasoning.countdown import Countdown
from rl_es.envs._reasoning.environment import AnswerEnvironment
from rl_es.envs._reasoning.problems import draw_problem
from rl_es.envs._reasoning.sums import Sums

pytestmark = pytest.mark.extra("reasoning")
COUNT = 2000


def problems_of(task: Any) -> tuple[np.ndarray, np.ndarray]:
    draw = jax.jit(jax.vmap(lambda key: draw_problem(task, key, False)))
    return jax.tree.map(np.array, tuple(draw(jax.random.split(jax.random.key(5), COUNT))))


def pays_of(task: Any, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
    env = AnswerEnvironment("reasoning/test", task, "partial")
    return np.asarray(jax.jit(jax.vmap(lambda p, a: env._pay(task.grade(p, a))))(prompts, answers))


def words_of(task: Any, tokens: np.ndarray) -> list[str]:
    return [task.vocabulary.words[token] for token in tokens if token]


def expression_of(words: list[str]) -> str:
    """Returns the last step of a chain, with the results of earlier steps written out."""
    results: dict[str, str] = {}
    text = ""
    for start in range(0, len(words), 6):
        a, operator, b, _, result = words[start : start + 5]
        text = f"({results.pop(a, a)} {operator} {results.pop(b, b)})"
        results[result] = text
    return text


def random_chain(rng: np.random.Generator, numbers: np.ndarray) -> list[str]:
    """Returns two steps with right arithmetic, of numbers that need not be those that are left."""
    words: list[str] = []
    values = numbers.tolist()
    while len(words) < 10:
        a, b = (int(value) for value in rng.choice(values, 2, replace=bool(rng.integers(2))))
        operator = "+-*/"[rng.integers(4)]
        exact = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if a % b == 0 else 0}[operator]
        if 1 <= exact <= 99:
            words += [",", *f"{a} {operator} {b} = {exact}".split()][not words :]
            values = [value for value in values if value not in (a, b)] + [exact, values[-1]]
    return words


def test_countdown() -> None:
    """Solutions, chains with right arithmetic, and answers with one other token."""
    scorer = importlib.import_module("reasoning_gym").create_dataset("countdown", size=1, seed=0)
    task, rng = Countdown(3, 20, 99), np.random.default_rng(0)
    prompts, answers = problems_of(task)
    words = task.vocabulary.words
    for i in range(COUNT // 4, COUNT // 2):
        chain = random_chain(rng, task.vocabulary.value(prompts[i, :3]))
        answers[i] = [*(words.index(word) for word in chain), 0]
    places = rng.choice([1, 3, 5, 7, 9], COUNT // 2)  # symbols: a result would be wrong arithmetic
    answers[np.arange(COUNT // 2, COUNT), places] = rng.integers(0, 101, COUNT // 2)
    pays = pays_of(task, prompts, answers)
    expected = []
    for prompt, answer in zip(prompts, answers, strict=True):
        numbers, target = task.vocabulary.value(prompt[:3]).tolist(), int(prompt[-1]) - 1
        text = words_of(task, answer)
        is_chain = len(text) == 11 and text[3] == text[9] == "=" and text[5] == ","
        is_chain = is_chain and text[1] in "+-*/" and text[7] in "+-*/"
        entry = {"metadata": {"numbers": numbers, "target": target}}
        spoken = expression_of(text) if is_chain else " ".join(text)
        expected.append(scorer.score_answer(spoken, entry))
    np.testing.assert_allclose(pays, expected)
    assert set(np.round(expected, 2)) == {0.01, 0.05, 1.0}
    assert np.mean(np.array(expected) == 1.0) > 0.25 and np.sum(np.array(expected) == 0.05) > 100


def test_sums() -> None:
    scorer = importlib.import_module("reasoning_gym").create_dataset("chain_sum", size=1, seed=0)
    task, rng = Sums(4, 20, 99), np.random.default_rng(0)
    prompts, answers = problems_of(task)
    half = np.arange(COUNT // 2)
    answers[half, rng.integers(0, 3, COUNT // 2)] = rng.integers(1, 101, COUNT // 2)
    pays = pays_of(task, prompts, answers)
    for prompt, answer, pay in zip(prompts, answers, pays, strict=True):
        chain = " ".join(words_of(task, prompt)[:-1])
        text = words_of(task, answer)
        score = scorer.score_answer(text[-1], {"answer": str(eval(chain))})  # digits and signs
        assert (score == 1.0) == (pay == 1.0), (chain, text)
    assert 0.5 < np.mean(pays == 1.0) < 1
