"""What `python -m tests.newest` counts as a difference."""

import pandas as pd
import pytest

from tests.newest import difference_table, faults


def curves(*returns: float) -> pd.DataFrame:
    """Returns a table of curves of two seeds, with these returns in turn; generations 0 and 1."""
    rows = [(seed, generation) for generation in (0, 1) for seed in (0, 1)]
    table = pd.DataFrame(rows, columns=["seed", "generation"])
    return table.assign(env="x", label="pes", return_mean=returns)


def test_rounding_is_no_fault_and_single_seeds_may_part_later() -> None:
    table = difference_table(curves(0, 0, 5, 10), curves(0, 1e-5, 6, 9))
    assert table["largest"].tolist() == pytest.approx([1e-6, 0.1])
    assert table["mean"].tolist() == pytest.approx([5e-7, 0.0], abs=1e-12)
    assert faults(table) == []


@pytest.mark.parametrize(
    ("returns", "fault"),
    [((0, 0.1, 5, 10), "x, generation 0: 0.01"), ((0, 0, 7, 10), "x, generation 1: 0.2")],
    ids=["first", "later"],
)
def test_a_fault_is_named(returns: tuple[float, ...], fault: str) -> None:
    assert faults(difference_table(curves(0, 0, 5, 10), curves(*returns))) == [fault]


def test_tables_of_other_rows_are_refused() -> None:
    with pytest.raises(SystemExit, match="different rows"):
        difference_table(curves(0, 0, 5, 10), curves(0, 0, 5, 10)[:3])
