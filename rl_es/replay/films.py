"""Episodes of saved policies as films.

A film takes at most about ten seconds, and has at most thirty pictures a second. The ffmpeg of
imageio-ffmpeg writes MP4; Pillow writes GIF and PNG.
"""

import contextlib
import importlib.util
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import numpy as np
from PIL import Image

from rl_es import registry
from rl_es.errors import UserError
from rl_es.replay.rendering import Painter, Size
from rl_es.results.files import atomic_path
from rl_es.rollout.evaluation import Trajectory
from rl_es.training.policies import PolicyLoader
from rl_es.training.policy_manifest import PolicyManifest

MOST_SECONDS = 10.0
LEAST_SECONDS = 3.0  # of a film that would be over in half of that beside a longer one
MOST_FRAMES_PER_SECOND = 30.0
STEPS_PER_SECOND = 10.0  # where steps have no duration


@dataclass(frozen=True)
class FilmPace:
    """How steps become frames.

    Attributes:
      stride: steps from one frame to the next.
      frames_per_second: of the film.
      speed: relative to real time; None where steps have no duration.
    """

    stride: int
    frames_per_second: float
    speed: float | None

    def frame_steps(self, steps: int) -> list[int]:
        """Returns the numbers of steps after which a frame is shown; the last always is."""
        frames = list(range(0, steps + 1, self.stride))
        return frames if frames[-1] == steps else [*frames, steps]

    def __str__(self) -> str:
        """For people."""
        if self.speed is None:
            return f"{self.stride * self.frames_per_second:.3g} steps a second"
        return "real time" if self.speed == 1 else f"{self.speed:.3g} x real time"


def film_pace(steps: int, step_seconds: float | None, longest: int | None = None) -> FilmPace:
    """Returns the pace of an episode: real time where that is short enough.

    Args:
      steps: of the episode.
      step_seconds: how long a step lasts; None where time is only counted.
      longest: steps of the longest of the episodes beside it. An episode takes the pace of that one
        unless it would be over at once; then it is slower, but not slower than in real time.
    """
    usual = STEPS_PER_SECOND if step_seconds is None else 1 / step_seconds
    slowest, rate = (max(usual, count / MOST_SECONDS) for count in (steps, longest or steps))
    if steps / rate < LEAST_SECONDS / 2:  # it would be over at once
        rate = max(slowest, steps / LEAST_SECONDS)
    stride = math.ceil(rate / MOST_FRAMES_PER_SECOND - 1e-9)
    speed = None if step_seconds is None else round(rate * step_seconds, 3)
    return FilmPace(stride, round(rate / stride, 3), speed)


@dataclass(frozen=True)
class Film:
    """An episode, and how it is drawn and played.

    Attributes:
      policy: whose episode it is.
      episode: the episode.
      painter: draws it.
      pace: how fast it is played.
      episode_seed: of the start of the episode.
    """

    policy: PolicyManifest
    episode: Trajectory
    painter: Painter
    pace: FilmPace
    episode_seed: int

    @property
    def stage(self) -> str:
        """Stage of training: early, middle or final."""
        return self.policy.path.stem

    @property
    def steps(self) -> int:
        """Number of steps of the episode."""
        return len(self.episode.rewards)

    @property
    def total(self) -> float:
        """The episode's return."""
        return episode_return(self.episode)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the pictures [height, width, 3] uint8, drawn as they are taken."""
        fast = self.pace.speed not in (None, 1)
        title = f"{self.stage}, {self.pace.speed:.2g}x" if fast else self.stage
        picture = self.painter.pictures(self.episode, title)
        return map(picture, self.pace.frame_steps(self.steps))


def episode_return(episode: Trajectory) -> float:
    """Returns the sum of an episode's rewards."""
    return float(np.sum(episode.rewards, dtype=np.float64))


def choose_episodes(
    play: Callable[[int], list[Trajectory]], episode_seeds: Sequence[int]
) -> tuple[int, list[Trajectory]]:
    """Returns the first seed by which the last policy has a higher return than the first one.

    An episode is one draw: an untrained policy may do as well in it as a trained one, and films of
    it would show no learning. Where no seed tells them apart, it is the first seed.

    Args:
      play: returns an episode of each policy, in the order of training, from a start.
      episode_seeds: starts to choose from; at least one.

    Returns:
      The seed and its episodes.
    """
    first: tuple[int, list[Trajectory]] | None = None
    for seed in episode_seeds:
        episodes = play(seed)
        first = first or (seed, episodes)
        if len(episodes) == 1 or episode_return(episodes[0]) < episode_return(episodes[-1]):
            return seed, episodes
    assert first is not None
    return first


def make_films(
    loader: PolicyLoader,
    policies: Mapping[str, PolicyManifest],
    size: Size,
    episode_seeds: Sequence[int],
    stack: ExitStack,
) -> list[Film]:
    """Plays an episode of each policy, to be drawn while `stack` is open.

    Args:
      loader: of policies; it shares what is compiled.
      policies: of one environment, by stage.
      size: of a picture.
      episode_seeds: starts of episodes, of which `choose_episodes` takes one for all policies.
      stack: closes what drawing needs.

    Raises:
      UserError: a policy cannot be read, or its environment not be drawn here.
    """
    actors = [loader.load(policy.path) for policy in policies.values()]
    painter = stack.enter_context(closing(Painter(actors[0].evaluator, size)))

    def play(episode_seed: int) -> list[Trajectory]:
        return [actor.rollout(episode_seed, painter.states) for actor in actors]

    episode_seed, episodes = choose_episodes(play, episode_seeds)
    lengths = [len(episode.rewards) for episode in episodes]
    paces = [film_pace(length, painter.step_seconds, max(lengths)) for length in lengths]
    return [
        Film(policy, episode, painter, pace, episode_seed)
        for policy, episode, pace in zip(policies.values(), episodes, paces, strict=True)
    ]


def side_by_side(films: Sequence[Film]) -> tuple[Iterator[np.ndarray], float]:
    """Returns the pictures of several films side by side, and their frames a second.

    The rate is that of the fastest film; a film that is over rests.
    """
    rate = max(film.pace.frames_per_second for film in films)
    seconds = max(len(f.pace.frame_steps(f.steps)) / f.pace.frames_per_second for f in films)

    def at_rate(film: Film) -> Iterator[np.ndarray]:
        """Yields a film's pictures, each as often as it takes to fill its time."""
        count = 0
        for index, frame in enumerate(film.frames()):
            until = round((index + 1) * rate / film.pace.frames_per_second)
            yield from itertools.repeat(frame, until - count)
            count = until

    def rows() -> Iterator[np.ndarray]:
        running = [at_rate(film) for film in films]
        last = [next(frames) for frames in running]
        for _ in range(round(seconds * rate)):
            yield np.concatenate(last, axis=1)
            last = [next(frames, frame) for frames, frame in zip(running, last, strict=True)]

    return rows(), rate


_HOLD = 1000  # milliseconds that a GIF rests at its end before it starts again


def check_encoder() -> None:
    """Refuses to go on without the library that writes MP4.

    Raises:
      UserError: it is not installed.
    """
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise UserError(f"an MP4 needs imageio-ffmpeg: {registry.install_command('report')}")


def write_mp4(path: Path, frames: Iterable[np.ndarray], size: tuple[int, int], fps: float) -> None:
    """Writes H.264, which every browser plays, so that it can start before all of it is loaded.

    Args:
      path: of the file.
      frames: [height, width, 3] uint8 each.
      size: width and height, even numbers.
      fps: frames a second.

    Raises:
      UserError: imageio-ffmpeg is not installed, or cannot write it.
    """
    check_encoder()
    from imageio_ffmpeg import get_ffmpeg_exe

    rate = str(Fraction(fps).limit_denominator(1000))
    before = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", rate]
    after = ["-c:v", "libx264", "-crf", "22", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    with atomic_path(path) as temporary, tempfile.TemporaryFile() as messages:
        command = [get_ffmpeg_exe(), "-y", "-v", "error", *before, "-i", "-", *after, "-bitexact"]
        # imageio-ffmpeg's own writer forks this process, which may hang beside jax's threads.
        with Popen(
            [*command, str(temporary)], stdin=PIPE, stdout=DEVNULL, stderr=messages
        ) as encoder:
            assert encoder.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # then it has said why
                for frame in frames:
                    encoder.stdin.write(np.ascontiguousarray(frame).data)
        if encoder.returncode != 0:
            messages.seek(0)
            text = messages.read().decode(errors="replace").strip()
            raise UserError(f"{path}: ffmpeg could not write it ({text})")


def write_gif(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    """Writes a GIF that is played in a loop; all frames share one palette."""
    images = [Image.fromarray(frame) for frame in frames]
    palette = _palette(images)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    ends = np.round(100 * np.arange(len(images) + 1) / fps) * 10  # GIF counts in 10 ms
    durations = np.diff(ends).astype(int).tolist()
    durations[-1] += _HOLD
    with atomic_path(path) as temporary:
        images[0].save(
            temporary, save_all=True, append_images=images[1:], duration=durations, loop=0
        )


def _palette(images: Sequence[Image.Image]) -> Image.Image:
    """Returns a palette for eight frames, taken evenly from the film."""
    sample = [images[index] for index in np.linspace(0, len(images) - 1, 8).round().astype(int)]
    width, height = sample[0].size
    sheet = Image.new("RGB", (width, height * len(sample)))
    for row, image in enumerate(sample):
        sheet.paste(image, (0, row * height))
    return sheet.quantize(256, method=Image.Quantize.MEDIANCUT)


def write_png(path: Path, frame: np.ndarray) -> None:
    """Writes one picture."""
    with atomic_path(path) as temporary:
        Image.fromarray(frame).save(temporary, optimize=True)
