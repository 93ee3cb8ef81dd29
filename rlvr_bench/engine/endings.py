"""How stages end that nobody watched, or that left no record: what they cost, and what is said of them."""

import os
import time
from pathlib import Path
from typing import Any

from rlvr_bench.engine.executor import LOST
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import Stage
from rlvr_bench.schema.record import Failure, Record, Timing

MOST_LOST = 20
"""A stage that is taken away so often has no room where it is put."""
LATE_SECONDS = 90.0
LOG_TAIL = 2_000


def paid(record: Record) -> dict[str, Any]:
    """Return what a stage cost that nobody watched, by its own record."""
    ran = record.training.ran if record.training else None
    return {"seconds": record.timing.wall_seconds, "gpus": ran.ranks if ran else 1}


def late(run: RunFolder, stage: Stage) -> Record | None:
    """Return the record of a stage that ended well on another machine, once it is seen here: NFS keeps for a minute
    what it knew of a folder."""
    deadline = time.monotonic() + LATE_SECONDS
    while True:
        os.listdir(run.stage(stage.id))  # noqa: PTH208 - asks the server
        record = store.read_record(run, stage)
        if record is not None or time.monotonic() > deadline:
            return record
        time.sleep(1.0)


def failed(stage: Stage, failure: Failure) -> Record:
    """Return the record of a stage that has no result."""
    nothing = Timing(wall_seconds=0, cpu_seconds=0, peak_memory_bytes=0)
    return Record(digest=stage.digest, kind=stage.kind, failure=failure, timing=nothing)


def unsaid(folder: Path, code: int, why: str | None, said: str) -> Failure:
    """Return the failure of a stage that ended without a record: stopped where it was stuck, or killed."""
    log = folder / layout.LOG
    tail = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:] if log.exists() else ""
    if why is not None:
        hint = "see its log.txt; --retry tries again"
        return Failure(kind="timeout", message=f"stopped: it {why}", hint=hint, log_tail=tail)
    message = f"the stage's process ended without a record (exit code {code})"
    if code == LOST:
        message = f"the machine took the stage away {MOST_LOST} times"
    return Failure(kind="killed", message=message + (f": {said}" if said else ""), log_tail=tail)
