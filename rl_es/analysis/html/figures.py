"""The figures of a results folder, as the page shows them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from rl_es.analysis.html import media

FORMATS = ("svg", "pdf")  # of further files beside the picture


@dataclass(frozen=True)
class Picture:
    """A figure: its picture, inside the page or beside it, and its files in other formats."""

    name: str
    caption: str
    source: str
    width: int  # pixels
    height: int
    beside: str  # the picture's own file
    others: tuple[tuple[str, str], ...]  # (format, file)


def pictures(
    paths: Sequence[Path], held: Collection[Path], caption: Callable[[str], str]
) -> list[Picture]:
    """The figures of these PNG files, with the caption of each; those in `held` are in the page."""
    return [_picture(path, held, caption(path.stem)) for path in paths]


def _picture(path: Path, held: Collection[Path], caption: str) -> Picture:
    others = [path.with_suffix(f".{kind}") for kind in FORMATS]
    with Image.open(path) as image:
        width, height = image.size
    return Picture(
        path.stem,
        caption,
        media.address(path, held),
        width,
        height,
        media.address(path, ()),
        tuple((o.suffix[1:].upper(), media.address(o, ())) for o in others if o.exists()),
    )
