"""Flags of the command line that join processes (`rl_es.training.multihost`); loads no jax."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from rl_es.errors import UserError, brief


@dataclass(frozen=True)
class MultihostOptions:
    """The processes that run a sweep together; by default this one is alone.

    Attributes:
      coordinator: Address of process 0.
      processes: Number of processes.
      process: Index of this process.
      cluster: Whether jax finds the processes by itself.
    """

    coordinator: Annotated[
        str | None,
        arg(
            metavar="HOST:PORT",
            help="run together with other processes: address of process 0, a port that is free "
            "there",
            help_behavior_hint="(with --processes and --process)",
        ),
    ] = None
    processes: Annotated[
        int | None, arg(metavar="N", help="how many they are", help_behavior_hint="")
    ] = None
    process: Annotated[
        int | None,
        arg(metavar="I", help="which of them this one is, 0 to N - 1", help_behavior_hint=""),
    ] = None
    cluster: Annotated[
        FlagCreatePairsOff[bool],
        arg(
            help="run together with the processes that Slurm, Open MPI or another cluster that jax "
            "knows has started",
            help_behavior_hint="",
        ),
    ] = False

    @property
    def alone(self) -> bool:
        """Whether this process joins no others."""
        return self.coordinator is None and not self.cluster

    def check(self) -> None:
        """Checks the flags.

        Raises:
          UserError: they do not fit together.
        """
        flags = {
            "--coordinator": self.coordinator,
            "--processes": self.processes,
            "--process": self.process,
        }
        missing = [name for name, value in flags.items() if value is None]
        if self.cluster and len(missing) < len(flags):
            surplus = next(name for name in flags if name not in missing)
            raise UserError(f"--cluster: finds the others by itself; leave {surplus} out")
        if missing and len(missing) < len(flags):
            raise UserError(
                f"{missing[0]}: missing; --coordinator, --processes and --process go together"
            )
        if self.coordinator is None or self.processes is None or self.process is None:
            return
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port[:6]) < 2**16:
            raise UserError(
                f"--coordinator: must be HOST:PORT, such as 10.0.0.1:9876, "
                f"is '{brief(self.coordinator)}'"
            )
        if self.processes < 1:
            raise UserError(f"--processes: must be at least 1, is {self.processes}")
        if not 0 <= self.process < self.processes:
            raise UserError(
                f"--process: must be 0 to {self.processes - 1} with --processes {self.processes}, "
                f"is {self.process}"
            )


ALONE = MultihostOptions()
