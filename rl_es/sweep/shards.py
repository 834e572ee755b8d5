"""A part of a sweep's groups, for machines that share nothing but the sweep file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rl_es.errors import UserError, brief
from rl_es.sweep.cells import Group


@dataclass(frozen=True)
class Shard:
    """Every n-th group, from the i-th on: 0 <= i < n. It is fixed by the sweep file alone."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether what is run once for a sweep, beside its groups, is this one's to run."""
        return self.index == 0

    def of(self, groups: Sequence[Group]) -> tuple[Group, ...]:
        """Its groups, in order."""
        return tuple(groups[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()


def parse(text: str) -> Shard:
    """Reads 'i/n'.

    Raises:
      UserError: it is none.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not index < count:
        raise UserError(
            f"--shard: must be I/N with I from 0 to N - 1, such as 0/4; is '{brief(text)}'"
        )
    return Shard(index, count)
