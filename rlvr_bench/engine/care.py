"""How a run is looked after: retries, time limits, a budget, smaller batches where memory ran out.

Owns what may be tried again and when a stage counts as stuck. Nothing here changes what a stage should find.
"""

import errno
import json
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.planning.cost import disk_bytes
from rlvr_bench.runs import layout
from rlvr_bench.schema.plan import AdoptInputs, AnyInputs, EvaluateInputs, Stage, TrainInputs
from rlvr_bench.schema.record import Failure

SAME_AGAIN = frozenset({"non-finite", "labels"})
"""Failures that the same seed gives again: trying once more would only cost."""

LOOK_SECONDS = 2.0
TAKEN = 75
"""Exit code of a worker that finds another at work on its stage, as after a network was split (EX_TEMPFAIL)."""


NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
FULL = ("No space left on device", "Disk quota exceeded", "code: 28", "PytorchStreamWriter failed")
"""What libraries say of a full disk without an error number: safetensors, torch."""


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error, or what caused it, is that no space is left."""
    said: BaseException | None = error
    while said is not None:
        if isinstance(said, OSError) and said.errno in NO_SPACE:
            return True
        if any(words in str(said) for words in FULL):
            return True
        said = said.__cause__
    return False


def no_room(folder: Path, needed: float | None = None) -> EnvironmentFaultError:
    """Return the error that says that a disk has no room, for `needed` bytes where that is known."""
    free = _free(folder)
    room = f"{free / 1e9:.3g} GB are free" if free is not None else "nothing is known to be free"
    return EnvironmentFaultError(
        f"the disk is full: {room}" if needed is None else f"the next stage needs {needed / 1e9:.3g} GB, {room}",
        where=str(folder),
        hint="make room and run the same command again: nothing finished is lost",
    )


def size_of(folder: Path) -> int:
    """Return the bytes that lie in a folder already: what an interrupted training goes on from is not needed twice."""
    return _signature(folder)[1] if folder.is_dir() else 0


def check_room(folder: Path, stage: Stage, stage_folder: Path) -> None:
    """Raise EnvironmentFaultError where a stage would not fit on the disk beside what its folder holds already."""
    free, needed = _free(folder), disk_bytes([stage]) - size_of(stage_folder)
    if free is not None and free < needed:
        raise no_room(folder, needed)


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


@dataclass(frozen=True)
class Care:
    """`retries` of a failed stage; `stage_seconds` that a stage may take; `stall_seconds` that it may go without
    writing anything; `hours` that all stages of the run may take together, in this invocation and those before."""

    retries: int = 0
    stage_seconds: float | None = None
    stall_seconds: float | None = None
    hours: float | None = None

    def again(self, failure: Failure, attempts: int) -> bool:
        """Return whether a stage that failed for the `attempts`-th time is tried once more."""
        return failure.kind not in SAME_AGAIN and attempts <= self.retries


@dataclass
class _Watched:
    started: float
    changed: float
    gpus: int = 1
    signature: tuple[int, int] = (0, 0)


@dataclass
class Watchdog:
    """Which running stages are stuck, by this process's monotonic clock: one that jumps changes nothing."""

    care: Care
    clock: Callable[[], float] = time.monotonic
    _stages: dict[Path, _Watched] = field(default_factory=dict)
    _looked: float = float("-inf")

    def started(self, folder: Path, gpus: int = 1) -> None:
        """Begin to watch a stage that has so many GPUs."""
        now = self.clock()
        self._stages[folder] = _Watched(now, now, gpus)

    def hold(self, waiting: Collection[Path]) -> None:
        """Let the time of stages that wait for a machine not count: they begin when they do not wait any more."""
        now = self.clock()
        for folder in waiting:
            if folder in self._stages:
                watched = self._stages[folder]
                watched.started = watched.changed = now

    def ended(self, folder: Path) -> tuple[int, float]:
        """Return how many GPUs a stage had and how many seconds it took, and forget it."""
        watched = self._stages.pop(folder)
        return watched.gpus, round(self.clock() - watched.started, 3)

    def running_seconds(self) -> float:
        """Return the GPU-seconds that the running stages have taken so far, together."""
        now = self.clock()
        return sum((now - watched.started) * watched.gpus for watched in self._stages.values())

    def stuck(self) -> list[tuple[Path, str]]:
        """Return the stages that take too long, or have written nothing for too long, and which of both."""
        now = self.clock()
        if now - self._looked < LOOK_SECONDS:
            return []
        self._looked = now
        found = []
        for folder, watched in self._stages.items():
            limit, stall = self.care.stage_seconds, self.care.stall_seconds
            if limit is not None and now - watched.started > limit:
                found.append((folder, f"ran for more than the {limit:g} s that a stage may take"))
                continue
            if stall is None:
                continue
            signature = _signature(folder)
            if signature != watched.signature:
                watched.signature, watched.changed = signature, now
            elif now - watched.changed > stall:
                found.append((folder, f"wrote nothing for {stall:g} s"))
        return found


def _signature(folder: Path) -> tuple[int, int]:
    """Return the number of files of a folder and their bytes together: progress is what grows."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # renamed meanwhile
            continue
    return len(sizes), sum(sizes)


def smaller(inputs: AnyInputs, adapted: dict[str, int]) -> dict[str, int] | None:
    """Return batches of half the size, at the same effective batch, or None where they cannot be smaller.

    A training's micro-batch must divide the rollouts of an update; what is sampled at once is halved with it, and after
    it is 1.
    """
    if isinstance(inputs, TrainInputs):
        s = inputs.settings
        update = s.prompts_per_step * s.group_size // s.updates_per_step
        now = adapted.get("micro_batch") or s.micro_batch or update
        half = next((n for n in range(now // 2, 0, -1) if update % n == 0), None)
        sampled = adapted.get("sampling_batch") or s.sampling_batch or s.prompts_per_step * s.group_size
        if half is None and sampled == 1:
            return None
        return {"micro_batch": half or now, "sampling_batch": max(1, sampled // 2)}
    if isinstance(inputs, AdoptInputs):
        return None
    own = inputs.task.sampling.batch_size if isinstance(inputs, EvaluateInputs) else inputs.batch_size
    now = adapted.get("batch_size") or own
    return {"batch_size": now // 2} if now > 1 else None


def with_smaller(inputs: AnyInputs, adapted: dict[str, int]) -> AnyInputs:
    """Return a stage's inputs with smaller batches; as they are, where nothing is adapted."""
    if not adapted:
        return inputs
    if isinstance(inputs, TrainInputs):
        return inputs.model_copy(update={"settings": inputs.settings.model_copy(update=adapted)})
    if isinstance(inputs, EvaluateInputs):
        sampling = inputs.task.sampling.model_copy(update=adapted)
        return inputs.model_copy(update={"task": inputs.task.model_copy(update={"sampling": sampling})})
    return inputs.model_copy(update=adapted)


def read_adapted(folder: Path, name: str = layout.ADAPTED) -> dict[str, int]:
    """Return what an attempt in a stage's folder changes; nothing where there is no such file, or it is torn. Under
    `layout.TRIED`: the batches that a training on GPUs was tried with."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): int(value) for name, value in found.items()}
