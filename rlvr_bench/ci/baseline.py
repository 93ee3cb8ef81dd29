"""Accepting a run, and comparing another with it, problem by problem.

Owns what is compared and what makes a comparison impossible. Does not own the statistics (stats.regression).
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from rlvr_bench.analysis import Records, report_of, results_of
from rlvr_bench.catalog.files import fault_of
from rlvr_bench.errors import FileFormatError, NotFoundError, NothingMeasuredError, UsageError
from rlvr_bench.schema.baseline import (
    AcceptedModel,
    AcceptedRun,
    AcceptedTask,
    AcceptedVerdict,
    CheckReport,
    Compared,
)
from rlvr_bench.schema.finding import Report, StageFailure, VerdictWord
from rlvr_bench.schema.plan import Plan
from rlvr_bench.schema.record import Evaluation
from rlvr_bench.stats.gains import Array, ModelScores
from rlvr_bench.stats.regression import differences, fallen

MINIMUM_DROP = 0.02
"""A fall of fewer points than this is no regression, shown or not: prompt, parser and hardware move as much."""

MOST_BYTES = 50_000_000


def accept(plan: Plan, records: Records) -> tuple[AcceptedRun, Report]:
    """Return what a run gave, to be checked against, and its report. Raises NothingMeasuredError."""
    report = report_of(plan, records)
    models = []
    for found in results_of(plan, records):
        runs = found.after.get(plan.method.name)
        if not found.before or not runs:
            continue
        tasks = {
            task.name: _task(found.before[task.name], [run[task.name] for run in runs])
            for task in plan.suite.tasks
            if task.deciding
        }
        models.append(AcceptedModel(name=found.name, lineage=found.lineage, tasks=tasks))
    accepted = AcceptedRun(
        program=report.program,
        suite=plan.suite.name,
        suite_version=plan.suite.version,
        method=plan.method.name,
        plan=plan.digest,
        partial=plan.partial,
        verdict=AcceptedVerdict(word=report.verdict.word, lineages=report.verdict.lineages),
        gains={ln.lineage: round(ln.gain.estimate, 4) for ln in report.lineages},
        models=tuple(models),
    )
    return accepted, report


def _task(before: Evaluation, after: Sequence[Evaluation]) -> AcceptedTask:
    ids = [o.id for o in before.sampled]
    runs = []
    for evaluation in after:
        by_id = {o.id: o for o in evaluation.sampled}
        runs.append(tuple(by_id[i].correct for i in ids))
    return AcceptedTask(
        ids=tuple(ids),
        samples_before=before.sampled[0].attempts,
        before=tuple(o.correct for o in before.sampled),
        samples_after=after[0].sampled[0].attempts,
        after=tuple(runs),
    )


def as_json(accepted: AcceptedRun) -> str:
    """Return an accepted run as JSON whose diff a person can read: one line a task."""
    body = accepted.model_dump(mode="json")
    models = body.pop("models")
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in body.items()]
    rows = []
    for model in models:
        tasks = ",\n".join(f"   {json.dumps(name)}: {json.dumps(task)}" for name, task in model["tasks"].items())
        head = f'"name": {json.dumps(model["name"])}, "lineage": {json.dumps(model["lineage"])}'
        rows.append(f'  {{{head}, "tasks": {{\n{tasks}\n  }}}}')
    return "{\n" + "\n".join(lines) + '\n "models": [\n' + ",\n".join(rows) + "\n ]\n}\n"


def read_accepted(path: Path) -> AcceptedRun:
    """Read a baseline file. Raises NotFoundError, FileFormatError."""
    if not path.is_file():
        raise NotFoundError(
            f"no baseline file {path}", hint=f"rlvr-bench check RUN --update-baseline --baseline {path}"
        )
    if path.stat().st_size > MOST_BYTES:
        raise FileFormatError(f"a baseline of more than {MOST_BYTES:,} bytes", where=str(path))
    try:
        return AcceptedRun.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise FileFormatError(
            fault_of(error, AcceptedRun), where=str(path), hint="rlvr-bench check RUN --update-baseline"
        ) from error


def compare(
    now: AcceptedRun,
    accepted: AcceptedRun,
    plan: Plan,
    *,
    run: str,
    failures: Sequence[StageFailure] = (),
    minimum_drop: float = MINIMUM_DROP,
    fail_on: Collection[VerdictWord] = (),
) -> CheckReport:
    """Return how a run stands against an accepted one, lineage by lineage.

    `failures` are stages of the run without a result, of the control and the reference too: they count as missing. A
    lineage fell where its gain over the start is lower by more than `minimum_drop`, and the difference is shown
    (Holm over lineages, stats.regression). Raises UsageError where the two cannot be compared, NothingMeasuredError
    where they share no model.
    """
    _same_question(now, accepted)
    mine = {model.name: model for model in now.models}
    pairs = [(mine[model.name], model) for model in accepted.models if model.name in mine]
    missing = [f"{m.name}: no result now" for m in accepted.models if m.name not in mine]
    if not pairs:
        raise NothingMeasuredError("no model of the baseline has a result in this run", where=run)
    missing += [
        f"{new.name}, {task}: {len(new.tasks[task].after)} of {len(old.tasks[task].after)} runs"
        for new, old in pairs
        for task in old.tasks
        if len(new.tasks[task].after) < len(old.tasks[task].after)
    ]
    missing += [f"{failure.stage}: {failure.kind}" for failure in failures]
    found = differences([_scores(new, old) for new, old in pairs], plan.suite.rule)
    rows = fallen(found, minimum_drop=minimum_drop)
    if not all(np.isfinite([row.estimate, row.lower, row.upper, row.p_holm]).all() for row in rows):
        raise NothingMeasuredError("too few problems to tell one run from another", where=run)
    gains = [
        {row.group: _mean_gain([m for m in side if m.lineage == row.group]) for row in rows}
        for side in ([old for _, old in pairs], [new for new, _ in pairs])
    ]
    notes = [] if now.verdict == accepted.verdict else ["the verdict is another one than the accepted"]
    if now.partial or accepted.partial:
        notes.append("a partial run")
    return CheckReport(
        run=run,
        suite=f"{now.suite}, version {now.suite_version}",
        method=now.method,
        minimum_drop=minimum_drop,
        lineages=tuple(
            Compared(
                lineage=row.group,
                accepted=gains[0][row.group],
                now=gains[1][row.group],
                difference=row.estimate,
                lower=row.lower,
                upper=row.upper,
                p_holm=row.p_holm,
                fallen=row.fallen,
            )
            for row in rows
        ),
        accepted=accepted.verdict,
        verdict=now.verdict,
        missing=tuple(missing),
        failed_on=now.verdict.word if now.verdict.word in fail_on else None,
        notes=tuple(notes),
    )


def _same_question(now: AcceptedRun, accepted: AcceptedRun) -> None:
    for what, one, other in (
        ("suite", now.suite, accepted.suite),
        ("suite version", now.suite_version, accepted.suite_version),
        ("method", now.method, accepted.method),
    ):
        if one != other:
            raise UsageError(
                f"the run's {what} is {one}, the baseline's {other}: they answer different questions",
                hint="accept this run: rlvr-bench check RUN --update-baseline",
            )
    new = {model.name: model for model in now.models}
    for old in accepted.models:
        model = new.get(old.name)
        if model is None:
            continue
        if model.lineage != old.lineage:
            raise UsageError(f"{old.name} is of lineage {model.lineage} now and of {old.lineage} in the baseline")
        for task in sorted(old.tasks.keys() | model.tasks.keys()):
            one_ids = model.tasks[task].ids if task in model.tasks else ()
            if task not in old.tasks or set(one_ids) != set(old.tasks[task].ids):
                raise UsageError(
                    f"{old.name}, task {task}: the run and the baseline have different problems",
                    hint="compare whole runs, or accept this one: rlvr-bench check RUN --update-baseline",
                )


def _gains(task: AcceptedTask, ids: Sequence[str]) -> Array:
    """Return each run's gain over the start by problem, (S, n), in the order of `ids`."""
    at = {name: i for i, name in enumerate(task.ids)}
    order = [at[name] for name in ids]
    before = np.asarray(task.before, float)[order] / task.samples_before
    return np.asarray(np.asarray(task.after, float)[:, order] / task.samples_after - before)


def _scores(now: AcceptedModel, accepted: AcceptedModel) -> ModelScores:
    tasks = list(accepted.tasks)
    return ModelScores(
        name=now.name,
        lineage=now.lineage,
        runs=tuple(_gains(now.tasks[t], accepted.tasks[t].ids) for t in tasks),
        against=tuple(_gains(accepted.tasks[t], accepted.tasks[t].ids) for t in tasks),
        against_trained=True,
    )


def _mean_gain(models: Sequence[AcceptedModel]) -> float:
    """Return the mean gain over models, each over its problems and runs."""
    each = [
        np.concatenate([_gains(task, task.ids).mean(0) for task in model.tasks.values()]).mean() for model in models
    ]
    return float(np.mean(each))
