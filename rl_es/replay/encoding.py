"""Pictures to files: MP4 by the ffmpeg of imageio-ffmpeg, GIF and PNG by Pillow."""

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import numpy as np
from PIL import Image

from rl_es.errors import UserError
from rl_es.files.whole import replacing

_HOLD = 1000  # milliseconds that a GIF rests at its end before it starts again


def check_encoder() -> None:
    """Refuses to go on without the library that writes MP4.

    Raises:
      UserError: it is not installed.
    """
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise UserError("an MP4 needs imageio-ffmpeg: pip install 'rl_es[report]'")


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
    with replacing(path) as temporary, tempfile.TemporaryFile() as said:
        command = [get_ffmpeg_exe(), "-y", "-v", "error", *before, "-i", "-", *after, "-bitexact"]
        # imageio-ffmpeg's own writer forks this process, which may hang beside jax's threads.
        with Popen([*command, str(temporary)], stdin=PIPE, stdout=DEVNULL, stderr=said) as encoder:
            assert encoder.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # then it has said why
                for frame in frames:
                    encoder.stdin.write(np.ascontiguousarray(frame).data)
        if encoder.returncode != 0:
            said.seek(0)
            text = said.read().decode(errors="replace").strip()
            raise UserError(f"{path}: ffmpeg could not write it ({text})")


def write_gif(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    """Writes a GIF that is played in a loop; all frames share one palette."""
    images = [Image.fromarray(frame) for frame in frames]
    palette = _palette(images)
    shown = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    ends = np.round(100 * np.arange(len(shown) + 1) / fps) * 10  # GIF counts in 10 ms
    durations = np.diff(ends).astype(int).tolist()
    durations[-1] += _HOLD
    with replacing(path) as temporary:
        shown[0].save(temporary, save_all=True, append_images=shown[1:], duration=durations, loop=0)


def _palette(images: Sequence[Image.Image]) -> Image.Image:
    """A palette for eight frames, taken evenly from the film."""
    some = [images[index] for index in np.linspace(0, len(images) - 1, 8).round().astype(int)]
    width, height = some[0].size
    sheet = Image.new("RGB", (width, height * len(some)))
    for row, image in enumerate(some):
        sheet.paste(image, (0, row * height))
    return sheet.quantize(256, method=Image.Quantize.MEDIANCUT)


def write_png(path: Path, frame: np.ndarray) -> None:
    """Writes one picture."""
    with replacing(path) as temporary:
        Image.fromarray(frame).save(temporary, optimize=True)
