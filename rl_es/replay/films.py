"""Episodes of saved policies as films, all of one environment at one pace."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np

from rl_es.replay.pace import Pace, pace
from rl_es.replay.painting import Painter, Size
from rl_es.rollout.trajectory import Trajectory
from rl_es.training.policies import Loader
from rl_es.training.saved import Saved


@dataclass(frozen=True)
class Film:
    """One episode, to be drawn.

    Attributes:
      policy: whose episode it is.
      episode: the episode.
      painter: draws it.
      pace: of this film and of those beside it.
    """

    policy: Saved
    episode: Trajectory
    painter: Painter
    pace: Pace

    @property
    def stage(self) -> str:
        """early, middle or final."""
        return self.policy.path.stem

    @property
    def steps(self) -> int:
        """Of the episode."""
        return len(self.episode.rewards)

    @property
    def total(self) -> float:
        """The episode's return."""
        return float(np.sum(self.episode.rewards, dtype=np.float64))

    def frames(self) -> Iterator[np.ndarray]:
        """Its pictures [height, width, 3] uint8, drawn as they are taken."""
        picture = self.painter.pictures(self.episode, self.stage)
        return map(picture, self.pace.shown(self.steps))


def films(
    loader: Loader, policies: Mapping[str, Saved], size: Size, episode_seed: int, kept: ExitStack
) -> list[Film]:
    """An episode of each policy, to be drawn while `kept` is open.

    Args:
      loader: shares what is compiled.
      policies: of one environment, by stage.
      size: of a picture.
      episode_seed: the same start for all.
      kept: closes what drawing needs.

    Raises:
      UserError: a policy cannot be read, or its environment not be drawn here.
    """
    loaded = [(policy, loader.load(policy.path)) for policy in policies.values()]
    painter = kept.enter_context(closing(Painter(loaded[0][1].workbench, size)))
    shown = [(policy, own.rollout(episode_seed, painter.states)) for policy, own in loaded]
    longest = max(len(episode.rewards) for _, episode in shown)
    common = pace(longest, painter.step_seconds)
    return [Film(policy, episode, painter, common) for policy, episode in shown]


def side_by_side(shown: Sequence[Film]) -> Iterator[np.ndarray]:
    """The pictures of several films in a row; one that is over rests at its end."""
    running = [film.frames() for film in shown]
    last: list[np.ndarray] = [next(frames) for frames in running]
    for _ in range(max(len(film.pace.shown(film.steps)) for film in shown)):
        yield np.concatenate(last, axis=1)
        last = [next(frames, held) for frames, held in zip(running, last, strict=True)]
