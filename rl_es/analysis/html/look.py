"""The styles of the figures in the browser's terms: plotly's dashes and symbols, SVG samples."""

from rl_es.analysis.drawing.palette import Style

WIDTH = 2.0  # pixels of a mean's line; matplotlib's dashes are in units of the line's width
_SYMBOLS = {  # matplotlib's marker -> plotly's symbol, and its outline: eight pixels, round (0, 0)
    "o": ("circle", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z"),
    "s": ("square", "M-3.5 -3.5h7v7h-7Z"),
    "^": ("triangle-up", "M0 -4L4.3 3.5H-4.3Z"),
    "D": ("diamond", "M0 -4.6L4.6 0L0 4.6L-4.6 0Z"),
    "v": ("triangle-down", "M0 4L4.3 -3.5H-4.3Z"),
    "P": ("cross", "M-1.5 -4.2h3v2.7h2.7v3h-2.7v2.7h-3v-2.7h-2.7v-3h2.7Z"),
    "X": ("x", "M-4 -2L-2 -4L0 -2L2 -4L4 -2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0Z"),
    "p": ("pentagon", "M0 -4.4L4.2 -1.3L2.6 3.6H-2.6L-4.2 -1.3Z"),
}


def of(style: Style) -> dict[str, str]:
    """A style's colour, plotly dash and symbol, and the outline of its marker for an SVG sample."""
    dash = "solid"
    if not isinstance(style.line, str):
        dash = ",".join(f"{length * WIDTH:g}px" for length in style.line[1])
    symbol, outline = _SYMBOLS[style.marker]
    return {"colour": style.colour, "dash": dash, "symbol": symbol, "outline": outline}
