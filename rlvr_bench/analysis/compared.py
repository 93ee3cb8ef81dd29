"""Two runs, paired on the same problems of the same models."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlvr_bench.analysis.collected import ModelData, Records, results_of
from rlvr_bench.analysis.flips import flipped
from rlvr_bench.analysis.reports import is_blind, report_of
from rlvr_bench.diagnostics.mechanism import curve
from rlvr_bench.errors import NothingMeasuredError, UsageError
from rlvr_bench.schema.comparison import Comparison, Difference, FlippedProblem, Side
from rlvr_bench.schema.finding import Report
from rlvr_bench.schema.plan import Plan, TrainInputs
from rlvr_bench.schema.record import Evaluation
from rlvr_bench.stats.gains import Array, Grouping, ModelScores, benchmark_weights
from rlvr_bench.stats.regression import differences

ASIDE = frozenset({"kind", "card", "seed", "replay", "prepared", "tested"})
"""Of training inputs, what says nothing about how two methods differ."""


def compare(first: tuple[str, Plan, Records], second: tuple[str, Plan, Records]) -> Comparison:
    """Return how two runs' methods differ on the models and problems that both have.

    Each side is the run's name, its plan and its records. Raises UsageError where both do not ask the same problems in
    the same way, NothingMeasuredError where they share no measured model.
    """
    (name, plan, records), (other_name, other, other_records) = first, second
    if name == other_name and plan.digest == other.digest:
        raise UsageError("both are the same run", hint="rlvr-bench list runs")
    notes = _same_questions(plan, other)
    reports = [_report(*side) for side in (first, second)]
    owed = tuple(len(report.failures) for report in reports)
    for run, count in zip((name, other_name), owed, strict=True):
        if count:
            notes.append(f"{count} stages of {run} have no result")
    mine = {m.name: m for m in results_of(plan, records) if m.measured(plan.method.name)}
    theirs = {m.name: m for m in results_of(other, other_records) if m.measured(other.method.name)}
    both = [model for model in mine if model in theirs]
    if not both:
        raise NothingMeasuredError(
            "the two runs share no model that both have measured",
            where=f"{name}, {other_name}",
            hint="compare runs of one suite: rlvr-bench list runs",
        )
    for run, found in ((name, mine), (other_name, theirs)):
        if alone := [model for model in found if model not in both]:
            notes.append(f"only in {run}: {', '.join(alone)}")
    tasks = [task.name for task in plan.suite.tasks if task.deciding]
    scores, moved, turned = [], [], []
    for model in both:
        one, two = mine[model], theirs[model]
        ends = [_ends(m, p.method.name, tasks) for m, p in ((one, plan), (two, other))]
        starts = [_shares(m.before, tasks, ids) for m, ids in ((one, ends[0][0]), (two, ends[0][0]))]
        if ends[0][0] != ends[1][0]:
            raise UsageError(f"{model}: the two runs have different problems, or in another order")
        if any(not np.array_equal(a, b) for a, b in zip(*starts, strict=True)):
            moved.append(model)
        gains = [[end - start for end, start in zip(e[1], s, strict=True)] for e, s in zip(ends, starts, strict=True)]
        scores.append(
            ModelScores(
                name=model, lineage=two.lineage, runs=tuple(gains[1]), against=tuple(gains[0]), against_trained=True
            )
        )
        turned += _flipped(model, tasks, ends)
    if moved:
        notes.append(f"the starts differ, so gains are compared: {', '.join(moved)} (other hardware or versions)")
    blind = is_blind(plan.method) or is_blind(other.method)
    return Comparison(
        first=_side(name, plan, reports[0]),
        second=_side(other_name, other, reports[1]),
        setup=_setup(plan, other),
        lineages=_differences(scores, plan, "lineage", blind=blind),
        models=_differences(scores, plan, "model", blind=blind),
        flipped=tuple(turned),
        curves=(_curves(plan, mine, both), _curves(other, theirs, both)),
        notes=tuple(notes),
        owed=(owed[0], owed[1]),
    )


def _report(name: str, plan: Plan, records: Records) -> Report:
    try:
        return report_of(plan, records)
    except NothingMeasuredError as error:
        raise NothingMeasuredError(error.message, where=name, hint=f"rlvr-bench status {name}") from error


def _side(name: str, plan: Plan, report: Report) -> Side:
    return Side(run=name, method=plan.method.name, verdict=report.verdict.word, lineages=report.verdict.lineages)


def _same_questions(plan: Plan, other: Plan) -> list[str]:
    """Refuse where deciding tasks, prompts or sampling differ; return what differs and may."""
    tasks = [{t.name: t for t in p.suite.tasks if t.deciding} for p in (plan, other)]
    if set(tasks[0]) != set(tasks[1]):
        raise UsageError(f"the runs decide on other tasks: {', '.join(tasks[0])} and {', '.join(tasks[1])}")
    for name, task in tasks[0].items():
        for what in ("problems", "sampling"):
            one, two = getattr(task, what), getattr(tasks[1][name], what)
            a, b = (x.computed() if what == "problems" else x.model_dump(mode="json") for x in (one, two))
            changed = _changed(a, b)
            changed = [line for line in changed if not line.startswith(("samples_", "batch_size"))]
            if changed:
                raise UsageError(
                    f"task {name} is asked otherwise in the second run: {what}: {changed[0]}",
                    hint="compare runs that ask the same problems in the same way",
                )
    cards = [{card.name: card for card in p.cards} for p in (plan, other)]
    for model in sorted(set(cards[0]) & set(cards[1])):
        changed = _changed(cards[0][model].computed(), cards[1][model].computed())
        if changed:
            raise UsageError(
                f"{model} is another model, or prompted otherwise, in the second run: {changed[0]}",
                hint="run both methods with the same cards",
            )
    notes = []
    if plan.suite.name != other.suite.name or plan.suite.version != other.suite.version:
        notes.append(
            f"suites {plan.suite.name}, version {plan.suite.version}, and {other.suite.name}, "
            f"version {other.suite.version}"
        )
    if plan.environment != other.environment:
        notes.append("the runs were made with other versions, code or hardware")
    return notes


def _setup(plan: Plan, other: Plan) -> tuple[str, ...]:
    """Return the training inputs of the two methods that differ."""

    def of(p: Plan) -> dict[str, Any]:
        inputs = next(s.inputs for s in p.stages if s.cell.arm == p.method.name and isinstance(s.inputs, TrainInputs))
        body = inputs.model_dump(mode="json", exclude=set(ASIDE))
        body["rewards"] = json.dumps([spec.model_dump(mode="json", exclude_defaults=True) for spec in inputs.rewards])
        return body

    return tuple(_changed(of(plan), of(other)))


def _changed(one: Any, other: Any, path: str = "") -> list[str]:
    """Return `key: a, b` for every value in which two JSON values differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [*one, *(key for key in other if key not in one)]
        return [c for k in keys for c in _changed(one.get(k), other.get(k), f"{path}.{k}" if path else str(k))]
    return [] if one == other else [f"{path}: {_said(one)}, {_said(other)}"]


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _shares(
    evaluations: Mapping[str, Evaluation], tasks: Sequence[str], ids: Mapping[str, tuple[str, ...]]
) -> list[Array]:
    found = []
    for task in tasks:
        by_id = {o.id: o.correct / o.attempts for o in evaluations[task].sampled}
        found.append(np.array([by_id.get(name, np.nan) for name in ids[task]]))
    return found


def _ends(m: ModelData, method: str, tasks: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], list[Array]]:
    """Return the ids of each task's problems, and each task's shares right, (runs, problems)."""
    ids = {task: tuple(o.id for o in m.before[task].sampled) for task in tasks}
    rows = [_shares(run, tasks, ids) for run in m.after[method]]
    return ids, [np.stack([row[i] for row in rows]) for i in range(len(tasks))]


def _differences(scores: Sequence[ModelScores], plan: Plan, by: Grouping, *, blind: bool) -> tuple[Difference, ...]:
    rule = plan.suite.rule
    found = differences(scores, rule, group_by=by, blind=blind).gains(rule.alpha)
    rows = []
    for name, gain in found.items():
        mine = [s for s in scores if (s.lineage if by == "lineage" else s.name) == name]
        weights = benchmark_weights([scores.shape[1] for scores in mine[0].runs], rule)
        sides = [
            [sum(w * a.mean() for w, a in zip(weights, getattr(s, what), strict=True)) for s in mine]
            for what in ("against", "runs")
        ]
        first, second = (float(np.mean(side)) for side in sides)
        rows.append(Difference(name=name, lineage=mine[0].lineage, first=first, second=second, difference=gain))
    return tuple(rows)


def _flipped(
    model: str, tasks: Sequence[str], ends: Sequence[tuple[dict[str, tuple[str, ...]], list[Array]]]
) -> list[FlippedProblem]:
    found = []
    for i, task in enumerate(tasks):
        one, two = (end[1][i].mean(0) for end in ends)
        for number, name in enumerate(ends[0][0][task]):
            if flipped(one[number], two[number]):
                found.append(
                    FlippedProblem(
                        model=model, task=task, problem=name, first=float(one[number]), second=float(two[number])
                    )
                )
    return sorted(found, key=lambda f: (-abs(f.second - f.first), f.task, f.problem))


def _curves(plan: Plan, models: Mapping[str, ModelData], both: Sequence[str]) -> tuple[Any, ...]:
    method = plan.method.name
    return tuple(
        curve(name, method, seed, training.steps)
        for name in both
        for seed, training in zip(models[name].seeds[method], models[name].training[method], strict=True)
    )
