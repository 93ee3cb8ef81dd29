"""Where stages run: the one seam between the runner and a machine, a cluster or a colleague's."""

from pathlib import Path
from typing import Protocol

LOST = 1_000_001
"""In place of an exit code: the stage did nothing wrong and is owed again."""


class Executor(Protocol):
    """Where stages run. A stage is a folder; the executor knows nothing else."""

    capacity: int
    detaches: bool
    """Whether what runs goes on without the runner: it is then left alone where the runner is interrupted."""
    far: bool
    """Whether stages run on other machines: what they wrote may be seen here a minute later."""

    def start(self) -> None:
        """Get ready; called once, only where there is work."""

    def attached(self) -> list[Path]:
        """Return the folders whose stages run already, started by an earlier runner; called once, after `start`."""

    def submit(self, folder: Path) -> None:
        """Start the stage of a folder."""

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Return the folders whose stage ended, with exit codes, waiting up to `timeout` seconds.

        The code is LOST where the machine took the stage away: preempted, out of time, a node that failed.
        """

    def waiting(self) -> set[Path]:
        """Return the folders that were submitted and do not run yet: no time limit counts for them."""

    def gpus(self, folder: Path) -> int:
        """Return how many GPUs a stage has; 1 on a CPU."""

    def said(self, folder: Path) -> str:
        """Return what the machine says of a stage that ended without a record, empty where nothing."""

    def stop(self, folder: Path) -> None:
        """Stop one stage at once; the next poll returns it."""

    def cancel(self) -> None:
        """Stop everything that runs."""
