"""The only loop that does work: owed stages to the executor, records back, events out."""

import json
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from rlvr_bench.engine import pace
from rlvr_bench.engine.care import TAKEN, Care, Watchdog, check_room, disk_is_full, no_room, read_adapted, smaller
from rlvr_bench.errors import BudgetError, EnvironmentFaultError, InterruptedRunError
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.invocations import note_invocation
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.lock import locked
from rlvr_bench.schema.plan import Plan, Stage
from rlvr_bench.schema.record import Failure, Record, Timing

POLL_SECONDS = 0.25
LOST = 1_000_001
"""In place of an exit code: the stage did nothing wrong and is owed again."""
MOST_LOST = 20
"""A stage that is taken away so often has no room where it is put."""


class Executor(Protocol):
    """Where stages run. A stage is a folder; the executor knows nothing else."""

    capacity: int
    detaches: bool
    """Whether what runs goes on without the runner: it is then left alone where the runner is interrupted."""

    def start(self) -> None:
        """Get ready; called once, only where there is work."""

    def attached(self) -> list[Path]:
        """Return the folders whose stages run already, started by an earlier runner; called once, after `start`."""

    def submit(self, folder: Path) -> None:
        """Start the stage of a folder."""

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Return the folders whose stage ended, with exit codes, waiting up to `timeout` seconds.

        The code is LOST where the machine took the stage away: preempted, out of time, a node that failed.
        """

    def waiting(self) -> set[Path]:
        """Return the folders that were submitted and do not run yet: no time limit counts for them."""

    def gpus(self, folder: Path) -> int:
        """Return how many GPUs a stage has; 1 on a CPU."""

    def stop(self, folder: Path) -> None:
        """Stop one stage at once; the next poll returns it."""

    def cancel(self) -> None:
        """Stop everything that runs."""


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
        store.append_event(run, {"event": "run-started", "stages": len(plan.stages)})
        state = _State(plan, [], {}, set(), set(), care, Watchdog(care), spent=_spent(run))

        def tell(kind: str, stage: Stage, record: Record | None = None, **more: Any) -> None:
            event = Event(kind, stage, record, len(state.done), len(plan.stages))  # type: ignore[arg-type]
            store.append_event(run, {"event": kind, "stage": stage.id, **more})
            on_event(event)

        kept = _kept(plan, run)
        for stage in plan.stages:
            if stage.id in kept:
                state.done.add(stage.id)
                tell("kept", stage, kept[stage.id])
            elif not _adopted(state, run, runs, stage, tell):
                state.owed.append(stage)
        try:
            with _interruptible(state, on_notice, at_once=executor.detaches):
                if state.owed:
                    executor.start()
                    _attach(state, run, executor, tell)
                while (state.owed and not state.ending) or state.running:
                    _mind_the_budget(state, on_notice)
                    if not state.ending:
                        _fill(state, run, runs, executor, tell)
                    state.watchdog.hold(executor.waiting())
                    for folder, why in state.watchdog.stuck():
                        if folder not in state.stopped:
                            state.stopped[folder] = why
                            executor.stop(folder)
                    for folder, code in executor.poll(POLL_SECONDS):
                        _collect(state, run, runs, folder, code, tell)
                    held.beat()
                    on_tick()
        except KeyboardInterrupt:
            if not executor.detaches:
                executor.cancel()
            state.ending = "interrupted"
        except BaseException as error:
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


def _attach(state: _State, run: RunFolder, executor: Executor, tell: Tell) -> None:
    """Take over the stages that an earlier runner started and that still run; others of the executor are stopped."""
    owed = {run.stage(stage.id): stage for stage in state.owed}
    for folder in executor.attached():
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


def _refused(state: _State, folder: Path, stage: Stage, error: EnvironmentFaultError, tell: Tell) -> None:
    """Write down that a stage could not be placed."""
    record = _failed(stage, Failure(kind="environment", message=error.message, hint=error.hint))
    store.write_model(folder / layout.RECORD, record)
    state.failed.add(stage.id)
    tell("failed", stage, record)


def _failed(stage: Stage, failure: Failure) -> Record:
    nothing = Timing(wall_seconds=0, cpu_seconds=0, peak_memory_bytes=0)
    return Record(digest=stage.digest, kind=stage.kind, failure=failure, timing=nothing)


def _collect(state: _State, run: RunFolder, runs: Path, folder: Path, code: int, tell: Tell) -> None:
    """Take a finished stage's record; a process that left none was killed, by us where it was stuck."""
    stage = state.running.pop(folder, None)
    if stage is None:  # stopped when it was found running for nobody
        return
    width, seconds = state.watchdog.ended(folder)
    state.spent += seconds * width
    state.attempts[stage.id] += 1
    why = state.stopped.pop(folder, None)
    record = store.read_record(run, stage)
    if record is None and code in (LOST, TAKEN) and why is None and not state.ending:
        state.lost[stage.id] += 1
        if state.lost[stage.id] <= MOST_LOST:
            state.attempts[stage.id] -= 1
            state.owed.insert(0, stage)
            tell("lost", stage, seconds=seconds, gpus=width)
            return
    if record is None:
        failure = Failure(kind="killed", message=f"the stage's process ended without a record (exit code {code})")
        if why is not None:
            failure = Failure(kind="timeout", message=f"stopped: it {why}", hint="see its log.txt; --retry tries again")
        record = _failed(stage, failure)
        store.write_model(folder / layout.RECORD, record)
    if record.failure is not None:
        if record.failure.kind == "disk-full":  # the others would fail in the same way
            tell("failed", stage, record, seconds=seconds, gpus=width)
            raise no_room(run.path)
        if not state.ending and _again(state, folder, stage, record.failure):
            state.owed.insert(0, stage)
            tell("retried", stage, record, seconds=seconds, gpus=width, failure=record.failure.kind)
            return
        state.failed.add(stage.id)
        tell("failed", stage, record, seconds=seconds, gpus=width)
        return
    shutil.rmtree(folder / layout.TRAINER, ignore_errors=True)
    store.publish(run, stage, runs)
    if not (record.training and record.training.resumed):  # the rest of a training says nothing of a whole one
        pace.note(runs, stage, state.plan.environment.device, seconds)
    state.done.add(stage.id)
    timing = record.timing
    paid = {"wall": timing.wall_seconds, "cpu": timing.cpu_seconds, "memory": timing.peak_memory_bytes}
    tell("finished", stage, record, seconds=seconds, gpus=width, **paid)


def _again(state: _State, folder: Path, stage: Stage, failure: Failure) -> bool:
    """Return whether a failed stage is tried again; where memory ran out, once with smaller batches."""
    if failure.kind == "out-of-memory" and not read_adapted(folder):
        found = smaller(stage.inputs, read_adapted(folder, layout.TRIED))
        if found is not None:
            (folder / layout.COMPLETIONS).unlink(missing_ok=True)  # chunks of another size
            store.write_text(folder / layout.ADAPTED, json.dumps(found) + "\n")
            return True
    return state.care.again(failure, state.attempts[stage.id])


def _spent(run: RunFolder) -> float:
    """Return the seconds that stages of this run took in earlier invocations, failed attempts too."""
    return sum(float(e.get("seconds", 0.0)) * int(e.get("gpus", 1)) for e in store.read_events(run))


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
