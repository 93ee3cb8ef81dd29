"""Operational settings: flag > environment > pyproject.toml > the user's own file > default. None can alter a number.

A file's settings become environment variables where none is set, so every verb, and every process it starts, sees them
in one way.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rlvr_bench.errors import FileFormatError

PROJECT = "pyproject.toml"
TABLE = "rlvr-bench"


@dataclass(frozen=True)
class Setting:
    """One setting: its variable, its default as it is shown, what its value must be, and what it is."""

    variable: str
    default: str
    kind: type
    about: str


SETTINGS: dict[str, Setting] = {
    "suite": Setting("RLVR_BENCH_SUITE", "micro", str, "the suite of validate and plan"),
    "runs": Setting("RLVR_BENCH_RUNS", "runs", str, "the folder of runs and of their cache"),
    "data": Setting("RLVR_BENCH_DATA", "", str, "a folder with NAME.jsonl for each data set"),
    "workers": Setting("RLVR_BENCH_WORKERS", "cores", int, "stages at once"),
    "executor": Setting("RLVR_BENCH_EXECUTOR", "local", str, "where stages run"),
    "report-to": Setting("RLVR_BENCH_REPORT_TO", "", str, "experiment trackers of trainings"),
    "retry": Setting("RLVR_BENCH_RETRY", "0", int, "how often a failed stage is tried again"),
    "stage-timeout": Setting("RLVR_BENCH_STAGE_TIMEOUT", "", float, "minutes that a stage may take"),
    "stall-timeout": Setting("RLVR_BENCH_STALL_TIMEOUT", "120", float, "minutes without a write; 0: any"),
    "max-gpu-hours": Setting("RLVR_BENCH_MAX_GPU_HOURS", "", float, "hours that all stages of a run may take"),
    "generation": Setting("RLVR_BENCH_GENERATION", "auto", str, "vllm or transformers; auto: vLLM on a GPU, if there"),
    "ranks": Setting("RLVR_BENCH_RANKS", "", int, "processes of each training; by memory, where it is not set"),
    "gpu-memory": Setting("RLVR_BENCH_GPU_MEMORY", "80", float, "GB of a GPU of the cluster"),
    "gpu-name": Setting(
        "RLVR_BENCH_GPU_NAME", "", str, "GPUs of the cluster, where this machine has none: part of digests"
    ),
    "gpus-per-node": Setting("RLVR_BENCH_GPUS_PER_NODE", "8", int, "GPUs of a node of the cluster"),
    "nodes-per-stage": Setting("RLVR_BENCH_NODES_PER_STAGE", "1", int, "nodes that one training may take"),
    "slurm-account": Setting("RLVR_BENCH_SLURM_ACCOUNT", "", str, "sbatch --account"),
    "slurm-partition": Setting("RLVR_BENCH_SLURM_PARTITION", "", str, "sbatch --partition"),
    "slurm-time": Setting("RLVR_BENCH_SLURM_TIME", "", str, "sbatch --time; a training goes on in the next job"),
    "slurm-gres": Setting("RLVR_BENCH_SLURM_GRES", "gpu:{gpus}", str, "sbatch --gres, {gpus} of a node"),
    "slurm-cpus": Setting("RLVR_BENCH_SLURM_CPUS", "8", int, "cores for each GPU"),
    "slurm-jobs": Setting("RLVR_BENCH_SLURM_JOBS", "1000", int, "jobs at once"),
    "slurm-poll": Setting("RLVR_BENCH_SLURM_POLL", "10", float, "seconds between two looks at the queue"),
    "slurm-extra": Setting("RLVR_BENCH_SLURM_EXTRA", "", str, "further options of sbatch, a line each"),
    "slurm-setup": Setting("RLVR_BENCH_SLURM_SETUP", "", str, "shell lines before the worker, such as module load"),
    "ray-address": Setting(
        "RLVR_BENCH_RAY_ADDRESS", "auto", str, "a Ray cluster; auto: a running one, or one of its own"
    ),
    "gpu-price": Setting("RLVR_BENCH_GPU_PRICE", "", float, "what an hour of a GPU costs, in any money"),
    "save-minutes": Setting("RLVR_BENCH_SAVE_MINUTES", "10", float, "between two checkpoints of a training at least"),
}


@dataclass(frozen=True)
class Found:
    """A setting's value and where it is from."""

    value: str
    source: str


def user_file() -> Path:
    """Return the user's own settings file."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "rlvr-bench" / "settings.toml"


def project_file(start: Path) -> Path | None:
    """Return the nearest pyproject.toml of a folder or of one above it."""
    return next((folder / PROJECT for folder in (start, *start.parents) if (folder / PROJECT).is_file()), None)


def read(environment: Mapping[str, str], start: Path) -> dict[str, Found]:
    """Return every setting with where it is from. Raises FileFormatError for a file that cannot be read as settings."""
    found = {name: Found(setting.default, "default") for name, setting in SETTINGS.items()}
    own, project = user_file(), project_file(start)
    if own.is_file():
        found |= _of_file(own, _parsed(own))
    if project is not None:
        tool = _parsed(project).get("tool", {})
        found |= _of_file(project, tool.get(TABLE, {}) if isinstance(tool, dict) else {})
    for name, setting in SETTINGS.items():
        if environment.get(setting.variable):
            found[name] = Found(environment[setting.variable], setting.variable)
    return found


def apply() -> None:
    """Make the settings of files environment variables, where none is set."""
    for name, found in read(os.environ, Path.cwd()).items():
        if found.source != "default" and found.value:
            os.environ.setdefault(SETTINGS[name].variable, found.value)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if path.name == PROJECT:  # another tool's file: its own tools will say so
            return {}
        raise FileFormatError(f"not TOML: {error}", where=str(path)) from error


def _of_file(path: Path, table: Any) -> dict[str, Found]:
    if not isinstance(table, dict):
        raise FileFormatError(f"{TABLE} must be a table of settings", where=str(path))
    found = {}
    for name, value in table.items():
        setting = SETTINGS.get(name)
        where = f"{path}:{_line(path, name)}"
        if setting is None:
            near = get_close_matches(name, SETTINGS, 1)
            hint = f"did you mean {near[0]!r}?" if near else ", ".join(SETTINGS)
            raise FileFormatError(f"no such setting: {name}", where=where, hint=hint)
        good = isinstance(value, int | float) if setting.kind is float else isinstance(value, setting.kind)
        if not good or isinstance(value, bool):
            kind = {str: "a text", int: "a whole number", float: "a number"}[setting.kind]
            raise FileFormatError(f"{name} must be {kind}, not {value!r}", where=where)
        text = str(value)
        if name in ("runs", "data") and not Path(text).is_absolute():
            text = str(path.parent / text)  # beside the file that names it, wherever the command is typed
        found[name] = Found(text, str(path))
    return found


def _line(path: Path, name: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((i for i, line in enumerate(lines, 1) if line.strip().startswith((name, f'"{name}"'))), 1)
