"""Films read back by the ffmpeg that wrote them."""

import os
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np


def read(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Frames [N, height, width, 3] uint8, and what ffmpeg says of the file."""
    os.environ["IMAGEIO_FFMPEG_NO_PREVENT_SIGINT"] = "1"  # else it forks, beside jax's threads
    frames = imageio_ffmpeg.read_frames(str(path))
    about: Any = next(frames)
    width, height = about["size"]
    pictures = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]
    return np.stack(pictures), about
