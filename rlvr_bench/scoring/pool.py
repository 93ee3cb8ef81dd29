"""The processes that run math-verify, as one thing to ask: started on first use, killed and replaced when hung.

Safe in threads (one batch at a time) and after a fork (a forked process starts its own).
"""

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.scoring.checker import READY, TIME_LIMIT

START_LIMIT = 120.0
"""Seconds that importing math-verify may take on a loaded machine or a slow network disk."""
_GRACE = 20.0
_MANY = 8
"""A batch of this many jobs is worth a further process."""
_AHEAD, _AHEAD_BYTES = 8, 32_768
"""Jobs are handed over ahead, so that a process need not wait for the next; never more than a pipe holds."""
MAX_JOB_BYTES = 30_000
_TRIES = 2
"""A supervisor never hangs of itself; where it is killed from outside, its jobs are owed to another."""

Job = Sequence[tuple[str, str]]


class _Supervisor:
    """One `rlvr_bench.scoring.checker` process; `jobs` are the numbers and sizes of those it holds, oldest first."""

    def __init__(self) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from rlvr_bench.scoring.checker import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
        assert self.process.stdin and self.process.stdout
        self.send, self.receive = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.buffer = b""
        self.ready = False
        self.jobs: deque[tuple[int, int]] = deque()
        self.deadline = time.monotonic() + START_LIMIT

    def lines(self) -> list[bytes]:
        """Read the whole lines that have come. Raises EOFError where the process has ended."""
        part = os.read(self.receive, 65536)
        if not part:
            raise EOFError
        *lines, self.buffer = (self.buffer + part).split(b"\n")
        return lines

    def has_room(self, size: int) -> bool:
        """Return whether a further job of this many bytes can be handed over."""
        return self.ready and (
            not self.jobs or (len(self.jobs) < _AHEAD and sum(s for _, s in self.jobs) + size < _AHEAD_BYTES)
        )

    def start(self, number: int, line: bytes) -> None:
        """Hand over a job."""
        if not self.jobs:
            self.deadline = time.monotonic() + TIME_LIMIT + _GRACE
        self.jobs.append((number, len(line)))
        with contextlib.suppress(OSError):  # a process that has ended is met when its answer is read
            os.write(self.send, line)

    def last_words(self) -> str:
        """Return the end of what the process wrote to its standard error."""
        self.log.seek(0)
        return self.log.read()[-600:].decode(errors="replace").strip()

    def end(self) -> None:
        """Kill the process and free its pipes; its own child dies with it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]


class Pool:
    """Supervisors, at most `size`; one is enough until a batch holds many jobs."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size or min(4, os.cpu_count() or 1)  # the caller waits meanwhile
        self._lock = threading.Lock()
        self._supervisors: list[_Supervisor] = []

    def run(self, jobs: Sequence[Job]) -> list[list[bool | None]]:
        """Return the verdicts of each job's questions, up to the first that took too long: it is None and the last.

        Raises EnvironmentFaultError where math-verify cannot be started at all.
        """
        if not jobs:
            return []
        with self._lock:
            try:
                return self._run(jobs)
            except BaseException:  # answers that are still to come belong to this batch alone
                self._end_all()
                raise

    def prepare(self) -> None:
        """Start one process in the background, so that the first question need not wait for its imports."""
        with self._lock:
            if not self._supervisors:
                self._supervisors.append(_Supervisor())

    def _run(self, jobs: Sequence[Job]) -> list[list[bool | None]]:
        found: list[list[bool | None]] = [[None]] * len(jobs)
        tries = Counter[int]()
        lines = [json.dumps([list(pair) for pair in job]).encode() + b"\n" for job in jobs]
        owed = deque(number for number, line in enumerate(lines) if len(line) <= MAX_JOB_BYTES)
        wanted = self.size if len(owed) >= _MANY else 1
        while owed or any(supervisor.jobs for supervisor in self._supervisors):
            while owed and len(self._supervisors) < wanted:
                self._supervisors.append(_Supervisor())
            for supervisor in self._supervisors:
                while owed and supervisor.has_room(len(lines[owed[0]])):
                    number = owed.popleft()
                    tries[number] += 1
                    supervisor.start(number, lines[number])
            lost = [supervisor for supervisor in self._waited() if not self._receive(supervisor, found)]
            for supervisor in [*lost, *self._hung()]:
                held = [number for number, _ in supervisor.jobs]
                self._lose(supervisor)
                owed.extendleft(number for number in reversed(held) if tries[number] < _TRIES)
        return found

    def _waited(self) -> list[_Supervisor]:
        with selectors.DefaultSelector() as selector:
            for supervisor in self._supervisors:
                if supervisor.jobs or not supervisor.ready:
                    selector.register(supervisor.receive, selectors.EVENT_READ, supervisor)
            return [key.data for key, _ in selector.select(1.0)]

    def _receive(self, supervisor: _Supervisor, found: list[list[bool | None]]) -> bool:
        """Take the answers that have come; return False where the process has ended."""
        try:
            lines = supervisor.lines()
        except (EOFError, OSError):
            return False
        for line in lines:
            if not supervisor.ready:
                supervisor.ready = line + b"\n" == READY
                continue
            number, _ = supervisor.jobs.popleft()
            found[number] = [{"1": True, "0": False}.get(mark) for mark in line.decode()]
            supervisor.deadline = time.monotonic() + TIME_LIMIT + _GRACE
        return True

    def _lose(self, supervisor: _Supervisor) -> None:
        """Drop a process that has ended or hangs."""
        words = supervisor.last_words()
        self._supervisors.remove(supervisor)
        supervisor.end()
        if not supervisor.ready:
            raise EnvironmentFaultError(
                f"math-verify cannot be started: {words[-300:] or 'its process ended'}",
                where="the grader's process",
                hint="python -m rlvr_bench.scoring.checker < /dev/null",
            )

    def _hung(self) -> list[_Supervisor]:
        now = time.monotonic()
        return [s for s in self._supervisors if (s.jobs or not s.ready) and now > s.deadline]

    def _end_all(self) -> None:
        for supervisor in self._supervisors:
            supervisor.end()
        self._supervisors.clear()

    def close(self) -> None:
        """End all processes."""
        in_time = self._lock.acquire(
            timeout=1.0
        )  # a thread may be waiting for its batch: the program ends all the same
        self._end_all()
        if in_time:
            self._lock.release()

    def pids(self) -> list[int]:
        """Return the process ids of the supervisors."""
        return [supervisor.process.pid for supervisor in self._supervisors]


_pool: Pool | None = None


def pool() -> Pool:
    """Return this process's pool."""
    global _pool
    if _pool is None:
        _pool = Pool()
        atexit.register(_pool.close)
    return _pool


_inherited: list[Any] = []


def _forget() -> None:
    """After a fork: the parent's processes are the parent's, and its objects must not be finalised here."""
    global _pool
    if _pool is not None:
        atexit.unregister(_pool.close)
        _inherited.append(_pool)
    _pool = None


os.register_at_fork(after_in_child=_forget)
