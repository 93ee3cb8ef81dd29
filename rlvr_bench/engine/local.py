"""Stages on this machine: as many at once as cores, forked from a server that has imported everything.

The server is multiprocessing's forkserver with a preload list, so a run pays the imports of torch, TRL
and lm-eval once. Workers have one torch thread each: two threads in one process are slower here.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from rlvr_bench.backends import PRELOAD
from rlvr_bench.engine import worker

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}
"""Set for the worker server. MALLOC_*: glibc keeps freed memory instead of handing tensors' pages back and
faulting them in again, 10 % of a training stage's CPU time (docs/benchmarks.md)."""


NOT_ON_GPUS = ("CUDA_VISIBLE_DEVICES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_")


def variables(gpus: int) -> dict[str, str]:
    """Return what a worker's environment is set to: one thread a process; on a CPU no GPU is seen."""
    return {name: value for name, value in ENVIRONMENT.items() if not gpus or name not in NOT_ON_GPUS}


def command(folder: Path) -> list[str]:
    """Return the words that do one stage, with this interpreter: it has to be on storage that all nodes see."""
    return [sys.executable, "-m", "rlvr_bench.engine.worker", str(folder.absolute())]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor:
    """Runs stage folders in forked processes, at most `capacity` at once."""

    detaches = False
    far = False

    def __init__(self, *, log: Path, capacity: int | None = None) -> None:
        self.capacity = capacity or cores()
        self._log = log
        self._context = multiprocessing.get_context("forkserver")
        self._running: dict[Path, BaseProcess] = {}

    def start(self) -> None:
        """Start the worker server; it imports in the background, with its output in the log."""
        os.environ.update(ENVIRONMENT)
        self._context.set_forkserver_preload(list(PRELOAD))
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        with self._log.open("ab", buffering=0) as log:
            try:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                forkserver.ensure_running()
            finally:
                for number, copy in zip((1, 2), saved, strict=True):
                    os.dup2(copy, number)
                    os.close(copy)

    def attached(self) -> list[Path]:
        """Return nothing: stages end with their runner."""
        return []

    def waiting(self) -> set[Path]:
        """Return nothing: stages start at once."""
        return set()

    def gpus(self, folder: Path) -> int:  # noqa: ARG002
        """Return 1: on a CPU."""
        return 1

    def submit(self, folder: Path) -> None:
        """Start a stage. Its folder holds `stage.json`."""
        for wait in (0.1, 0.5, 2.0, None):
            process = self._context.Process(target=worker.forked, args=(str(folder),), daemon=True)
            try:
                with _without_main():
                    process.start()
                break
            except (
                EOFError,
                ConnectionError,
            ):  # the server was killed: once that is seen, the next start makes a new one
                if wait is None:
                    raise
                time.sleep(wait)
        self._running[folder] = process

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Wait up to `timeout` seconds; return the folders whose process ended, with exit codes."""
        if not self._running:
            return []
        ended = connection.wait([p.sentinel for p in self._running.values()], timeout)
        found = []
        for folder, process in list(self._running.items()):
            if process.sentinel in ended:
                process.join()
                found.append((folder, process.exitcode or 0))
                del self._running[folder]
        return found

    def said(self, folder: Path) -> str:  # noqa: ARG002
        """Return nothing: the stage's own log says it."""
        return ""

    def stop(self, folder: Path) -> None:
        """Kill one stage; the next poll returns it."""
        if folder in self._running:
            self._running[folder].kill()

    def cancel(self) -> None:
        """Kill all running stages and wait for their end; they are owed again."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.join()
        self._running.clear()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide `__main__` from multiprocessing, which would import the command line anew in every worker."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
