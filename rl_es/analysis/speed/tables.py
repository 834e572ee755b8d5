"""The summary of a speed benchmark's samples, and what its figures and its page share.

The summary tells how long, how fast, and which share of pure batch inference. Ratios are taken
within each round, between samples that are seconds apart, and then summarised: whatever slows the
machine for a while slows both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es import registry
from rl_es.analysis import drawing
from rl_es.analysis.drawing import Sheet, row_names
from rl_es.analysis.formatting import format_range
from rl_es.config import PURPLE
from rl_es.results import timings
from rl_es.results.timings import PARTS, WHOLE, WORKLOAD

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{GREEK SMALL LETTER MU}s"))
BROWN, LIGHT = "#8c6d31", "#b4b4b4"
_COLOURS = {"bare": LIGHT, "inference": "#555555", "evosax": BROWN}


def contestant_colour(agent: str) -> str:
    """Returns the colour of an agent, a floor or a peer; all variants of one share it."""
    styles = registry.declarations("STYLE", [agent])
    return styles[agent].colour if agent in styles else _COLOURS.get(agent, PURPLE)


def format_seconds(time: float) -> str:
    """Returns a time for reading, of three digits: '1.23 ms'."""
    size, unit = next(pair for pair in _UNITS if time >= pair[0] or pair is _UNITS[-1])
    return f"{time / size:.3g} {unit}"


def format_bytes(number: float) -> str:
    """Returns a size for reading, of three digits: '1.2 MB'."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def panel_grid(
    sheet: Sheet, contestants: Iterable[str], count: int, most: int
) -> tuple[Figure, list[Axes]]:
    """Returns a panel per workload for at most `most` contestants, named in the first column."""
    names = row_names(sheet, sorted(set(contestants)))
    height = 0.85 + most * max(0.16, 0.04 + 0.125 * names.lines)
    return drawing.panel_grid(sheet, count, 2.1, height, names.left, stretch=False)


def panel_of_names(panel: Axes, sheet: Sheet, rows: pd.DataFrame, title: str) -> None:
    """Sets up a row per contestant, named in the first column; one without a result says why."""
    panel.set_title(title)
    row_names(sheet, list(rows["contestant"])).label(panel)
    for index, row in enumerate(rows.to_dict("records")):
        if row["status"] != "finished":
            drawing.write_row_note(
                panel, index, "failed" if row["status"] == "failed" else "not run"
            )


def generation_rows(table: pd.DataFrame, workload: str) -> pd.DataFrame:
    """Returns a workload's rows of generations as a whole, one per contestant."""
    return table[(table["workload"] == workload) & (table["part"] == WHOLE)]


def count_rounds(table: pd.DataFrame) -> str:
    """Returns '9 interleaved rounds'."""
    return f"{format_range(table['rounds'].dropna())} interleaved rounds"


INFERENCE, BARE = "inference", "bare"
KEYS = ["workload", "contestant"]

COLUMNS = {
    "status": "finished, failed or skipped",
    "reason": "why it failed or was skipped",
    "rounds": "samples",
    "repeats": "calls that a sample is the mean of",
    "seconds": "wall time of a call: median over rounds",
    "seconds_low": "its lower quartile",
    "seconds_high": "its upper quartile",
    "cpu_ratio": "process time over wall time: the median, cores that were busy",
    "env_steps": "environment steps of a call: median",
    "steps_per_second": "environment steps a second: median",
    "share": "rate over that of pure batch inference in the same round, in percent: median",
    "share_low": "its lower quartile",
    "share_high": "its upper quartile",
    "times_bare": "time per step over that of the bare environment in the same round: median",
    "extra_seconds": "time beyond pure batch inference of as many steps: median",
    "parameters": "scalars evolved",
    "memory_bytes": "of the whole generation, by XLA's account",
    "perturbation_bytes": "noise of the population",
    "trace_seconds": "from Python to XLA's input",
    "compile_cold_seconds": "XLA's compilation, with an empty cache",
    "compile_cached_seconds": "loading from the persistent cache instead",
}


def summarise(samples: pd.DataFrame, programs: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per (workload, contestant, part), in the order of `programs`; see `COLUMNS`.

    A contestant that failed or was skipped has one row, without times.

    Args:
      samples: `timings.SAMPLE` rows of all workloads.
      programs: `timings.PROGRAM` rows of all workloads.
    """
    keys = [*KEYS, "part"]
    groups = _add_ratios(samples).groupby(keys, sort=False)
    statistics = groups.apply(_part_statistics, include_groups=False)
    if len(statistics):
        statistics = statistics.reset_index()
    else:
        statistics = pd.DataFrame(columns=[*keys, "rounds"])
    parts = pd.DataFrame({"part": [WHOLE, *PARTS]})
    rows = programs.merge(parts, how="cross").merge(statistics, how="left", on=keys)
    rows = rows[rows["rounds"].notna() | (rows["part"] == WHOLE)]
    columns = [*WORKLOAD, "contestant", "agent", "part", *COLUMNS]
    return rows.reindex(columns=columns).reset_index(drop=True)


def _add_ratios(samples: pd.DataFrame) -> pd.DataFrame:
    """Returns samples with rates, and with ratios to the floors of their workload and round."""
    samples = samples.assign(rate=samples["env_steps"] / samples["seconds"])
    generations = samples[samples["part"] == WHOLE]
    for floor in (INFERENCE, BARE):
        # Of several, the one with the floor's own name: others have other settings.
        rates = generations[generations["agent"] == floor].sort_values(
            "contestant", key=lambda labels, floor=floor: labels != floor, kind="stable"
        )
        rates = rates.drop_duplicates(["workload", "round"])
        rates = rates[["workload", "round", "rate"]].rename(columns={"rate": floor})
        samples = samples.merge(rates, how="left", on=["workload", "round"])
    is_whole = samples["part"] == WHOLE
    return samples.assign(
        share=(100 * samples["rate"] / samples[INFERENCE]).where(is_whole),
        times_bare=(samples[BARE] / samples["rate"]).where(is_whole),
        extra=samples["seconds"] - samples["env_steps"] / samples[INFERENCE],
        cpu=samples["cpu_seconds"] / samples["seconds"],
    )


def _part_statistics(rows: pd.DataFrame) -> pd.Series:
    seconds, share = _quartiles(rows["seconds"]), _quartiles(rows["share"])
    return pd.Series(
        {
            "rounds": len(rows),
            "repeats": rows["repeats"].iloc[0],
            "seconds": seconds[1],
            "seconds_low": seconds[0],
            "seconds_high": seconds[2],
            "cpu_ratio": rows["cpu"].median(),
            "env_steps": rows["env_steps"].median(),
            "steps_per_second": rows["rate"].median(),
            "share": share[1],
            "share_low": share[0],
            "share_high": share[2],
            "times_bare": rows["times_bare"].median(),
            "extra_seconds": rows["extra"].median(),
        }
    )


def _quartiles(values: pd.Series) -> np.ndarray:
    numbers = values.dropna().to_numpy(float)
    return np.quantile(numbers, [0.25, 0.5, 0.75]) if numbers.size else np.full(3, np.nan)


def workload_titles(table: pd.DataFrame) -> dict[str, str]:
    """Returns a name of two lines for each workload: its environment, then its network and sizes.

    The number of steps is named where it differs between workloads of one environment.
    """
    rows = table.drop_duplicates("workload").to_dict("records")
    lengths: dict[str, set[int]] = {}
    for row in rows:
        lengths.setdefault(row["env"], set()).add(row["episode_length"])
    titles = {}
    for row in rows:
        sizes = [network_text(row["widths"]), f"P = {row['population']}"]
        sizes += [f"E = {row['episodes']}"] if row["episodes"] != 1 else []
        sizes += [f"T = {row['episode_length']}"] if len(lengths[row["env"]]) > 1 else []
        sizes += [f"{row['horizon']} horizon"] if row["horizon"] != "full" else []
        titles[row["workload"]] = f"{row['env']}\n{', '.join(sizes)}"
    return titles


def network_text(widths: str) -> str:
    """Returns hidden layers for people: '3 x 256' of 256x256x256."""
    layers = widths.split("x") if widths else []
    times = "\N{MULTIPLICATION SIGN}"
    if not layers:
        return "no hidden layer"
    return f"{len(layers)} {times} {layers[0]}" if len(set(layers)) == 1 else times.join(layers)


@dataclass(frozen=True)
class SpeedResults:
    """The summary of a speed folder, or of some of its workloads.

    Attributes:
      table: the rows of `summarise`.
      titles: a name for each workload of the folder, by `workload_titles`.
    """

    table: pd.DataFrame
    titles: Mapping[str, str]

    @property
    def workloads(self) -> list[str]:
        """The workloads, in the order of the benchmark's file."""
        return list(dict.fromkeys(self.table["workload"]))

    def having(self, rows: pd.DataFrame) -> list[str]:
        """Returns the workloads of some rows, in the order of the benchmark's file."""
        names = set(rows["workload"])
        return [workload for workload in self.workloads if workload in names]

    def within(self, subjects: Sequence[str | tuple[str, ...]]) -> "SpeedResults":
        """Returns some workloads alone; those that are drawn together are in a tuple."""
        names = {
            workload
            for subject in subjects
            for workload in ((subject,) if isinstance(subject, str) else subject)
        }
        rows = self.table[self.table["workload"].isin(names)]
        return replace(self, table=rows.reset_index(drop=True))

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Returns the rows of the summary."""
        return {"speed": self.table}

    def sample_note(self) -> str:
        """Returns 'n = 9 interleaved rounds'."""
        return f"n = {count_rounds(self.table)}"


def from_summary(table: pd.DataFrame) -> SpeedResults:
    """Returns the source of a folder's summary."""
    return SpeedResults(table, workload_titles(table))


def load(folder: Path) -> SpeedResults:
    """Reads a folder.

    Raises:
      UserError: the folder holds no finished workload, or a damaged one.
    """
    return from_summary(summarise(*timings.load(folder)[:2]))
