"""Files read back: size, number of frames, duration, and what is in them."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rl_es import registry
from rl_es.errors import UserError
from rl_es.replay import films
from rl_es.replay.films import choose_episodes, write_gif, write_mp4, write_png
from rl_es.rollout.evaluation import Trajectory
from tests.replay import videos


def sliding(count: int) -> list[np.ndarray]:
    """A light bar that goes from left to right over 64 x 48 dark pixels."""
    frames = np.full((count, 48, 64, 3), 20, np.uint8)
    for index, frame in enumerate(frames):
        frame[:, index * 4 : index * 4 + 8] = (230, 200, 60)
    return list(frames)


def bars(frames: np.ndarray) -> np.ndarray:
    """Where the bar is in each frame."""
    return np.array([np.flatnonzero(frame[24, :, 0] > 125).mean() for frame in frames])


def test_mp4(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_mp4(path, iter(sliding(12)), (64, 48), 12.5)
    frames, about = videos.read(path)
    assert frames.shape == (12, 48, 64, 3)
    assert about["fps"] == pytest.approx(12.5, rel=1e-3)
    assert about["duration"] == pytest.approx(12 / 12.5, abs=0.02)
    assert about["codec"] == "h264" and about["pix_fmt"].startswith("yuv420p")
    np.testing.assert_allclose(bars(frames), np.arange(12) * 4 + 3.5, atol=1)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # it can start before it is all there


def test_an_mp4_is_a_function_of_its_frames(tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        write_mp4(tmp_path / name, sliding(5), (64, 48), 10)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_gif(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    write_gif(path, sliding(12), 30)
    with Image.open(path) as image:
        assert image.size == (64, 48) and image.n_frames == 12 and image.info["loop"] == 0
        durations, frames = [], []
        for index in range(12):
            image.seek(index)
            durations.append(image.info["duration"])
            frames.append(np.asarray(image.convert("RGB")))
    assert sum(durations[:-1]) == pytest.approx(11 * 1000 / 30, abs=10)
    assert durations[-1] >= 1000
    np.testing.assert_allclose(bars(np.stack(frames)), np.arange(12) * 4 + 3.5)


def test_png(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", sliding(3)[1])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), sliding(3)[1])


def test_what_ffmpeg_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"film\.mp4: ffmpeg could not write it \(.+"):
        write_mp4(tmp_path / "film.mp4", sliding(2), (63, 47), 10)  # not even
    assert not list(tmp_path.iterdir())


def test_without_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films.importlib.util, "find_spec", lambda name: None)
    command = re.escape(registry.install_command("report"))
    with pytest.raises(UserError, match=f"imageio-ffmpeg: {command}"):
        write_mp4(tmp_path / "film.mp4", sliding(2), (64, 48), 10)
    write_gif(tmp_path / "film.gif", sliding(2), 10)


@pytest.mark.parametrize(
    ("returns", "seed"),
    [
        ({4: (1, 9)}, 4),
        ({4: (5, 7, 5), 6: (6, 1, 5), 5: (2, 9, 3), 7: (0, 0, 9)}, 5),  # the first that is better
        ({4: (5, 5), 6: (6, 5)}, 4),  # none is better
        ({4: (5,), 6: (6,)}, 4),  # a film of one policy alone
    ],
)
def test_the_episode_is_one_in_which_the_last_policy_does_better(
    returns: dict[int, tuple[float, ...]], seed: int
) -> None:
    def play(start: int) -> list[Trajectory]:
        nothing = np.zeros(0)
        rewards = (np.array([total / 2, total / 2]) for total in returns[start])
        return [Trajectory((), nothing, nothing, r, True, ((), nothing)) for r in rewards]

    chosen, episodes = choose_episodes(play, list(returns))
    assert chosen == seed
    assert tuple(episode.rewards.sum() for episode in episodes) == returns[seed]
