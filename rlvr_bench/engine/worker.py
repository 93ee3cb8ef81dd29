"""One stage, one process: reads `stage.json`, works, and ends by writing `record.json`.

Every exception of a stage is caught here, at this one boundary, and stored as a Failure; sibling stages
go on. `python -m rlvr_bench.engine.worker FOLDER` is the same thing in a fresh interpreter.
"""

import fcntl
import gc
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO

from rlvr_bench.engine.care import TAKEN, disk_is_full, read_adapted, with_smaller
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import sync_tree, write_model
from rlvr_bench.schema.plan import AdoptInputs, ExposureInputs, PrepareInputs, Stage, TrainInputs
from rlvr_bench.schema.record import Failure, FailureKind, Record, Timing
from rlvr_bench.scoring import keep_verdicts

LOG_TAIL = 2_000
PARTIAL = (layout.COMPLETIONS,)
OF_A_TRAINING = (layout.TRAINER, layout.PARTS, layout.METRICS)
"""What an unfinished attempt leaves that the next may build on."""


LOCK_SECONDS = 60.0


def alone(folder: Path) -> IO[str]:
    """Take the lock of a stage's folder and return the file that holds it until this process ends.

    Ends the process where another holds it for a minute. A file system without locks is believed.
    """
    file = (folder / layout.WORKING).open("a", encoding="utf-8")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                sys.stderr.write("another process works on this stage\n")
                sys.exit(TAKEN)
            time.sleep(1.0)
        except OSError:
            pass
        file.truncate(0)
        file.write(f"{socket.gethostname()} {os.getpid()} {time.time_ns()}\n")
        file.flush()
        return file


def run_stage(folder: Path) -> Record:
    """Do the stage of a folder and write its record; failures are records too."""
    with alone(folder):
        return _run_stage(folder)


def _run_stage(folder: Path) -> Record:
    started, cpu = time.monotonic(), time.process_time()
    stage = Stage.model_validate_json((folder / layout.STAGE).read_text(encoding="utf-8"))
    _clear(folder, training=stage.kind == "train")
    result: dict[str, object] = {}
    adapted: dict[str, int] = {}
    try:
        adapted = read_adapted(folder)
        result = _work(stage.model_copy(update={"inputs": with_smaller(stage.inputs, adapted)}), folder)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        result = {"failure": _failure(error, folder)}
    record = Record(
        digest=stage.digest,
        kind=stage.kind,
        adapted=adapted,
        timing=Timing(
            wall_seconds=round(time.monotonic() - started, 3),
            cpu_seconds=round(time.process_time() - cpu, 3),
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        ),
        **result,
    )
    sync_tree(folder)
    write_model(folder / layout.RECORD, record)
    return record


def _work(stage: Stage, folder: Path) -> dict[str, object]:
    from rlvr_bench.backends import adopting, exposure, labels, lm_eval, models, placing

    models.prepare_process()
    run = layout.run_of(folder, stage)
    keep_verdicts(run.verdicts)
    needed = run.stage(stage.needs[0]) if stage.needs else None
    if isinstance(stage.inputs, PrepareInputs):
        return {"labelling": labels.make_labels(stage.inputs, folder)}
    if isinstance(stage.inputs, ExposureInputs):
        return {"exposure": exposure.complete(stage.inputs, folder)}
    if isinstance(stage.inputs, AdoptInputs):
        return {"training": adopting.adopt(stage.inputs, folder)}
    if isinstance(stage.inputs, TrainInputs):
        prepared = needed / layout.LABELS if needed else None
        where = {"labels": prepared, "trackers": run.trackers / stage.cell.id}
        return {"training": placing.train(stage.inputs, folder, adapted=read_adapted(folder), **where)}
    checkpoint = needed / layout.checkpoint(stage.inputs.step) if needed else None
    return {"evaluation": lm_eval.evaluate(stage.inputs, folder, checkpoint)}


def _clear(folder: Path, *, training: bool) -> None:
    """Remove what an earlier attempt left, except what the next may build on."""
    kept = {
        layout.STAGE,
        layout.LOG,
        layout.ADAPTED,
        layout.TRIED,
        layout.WORKING,
        *PARTIAL,
        *(OF_A_TRAINING if training else ()),
    }
    on_the_way = f"{layout.CHECKPOINT}-step-"  # weights kept before a training goes on
    for item in folder.iterdir():
        if item.name in kept or (training and item.name.startswith(on_the_way)):
            continue
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink()


def _failure(error: Exception, folder: Path) -> Failure:
    log = folder / layout.LOG
    tail = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:] if log.exists() else ""
    where = getattr(error, "where", None)
    return Failure(
        kind=_kind(error),
        message=(f"{error}" or type(error).__name__) + (f" ({where})" if where else ""),
        hint=getattr(error, "hint", None),
        log_tail=tail,
    )


def _kind(error: Exception) -> FailureKind:
    name = getattr(error, "kind", "") or type(error).__name__  # of a rank that failed in another process
    if name == "RewardError":
        return "reward"
    if name == "LabelsError":
        return "labels"
    if name == "NonFiniteError":
        return "non-finite"
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "out-of-memory"
    if disk_is_full(error):
        return "disk-full"
    if isinstance(error, EnvironmentFaultError | PermissionError):
        return "environment"
    return "backend"


def forked(folder: str) -> None:
    """Entry point of a process forked from the worker server: log to the stage's file, then work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides what Ctrl-C means
    path = Path(folder)
    with (path / layout.LOG).open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    gc.freeze()  # what the server imported is shared: no collection need walk or copy it
    _end_with_parent()
    run_stage(path)


def _end_with_parent() -> None:
    """End this process when the runner is gone: an orphan would write into a folder that others own."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        if os.getpgrp() == os.getpid():  # with all that it started, such as vLLM's engine
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


END_WITH_PARENT = "RLVR_BENCH_END_WITH_PARENT"
"""Set by executors that start workers on their own machine."""


if __name__ == "__main__":
    if os.environ.pop(END_WITH_PARENT, ""):
        _end_with_parent()
    sys.exit(0 if run_stage(Path(sys.argv[1])).failure is None else 3)
