"""Ticks of axes: few, round, written short."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def short(number: float, largest: float) -> str:
    """A number in the unit that suits the largest on its axis: '0.5M', '250k', '-120'."""
    if abs(largest) >= 1e13:
        return f"{number:.2g}".replace("-", "\N{MINUS SIGN}")
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(largest) >= size:
            scaled = number / (1e3 if unit == "k" else size)
            return f"{scaled:.6g}{unit}".replace("-", "\N{MINUS SIGN}") if number else "0"
    return f"{number:.6g}".replace("-", "\N{MINUS SIGN}")


def shorten_ticks(axis: Axis, ticks: int) -> None:
    """At most so many ticks, written short, all in one unit."""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))

    def label(value: float, _: int) -> str:
        return short(value, max(map(abs, axis.get_view_interval())))

    axis.set_major_formatter(FuncFormatter(label))


def log_ticks(axis: Axis, ticks: int = 7) -> None:
    """Ticks of a logarithmic axis whose limits are set: powers of ten from three decades on."""
    low, high = sorted(axis.get_view_interval())
    axis.set_minor_locator(NullLocator())
    if math.log10(high / low) >= 3:
        axis.set_major_locator(LogLocator(numticks=ticks))
        axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
        return
    axis.set_major_locator(FixedLocator(_round_between(low, high, ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(float(f"{value:.4g}"), value)))


def log2_ticks(panel: Axes, values: Sequence[float], names: Sequence[str] = ()) -> None:
    """Makes x a logarithmic axis with a tick at each value, named by itself unless `names` are."""
    panel.set_xscale("log", base=2)
    panel.set_xticks(values, names or [f"{value:g}" for value in values])
    panel.xaxis.set_minor_locator(NullLocator())


def _round_between(low: float, high: float, most: int) -> list[float]:
    """Round numbers within limits, at most `most`: of the coarsest kind that has three of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for kind in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        (*(n / 10 for n in range(10, 100)),),
    ):
        inside = [times * 10.0**power for power in powers for times in kind]
        inside = [number for number in inside if low <= number <= high]
        if len(inside) > most:
            return found if len(found) > 1 else [inside[0], inside[-1]]
        found = inside
        if len(found) >= 3:
            return found
    return found


def power(number: float) -> str:
    """A power of ten in superscript digits, without markup."""
    return "10" + str(round(math.log10(number))).translate(_RAISED)
