"""Going on with a training: only from the end of a rollout phase, where that is exact.

TRL keeps its buffer of rollouts in memory, so a checkpoint in the middle of a phase goes on with other rollouts. At a
phase's end weights, optimizer, generators and the place in the data are all there is: the rest of the training is the
same, bit for bit.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from rlvr_bench.backends.ranks import ALONE, Ranks
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import sync_tree, write_text
from rlvr_bench.schema.base import Frozen
from rlvr_bench.schema.record import StepHealth

SAVE_MINUTES = 10.0
"""Between two checkpoints at least: an optimizer's state is twice as large as the weights. RLVR_BENCH_SAVE_MINUTES."""

MARK = "resume.json"
NEEDED = (
    ("model.safetensors", "adapter_model.safetensors", "pytorch_model_fsdp.bin"),
    ("optimizer.pt", "optimizer.bin"),
    ("rng_state.pth", "rng_state_0.pth"),
    ("trainer_state.json",),
)
"""Of each line one file: of one rank, of LoRA, of sharded ranks."""


class Resume(Frozen):
    """Where a training can go on: after `step` phases, from a folder under `trainer`; answers graded so far, by how;
    the bytes of every file that it needs, which were on the disk before this was written."""

    step: int = Field(ge=1)
    checkpoint: str = Field(pattern=r"^checkpoint-\d+$")
    digest: str
    graded: dict[str, int] = Field(default_factory=dict)
    sizes: dict[str, int] = Field(default_factory=dict)


def save_minutes() -> float:
    """Return how many minutes lie between two checkpoints at least."""
    try:
        return float(os.environ.get("RLVR_BENCH_SAVE_MINUTES", SAVE_MINUTES))
    except ValueError:
        return SAVE_MINUTES


def find(folder: Path, digest: str) -> Resume | None:
    """Return where the training of these inputs can go on; None, with what an earlier attempt left removed, where it
    cannot."""
    found = None
    with contextlib.suppress(OSError, ValidationError, UnicodeDecodeError):
        found = Resume.model_validate_json((folder / layout.TRAINER / MARK).read_text(encoding="utf-8"))
    if found is not None and found.digest == digest and _whole(folder, found):
        _cut_metrics(folder / layout.METRICS, found.step)
        for part in (folder / layout.PARTS).iterdir():
            if not part.stem.isdigit() or int(part.stem) >= found.step:
                part.unlink()
        return found
    for name in (layout.TRAINER, layout.PARTS):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / layout.METRICS).unlink(missing_ok=True)
    for path in folder.glob(f"{layout.CHECKPOINT}*"):
        shutil.rmtree(path)
    return None


def _whole(folder: Path, found: Resume) -> bool:
    """Return whether the checkpoint and all rollouts before it are there."""
    if any(
        not (folder / name).is_file() or (folder / name).stat().st_size != size for name, size in found.sizes.items()
    ):
        return False
    at = folder / layout.TRAINER / found.checkpoint
    saved = all(any((at / name).exists() for name in names) for names in NEEDED)
    return (
        saved and all(part(folder, step).is_file() for step in range(found.step)) and len(healths(folder)) >= found.step
    )


def part(folder: Path, step: int) -> Path:
    """Return the file of one phase's rollouts, until the training ends."""
    return folder / layout.PARTS / f"{step:06d}.parquet"


def healths(folder: Path) -> list[StepHealth]:
    """Return the health of every phase that the metrics hold; a torn last line is dropped."""
    found = []
    try:
        lines = (folder / layout.METRICS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if "health" in entry:
            found.append(StepHealth.model_validate(entry["health"]))
    return found


def _cut_metrics(path: Path, step: int) -> None:
    """Leave in the metrics what the phases before `step` wrote."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if entry["step"] < step:
            kept.append(line)
    write_text(path, "".join(line + "\n" for line in kept))


class Saver:
    """Decides at the end of each phase whether a checkpoint is due, and marks it once it is whole."""

    def __init__(self, folder: Path, digest: str, ranks: Ranks = ALONE) -> None:
        self.folder = folder
        self.digest = digest
        self.ranks = ranks
        self.seconds = 60 * save_minutes()
        self.newest = time.monotonic()

    def due(self) -> bool:
        """Return whether enough time has passed since the last checkpoint: the first rank's clock decides."""
        return bool(self.ranks.agreed(time.monotonic() - self.newest >= self.seconds))

    def saved(self, step: int, updates: int, graded: Mapping[str, int]) -> None:
        """Mark the checkpoint after `step` phases, `updates` updates in all, as one to go on from."""
        self.newest = time.monotonic()
        if not self.ranks.first:
            return
        checkpoint = self.folder / layout.TRAINER / f"checkpoint-{updates}"
        needed = [checkpoint, self.folder / layout.PARTS]
        sizes: dict[str, int] = {}
        for place in needed:
            sync_tree(place)
            files = [path for path in place.rglob("*") if path.is_file() and path.suffix != ".tmp"]
            sizes |= {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in files}
        mark = Resume(step=step, checkpoint=checkpoint.name, digest=self.digest, graded=dict(graded), sizes=sizes)
        write_text(self.folder / layout.TRAINER / MARK, mark.model_dump_json() + "\n")
