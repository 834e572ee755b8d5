"""Episodes of saved policies as films."""

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
    """An episode, and how it is drawn and played.

    Attributes:
      policy: whose episode it is.
      episode: the episode.
      painter: draws it.
      pace: how fast it is played.
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
        """How many the episode has."""
        return len(self.episode.rewards)

    @property
    def total(self) -> float:
        """The episode's return."""
        return float(np.sum(self.episode.rewards, dtype=np.float64))

    def frames(self) -> Iterator[np.ndarray]:
        """Its pictures [height, width, 3] uint8, drawn as they are taken."""
        fast = self.pace.speed not in (None, 1)
        title = f"{self.stage}, {self.pace.speed:.2g}x" if fast else self.stage
        picture = self.painter.pictures(self.episode, title)
        return map(picture, self.pace.shown(self.steps))


def films(
    loader: Loader, policies: Mapping[str, Saved], size: Size, episode_seed: int, kept: ExitStack
) -> list[Film]:
    """An episode of each policy, to be drawn while `kept` is open.

    Args:
      loader: of policies; it shares what is compiled.
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
    return [
        Film(policy, episode, painter, pace(len(episode.rewards), painter.step_seconds, longest))
        for policy, episode in shown
    ]


def frame_rate(shown: Sequence[Film]) -> float:
    """Frames a second of several films in one."""
    return max(film.pace.frames_per_second for film in shown)


def side_by_side(shown: Sequence[Film]) -> Iterator[np.ndarray]:
    """The pictures of several films side by side, at `frame_rate`; a film that is over rests."""
    rate = frame_rate(shown)
    running = [_at_rate(film, rate) for film in shown]
    last = [next(frames) for frames in running]
    seconds = max(len(f.pace.shown(f.steps)) / f.pace.frames_per_second for f in shown)
    for _ in range(round(seconds * rate)):
        yield np.concatenate(last, axis=1)
        last = [next(frames, held) for frames, held in zip(running, last, strict=True)]


def _at_rate(film: Film, rate: float) -> Iterator[np.ndarray]:
    """A film's pictures, each as often as it takes to fill its time at a higher rate."""
    shown = 0
    for index, frame in enumerate(film.frames()):
        until = round((index + 1) * rate / film.pace.frames_per_second)
        for _ in range(until - shown):
            yield frame
        shown = until
