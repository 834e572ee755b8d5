"""What lasting particles do once they have broken down, window by window."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.evolution.perturbation import block_keys
from rl_es.interfaces import Members
from rl_es.rollout.segments import CentreWindows, ParticleWindows, SegmentStart, StaggeredWindows
from tests.toys import Breaking, ParameterPolicy

POLICY = ParameterPolicy()
OFFSETS = np.float32([0.5, 1.5, np.nan])  # around 1: both members sound, minus broken, both
NAN = np.nan


def run_windows(windows: Any, offsets: list[np.ndarray], theta: float = 1.0) -> list[Any]:
    """The segments of windows, each under offsets [H] of the plus members."""
    pairs = len(OFFSETS)
    particles, fresh, segments = windows.particles(jnp.arange(pairs)), jnp.ones(pairs, bool), []

    @jax.jit
    def run_window(start: SegmentStart, offset: Any, key: Any) -> Any:
        center = {"theta": jnp.full(1, theta)}
        members = Members(center, {("theta",): offset[:, None]}, {})
        return windows.run(members, start, *(block_keys(k, pairs) for k in jax.random.split(key)))

    for number, offset in enumerate(offsets):
        outcome = run_window(SegmentStart(particles, fresh, None), offset, jax.random.key(number))
        particles, fresh = outcome.particles, outcome.segment.ended
        segments.append(outcome.segment)
    return segments


@pytest.mark.parametrize("fatal", [True, False])
def test_a_broken_member_stays_the_worst_until_its_pair_starts_afresh(fatal: bool) -> None:
    """Whether or not the environment sees it; the time limit ends the episode of its partner.

    Ended by the environment, it would idle at zero, where the others pay for each step.
    """
    windows = ParticleWindows(Breaking(length=6, fatal=fatal), POLICY, 2)
    sound = np.float32([0.5, 0.5, 0.5])
    segments = run_windows(windows, [OFFSETS, sound, sound, sound])
    returns = [segment.returns.reshape(-1, 2) for segment in segments]
    plain = [-0.5, -4.5]  # two steps at 1.5, and at 0.5
    np.testing.assert_array_equal(returns[0], [plain, [-0.5, NAN], [NAN, NAN]])
    np.testing.assert_array_equal(returns[1], [plain, [-0.5, NAN], plain])
    np.testing.assert_array_equal(returns[2], [plain, [-0.5, NAN], plain])
    np.testing.assert_array_equal(returns[3], [plain, plain, plain])
    ended = [list(map(bool, segment.ended)) for segment in segments]
    assert ended == [[False, False, True], [False] * 3, [True, True, False], [False, False, True]]
    # An offset that is no number is not below the edge: the environment sees one of three break.
    assert [int(segment.steps) for segment in segments] == [12 - fatal, 10, 10, 12]
    assert [int(segment.episodes) for segment in segments] == [3, 0, 3, 2]


def test_an_endless_episode_is_over_where_a_member_has_broken_down() -> None:
    """Its partner would go on for ever, and the pair with it."""
    windows = ParticleWindows(Breaking(length=None), POLICY, 2)
    first, second = run_windows(windows, [OFFSETS, np.full(3, 0.5, np.float32)])
    assert list(first.ended) == [False, True, True] and not second.ended.any()
    assert np.isfinite(second.returns).all()


@pytest.mark.parametrize("staggered", [False, True])
def test_a_centre_that_has_broken_down_starts_afresh(staggered: bool) -> None:
    """Its pair's members would all start from what is left of it."""
    windows = CentreWindows(Breaking(length=None), POLICY, 2)
    offsets = [np.full(3, 0.5, np.float32)]
    (segment,) = run_windows(
        StaggeredWindows(windows, 5) if staggered else windows, offsets, theta=-0.2
    )
    assert segment.ended.all() and int(segment.episodes) == 3
    np.testing.assert_array_equal(np.isfinite(segment.returns), [True, False] * 3)
