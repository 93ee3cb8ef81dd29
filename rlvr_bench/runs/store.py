"""Durable files: atomic JSON, the journal, records, and the shared cache of finished stages."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rlvr_bench.errors import EnvironmentFaultError, InputsChangedError, NotFoundError, UsageError
from rlvr_bench.runs import layout
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import Plan, Stage
from rlvr_bench.schema.record import Record

SWEPT_SECONDS = 24 * 3600.0


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either whole or not there: temporary name, sync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_model(path: Path, value: BaseModel) -> None:
    """Write a value as JSON, durably."""
    write_text(path, value.model_dump_json(indent=1) + "\n")


def refuse_foreign(run: RunFolder) -> None:
    """Raise UsageError where the folder holds something, and not a run; nothing in it is touched."""
    if run.plan.exists() or not run.path.exists():
        return
    if any(item != run.lock and not item.name.startswith(".") for item in run.path.iterdir()):
        raise UsageError("the folder is not empty and holds no run", where=str(run.path))


def start_run(run: RunFolder, plan: Plan) -> None:
    """Create the run folder, or check that an existing one holds this very plan.

    Raises InputsChangedError naming the keys that differ.
    """
    refuse_foreign(run)
    if not run.plan.exists():
        write_model(run.plan, plan)
        write_text(run.index, json.dumps({stage.id: stage.kind for stage in plan.stages}) + "\n")
        return
    old = read_plan(run)
    if old.digest != plan.digest:
        keys = _differing(old.model_dump(mode="json"), plan.model_dump(mode="json"))
        keys = [key for key in keys if not key.startswith(("estimate", "stages"))] or keys
        shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
        raise InputsChangedError(
            f"this folder holds a run of another plan; it differs in: {shown}",
            where=str(run.path),
            hint="leave out --run to start a folder of its own",
        )


def _differing(one: Any, other: Any, path: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            found
            for key in sorted(one.keys() | other.keys())
            for found in _differing(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [f for i, (a, b) in enumerate(zip(one, other, strict=True)) for f in _differing(a, b, f"{path}.{i}")]
    return [] if one == other else [path]


def find_run(reference: str, runs: Path) -> RunFolder:
    """Return the run of a name under `runs`, or of a path: `micro--ttrl--7f3a2c`, `micro--ttrl` or `ttrl`.

    Raises NotFoundError; UsageError where a short name is that of several.
    """
    for path in (Path(reference), runs / reference):
        if (path / "plan.json").is_file():
            return RunFolder(path)
    # without its digest, or by its method alone, where that names one run
    wanted = reference.split("--")
    short = [
        path.parent
        for path in sorted(runs.glob("*/plan.json"))
        if (parts := path.parent.name.split("--"))[: len(wanted)] == wanted or parts[1:2] == wanted
    ]
    if len(short) == 1:
        return RunFolder(short[0])
    if short:
        raise UsageError(f"{reference!r} is the name of {len(short)} runs", hint=", ".join(p.name for p in short[:6]))
    raise NotFoundError(f"no run {reference!r}", where=str(runs), hint="rlvr-bench list runs")


def read_plan(run: RunFolder) -> Plan:
    """Read a run's frozen plan."""
    try:
        return Plan.model_validate_json(run.plan.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError("not a run folder: no plan.json", where=str(run.path)) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise EnvironmentFaultError(
            "plan.json is damaged or of another version of the program", where=str(run.plan)
        ) from error


def read_index(run: RunFolder) -> dict[str, str]:
    """Return the kind of every stage of a run by its id, in the plan's order: without reading a plan of megabytes."""
    try:
        found = json.loads(run.index.read_text(encoding="utf-8"))
        return {str(stage): str(kind) for stage, kind in found.items()}
    except (OSError, ValueError, AttributeError):
        return {stage.id: stage.kind for stage in read_plan(run).stages}


def peek_record(path: Path) -> Record | None:
    """Return the record of a file, whatever stage it is of; None where it is not whole."""
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None


def read_record(run: RunFolder, stage: Stage) -> Record | None:
    """Return a stage's record, or None where the stage is owed: no record, or one that is not whole.

    Raises InputsChangedError for a whole record of other inputs: never a silent reuse.
    """
    path = run.stage(stage.id) / layout.RECORD
    try:
        record = Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError, UnicodeDecodeError):
        return None
    if record.digest != stage.digest:
        raise InputsChangedError(
            "the record of this stage was made from other inputs",
            where=str(path),
            hint=f"remove {path.parent} to compute the stage again",
        )
    return record


def append_event(run: RunFolder, event: dict[str, Any]) -> None:
    """Append one event to the journal, with the time."""
    with run.journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
        file.flush()


def mend_journal(run: RunFolder) -> None:
    """End a torn last line, so that the next event is not lost with it."""
    with contextlib.suppress(FileNotFoundError), run.journal.open("rb+") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def read_events(run: RunFolder) -> list[dict[str, Any]]:
    """Return the journal's events; a torn last line is dropped."""
    if not run.journal.exists():
        return []
    events = []
    for line in run.journal.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights: of its one file, or of the digests of its parts by name.

    Raises FileNotFoundError where there are none.
    """
    if (folder / layout.WEIGHTS).is_file():
        return file_digest(folder / layout.WEIGHTS)
    parts = sorted(folder.glob("model-*.safetensors"))
    if not parts:
        raise FileNotFoundError(folder / layout.WEIGHTS)
    return digest({part.name: file_digest(part) for part in parts})


def sync_tree(folder: Path) -> None:
    """Bring every file of a folder to the disk: a record must not outlive what it speaks of."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def products_are_whole(folder: Path, record: Record) -> bool:
    """Return whether what other stages need of a finished one (weights, labels) is still what its record says."""
    weights: dict[Path, str] = {}
    if record.training:
        weights[folder / layout.checkpoint()] = record.training.checkpoint_sha256
        for step, sha256 in record.training.kept.items():
            weights[folder / layout.checkpoint(step)] = sha256
    try:
        if any(weights_digest(path) != sha256 for path, sha256 in weights.items()):
            return False
        labels = record.labelling
        return labels is None or file_digest(folder / layout.LABELS) == labels.labels_sha256
    except FileNotFoundError:
        return False


def _link_tree(source: Path, target: Path, *, leave_out: Collection[str] = ()) -> None:
    """Hard-link (or copy, where the file system cannot) the files of a folder into a new one."""
    target.mkdir(parents=True, exist_ok=True)
    for item in sorted(source.iterdir()):
        if item.name in leave_out:
            continue
        if item.is_dir():
            _link_tree(item, target / item.name)
            continue
        try:
            if item.name == layout.RECORD:  # small, and what is believed: a copy of its own
                raise OSError
            os.link(item, target / item.name)
        except OSError:
            shutil.copy2(item, target / item.name)


def publish(run: RunFolder, stage: Stage, runs: Path) -> None:
    """Share a finished stage through the cache. Whoever renames first wins; equal digests are equal work.

    A broken entry is moved away in one step before the new one takes its place: another run may be reading it.
    """
    target = layout.cache_of(runs, stage.digest)
    if _cached(target, stage) is not None:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    try:
        _link_tree(run.stage(stage.id), temporary, leave_out=(layout.STAGE, layout.LOG, layout.WORKING))
        if target.exists() and _cached(target, stage) is None:
            with contextlib.suppress(OSError):  # another run was faster
                target.rename(temporary.with_name(f"{temporary.name}-old"))
        with contextlib.suppress(OSError):
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary.with_name(f"{temporary.name}-old"), ignore_errors=True)


def sweep(runs: Path) -> None:
    """Remove what publishers that were killed left in the cache, a day later."""
    for left in layout.cache_of(runs, ".new-x").parent.glob(".new-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > SWEPT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _cached(folder: Path, stage: Stage) -> Record | None:
    """Return the record of a cache entry that is whole, or None."""
    try:
        record = Record.model_validate_json((folder / layout.RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValidationError, UnicodeDecodeError):
        return None
    good = record.digest == stage.digest and record.failure is None and products_are_whole(folder, record)
    return record if good else None


def adopt(run: RunFolder, stage: Stage, runs: Path) -> Record | None:
    """Take a stage from the cache into the run and return its record, None where it is not there.

    The record is written last: it is the commit point.
    """
    source = layout.cache_of(runs, stage.digest)
    record = _cached(source, stage)
    if record is None:
        return None
    folder = run.stage(stage.id)
    if folder.exists():
        shutil.rmtree(folder)
    try:
        _link_tree(source, folder, leave_out=(layout.RECORD,))
    except FileNotFoundError:  # replaced meanwhile
        shutil.rmtree(folder, ignore_errors=True)
        return None
    write_model(folder / layout.STAGE, stage)
    write_model(folder / layout.RECORD, record)
    return record
