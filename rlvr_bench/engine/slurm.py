"""Stages as jobs of a Slurm cluster: arrays, found again by the next runner, owed again where Slurm took them away.

What was submitted lies in `RUN/slurm/NAME.json`, written before sbatch is called and named as its jobs are: a runner
that dies at any moment finds every job by its name. Slurm's own requeueing is left on; the stage's folder is the same.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlvr_bench.engine.elsewhere import gpus_of, number
from rlvr_bench.engine.executor import LOST
from rlvr_bench.engine.local import command, variables
from rlvr_bench.engine.sbatch import PATIENCE, AwayError, FullError, nodes_of, options, patiently, slurm
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.store import write_text

ENDED_BY_SLURM = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "DEADLINE", "REVOKED", "CANCELLED"}
"""States of jobs that did nothing wrong; a job that somebody cancelled by hand is owed again too."""
PENDING = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "SUSPENDED",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
}
FULL_SECONDS = 60.0
NEVER = ("BadConstraints", "DependencyNeverSatisfied", "launch failed requeued held", "InvalidAccount", "InvalidQOS")
"""Reasons of jobs that will not start however long they wait."""
MOST_AT_ONCE = 1_000
KILLED = -9
PORT = 29_500


@dataclass
class _Array:
    """Jobs that were submitted together: job ARRAY_i does the stage of folders[i]."""

    name: str
    folders: list[str]
    gpus: int
    job: str | None = None
    live: dict[int, str] = field(default_factory=dict)


class SlurmExecutor:
    """Runs stage folders as array jobs; at most `capacity` at once, which Slurm holds to as well."""

    detaches = True
    far = True

    def __init__(self, *, log: Path, capacity: int | None = None) -> None:
        self.capacity = max(1, capacity or int(number("RLVR_BENCH_SLURM_JOBS", MOST_AT_ONCE)))
        self.every = number("RLVR_BENCH_SLURM_POLL", 10.0)
        self.run = log.parent
        self.home = RunFolder(log.parent.absolute()).slurm
        self._arrays: dict[str, _Array] = {}
        self._where: dict[Path, tuple[str, int]] = {}
        self._owed: dict[int, list[Path]] = {}
        self._widths: dict[Path, int] = {}
        self._stopped: set[Path] = set()
        self._said: dict[Path, str] = {}
        self._dropped: list[Path] = []
        self._asked = self._answered = float("-inf")
        self._held_until = float("-inf")

    def __str__(self) -> str:
        names = ",".join(array.name for array in self._arrays.values() if array.live)
        return f"`scancel --name={names}` stops them" if names else "nothing of this run is in the queue"

    def start(self) -> None:
        """Check that Slurm answers. Raises EnvironmentFaultError."""
        for tool in ("sbatch", "squeue", "scontrol", "scancel"):
            if shutil.which(tool) is None:
                raise EnvironmentFaultError(
                    f"{tool} is not here: this is no machine that submits to Slurm",
                    hint="run on a login node, or --executor local",
                )
        config = patiently("scontrol", "show", "config").stdout
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", config)
        self.largest = max(1, int(found.group(1)) - 1) if found else MOST_AT_ONCE
        self.home.mkdir(parents=True, exist_ok=True)

    def attached(self) -> list[Path]:
        """Return the folders whose jobs an earlier runner submitted and that still wait or run."""
        arrays = [array for path in sorted(self.home.glob("*.json")) if (array := _read(path))]
        live = self._live([array.name for array in arrays], patiently)
        for array in arrays:
            tasks = live.get(array.name, {})
            if not tasks:
                self._forget(array.name)
                continue
            array.job, array.live = next(iter(tasks.values()))[0], {i: state for i, (_, state, _) in tasks.items()}
            self._arrays[array.name] = array
            for i in array.live:
                folder = self.run / array.folders[i]
                self._where[folder], self._widths[folder] = (array.name, i), array.gpus
        return list(self._where)

    def submit(self, folder: Path) -> None:
        """Keep a stage for the array that the next poll submits. Raises EnvironmentFaultError where it cannot fit."""
        gpus = gpus_of(folder)
        self._widths[folder] = gpus
        self._owed.setdefault(gpus, []).append(folder)

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Submit what is kept; ask Slurm, at most every `every` seconds, and return the folders whose jobs ended.

        Raises EnvironmentFaultError where it refuses a job, or does not answer for a long time.
        """
        if self._dropped:
            dropped, self._dropped = self._dropped, []
            return [(folder, KILLED) for folder in dropped]
        if time.monotonic() >= self._held_until:
            self._flush()
        wait = self._asked + self.every - time.monotonic()
        if wait > 0 or not self._where:
            time.sleep(min(timeout, max(wait, 0.05)))
            if time.monotonic() < self._asked + self.every:
                return []
        self._asked = time.monotonic()
        names = [array.name for array in self._arrays.values() if array.live]
        try:
            live = self._live(names, slurm)
        except (AwayError, EnvironmentFaultError) as error:  # munge restarts, the controller moves: jobs go on
            if self._answered > 0 and time.monotonic() - self._answered > PATIENCE:
                raise EnvironmentFaultError(
                    f"Slurm has not answered for {PATIENCE / 60:.0f} minutes: {error}",
                    hint="its jobs go on; the same command finds them",
                ) from error
            return []
        self._answered = time.monotonic()
        return [pair for name in names for pair in self._ended(self._arrays[name], live.get(name, {}))]

    def _ended(self, array: _Array, tasks: dict[int, tuple[str, str, str]]) -> list[tuple[Path, int]]:
        """Return what ended of one array, of which `tasks` are in the queue."""
        gone = [i for i in array.live if i not in tasks]
        array.live = {i: state for i, (_, state, _) in tasks.items() if i in array.live}
        for i, (_, state, reason) in tasks.items():
            folder = self.run / array.folders[i]
            if state in PENDING and any(word in reason for word in NEVER):
                self._said[folder] = f"Slurm will never start it: {reason}"
                self._stopped.add(folder)
            if folder in self._stopped and i in array.live:  # one scancel may have been lost
                self._scancel(f"{array.job}_{i}")
        codes, back = self._codes(array, gone) if gone else ({}, {})
        array.live |= back
        found = []
        for i in (i for i in gone if i not in back):
            folder = self.run / array.folders[i]
            self._where.pop(folder, None)
            code = KILLED if folder in self._stopped else codes.get(i, LOST)
            self._stopped.discard(folder)
            if code not in (0, LOST) and folder not in self._said:
                self._said[folder] = _tail(self.home / f"{array.name}-{i}.out")
            found.append((folder, code))
        if not array.live:
            self._forget(array.name)
        return found

    def said(self, folder: Path) -> str:
        """Return what Slurm, or the shell before the worker, said of a stage."""
        return self._said.pop(folder, "")

    def waiting(self) -> set[Path]:
        """Return the folders whose jobs are not running yet."""
        kept = {folder for folders in self._owed.values() for folder in folders}
        queued = {
            self.run / array.folders[i]
            for array in self._arrays.values()
            for i, state in array.live.items()
            if state in PENDING
        }
        return kept | queued

    def gpus(self, folder: Path) -> int:
        """Return how many GPUs a stage has; 1 on a CPU."""
        return max(1, self._widths.get(folder, 1))

    def stop(self, folder: Path) -> None:
        """Cancel one job; a later poll returns it."""
        if folder in self._where:
            name, i = self._where[folder]
            self._stopped.add(folder)
            self._scancel(f"{self._arrays[name].job}_{i}")
        for folders in self._owed.values():
            if folder in folders:  # never submitted: the next poll says that it ended
                folders.remove(folder)
                self._dropped.append(folder)

    def _scancel(self, *what: str) -> None:
        with contextlib.suppress(EnvironmentFaultError, AwayError):
            slurm("scancel", *what)

    def cancel(self) -> None:
        """Cancel every job of the run; they are owed again."""
        self._owed.clear()
        names = [array.name for array in self._arrays.values() if array.live]
        if names:
            self._scancel(f"--name={','.join(names)}")
        self._where.clear()

    def _flush(self) -> None:
        """Submit what is kept; what Slurm has no room for now stays, and is tried again later."""
        for gpus, folders in list(self._owed.items()):
            while folders:
                try:
                    self._submit_array(folders[: self.largest], gpus)
                except FullError:
                    self._held_until = time.monotonic() + FULL_SECONDS
                    return
                del folders[: self.largest]
            del self._owed[gpus]

    def _submit_array(self, folders: Sequence[Path], gpus: int) -> None:
        run = hashlib.sha256(str(self.home).encode()).hexdigest()[:6]
        inside = [os.path.relpath(folder, self.run) for folder in folders]
        array = _Array(f"rlvr-{run}-{secrets.token_hex(4)}", inside, gpus)
        body = {"name": array.name, "folders": array.folders, "gpus": gpus}
        write_text(self.home / f"{array.name}.json", json.dumps(body) + "\n")
        write_text(self.home / f"{array.name}.list", "".join(f"{folder.absolute()}\n" for folder in folders))
        write_text(self.home / f"{array.name}.sh", self._script(array))
        # jobs work where this process does: what the user named relative to it is found
        words = ["sbatch", "--parsable", "--export=ALL", f"--job-name={array.name}", f"--chdir={Path.cwd()}"]
        words += [f"--array=0-{len(folders) - 1}%{self.capacity}", f"--output={self.home}/{array.name}-%a.out"]
        words += [*options(gpus), str(self.home / f"{array.name}.sh")]
        try:
            array.job = self._accepted(array, words)
        except (EnvironmentFaultError, FullError):
            self._forget(array.name)
            raise
        array.live = dict.fromkeys(range(len(folders)), "PENDING")
        self._arrays[array.name] = array
        for i, folder in enumerate(folders):
            self._where[folder] = (array.name, i)

    def _accepted(self, array: _Array, words: Sequence[str]) -> str:
        """Return the number of an array's job. An sbatch without an answer may have been accepted: its name tells."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return slurm(*words).stdout.strip().split(";")[0]
            except AwayError as error:
                if time.monotonic() > deadline:
                    raise EnvironmentFaultError("Slurm's controller does not answer", where=str(error)) from error
            time.sleep(min(5.0, self.every))
            with contextlib.suppress(AwayError, EnvironmentFaultError):
                there = self._live([array.name], slurm).get(array.name)
                if there:
                    return next(iter(there.values()))[0]

    def _script(self, array: _Array) -> str:
        """Return the batch script: what the settings put first, the worker's variables, and the worker."""
        mark = f'{shlex.quote(str(self.home))}/{array.name}-"$SLURM_ARRAY_TASK_ID".begun'
        lines = ["#!/bin/bash", f'echo "${{SLURM_RESTART_COUNT:-0}}" > {mark}']
        lines += [os.environ.get("RLVR_BENCH_SLURM_SETUP") or "", "set -u"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in variables(array.gpus).items()]
        lines += [f'folder=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(str(self.home))}/{array.name}.list)']
        if nodes_of(array.gpus) > 1:
            lines += [
                'export RLVR_BENCH_NODES="$SLURM_NNODES"',
                'export RLVR_BENCH_MAIN_ADDRESS="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)'
                f':$(({PORT} + SLURM_JOB_ID % 1000))"',
            ]
        python = " ".join(map(shlex.quote, command(Path())[:-1]))
        return "\n".join([*lines, f'exec {python} "$folder" >> "$folder/log.txt" 2>&1']) + "\n"

    def _live(self, names: Sequence[str], ask: Callable[..., Any]) -> dict[str, dict[int, tuple[str, str, str]]]:
        """Return, by array and task, the job id, state and reason of what waits or runs."""
        found: dict[str, dict[int, tuple[str, str, str]]] = {}
        if not names:
            return found
        out = ask("squeue", "--me", "-h", "-r", "-o", "%j %F %K %T %r", f"--name={','.join(names)}").stdout
        for line in out.splitlines():
            name, job, task, state, *reason = line.split(maxsplit=4)
            if task.isdigit() and state != "COMPLETED":
                found.setdefault(name, {})[int(task)] = (job, state, " ".join(reason))
        return found

    def _codes(self, array: _Array, gone: Sequence[int]) -> tuple[dict[int, int], dict[int, str]]:
        """Return the exit codes of tasks that ended, LOST where Slurm took them away, and the states of those that are
        in the queue after all: requeued between two questions. A task that Slurm knows no more is in neither."""
        try:
            out = slurm("scontrol", "show", "job", "-o", str(array.job)).stdout
        except EnvironmentFaultError:  # forgotten, MinJobAge after its end
            return {}, {}
        except AwayError:
            return {}, dict.fromkeys(gone, "RUNNING")
        found, back = {}, {}
        for line in out.splitlines():
            told = dict(part.split("=", 1) for part in line.split() if "=" in part)
            task, state = told.get("ArrayTaskId", ""), told.get("JobState", "")
            if not task.isdigit() or int(task) not in gone:
                continue
            if state in PENDING or state in ("RUNNING", "COMPLETING", "STAGE_OUT"):
                back[int(task)] = state
            else:
                code, _, signal = told.get("ExitCode", "1:0").partition(":")
                said = -int(signal) if signal not in ("", "0") else int(code)
                restarts = int(told.get("Restarts", 0))
                lost = state in ENDED_BY_SLURM or (said == 1 and self._begun(array, int(task)) < restarts)
                found[int(task)] = LOST if lost else said
        return found, back

    def _begun(self, array: _Array, task: int) -> int:
        """Return which of Slurm's starts of a task came as far as the script: a job requeued in the second in which
        its node returns fails with code 1 and never runs ("Job credential revoked")."""
        try:
            return int((self.home / f"{array.name}-{task}.begun").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0

    def _forget(self, name: str) -> None:
        self._arrays.pop(name, None)
        for end in ("json", "list", "sh"):
            (self.home / f"{name}.{end}").unlink(missing_ok=True)
        for mark in self.home.glob(f"{name}-*.begun"):
            mark.unlink(missing_ok=True)


def _read(path: Path) -> _Array | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return _Array(str(told["name"]), [str(folder) for folder in told["folders"]], int(told["gpus"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tail(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()[-500:]
    except OSError:
        return ""
