"""The kinds of figures of gradient estimates."""

from rl_es.analysis.drawing.kinds import Kind
from rl_es.analysis.gradients import figure
from rl_es.analysis.gradients.source import Gradients

_KINDS: tuple[Kind[Gradients], ...] = (
    Kind(
        "variance",
        "Variance of gradient estimates against the windows of an episode",
        figure.variance,
        figure.families,
        "two numbers of windows",
        most=6,
        interval="",
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
