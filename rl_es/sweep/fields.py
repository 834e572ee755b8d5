"""Kinds of values in a sweep file: names, labels, seeds, lists of values."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from rl_es.errors import brief

MAX_CELLS = 1_000_000
MAX_SEED = 2**31 - 1

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


def _matching(pattern: str, means: str) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > 100:
            raise ValueError(f"must be at most 100 characters, has {len(text)}")
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {means}, is {brief(text)!r}")
        return text

    return AfterValidator(check)


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuses a value that is listed twice."""
    seen = set()
    for value in values:
        if (key := repr(value)) in seen:
            raise ValueError(f"lists {brief(value)} twice")
        seen.add(key)
    return values


def _seeds(value: Any) -> Any:
    """Every form of `seeds` as a list: 5, [0, 3, 7], {first: 100, count: 10}."""
    first, count = 0, value
    if isinstance(value, dict):
        if set(value) != {"first", "count"}:
            raise ValueError("must hold 'first' and 'count', such as {first: 100, count: 10}")
        first, count = value["first"], value["count"]
    elif isinstance(value, list):
        return tuple(value)
    if not all(
        isinstance(number, int) and not isinstance(number, bool) for number in (first, count)
    ):
        raise ValueError(
            f"must be a count, a list or {{first: 100, count: 10}}, is {brief(value)!r}"
        )
    if not 1 <= count <= MAX_CELLS:
        raise ValueError(f"must be at least 1 and at most {MAX_CELLS}, is {brief(count)}")
    return tuple(range(first, first + count)) if abs(first) <= MAX_SEED else (first,)


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Seeds = Annotated[
    tuple[Seed, ...], BeforeValidator(_seeds), Field(min_length=1), AfterValidator(distinct)
]
SweepName = Annotated[str, _matching(NAME, "letters, digits, '_', '.' and '-', not a path")]
EnvironmentLabel = Annotated[
    str, _matching(rf"{NAME}(/{NAME})*", "letters, digits, '_', '.', '-' and inner '/'")
]
AgentLabel = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9]([A-Za-z0-9 _.=,+-]*[A-Za-z0-9_.=,+-])?", "letters, digits and ' _.=,+-'"
    ),
]
Values = Annotated[tuple[Any, ...], Field(min_length=1, strict=False), AfterValidator(distinct)]
