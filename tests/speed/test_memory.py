"""The memory of training: what grows with the length of an answer, and what does not."""

import pytest

from benchmarks.memory import METHODS, Point, measure

ROLLOUTS, WIDTH = 64, 16
SHORT, LONG = 3, 5  # numbers of a problem
GRPO, RECOMPUTED, EGGROLL = "GRPO, 4 minibatches", "GRPO, 4 minibatches, recomputed", "EGGROLL"


@pytest.fixture(scope="module")
def peak_bytes() -> dict[tuple[str, int], int]:
    """Peak bytes by method and numbers."""
    keys = [(method, numbers) for method in (GRPO, EGGROLL) for numbers in (SHORT, LONG)]
    peaks = {}
    for method, numbers in [*keys, (RECOMPUTED, LONG)]:
        row = measure(Point(method, ROLLOUTS, widths=str(WIDTH), numbers=numbers))
        assert row["steps"] == 7 * numbers - 4
        peaks[method, numbers] = row["peak_bytes"]
    return peaks


def growth(peak_bytes: dict[tuple[str, int], int], method: str) -> float:
    """Returns the bytes that a rollout and a step of an episode add."""
    difference = peak_bytes[method, LONG] - peak_bytes[method, SHORT]
    return difference / ROLLOUTS / (7 * (LONG - SHORT))


def test_backpropagation_keeps_activations_of_every_step(
    peak_bytes: dict[tuple[str, int], int],
) -> None:
    """A quarter of the rollouts keeps ten vectors and more of each step."""
    assert growth(peak_bytes, GRPO) > 10 * 4 * WIDTH / 4
    assert peak_bytes[RECOMPUTED, LONG] < peak_bytes[GRPO, LONG] / 2


def test_evolution_keeps_no_step_but_the_tokens_of_the_answer(
    peak_bytes: dict[tuple[str, int], int],
) -> None:
    """A token has four bytes, and is copied some times."""
    assert growth(peak_bytes, EGGROLL) < 10 * 4


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_rollouts_that_it_is_asked_for(name: str) -> None:
    settings = METHODS[name].settings(1024)
    starts, episodes = settings.get("prompts"), settings.get("episodes")
    if starts is not None:
        assert starts * settings["group"] == 1024
        assert 1024 % settings["minibatches"] == 0
    else:
        assert settings["population"] * episodes == 1024
