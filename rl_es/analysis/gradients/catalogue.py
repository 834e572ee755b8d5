"""The kinds of figures of gradient estimates."""

from rl_es.analysis.drawing.kinds import Kind
from rl_es.analysis.gradients import ladder, variance
from rl_es.analysis.gradients.source import Gradients

_KINDS: tuple[Kind[Gradients], ...] = (
    Kind(
        "variance",
        "Variance of gradient estimates against the windows of an episode",
        variance.draw,
        variance.where,
        "two numbers of windows",
        most=6,
        interval="",
    ),
    Kind(
        "rank_bias",
        "Distance of low-rank expected updates from full-rank ones against rank",
        ladder.draw,
        ladder.where,
        "two ranks in an environment that knows its expected estimates, and three seeds",
        most=6,
        interval=ladder.INTERVAL,
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
