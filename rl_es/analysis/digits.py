"""Numbers as text: with as many digits as their interval supports; counts and ranges."""

import math
from collections.abc import Iterable

import numpy as np

from rl_es.analysis.statistics import Interval

DASH = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
FEWEST = 3  # significant digits
MOST = 6  # decimals
LARGE = 1e4  # a whole number from here on is rounded like any other
ROUNDING = 1e-9  # relative to a number: a narrower interval counts as without width


def number(value: float | None) -> str:
    """A number without an interval: four significant digits; a dash for none."""
    if value is None or math.isnan(value):
        return DASH
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".")
    return text.replace("-", MINUS)


def several(count: int, noun: str) -> str:
    """'1 seed', '2 seeds'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def span(values: Iterable[int]) -> str:
    """The least and the largest of some whole numbers: '3 to 5', or '3' where all are equal."""
    ordered = sorted(int(value) for value in values)
    low, high = ordered[0], ordered[-1]
    return f"{low}" if low == high else f"{low} to {high}"


def ranges(values: Iterable[int]) -> str:
    """Whole numbers in order, those that follow each other as a range: '0 to 4, 7'."""
    found: list[list[int]] = []
    for value in sorted({int(value) for value in values}):
        if found and value == found[-1][1] + 1:
            found[-1][1] = value
        else:
            found.append([value, value])
    return ", ".join(map(span, found))


def places(found: Interval) -> int:
    """The decimal places of an estimate: two significant digits of half its interval.

    They are negative where even the ones are noise, but at least three digits of the largest number
    are kept.
    """
    low, high = float(found.low), float(found.high)
    estimate = float(found.estimate)
    largest = max(abs(low), abs(high), abs(estimate))
    if math.isfinite(largest) and high - low > ROUNDING * largest:
        supported = 1 - math.floor(math.log10((high - low) / 2))
        fewest = FEWEST - 1 - math.floor(math.log10(largest))
        return min(max(supported, min(fewest, 0)), MOST)
    return alone(estimate if math.isfinite(estimate) else low)


def alone(value: float) -> int:
    """The decimal places of a number without an interval: of four digits; 0 for a whole number."""
    if not math.isfinite(value):
        return 0
    whole = abs(value - round(value)) <= ROUNDING * abs(value)
    if whole and abs(value) < LARGE:
        return 0
    return min(FEWEST - math.floor(math.log10(abs(value))), MOST)


def written(value: float, decimals: int) -> str:
    """A number with thousands separated; `∞` for an infinite one, and a dash for NaN."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    rounded = float(np.round(value, decimals)) + 0.0  # without a negative zero
    return f"{rounded:,.{max(decimals, 0)}f}".replace("-", MINUS)


def estimate(found: Interval) -> str:
    """The estimate alone, as far as its interval supports it: '475.3'."""
    return written(float(found.estimate), places(found))


def bounds(found: Interval) -> str:
    """The interval alone: '[470.1, 480.0]'; empty where there is none."""
    low, high = float(found.low), float(found.high)
    if math.isnan(low) or math.isnan(high):
        return ""
    decimals = places(found)
    return f"[{written(low, decimals)}, {written(high, decimals)}]"


def both(found: Interval) -> str:
    """Estimate and interval: '475.3 [470.1, 480.0]'."""
    return f"{estimate(found)} {bounds(found)}".rstrip()


def signed(found: Interval) -> str:
    """A difference with its interval, the estimate with its sign."""
    text = both(found)
    above = float(found.estimate) > 0 and bool(estimate(found).strip("0."))
    return f"+{text}" if above else text


def change(value: float) -> str:
    """A change in per cent, with its sign."""
    if math.isnan(value):
        return DASH
    shown = f"{100 * value:+,.0f}%" if abs(value) >= 0.1 else f"{100 * value:+.1f}%"
    return shown.replace("-", MINUS)


def p_value(value: float) -> str:
    """A p-value: three decimals, or that it is below them."""
    return DASH if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"
