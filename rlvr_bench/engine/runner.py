"""The only loop that does work: owed stages to the executor, records back, events out."""

import json
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlvr_bench.engine import pace
from rlvr_bench.engine.care import TAKEN, Care, Watchdog, check_room, disk_is_full, no_room, read_adapted, smaller
from rlvr_bench.engine.endings import MOST_LOST, failed, late, paid, unsaid
from rlvr_bench.engine.executor import LOST, Executor
from rlvr_bench.errors import BudgetError, EnvironmentFaultError, InterruptedRunError
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.invocations import note_invocation
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.lock import locked
from rlvr_bench.schema.plan import Plan, Stage
from rlvr_bench.schema.record import Failure, Record

POLL_SECONDS = 0.25
FAILED = 3
"""A worker's exit code where its record is a failure."""


@dataclass(frozen=True)
class Event:
    """Something happened to a stage. `done` of `total` stages have a result so far."""

    kind: Literal["kept", "cached", "started", "attached", "finished", "failed", "retried", "lost", "blocked"]
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
    care: Care
    watchdog: Watchdog
    spent: float = 0.0
    ending: Literal["", "interrupted", "budget"] = ""
    attempts: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    withdrawn: set[Path] = field(default_factory=set)
    stopped: dict[Path, str] = field(default_factory=dict)


def run_plan(
    plan: Plan,
    run: RunFolder,
    *,
    runs: Path,
    executor: Executor,
    on_event: Callable[[Event], None] = lambda _: None,
    on_tick: Callable[[], None] = lambda: None,
    on_notice: Callable[[str], None] = lambda _: None,
    care: Care = Care(),  # noqa: B008 - frozen
) -> tuple[str, ...]:
    """Do every owed stage of a plan and return the ids of the stages without a result.

    Finished stages are never repeated; equal stages of other runs are taken from the cache under
    `runs`. A failed stage leaves its siblings running and is owed again next time, or tried again at once where `care`
    says so; one that ran out of memory is tried once with smaller batches.

    Raises InterruptedRunError on Ctrl-C: after the first no stage is started and those that run are waited for, a
    second stops them at once. Raises BudgetError where the hours are spent, in the same way. Raises
    EnvironmentFaultError where the disk has no room for the next stage, or filled up: everything is stopped and owed.
    """
    store.refuse_foreign(run)
    with locked(run) as held:
        store.start_run(run, plan)
        store.mend_journal(run)
        note_invocation(run, plan, sys.argv)
        store.sweep(runs)
        before = store.read_events(run)
        store.append_event(run, {"event": "run-started", "stages": len(plan.stages)})
        state = _State(plan, [], {}, set(), set(), care, Watchdog(care), spent=_spent(before))

        def tell(kind: str, stage: Stage, record: Record | None = None, **more: Any) -> None:
            event = Event(kind, stage, record, len(state.done), len(plan.stages))  # type: ignore[arg-type]
            store.append_event(run, {"event": kind, "stage": stage.id, **more})
            on_event(event)

        kept, told = _kept(plan, run), _told(before)
        attached: list[Path] = []
        if executor.detaches and len(kept) < len(plan.stages):
            executor.start()
            attached = executor.attached()
        busy = set(attached)
        for stage in plan.stages:
            if stage.id in kept and stage.id not in told:  # it ended while no runner looked
                _close(state, run, runs, stage, kept[stage.id], paid(kept[stage.id]), tell)
            elif stage.id in kept:
                state.done.add(stage.id)
                tell("kept", stage, kept[stage.id])
            elif run.stage(stage.id) in busy or not _adopted(state, run, runs, stage, tell):
                state.owed.append(stage)
        try:
            with _interruptible(state, on_notice, at_once=executor.detaches):
                if state.owed and not executor.detaches:
                    executor.start()
                _attach(state, run, executor, attached, tell)
                while (state.owed and not state.ending) or state.running:
                    _mind_the_budget(state, on_notice)
                    if state.ending:
                        _withdraw(state, executor)
                    else:
                        _fill(state, run, runs, executor, tell)
                    state.watchdog.hold(executor.waiting())
                    for folder, why in state.watchdog.stuck():
                        if folder not in state.stopped:
                            state.stopped[folder] = why
                            executor.stop(folder)
                    for folder, code in executor.poll(POLL_SECONDS):
                        _collect(state, run, runs, executor, folder, code, tell)
                    held.beat()
                    on_tick()
        except KeyboardInterrupt:
            if not executor.detaches:
                executor.cancel()
            state.ending = "interrupted"
        except BaseException as error:
            blameless = executor.detaches and isinstance(error, EnvironmentFaultError)  # what runs has no part in it
            if not blameless:
                executor.cancel()
            if disk_is_full(error):
                raise no_room(run.path) from error
            raise
        if state.ending and state.owed + list(state.running.values()):
            store.append_event(run, {"event": state.ending})
            raise _ended(state, executor)
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


def _attach(state: _State, run: RunFolder, executor: Executor, attached: Sequence[Path], tell: Tell) -> None:
    """Take over the stages that an earlier runner started and that still run; others of the executor are stopped."""
    owed = {run.stage(stage.id): stage for stage in state.owed}
    for folder in attached:
        stage = owed.get(folder)
        if stage is None:
            executor.stop(folder)
            continue
        state.owed.remove(stage)
        state.running[folder] = stage
        state.watchdog.started(folder, executor.gpus(folder))
        tell("attached", stage)


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
            check_room(run.path, stage, folder)
            (folder / layout.RECORD).unlink(missing_ok=True)
            store.write_model(folder / layout.STAGE, stage)
            try:
                executor.submit(folder)
            except EnvironmentFaultError as error:  # this one cannot be placed; the others can
                _refused(state, folder, stage, error, tell)
                continue
            state.running[folder] = stage
            state.watchdog.started(folder, executor.gpus(folder))
            tell("started", stage)


def _withdraw(state: _State, executor: Executor) -> None:
    """Take back what was handed out and does not run yet, where the run ends: it is owed as if it had never been."""
    for folder in executor.waiting() & set(state.running):
        if folder not in state.withdrawn:
            state.withdrawn.add(folder)
            executor.stop(folder)


def _told(events: Sequence[dict[str, Any]]) -> set[str]:
    """Return the stages whose end the journal tells."""
    return {e["stage"] for e in events if e.get("event") in ("finished", "cached", "kept") and "stage" in e}


def _close(
    state: _State, run: RunFolder, runs: Path, stage: Stage, record: Record, cost: dict[str, Any], tell: Tell
) -> None:
    """Count a stage with a good record as done: share it, learn from its time, write down what it cost."""
    shutil.rmtree(run.stage(stage.id) / layout.TRAINER, ignore_errors=True)
    store.publish(run, stage, runs)
    if not (record.training and record.training.resumed):  # the rest of a training says nothing of a whole one
        pace.note(runs, stage, state.plan.environment.device, cost["seconds"])
    state.done.add(stage.id)
    timing = record.timing
    more = {"wall": timing.wall_seconds, "cpu": timing.cpu_seconds, "memory": timing.peak_memory_bytes}
    tell("finished", stage, record, **cost, **more)


def _refused(state: _State, folder: Path, stage: Stage, error: EnvironmentFaultError, tell: Tell) -> None:
    """Write down that a stage could not be placed."""
    record = failed(stage, Failure(kind="environment", message=error.message, hint=error.hint))
    store.write_model(folder / layout.RECORD, record)
    state.failed.add(stage.id)
    tell("failed", stage, record)


def _collect(
    state: _State, run: RunFolder, runs: Path, executor: Executor, folder: Path, code: int, tell: Tell
) -> None:
    """Take a finished stage's record; a process that left none was killed, by us where it was stuck."""
    stage = state.running.pop(folder, None)
    if stage is None:  # stopped when it was found running for nobody
        return
    width, seconds = state.watchdog.ended(folder)
    cost = {"seconds": seconds, "gpus": width}
    state.spent += seconds * width
    why = state.stopped.pop(folder, None)
    record = store.read_record(run, stage)
    if record is None and executor.far and code in (0, FAILED):
        record = late(run, stage)
        code = LOST if record is None else code
    if record is None and folder in state.withdrawn:
        state.owed.append(stage)
        return
    if record is None and code in (LOST, TAKEN) and why is None and not state.ending:
        state.lost[stage.id] += code == LOST  # whoever works on it may take as long as it takes
        if state.lost[stage.id] <= MOST_LOST:
            state.owed.insert(0, stage)
            tell("lost", stage, **cost)
            return
    state.attempts[stage.id] += 1
    if record is None:
        record = failed(stage, unsaid(folder, code, why, executor.said(folder)))
        store.write_model(folder / layout.RECORD, record)
    if record.failure is not None:
        if record.failure.kind == "disk-full":  # the others would fail in the same way
            tell("failed", stage, record, **cost)
            raise no_room(run.path)
        if not state.ending and _again(state, folder, stage, record.failure):
            state.owed.insert(0, stage)
            tell("retried", stage, record, failure=record.failure.kind, **cost)
            return
        state.failed.add(stage.id)
        tell("failed", stage, record, **cost)
        return
    _close(state, run, runs, stage, record, cost, tell)


def _again(state: _State, folder: Path, stage: Stage, failure: Failure) -> bool:
    """Return whether a failed stage is tried again; where memory ran out, once with smaller batches."""
    if failure.kind == "out-of-memory" and not read_adapted(folder):
        found = smaller(stage.inputs, read_adapted(folder, layout.TRIED))
        if found is not None:
            (folder / layout.COMPLETIONS).unlink(missing_ok=True)  # chunks of another size
            store.write_text(folder / layout.ADAPTED, json.dumps(found) + "\n")
            return True
    return state.care.again(failure, state.attempts[stage.id])


def _spent(events: Sequence[dict[str, Any]]) -> float:
    """Return the GPU-seconds that stages of this run took in earlier invocations, failed attempts too."""
    return sum(float(e.get("seconds", 0.0)) * int(e.get("gpus", 1)) for e in events)


def _mind_the_budget(state: _State, on_notice: Callable[[str], None]) -> None:
    """End where the hours are spent; stages that run are waited for."""
    hours = state.care.hours
    if hours is None or state.ending or not state.owed:
        return
    spent = (state.spent + state.watchdog.running_seconds()) / 3600
    if spent >= hours:
        state.ending = "budget"
        on_notice(f"{spent:.2f} of {hours:g} hours are spent: no stage is started any more")


@contextmanager
def _interruptible(state: _State, on_notice: Callable[[str], None], *, at_once: bool) -> Iterator[None]:
    """Let the first Ctrl-C end the run when its running stages have ended, and the second at once; SIGTERM, which a
    scheduler sends shortly before it kills, at once too. `at_once`: the first does, as what runs goes on alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: Any) -> None:
        if at_once or number == signal.SIGTERM or state.ending == "interrupted" or not state.running:
            raise KeyboardInterrupt
        state.ending = "interrupted"
        count = len(state.running)
        on_notice(
            f"stopping: no new stage is started, {count} that {'runs is' if count == 1 else 'run are'} waited for; "
            "Ctrl-C again stops at once"
        )

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(state: _State, executor: Executor) -> InterruptedRunError | BudgetError:
    done, total = len(state.done), len(state.plan.stages)
    if state.ending == "budget":
        return BudgetError(
            f"the budget of {state.care.hours:g} hours is reached with {done} of {total} stages done; nothing is lost",
            hint="run the same command with a larger --max-gpu-hours to go on",
        )
    if executor.detaches and state.running:
        return InterruptedRunError(
            f"left with {done} of {total} stages done; {len(state.running)} go on where they are",
            hint=f"the same command finds them again; {executor}",
        )
    return InterruptedRunError(
        f"interrupted with {done} of {total} stages done; nothing finished is lost",
        hint="run the same command again to go on",
    )
