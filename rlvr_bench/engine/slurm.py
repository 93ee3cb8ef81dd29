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
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlvr_bench.engine.elsewhere import GPUS_PER_NODE, command, gpus_of, number, variables
from rlvr_bench.engine.runner import LOST
from rlvr_bench.errors import EnvironmentFaultError, UsageError
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
AWAY = ("Unable to contact", "Socket timed out", "Connection refused", "Zero Bytes", "not responding", "communication")
"""What Slurm's commands say while its controller is away: asked again later."""
PATIENCE = 600.0
"""Seconds that a submission waits for a controller that is away."""
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

    def ids(self) -> list[str]:
        return [f"{self.job}_{i}" for i in self.live]


class SlurmExecutor:
    """Runs stage folders as array jobs; at most `capacity` at once, which Slurm holds to as well."""

    detaches = True

    def __init__(self, *, log: Path, capacity: int | None = None) -> None:
        self.capacity = capacity or int(number("RLVR_BENCH_SLURM_JOBS", MOST_AT_ONCE))
        self.every = number("RLVR_BENCH_SLURM_POLL", 10.0)
        self.home = RunFolder(log.parent.absolute()).slurm
        self._arrays: dict[str, _Array] = {}
        self._where: dict[Path, tuple[str, int]] = {}
        self._owed: dict[int, list[Path]] = {}
        self._widths: dict[Path, int] = {}
        self._stopped: set[Path] = set()
        self._asked = float("-inf")

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
        config = _slurm("scontrol", "show", "config").stdout
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", config)
        self.largest = max(1, int(found.group(1)) - 1) if found else MOST_AT_ONCE
        self.home.mkdir(parents=True, exist_ok=True)

    def attached(self) -> list[Path]:
        """Return the folders whose jobs an earlier runner submitted and that still wait or run."""
        arrays = [array for path in sorted(self.home.glob("*.json")) if (array := _read(path))]
        live = self._live([array.name for array in arrays])
        for array in arrays:
            tasks = live.get(array.name, {})
            if not tasks:
                self._forget(array.name)
                continue
            array.job, array.live = next(iter(tasks.values()))[0], {i: state for i, (_, state) in tasks.items()}
            self._arrays[array.name] = array
            for i in array.live:
                folder = Path(array.folders[i])
                self._where[folder], self._widths[folder] = (array.name, i), array.gpus
        return list(self._where)

    def submit(self, folder: Path) -> None:
        """Keep a stage for the array that the next poll submits. Raises EnvironmentFaultError where it cannot fit."""
        gpus = gpus_of(folder)
        self._widths[folder] = gpus
        self._owed.setdefault(gpus, []).append(folder)

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Submit what is kept; ask Slurm, at most every `every` seconds, and return the folders whose jobs ended."""
        self._flush()
        wait = self._asked + self.every - time.monotonic()
        if wait > 0 or not self._where:
            time.sleep(min(timeout, max(wait, 0.05)))
            if time.monotonic() < self._asked + self.every:
                return []
        self._asked = time.monotonic()
        names = [array.name for array in self._arrays.values() if array.live]
        try:
            live = self._live(names)
        except _AwayError:
            return []
        found: list[tuple[Path, int]] = []
        for name in names:
            array, tasks = self._arrays[name], live.get(name, {})
            gone = [i for i in array.live if i not in tasks]
            array.live = {i: state for i, (_, state) in tasks.items() if i in array.live}
            codes, back = self._codes(array, gone) if gone else ({}, {})
            array.live |= back
            for i in (i for i in gone if i not in back):
                folder = Path(array.folders[i])
                self._where.pop(folder, None)
                code = KILLED if folder in self._stopped else codes.get(i, LOST)
                self._stopped.discard(folder)
                found.append((folder, code))
            if not array.live:
                self._forget(name)
        return found

    def waiting(self) -> set[Path]:
        """Return the folders whose jobs are not running yet."""
        kept = {folder for folders in self._owed.values() for folder in folders}
        queued = {
            Path(array.folders[i])
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
            with contextlib.suppress(EnvironmentFaultError, _AwayError):
                _slurm("scancel", f"{self._arrays[name].job}_{i}")

    def cancel(self) -> None:
        """Cancel every job of the run; they are owed again."""
        self._owed.clear()
        names = [array.name for array in self._arrays.values() if array.live]
        if names:
            with contextlib.suppress(EnvironmentFaultError, _AwayError):
                _slurm("scancel", f"--name={','.join(names)}")
        self._where.clear()

    def _flush(self) -> None:
        for gpus, folders in list(self._owed.items()):
            for start in range(0, len(folders), self.largest):
                self._submit_array(folders[start : start + self.largest], gpus)
            del self._owed[gpus]

    def _submit_array(self, folders: Sequence[Path], gpus: int) -> None:
        run = hashlib.sha256(str(self.home).encode()).hexdigest()[:6]
        array = _Array(f"rlvr-{run}-{secrets.token_hex(4)}", [str(folder) for folder in folders], gpus)
        body = {"name": array.name, "folders": array.folders, "gpus": gpus}
        write_text(self.home / f"{array.name}.json", json.dumps(body) + "\n")
        write_text(self.home / f"{array.name}.list", "".join(f"{folder}\n" for folder in array.folders))
        write_text(self.home / f"{array.name}.sh", self._script(array))
        words = ["sbatch", "--parsable", "--export=ALL", f"--job-name={array.name}", f"--chdir={self.home}"]
        words += [f"--array=0-{len(folders) - 1}%{self.capacity}", f"--output={self.home}/{array.name}-%a.out"]
        words += [*options(gpus), str(self.home / f"{array.name}.sh")]
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                array.job = _slurm(*words).stdout.strip().split(";")[0]
                break
            except _AwayError as error:
                if time.monotonic() > deadline:
                    raise EnvironmentFaultError("Slurm's controller does not answer", where=str(error)) from error
                time.sleep(min(5.0, self.every))
        array.live = dict.fromkeys(range(len(folders)), "PENDING")
        self._arrays[array.name] = array
        for i, folder in enumerate(folders):
            self._where[folder] = (array.name, i)

    def _script(self, array: _Array) -> str:
        """Return the batch script: what the settings put first, the worker's variables, and the worker."""
        lines = ["#!/bin/bash", "set -u", *_lines("RLVR_BENCH_SLURM_SETUP")]
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

    def _live(self, names: Sequence[str]) -> dict[str, dict[int, tuple[str, str]]]:
        """Return, by array and task, the job id and state of what waits or runs."""
        found: dict[str, dict[int, tuple[str, str]]] = {}
        if not names:
            return found
        out = _slurm("squeue", "--me", "-h", "-r", "-o", "%j %F %K %T", f"--name={','.join(names)}").stdout
        for line in out.splitlines():
            name, job, task, state = line.split()
            if task.isdigit() and state != "COMPLETED":
                found.setdefault(name, {})[int(task)] = (job, state)
        return found

    def _codes(self, array: _Array, gone: Sequence[int]) -> tuple[dict[int, int], dict[int, str]]:
        """Return the exit codes of tasks that ended, LOST where Slurm took them away, and the states of those that are
        in the queue after all: requeued between two questions. A task that Slurm knows no more is in neither."""
        try:
            out = _slurm("scontrol", "show", "job", "-o", str(array.job)).stdout
        except EnvironmentFaultError:  # forgotten, MinJobAge after its end
            return {}, {}
        except _AwayError:
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
                found[int(task)] = LOST if state in ENDED_BY_SLURM else said
        return found, back

    def _forget(self, name: str) -> None:
        self._arrays.pop(name, None)
        for end in ("json", "list", "sh"):
            (self.home / f"{name}.{end}").unlink(missing_ok=True)


def nodes_of(gpus: int) -> int:
    """Return over how many nodes so many GPUs are spread."""
    return max(1, -(-gpus // int(number(GPUS_PER_NODE, 8))))


def options(gpus: int) -> list[str]:
    """Return sbatch's options for a stage with so many GPUs, from the settings. Raises UsageError."""
    nodes = nodes_of(gpus)
    found = [f"--nodes={nodes}", "--ntasks-per-node=1"]
    for name in ("account", "partition", "time"):
        if value := os.environ.get(f"RLVR_BENCH_SLURM_{name.upper()}"):
            found.append(f"--{name}={value}")
    if gpus:
        each = gpus // nodes
        found.append("--gres=" + (os.environ.get("RLVR_BENCH_SLURM_GRES") or "gpu:{gpus}").replace("{gpus}", str(each)))
        found.append(f"--cpus-per-task={int(number('RLVR_BENCH_SLURM_CPUS', 8)) * each}")
    for line in _lines("RLVR_BENCH_SLURM_EXTRA"):
        if not line.startswith("-"):
            raise UsageError(f"slurm-extra: {line!r} is no option of sbatch", hint='slurm-extra = "--qos=high"')
        found.append(line)
    return found


def _lines(variable: str) -> list[str]:
    """Return the lines of a setting, also where they are kept in one line by semicolons."""
    text = (os.environ.get(variable) or "").replace(";", "\n")
    return [line.strip() for line in text.splitlines() if line.strip()]


class _AwayError(Exception):
    """Slurm's controller does not answer now."""


def _slurm(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - words of our own
    except subprocess.TimeoutExpired as error:
        raise _AwayError(f"{words[0]} does not answer") from error
    if done.returncode == 0:
        return done
    said = done.stderr.strip()
    if any(text in said for text in AWAY):
        raise _AwayError(said)
    raise EnvironmentFaultError(
        f"{words[0]} refuses: {said or done.returncode}",
        where=" ".join(words[:6]),
        hint="rlvr-bench show settings: slurm-*",
    )


def _read(path: Path) -> _Array | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return _Array(str(told["name"]), [str(folder) for folder in told["folders"]], int(told["gpus"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
