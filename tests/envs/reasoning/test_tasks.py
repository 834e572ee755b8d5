"""Problems of reasoning: solutions are right, spoilt answers are not, and the splits are apart."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from rl_es.envs._reasoning.countdown import Countdown
from rl_es.envs._reasoning.problems import (
    Grade,
    ReasoningTask,
    SolvedProblem,
    draw_problem,
    is_held_out,
)
from rl_es.envs._reasoning.sums import Sums

COUNT = 2000
TASKS = {
    "countdown": Countdown(3, 20, 99),
    "countdown of four": Countdown(4, 9, 60),
    "sums": Sums(4, 20, 99),
}
tasks = pytest.mark.parametrize(
    "task", [pytest.param(task, id=name) for name, task in TASKS.items()]
)


@cache
def problems_of(task: ReasoningTask, held_out: bool = False, seed: int = 0) -> SolvedProblem:
    """Returns problems, [COUNT, Q] and [COUNT, K]."""
    keys = jax.random.split(jax.random.key(seed), COUNT)
    draw = jax.jit(jax.vmap(lambda key: draw_problem(task, key, held_out)))
    return jax.tree.map(np.asarray, draw(keys))


def grades_of(task: ReasoningTask, prompts: np.ndarray, answers: np.ndarray) -> Grade:
    return jax.tree.map(np.asarray, _verifier(task)(prompts, answers))


@cache
def _verifier(task: ReasoningTask) -> Any:
    return jax.jit(jax.vmap(task.grade))


def tokens_of(task: ReasoningTask, text: str) -> np.ndarray:
    return np.array([task.vocabulary.words.index(word) for word in text.split()], np.int32)


def grade_text(task: ReasoningTask, prompt: str, answer: str) -> tuple[bool, bool, float]:
    tokens = tokens_of(task, answer)
    padded = np.zeros(task.answer_length, np.int32)
    padded[: len(tokens)] = tokens
    grade = grades_of(task, tokens_of(task, prompt)[None], padded[None])
    return bool(grade.is_right), bool(grade.is_well_formed), float(grade.right_steps[0])


@tasks
def test_every_solution_is_right(task: ReasoningTask) -> None:
    problems = problems_of(task)
    grades = grades_of(task, *problems)
    assert grades.is_right.all() and grades.is_well_formed.all()
    np.testing.assert_allclose(grades.right_steps, 1.0, rtol=1e-6)


@tasks
def test_no_solution_is_right_with_another_token(task: ReasoningTask) -> None:
    prompts, solutions = problems_of(task)
    random = np.random.default_rng(0)
    places = random.integers(0, task.answer_length, COUNT)
    spoilt = solutions.copy()
    shift = random.integers(1, len(task.vocabulary.words), COUNT)
    rows = np.arange(COUNT)
    spoilt[rows, places] = (spoilt[rows, places] + shift) % len(task.vocabulary.words)
    right = grades_of(task, prompts, spoilt).is_right
    if isinstance(task, Sums):  # a value on the way may be anything that is a number
        counts = places >= task.answer_length - 2
        assert not right[counts].any()
    else:  # 2 + 2 = 4 is 2 * 2 = 4, and 4 - 2 = 2 is 4 / 2 = 2; 3 * 1 = 3 is 3 / 1 = 3
        is_operator = places % 6 == 1
        assert not right[~is_operator].any()
        assert right[is_operator].mean() < 0.2


@tasks
def test_the_solution_of_another_problem_is_wrong(task: ReasoningTask) -> None:
    prompts, solutions = problems_of(task)
    questions = np.asarray(jax.vmap(task.question)(prompts))
    differ = (questions != np.roll(questions, 1, 0)).any(1)
    right = grades_of(task, prompts, np.roll(solutions, 1, 0)).is_right
    assert differ.mean() > 0.99
    # A chain may end at the value of another one; numbers have to be the given ones.
    assert right[differ].mean() < (0.05 if isinstance(task, Sums) else 0.002)


@tasks
def test_splits_share_no_problem(task: ReasoningTask) -> None:
    question = jax.vmap(task.question)
    training, held_out = (
        {tuple(row) for row in np.asarray(question(problems_of(task, split).prompt)).tolist()}
        for split in (False, True)
    )
    assert training and held_out and not training & held_out
    draws = jax.vmap(task.draw)(jax.random.split(jax.random.key(1), COUNT)).prompt
    share = float(jax.vmap(lambda prompt: is_held_out(task.question(prompt)))(draws).mean())
    assert abs(share - 1 / 8) < 4 * (1 / 8 * 7 / 8 / COUNT) ** 0.5 + 0.01


def test_the_order_of_numbers_is_no_other_problem() -> None:
    task = TASKS["countdown"]
    prompts = [tokens_of(task, f"{numbers} -> 22") for numbers in ("3 5 7", "7 3 5", "5 7 3")]
    questions = {tuple(np.asarray(task.question(prompt)).tolist()) for prompt in prompts}
    assert len(questions) == 1


@tasks
def test_numbers_are_within_their_bounds(task: ReasoningTask) -> None:
    prompts, solutions = problems_of(task)
    tokens = task.vocabulary
    place = slice(task.numbers) if isinstance(task, Countdown) else slice(None, None, 2)  # pyright: ignore[reportAttributeAccessIssue]
    given = np.asarray(tokens.value(prompts[:, place]))
    assert (given.min(), given.max()) == (1, task.largest)  # pyright: ignore[reportAttributeAccessIssue]
    numbers = solutions[np.asarray(tokens.is_number(solutions))] - 1
    assert numbers.min() >= 1 and numbers.max() <= tokens.largest


@pytest.mark.parametrize(
    ("answer", "right", "well_formed", "steps"),
    [
        ("3 * 5 = 15 , 15 + 7 = 22", True, True, 1.0),
        ("5 * 3 = 15 , 7 + 15 = 22", True, True, 1.0),
        ("3 * 5 = 15 , 15 - 7 = 8", False, True, 0.5),  # another target
        ("3 * 5 = 16 , 16 + 7 = 23", False, True, 0.0),  # wrong arithmetic, and target
        ("3 * 5 = 17 , 17 + 5 = 22", False, True, 0.0),  # wrong arithmetic, and 5 again
        ("3 * 5 = 16 , 15 + 7 = 22", False, True, 0.0),  # 15 is not stated
        ("3 - 5 = 15 , 15 + 7 = 22", False, True, 0.5),
        ("3 * 5 = 15 , 15 + 5 = 20", False, True, 0.5),  # 5 again
        ("7 + 15 = 22 , 3 * 5 = 15", False, True, 0.0),  # 15 before it is there
        ("7 * 3 = 21 , 21 + 1 = 22", False, True, 0.5),  # 1 is not given
        ("3 - 5 = 2 , 15 + 7 = 22", False, True, 0.0),
        ("7 / 3 = 2 , 2 + 5 = 7", False, True, 0.0),
        ("3 * 5 = 15 , 15 + 7", False, False, 0.5),
        ("3 * 5 = 15", False, False, 0.0),  # no comma
        ("3 5 * = 15 , 15 + 7 = 22", False, False, 0.5),
        ("3 * 5 = 15 , 15 + 7 = 22 ,", False, False, 0.5),
        ("", False, False, 0.0),
    ],
)
def test_answers_of_countdown(answer: str, right: bool, well_formed: bool, steps: float) -> None:
    task = Countdown(3, 20, 99)
    assert grade_text(task, "3 5 7 -> 22", answer) == (right, well_formed, steps)


@pytest.mark.parametrize(
    ("answer", "right", "well_formed", "steps"),
    [
        ("19 15 35", True, True, 1.0),
        ("35", True, True, 0.0),  # only the last value counts
        ("19 16 35", True, True, 1 / 3),
        ("19 16 36", False, True, 2 / 3),
        ("19 15 34", False, True, 2 / 3),
        ("19 15", False, True, 2 / 3),
        ("19 + 35", False, False, 1 / 3),
        ("20 16 36", False, True, 2 / 3),
        ("", False, False, 0.0),
    ],
)
def test_answers_of_sums(answer: str, right: bool, well_formed: bool, steps: float) -> None:
    grade = grade_text(Sums(4, 20, 99), "12 + 7 - 4 + 20 =", answer)
    assert grade[:2] == (right, well_formed)
    assert grade[2] == pytest.approx(steps, abs=1e-6)


def test_an_answer_without_an_end_is_wrong() -> None:
    task = Sums(3, 20, 99)
    assert grade_text(task, "1 + 2 + 3 =", "3 6 6") == (False, False, 1.0)
