"""The command that says whether all is well: doctor."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rl_es.files.whole import check_folder


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Examine packages, devices and folders, and train for some seconds; say what to do."""

    out: Annotated[Path, arg(metavar="DIR", help="where results would go")] = Path("results")

    def __call__(self) -> int:
        """Returns the exit code."""
        check_folder(self.out)
        from rl_es import findings
        from rl_es.doctor import examination

        return findings.run(examination.checks(self.out))
