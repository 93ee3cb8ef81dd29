"""A run's answers graded again from saved completions, and what that changes."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rlvr_bench.analysis.collected import Records
from rlvr_bench.backends.regrade import graded_again
from rlvr_bench.errors import NothingMeasuredError
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import EvaluateInputs, Plan
from rlvr_bench.schema.record import Evaluation
from rlvr_bench.scoring import keep_verdicts


@dataclass(frozen=True)
class Changed:
    """What grading again changed in one stage: answers, problems with another count, and the accuracy then and now."""

    stage: str
    answers: int
    problems: int
    before: float
    after: float


@dataclass(frozen=True)
class Rescored:
    """The records with new grades, how many answers were graded, and every stage in which a count changed."""

    records: Records
    answers: int
    changed: tuple[Changed, ...]


def rescore(
    plan: Plan,
    records: Records,
    run: RunFolder,
    *,
    workers: int | None = None,
    seen: Callable[[int, int], None] = lambda *_: None,
) -> Rescored:
    """Grade every answer of a run again and return the records as they would be; nothing in the run is changed.

    `workers` processes share the stages; `seen` is told how many of how many are done. Raises EnvironmentFaultError
    where completions are missing, NothingMeasuredError where no stage was evaluated.
    """
    due = {
        s.id: s for s in plan.stages if isinstance(s.inputs, EvaluateInputs) and (r := records[s.id]) and r.evaluation
    }
    if not due:
        raise NothingMeasuredError(
            "no stage of this run has been evaluated", where=str(run.path), hint=f"rlvr-bench status {run.path.name}"
        )
    work = [(str(run.path), stage_id, stage.inputs, records[stage_id].evaluation) for stage_id, stage in due.items()]  # type: ignore[union-attr]
    found = dict(records)
    changed, answers = [], 0
    count = min(workers or os.cpu_count() or 1, len(work))
    with ProcessPoolExecutor(count, mp_context=get_context("forkserver")) as pool:
        for number, (stage_id, new) in enumerate(pool.map(_again, work), 1):
            record = records[stage_id]
            assert record is not None and record.evaluation is not None
            change = _change(stage_id, record.evaluation, new)
            changed += [change] if change else []
            answers += sum(o.attempts for o in (*new.sampled, *new.greedy))
            found[stage_id] = record.model_copy(update={"evaluation": new})
            seen(number, len(work))
    return Rescored(found, answers, tuple(changed))


def _again(work: tuple[str, str, EvaluateInputs, Evaluation]) -> tuple[str, Evaluation]:
    path, stage_id, inputs, old = work
    run = RunFolder(Path(path))
    keep_verdicts(run.verdicts)
    return stage_id, graded_again(inputs, run.stage(stage_id), old)


def _change(stage: str, old: Evaluation, new: Evaluation) -> Changed | None:
    pairs = list(zip((*old.sampled, *old.greedy), (*new.sampled, *new.greedy), strict=True))
    moved = [(a, b) for a, b in pairs if (a.correct, a.unparsed) != (b.correct, b.unparsed)]
    if not moved:
        return None
    rates = [sum(o.correct / o.attempts for o in e.sampled) / len(e.sampled) for e in (old, new)]
    return Changed(
        stage, sum(max(abs(a.correct - b.correct), abs(a.unparsed - b.unparsed)) for a, b in moved), len(moved), *rates
    )
