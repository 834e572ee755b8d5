"""Text in pictures, and the caption under each of them."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, QUIET, PAPER = "#33373d", "#777b82", "#ffffff"


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that pictures are the same on every machine."""
    return ImageFont.load_default(size)


def strip_height(height: int) -> int:
    """The rows of pixels, an even number, that the caption of a picture of this height takes."""
    return max(16, 2 * round(height / 26))


def captioned(
    picture: np.ndarray, height: int, title: str, steps: int, return_so_far: float
) -> np.ndarray:
    """A picture with a caption under it: its title, the time, and the return so far.

    Args:
      picture: [height - strip_height(height), width, 3] uint8.
      height: of the result.
      title: such as early, middle or final.
      steps: how many were taken.
      return_so_far: the sum of their rewards.

    Returns:
      [height, width, 3] uint8.
    """
    width = picture.shape[1]
    image = Image.new("RGB", (width, height), PAPER)
    image.paste(Image.fromarray(picture))
    draw, letters = ImageDraw.Draw(image), font(round(0.66 * strip_height(height)))
    middle, margin = (picture.shape[0] + height) / 2, round(width / 50)
    draw.text((margin, middle), title, QUIET, letters, anchor="lm")
    draw.text((width / 2, middle), f"t = {steps}", INK, letters, anchor="mm")
    told = f"return {return_so_far:.1f}"
    draw.text((width - margin, middle), told, INK, letters, anchor="rm")
    return np.asarray(image)
