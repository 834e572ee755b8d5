"""The evolved parameters themselves, where they are few enough to be in the curves table."""

import numpy as np
import pandas as pd


def scalars(curves: pd.DataFrame) -> int:
    """How many scalars the centers of these rows have; 0 where none has any, or where they differ.

    A row has none where the parameters were too many, not finite, or not yet recorded.
    """
    counts = {len(center) for center in curves["center"] if center is not None}
    return counts.pop() if len(counts) == 1 else 0


def coordinate(curves: pd.DataFrame, place: int) -> pd.Series:
    """One scalar of each row's center, aligned with the rows; NaN where there is none."""
    values = [np.nan if center is None else center[place] for center in curves["center"]]
    return pd.Series(values, index=curves.index, dtype=float)


def path(curves: pd.DataFrame, run_id: str) -> np.ndarray:
    """[T, A] the centers of one run, in order."""
    rows = curves[(curves["run_id"] == run_id) & curves["center"].notna()]
    return np.array(list(rows.sort_values("generation")["center"]), dtype=float)
