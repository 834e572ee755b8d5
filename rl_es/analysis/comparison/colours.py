"""The colours of folders, where there are more than two."""

from rl_es.analysis.drawing.palette import BLACK, COLOURS

OF_OTHERS = tuple(colour for colour in COLOURS if colour != BLACK)


def colour(place: int) -> str:
    """The colour of a folder by its place; the base, which is the first, is black."""
    return BLACK if place == 0 else OF_OTHERS[(place - 1) % len(OF_OTHERS)]
