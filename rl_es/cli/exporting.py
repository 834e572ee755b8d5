"""The command that writes results for another program: tensorboard."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rl_es.cli.flags import ResultsFolder
from rl_es.files.whole import check_folder


@dataclasses.dataclass(frozen=True)
class Tensorboard:
    """Write the curves of a results folder as TensorBoard's event files, a folder per run."""

    folder: ResultsFolder
    out: Annotated[
        Path | None,
        arg(
            metavar="DIR",
            help="where to; event files of an earlier time are replaced",
            help_behavior_hint="(default: tensorboard/ in the results folder)",
        ),
    ] = None

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es import event_files

        event_files.required()
        if self.out is not None:
            check_folder(self.out)
        written = event_files.write(self.folder, self.out)
        where = self.folder / event_files.FOLDER if self.out is None else self.out
        print(f"{len(written)} runs in {where}; tensorboard --logdir '{where}' shows them")
        return 0
