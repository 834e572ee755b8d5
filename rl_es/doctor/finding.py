"""What a check finds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from rl_es.errors import why

State = Literal["ok", "warn", "fail"]
OK: State = "ok"
WARN: State = "warn"
FAIL: State = "fail"


@dataclass(frozen=True)
class Finding:
    """What a check finds of one thing.

    Attributes:
      what: the thing.
      state: ok; warn: runs go on, but something should be known; fail: runs will fail.
      detail: what was found.
      remedy: what to do; of what is ok, what could be done.
    """

    what: str
    state: State
    detail: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def examined(what: str, check: Check) -> Iterator[Finding]:
    """What a check finds; whatever it raises is a finding, too."""
    try:
        yield from check()
    except Exception as error:
        detail = f"{type(error).__name__}: {why(error)}"
        yield Finding(what, FAIL, detail, f"see why {what} cannot be examined")
