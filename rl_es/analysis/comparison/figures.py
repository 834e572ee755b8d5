"""The figures of a comparison, as files."""

from pathlib import Path

from rl_es.analysis.comparison import curves, differences
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.drawing import files
from rl_es.analysis.drawing.kinds import Kind

DIFFERENCES, CURVES = "differences", "curves"
KINDS: dict[str, Kind[Comparison]] = {
    kind.name: kind
    for kind in (
        Kind(
            DIFFERENCES,
            "How much better the others are than the base, with intervals",
            differences.draw,
            differences.where,
            most=11,
        ),
        Kind(
            CURVES,
            "Learning curves of the base and of the others",
            curves.draw,
            lambda comparison, options: comparison.environments,
            most=curves.COLUMNS,
        ),
    )
}


def write(folder: Path, comparison: Comparison) -> list[Path]:
    """Writes the figures as PNG and SVG and removes those of an earlier comparison."""
    return files.write_kinds(folder, KINDS.values(), comparison)
