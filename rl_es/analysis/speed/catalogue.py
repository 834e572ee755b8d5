"""The kinds of figures of a speed benchmark."""

from rl_es.analysis.drawing import notes
from rl_es.analysis.drawing.kinds import Kind
from rl_es.analysis.speed import bars, ladder
from rl_es.analysis.speed.source import Speed

_KINDS: tuple[Kind[Speed], ...] = (
    Kind(
        "share_of_inference",
        "Environment steps a second, pure batch inference being 100",
        bars.shares,
        bars.with_shares,
        "pure batch inference among the contestants, and an agent or a peer",
        interval=notes.QUARTILES,
    ),
    Kind(
        "parts",
        "The parts of a generation",
        bars.parts,
        bars.with_parts,
        "an agent whose parts were timed",
        interval="",
    ),
    Kind(
        "cost_against_width",
        "Cost against the width of the network",
        ladder.cost_against_width,
        ladder.where,
        "three widths of equal layers, with eggroll and full_rank_es",
        most=1,
        interval="",
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
