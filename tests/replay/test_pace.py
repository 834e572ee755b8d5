"""Real time where an episode is short enough; at most ten seconds, and thirty frames a second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_es.replay.films import FilmPace, film_pace


@pytest.mark.parametrize(
    ("steps", "step_seconds", "expected"),
    [
        (500, 0.02, FilmPace(2, 25.0, 1.0)),  # CartPole's ten seconds
        (200, 0.05, FilmPace(1, 20.0, 1.0)),
        (1000, 0.05, FilmPace(4, 25.0, 5.0)),  # brax's ant: 50 seconds in 10
        (1000, 0.008, FilmPace(5, 25.0, 1.0)),  # brax's hopper
        (500, 0.2, FilmPace(2, 25.0, 10.0)),  # Acrobot
        (40, None, FilmPace(1, 10.0, None)),
        (999, None, FilmPace(4, 24.975, None)),
    ],
)
def test_examples(steps: int, step_seconds: float | None, expected: FilmPace) -> None:
    assert film_pace(steps, step_seconds) == expected


@given(st.integers(1, 20000), st.none() | st.floats(0.001, 1.0), st.integers(0, 20000))
def test_limits(steps: int, step_seconds: float | None, more: int) -> None:
    pace = film_pace(steps, step_seconds, steps + more)
    frames = pace.frame_steps(steps)
    assert frames[0] == 0 and frames[-1] == steps
    assert pace.frames_per_second <= 30.001
    assert len(frames) / pace.frames_per_second <= 10 + 2 / pace.frames_per_second + 0.1
    if step_seconds is not None:
        assert pace.speed is not None and pace.speed >= 0.999
        rate = pace.stride * pace.frames_per_second
        assert pace.speed == pytest.approx(rate * step_seconds, rel=0.01, abs=0.001)


def test_a_short_episode_beside_a_long_one_is_seen() -> None:
    alone, beside = film_pace(71, None), film_pace(71, None, 999)
    assert alone.stride * alone.frames_per_second == 10
    assert beside.stride * beside.frames_per_second == pytest.approx(71 / 3, rel=1e-3)
    # In real time an episode lasts as long as it lasts.
    assert film_pace(9, 0.02, 500).speed == 1
    # One that can be followed has the speed of the longest.
    for steps in (160, 900):
        assert film_pace(steps, 0.05, 1000).speed == film_pace(1000, 0.05).speed


def test_in_words() -> None:
    assert str(film_pace(500, 0.02)) == "real time"
    assert str(film_pace(1000, 0.05)) == "5 x real time"
    assert str(film_pace(40, None)) == "10 steps a second"
