"""The only loop that does work: owed stages to the executor, records back, events out."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rlvr_bench.errors import InterruptedRunError
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import Plan, Stage
from rlvr_bench.schema.record import Failure, Record, Timing

POLL_SECONDS = 0.25


class Executor(Protocol):
    """Where stages run. A stage is a folder; the executor knows nothing else."""

    capacity: int

    def start(self) -> None:
        """Get ready; called once, only where there is work."""

    def submit(self, folder: Path) -> None:
        """Start the stage of a folder."""

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Return the folders whose stage ended, with exit codes, waiting up to `timeout` seconds."""

    def cancel(self) -> None:
        """Stop everything that runs."""


@dataclass(frozen=True)
class Event:
    """Something happened to a stage. `done` of `total` stages have a result so far."""

    kind: Literal["kept", "cached", "started", "finished", "failed", "blocked"]
    stage: Stage
    record: Record | None
    done: int
    total: int


@dataclass
class _State:
    plan: Plan
    owed: list[Stage]
    running: dict[Path, Stage]
    done: set[str]
    failed: set[str]


def run_plan(
    plan: Plan,
    run: RunFolder,
    *,
    runs: Path,
    executor: Executor,
    on_event: Callable[[Event], None] = lambda _: None,
    on_tick: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Do every owed stage of a plan and return the ids of the stages without a result.

    Finished stages are never repeated; equal stages of other runs are taken from the cache under
    `runs`. A failed stage leaves its siblings running and is owed again next time. Raises
    InterruptedRunError on Ctrl-C, after stopping the running stages.
    """
    store.refuse_foreign(run)
    with store.locked(run):
        store.start_run(run, plan)
        store.append_event(run, {"event": "run-started", "stages": len(plan.stages)})
        state = _State(plan, [], {}, set(), set())

        def tell(kind: str, stage: Stage, record: Record | None = None) -> None:
            event = Event(kind, stage, record, len(state.done), len(plan.stages))  # type: ignore[arg-type]
            store.append_event(run, {"event": kind, "stage": stage.id})
            on_event(event)

        kept = _kept(plan, run)
        for stage in plan.stages:
            if stage.id in kept:
                state.done.add(stage.id)
                tell("kept", stage, kept[stage.id])
            elif not _adopted(state, run, runs, stage, tell):
                state.owed.append(stage)
        try:
            if state.owed:
                executor.start()
            while state.owed or state.running:
                _fill(state, run, runs, executor, tell)
                for folder, code in executor.poll(POLL_SECONDS):
                    _collect(state, run, runs, folder, code, tell)
                on_tick()
        except KeyboardInterrupt as error:
            executor.cancel()
            store.append_event(run, {"event": "interrupted"})
            raise InterruptedRunError(
                f"interrupted with {len(state.done)} of {len(plan.stages)} stages done; nothing finished is lost",
                hint="run the same command again to go on",
            ) from error
        except BaseException:
            executor.cancel()
            raise
        store.append_event(run, {"event": "run-ended", "failed": sorted(state.failed)})
        return tuple(stage.id for stage in plan.stages if stage.id in state.failed)


def _kept(plan: Plan, run: RunFolder) -> dict[str, Record]:
    """Return the records of finished stages, by id. A training that is still to be evaluated counts only
    with its weights whole; else it is owed again."""
    found = {stage.id: store.read_record(run, stage) for stage in plan.stages}
    good = {stage_id: record for stage_id, record in found.items() if record is not None and record.failure is None}
    needed = {need for stage in plan.stages if stage.id not in good for need in stage.needs}
    return {
        stage_id: record
        for stage_id, record in good.items()
        if stage_id not in needed or store.products_are_whole(run.stage(stage_id), record)
    }


Tell = Callable[..., None]


def _adopted(state: _State, run: RunFolder, runs: Path, stage: Stage, tell: Tell) -> bool:
    """Take a stage from the cache, if it is there."""
    record = store.adopt(run, stage, runs)
    if record is None:
        return False
    state.done.add(stage.id)
    tell("cached", stage, record)
    return True


def _fill(state: _State, run: RunFolder, runs: Path, executor: Executor, tell: Tell) -> None:
    """Hand out stages whose needs are met; a stage whose need failed cannot run."""
    for stage in list(state.owed):
        if any(need in state.failed for need in stage.needs):
            state.owed.remove(stage)
            state.failed.add(stage.id)
            tell("blocked", stage)
        elif len(state.running) < executor.capacity and all(need in state.done for need in stage.needs):
            state.owed.remove(stage)
            if _adopted(state, run, runs, stage, tell):  # an equal stage, of this run or another, ended meanwhile
                continue
            folder = run.stage(stage.id)
            (folder / layout.RECORD).unlink(missing_ok=True)
            store.write_model(folder / layout.STAGE, stage)
            executor.submit(folder)
            state.running[folder] = stage
            tell("started", stage)


def _collect(state: _State, run: RunFolder, runs: Path, folder: Path, code: int, tell: Tell) -> None:
    """Take a finished stage's record; a process that left none was killed."""
    stage = state.running.pop(folder)
    record = store.read_record(run, stage)
    if record is None:
        record = Record(
            digest=stage.digest,
            kind=stage.kind,
            failure=Failure(kind="killed", message=f"the stage's process ended without a record (exit code {code})"),
            timing=Timing(wall_seconds=0, cpu_seconds=0, peak_memory_bytes=0),
        )
        store.write_model(folder / layout.RECORD, record)
    if record.failure is not None:
        state.failed.add(stage.id)
        tell("failed", stage, record)
        return
    shutil.rmtree(folder / "trainer", ignore_errors=True)
    store.publish(run, stage, runs)
    state.done.add(stage.id)
    tell("finished", stage, record)
