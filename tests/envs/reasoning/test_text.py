"""Problems of reasoning as texts in the vocabulary of a file: tokens, masks, grades, errors."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from rl_es import registry
from rl_es.envs import reasoning
from rl_es.envs._reasoning.problems import draw_problem
from rl_es.envs._vocabulary import FileVocabulary, read_vocabulary
from rl_es.errors import UserError
from rl_es.sweep.cells import expand_cells
from tests.envs.contract import check, check_types
from tests.envs.reasoning.test_environment import ANSWERS, DEMONSTRATIONS, play, solution_of
from tests.envs.reasoning.test_tasks import tokens_of
from tests.envs.text.test_vocabulary import write_vocabulary
from tests.running import sweep_of

INSTRUCTION = "Reach 3,5->8:\n2,1->2:2*1=2\n"
COUNT = 500
TOKENS = (*(f"{n:02}" for n in range(100)), "->", "=>", " 3", " 15", ",\n", "=,", "Reach", "ch 3")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns a vocabulary with RWKV's numbers, and tokens of several symbols, as RWKV has."""
    return str(write_vocabulary(tmp_path_factory.mktemp("text") / "tokens.txt", *TOKENS))


def made(name: str, **options: Any) -> Any:
    suite = registry.environment_suite(name)
    values = suite.Options(**options)
    suite.check(name, values)
    return suite.make(name, values)


def text_of(name: str, words: list[str]) -> str:
    """Returns the text of a problem's words with those of a solution."""
    if "countdown" in name:
        place = words.index("->")
        return (
            f"{','.join(words[:place])}->{words[place + 1]}:{''.join(words[place + 2 :])}".strip()
            + "\n"
        )
    place = words.index("=") + 1
    return f"{''.join(words[:place])}{','.join(words[place:])}".strip(",") + "\n"


def problem_text(env: Any, name: str, key: jax.Array) -> str:
    words = env._task.vocabulary.words
    return text_of(name, [words[word] for word in np.asarray(solution_of(env, key))])


@pytest.mark.parametrize("name", [*ANSWERS, *DEMONSTRATIONS])
def test_contract(name: str, path: str) -> None:
    env = made(name, vocabulary=path, instruction=INSTRUCTION)
    check_types(env)
    check(env, 20)


@pytest.mark.parametrize("instruction", ["", INSTRUCTION])
@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_a_problem_is_cut_as_its_text_is(name: str, instruction: str, path: str) -> None:
    """The tokens are those of the longest match, and the solution's alone are rewarded."""
    env, vocabulary = made(name, vocabulary=path, instruction=instruction), read_vocabulary(path)
    logits = jnp.zeros(len(vocabulary.tokens))

    def read(key: jax.Array) -> Any:
        def step(state: Any, _: None) -> Any:
            after = env.step(key, state, logits)
            return after.state, (after.observation.values[0], after.reward, after.terminated)

        state, observation = env.reset(key)
        outputs = jax.lax.scan(step, state, length=env.spec.episode_length)[1]
        return observation.values[0], *outputs, solution_of(env, key)

    keys = jax.random.split(jax.random.key(0), 50)
    words = env._task.vocabulary.words
    for first, rest, rewards, is_over, solution in zip(*jax.jit(jax.vmap(read))(keys), strict=True):
        length = int(np.argmax(is_over)) + 1
        tokens = [first, *rest[:length]]
        text = text_of(name, [words[word] for word in np.asarray(solution)])
        assert tokens == [0, *vocabulary.encode((instruction + text).encode())]
        pattern = r"(\d+,){2}\d+->\d+:" if "countdown" in name else r"\d+[-+]\d+[-+]\d+="
        prompt = re.match(pattern, text)
        assert prompt
        prompt_tokens = vocabulary.encode((instruction + prompt[0]).encode())
        bits = -np.log2(len(vocabulary.tokens)) * (np.arange(length) >= len(prompt_tokens))
        np.testing.assert_allclose(rewards[:length], bits, rtol=1e-5)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("held_out", [False, True])
def test_a_text_is_asked_for_and_answered(name: str, held_out: bool, path: str) -> None:
    env, vocabulary = made(name, vocabulary=path, instruction=INSTRUCTION), read_vocabulary(path)
    env = env.held_out() if held_out else env
    key = jax.random.key(1)
    text = problem_text(env, name, key)
    tokens = vocabulary.encode((INSTRUCTION + text).encode())
    observations, masks, last = play(env, key, tokens)
    assert observations == [0, *tokens] and last.reward == 1.0
    assert env.transcribe(np.array(tokens)) == text.removesuffix("\n")
    length = len(tokens) - len(vocabulary.encode(re.split("[:=]", text, maxsplit=1)[1].encode()))
    for token, mask in zip(tokens[:length], masks, strict=False):
        assert mask.sum() == 1 and mask[token]
    symbols = ("+", "-", "=", ",", *(("*", "/", "->") if "countdown" in name else ()))
    allowed = {str(number) for number in range(100)} | {*symbols, "\n"}
    for mask in masks[length:-1]:
        assert {vocabulary.tokens[token].decode() for token in np.flatnonzero(mask)} == allowed


def test_an_answer_that_is_no_line_of_words_is_readable(path: str) -> None:
    env, vocabulary = made("reasoning/sums", vocabulary=path, numbers=2), read_vocabulary(path)
    tokens = vocabulary.encode(b"3+4=\xff,")
    assert env.transcribe(np.array(tokens)) == "3+4=\\xff,"
    assert env.transcribe(np.array([*tokens[:-1], 11, tokens[-1]])) == "3+4=\\xff\\n,"


def spoilt_answers(task: Any, solutions: np.ndarray, seed: int) -> np.ndarray:
    """Returns solutions with another word in a third each of one, two and no places."""
    random = np.random.default_rng(seed)
    answers = solutions.copy()
    for changes in (0, 1):
        rows = np.arange(COUNT * changes // 3, COUNT * 2 // 3)
        places = random.integers(0, task.answer_length, len(rows))
        answers[rows, places] = random.integers(0, len(task.vocabulary.words), len(rows))
    is_over = np.cumsum(answers == 0, axis=1) > 0  # what comes after the end is never written
    return np.where(is_over, 0, answers).astype(np.int32)


@pytest.mark.parametrize("numbers", [2, 3, 4])
@pytest.mark.parametrize("name", ANSWERS)
def test_grades_are_those_of_the_suites_own_words(name: str, numbers: int, path: str) -> None:
    """The same keys ask the same problems, and the same answers are worth the same."""
    options = {"numbers": numbers, "reward": "steps"}
    word_env, text_env = made(name, **options), made(name, **options, vocabulary=path)
    keys = jax.random.split(jax.random.key(5), COUNT)
    problems = jax.jit(jax.vmap(lambda key: draw_problem(word_env._task, key, False)))(keys)
    states = jax.jit(jax.vmap(text_env.reset))(keys)[0]
    np.testing.assert_array_equal(states.prompt, problems.prompt)
    answers = spoilt_answers(word_env._task, np.array(problems.solution), numbers)
    encode, decode = text_env._encoding.encode_answer, text_env._encoding.decode_answer
    tokens = jax.jit(jax.vmap(encode))(answers)
    # Numbers alone follow each other in sums; a symbol among them is no number either way.
    grades = jax.jit(jax.vmap(word_env._task.grade))(problems.prompt, answers)
    read = jax.jit(jax.vmap(lambda prompt, t: text_env._task.grade(prompt, decode(t))))
    for grade, other in zip(grades, read(problems.prompt, tokens), strict=True):
        np.testing.assert_array_equal(grade, other)
    assert 0.2 < np.mean(np.asarray(grades.is_right)) < 0.9
    assert 0.3 < np.mean(np.asarray(grades.is_well_formed)) < 1


@pytest.mark.parametrize(
    ("answer", "right", "well_formed"),
    [
        ("19,15,35\n", True, True),
        ("35\n", True, True),
        ("19,16,36\n", False, True),
        ("\n", False, False),
        ("19,15,35,", False, False),
        ("19,35,\n", False, False),
        ("19,,35\n", False, False),
        ("19+35\n", False, False),
        (",35\n", False, False),
        ("35=\n", False, False),
    ],
)
def test_separators_of_sums(answer: str, right: bool, well_formed: bool, path: str) -> None:
    env, vocabulary = made("reasoning/sums", vocabulary=path, numbers=4), read_vocabulary(path)
    prompt = tokens_of(env._task, "12 + 7 - 4 + 20 =")
    tokens = [vocabulary.find(token) for token in re.findall(r"\d+|.|\n", answer)]
    padded = np.full(env._encoding.answer_length, vocabulary.find("\n"), np.int32)
    padded[: len(tokens)] = tokens
    grade = env._task.grade(prompt, env._encoding.decode_answer(padded))
    assert (bool(grade.is_right), bool(grade.is_well_formed)) == (right, well_formed)


def test_numbers_without_a_separator_are_no_answer(path: str) -> None:
    env, vocabulary = made("reasoning/sums", vocabulary=path, numbers=3), read_vocabulary(path)
    tokens = jnp.array([vocabulary.find(word) for word in ("19", "15", "\n", "\n")])
    assert np.asarray(env._encoding.decode_answer(tokens)).tolist()[1] == len(
        env._task.vocabulary.words
    )


def test_a_token_that_is_no_word_is_never_right(path: str) -> None:
    env, vocabulary = made("reasoning/countdown", vocabulary=path), read_vocabulary(path)
    text = problem_text(env, "reasoning/countdown", jax.random.key(4))
    answer = vocabulary.encode(text.split(":")[1].encode())
    answers = [answer]
    for place in range(len(answer)):
        for other in ("a", ":", "05", " 3"):
            spoilt = [*answer[:place], vocabulary.find(other), *answer[place + 1 :]]
            answers.append(spoilt)  # pyright: ignore[reportArgumentType]
    prompt, decode = env.reset(jax.random.key(4))[0].prompt, env._encoding.decode_answer
    grade = jax.jit(jax.vmap(lambda tokens: env._task.grade(prompt, decode(tokens))))
    assert np.asarray(grade(np.array(answers)).is_right).tolist() == [True, *[False] * 48]


SWEEP = """
name: tokens
seeds: 1
defaults: {{budget: {{generations: 1}}}}
environments: [{{name: reasoning/countdown, options: {{{options}}}}}]
agents: [eggroll]
"""


def run_id(options: str) -> str:
    return expand_cells(sweep_of(SWEEP.format(options=options)))[0].run_id


def test_a_run_is_known_by_tokens_and_instruction(path: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(Path(path).read_bytes())
    first = run_id(f"vocabulary: {path}")
    assert run_id(f"vocabulary: {copy}") == first != run_id("")
    assert {"vocabulary", "instruction"}.isdisjoint(reasoning.Options().identity())
    assert run_id(f"vocabulary: {copy}, instruction: Reach") != first
    write_vocabulary(copy, *TOKENS, "more")
    assert run_id(f"vocabulary: {copy}") != first


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"largest_result": 100}, r"tokens.txt has no token for '100', .*largest_result: 99"),
        ({"instruction": "Reach "}, r"instruction: its end and the number 3 have a token of"),
        ({"instruction": "1"}, r"instruction: its end and the number 0 have a token of"),
    ],
)
@pytest.mark.parametrize("name", [*ANSWERS, *DEMONSTRATIONS])
def test_options_that_do_not_fit(
    name: str, options: dict[str, Any], reason: str, path: str
) -> None:
    with pytest.raises(UserError, match=reason) as error:
        made(name, vocabulary=path, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (TOKENS[:100], "no token for '->', a word of the problems, .*choose a vocabulary that has"),
        (TOKENS[:50], "no token for '50', .*set largest_result: 49 at most"),
        ((*TOKENS, ",1"), "has the token ',1', by which a text of numbers and symbols"),
        ((*TOKENS, "2->1"), "has the token '2->1'"),
        ((*TOKENS, "7\n"), "has the token '7\\\\n'"),
    ],
)
def test_vocabularies_that_do_not_fit(tokens: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    file = write_vocabulary(tmp_path / "other.txt", *tokens)
    with pytest.raises(UserError, match=f"vocabulary: {file} {reason}|{reason}") as error:
        made("reasoning/countdown", vocabulary=str(file))
    assert "\n" not in str(error.value) and str(file) in str(error.value)


def test_files_and_instructions_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent.txt cannot be read \(No such file .*name a file"):
        made("reasoning/sums", vocabulary=str(tmp_path / "absent.txt"))
    with pytest.raises(ValidationError, match="'used' is no file of tokens"):
        reasoning.Options(vocabulary="used")
    with pytest.raises(ValidationError, match="instruction: 'Reach' cannot be read in the suite's"):
        reasoning.Options(instruction="Reach")


def test_the_vocabulary_of_the_cut_is_the_longest_match(path: str) -> None:
    """The file's tokens of several symbols would be found if a text held them."""
    vocabulary: FileVocabulary = read_vocabulary(path)
    assert [vocabulary.tokens[token] for token in vocabulary.encode(b"1=>2=,\n 3")] == [
        *(b"1", b"=>", b"2", b"=,", b"\n", b" 3")
    ]
