"""From a run folder to a report. Pure reading: a new rule replays over old runs in seconds."""

from dataclasses import dataclass, field

import numpy as np

from rlvr_bench import __version__
from rlvr_bench.diagnostics import flags as flagging
from rlvr_bench.diagnostics.health import share, why_excluded, why_unhealthy
from rlvr_bench.errors import NothingMeasuredError
from rlvr_bench.runs import store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.finding import (
    LineageFinding,
    ModelFinding,
    Report,
    StageFailure,
    Verdict,
    VerdictWord,
)
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import BASELINE, Plan
from rlvr_bench.schema.record import Evaluation, Record, Training
from rlvr_bench.schema.suite import TaskSpec
from rlvr_bench.stats.gains import Array, Bounds, Estimates, ModelScores, RunVariance, estimate
from rlvr_bench.stats.sentences import sentence
from rlvr_bench.stats.verdict import Decision, decide

CONTENT_BLIND = frozenset({"random", "boxed"})
"""Rewards whose runs scatter more: the wider prior run-to-run SD applies (docs/statistics.md, section 7)."""


@dataclass(frozen=True)
class ModelData:
    """All records of one model, by task name and in the order of seeds."""

    name: str
    lineage: str
    before: dict[str, Evaluation]
    after: dict[str, list[dict[str, Evaluation]]] = field(default_factory=dict)
    training: dict[str, list[Training]] = field(default_factory=dict)


def analyse(run: RunFolder) -> Report:
    """Return the report of a run from its records alone.

    Raises NothingMeasuredError where no model has both a baseline and a trained run.
    """
    plan = store.read_plan(run)
    records = {stage.id: store.read_record(run, stage) for stage in plan.stages}
    failures = _failures(plan, records)
    tasks = [task for task in plan.suite.tasks if task.deciding]
    models = [_model_data(plan, records, card.name, card.lineage) for card in plan.cards]
    control, reference = _arm(plan, plan.control), _arm(plan, plan.reference)
    needed = [plan.method.name] + ([control] if control else [])
    measured = [m for m in models if m.before and all(m.after.get(arm) for arm in needed)]
    if not measured:
        first = f"; first: {failures[0].stage}: {failures[0].kind}: {failures[0].message}" if failures else ""
        raise NothingMeasuredError(
            f"no model has been measured before and after training{first}",
            where=str(run.path),
            hint=f"rlvr-bench status {run.path.name}",
        )
    excluded = {
        m.name: why
        for m in measured
        if (why := why_excluded(m.before[tasks[0].name], m.training[plan.method.name], plan.suite.rule))
    }
    kept = [m for m in measured if m.name not in excluded]
    lineages = tuple(dict.fromkeys(card.lineage for card in plan.cards))
    missing = tuple(ln for ln in lineages if ln not in {m.lineage for m in measured})
    not_tested = tuple(ln for ln in lineages if ln not in {m.lineage for m in kept})
    judged = _judge(plan, kept, tasks, control, reference, not_tested, missing)
    model_findings = tuple(
        _model_finding(plan, m, tasks, control, reference, judged, excluded.get(m.name)) for m in measured
    )
    report = Report(
        program=f"rlvr-bench {__version__}",
        suite=plan.suite.name,
        suite_version=plan.suite.version,
        rehearsal=plan.suite.rehearsal,
        method=plan.method.name,
        control=control,
        reference=reference,
        plan=plan.digest,
        partial=plan.partial,
        verdict=judged.verdict,
        over_start=judged.over_start,
        flags=(),
        lineages=judged.lineages,
        models=model_findings,
        not_tested=not_tested,
        assumptions=judged.assumptions,
        failures=failures,
        seeds=len(plan.suite.seeds),
        problems=sum(task.problems.count for task in tasks),
        samples_before=tasks[0].sampling.samples_before,
        samples_after=tasks[0].sampling.samples_after,
    )
    return report.model_copy(update={"flags": flagging.find(report, plan)})


def _arm(plan: Plan, method: Method | None) -> str | None:
    """Return the name of the arm that plays a role: its own cells, or the method's where it is the method."""
    if method is None:
        return None
    arms = {stage.cell.arm for stage in plan.stages}
    return method.name if method.name in arms else plan.method.name


def _failures(plan: Plan, records: dict[str, Record | None]) -> tuple[StageFailure, ...]:
    found = []
    for stage in plan.stages:
        record = records[stage.id]
        if record is None:
            found.append(StageFailure(stage=stage.id, kind="owed", message="no result yet"))
        elif record.failure is not None:
            found.append(StageFailure(stage=stage.id, kind=record.failure.kind, message=record.failure.message))
    return tuple(found)


def _model_data(plan: Plan, records: dict[str, Record | None], name: str, lineage: str) -> ModelData:
    """Collect a model's results; a seed counts only where training and every task have one."""
    cells: dict[tuple[str, int | None], list[Record | None]] = {}
    for stage in plan.stages:
        if stage.cell.model == name:
            cells.setdefault((stage.cell.arm, stage.cell.seed), []).append(records[stage.id])
    data = ModelData(name, lineage, {})
    for (arm, _), found in cells.items():
        whole = [r for r in found if r is not None and r.failure is None]
        if len(whole) != len(found):
            continue
        evaluations = {r.evaluation.task: r.evaluation for r in whole if r.evaluation}
        if arm == BASELINE:
            data.before.update(evaluations)
        else:
            data.after.setdefault(arm, []).append(evaluations)
            data.training.setdefault(arm, []).extend(r.training for r in whole if r.training)
    return data


@dataclass(frozen=True)
class _Judged:
    verdict: Verdict
    over_start: Verdict
    lineages: tuple[LineageFinding, ...]
    by_model: Estimates | None
    by_model_control: Estimates | None
    assumptions: tuple[str, ...]


def _judge(
    plan: Plan,
    kept: list[ModelData],
    tasks: list[TaskSpec],
    control: str | None,
    reference: str | None,
    not_tested: tuple[str, ...],
    missing: tuple[str, ...],
) -> _Judged:
    """Estimate, decide twice (over the control, over the start), and describe every lineage."""
    rule = plan.suite.rule
    noisy = {spec.name for spec in plan.method.rewards} <= CONTENT_BLIND
    if not kept:
        words = "No model was left to judge: " + ", ".join(not_tested) + " not tested."
        nothing = Verdict(word=VerdictWord.INCONCLUSIVE, sentence=words)
        return _Judged(nothing, nothing, (), None, None, ())
    against_start = [_scores(m, tasks, plan.method.name, None) for m in kept]
    start = Bounds(estimate(against_start, rule, control_runs=noisy), rule)
    by_model = estimate(against_start, rule, control_runs=noisy, group_by="model")
    over, by_model_control = None, None
    if control:
        against_control = [_scores(m, tasks, plan.method.name, control) for m in kept]
        over = Bounds(estimate(against_control, rule, control_runs=noisy), rule)
        by_model_control = estimate(against_control, rule, control_runs=noisy, group_by="model")
    trained = [m for m in kept if reference and m.after.get(reference)]
    positive = (
        Bounds(
            estimate([_scores(m, tasks, reference or "", None) for m in trained], rule, control_runs=False),
            rule,
        )
        if trained
        else None
    )
    trainable: dict[str, bool] = {}
    if positive:
        trainable = {
            g: bool(low > rule.margin) for g, low in zip(positive.estimates.groups, positive.lower, strict=True)
        }
    untrainable = [g for g, yes in trainable.items() if not yes]
    doubtful = _doubtful(plan, kept, tasks)
    headline = decide(start, over, untested=not_tested, untrainable=untrainable, doubtful=doubtful)
    plain = decide(start, None, untested=not_tested, untrainable=untrainable, doubtful=doubtful)
    groups = start.estimates.groups
    lineages = tuple(
        LineageFinding(
            lineage=group,
            models=tuple(m.name for m in kept if m.lineage == group),
            gain=start.estimates.gain_of(f, rule.alpha),
            gain_over_control=over.estimates.gain_of(f, rule.alpha) if over else None,
            credited=headline.credited[f],
            shown_small=headline.shown_small[f],
            harmed=headline.harmed[f],
            reference_gain=positive.estimates.gain_of(positive.estimates.groups.index(group), rule.alpha)
            if positive and group in positive.estimates.groups
            else None,
            trainable=trainable.get(group),
        )
        for f, group in enumerate(groups)
    )
    return _Judged(
        verdict=_verdict(headline, start, over, missing),
        over_start=_verdict(plain, start, None, missing),
        lineages=lineages,
        by_model=by_model,
        by_model_control=by_model_control,
        assumptions=_assumptions(start, over),
    )


def _doubtful(plan: Plan, kept: list[ModelData], tasks: list[TaskSpec]) -> str:
    """Return why single runs are not to be believed, or an empty string."""
    for model in kept:
        runs = model.after[plan.method.name]
        if len(runs) > 1:
            continue
        for task in tasks:
            why = why_unhealthy(model.training[plan.method.name][0], model.before[task.name], runs[0][task.name])
            if why:
                return f"the single run of {model.name} looks collapsed ({why})"
    return ""


def _verdict(decision: Decision, start: Bounds, control: Bounds | None, missing: tuple[str, ...]) -> Verdict:
    groups = start.estimates.groups
    harmed = tuple(g for g, h in zip(groups, decision.harmed, strict=True) if h)
    if missing:
        words = f"No result for {', '.join(missing)}: the stages failed, so the question stays open."
        return Verdict(word=VerdictWord.INCONCLUSIVE, sentence=words, harmed=harmed)
    return Verdict(
        word=decision.word,
        lineages=decision.named,
        sentence=sentence(decision, start, control),
        harmed=harmed,
    )


def _matrix(evaluations: list[dict[str, Evaluation]], task: str) -> Array:
    return np.array([[o.correct / o.attempts for o in e[task].sampled] for e in evaluations])


def _scores(model: ModelData, tasks: list[TaskSpec], arm: str, control: str | None) -> ModelScores:
    against = [model.before] if control is None else model.after[control]
    return ModelScores(
        name=model.name,
        lineage=model.lineage,
        runs=tuple(_matrix(model.after[arm], task.name) for task in tasks),
        against=tuple(_matrix(against, task.name) for task in tasks),
        against_trained=control is not None,
    )


def _pooled(evaluations: dict[str, Evaluation], tasks: list[TaskSpec], what: str, mode: str = "sampled") -> float:
    """Return a share over all deciding problems, each weighing the same."""
    outcomes = [o for task in tasks for o in getattr(evaluations[task.name], mode)]
    return share(outcomes, what)


def _model_finding(
    plan: Plan,
    model: ModelData,
    tasks: list[TaskSpec],
    control: str | None,
    reference: str | None,
    judged: _Judged,
    excluded: str | None,
) -> ModelFinding:
    rule = plan.suite.rule
    after = model.after[plan.method.name]

    def accuracies(arm: str | None) -> tuple[float, ...]:
        return tuple(_pooled(e, tasks, "correct") for e in (model.after.get(arm, []) if arm else []))

    def after_mean(what: str) -> float:
        return float(np.mean([_pooled(e, tasks, what) for e in after]))

    own, own_control = judged.by_model, judged.by_model_control
    if excluded is not None or own is None:  # not in the joint estimate: its own data and the prior SD
        own = estimate([_scores(model, tasks, plan.method.name, None)], rule, control_runs=False)
        own_control = (
            estimate([_scores(model, tasks, plan.method.name, control)], rule, control_runs=False) if control else None
        )
    index = own.groups.index(model.name) if model.name in own.groups else 0
    return ModelFinding(
        model=model.name,
        lineage=model.lineage,
        before=_pooled(model.before, tasks, "correct"),
        before_greedy=_pooled(model.before, tasks, "correct", "greedy"),
        after=accuracies(plan.method.name),
        after_greedy=tuple(_pooled(e, tasks, "correct", "greedy") for e in after),
        control=accuracies(control),
        reference=accuracies(reference),
        code_before=_pooled(model.before, tasks, "code"),
        code_after=after_mean("code"),
        unparsed_before=_pooled(model.before, tasks, "unparsed"),
        unparsed_after=after_mean("unparsed"),
        truncated_after=after_mean("truncated"),
        gain=own.gain_of(index, rule.alpha),
        gain_over_control=own_control.gain_of(index, rule.alpha) if own_control else None,
        excluded=excluded,
    )


def _assumptions(start: Bounds, over: Bounds | None) -> tuple[str, ...]:
    """Say which run-to-run SDs the intervals rest on."""

    def said(what: str, variance: RunVariance, prior: float) -> str:
        seen = "not observed (single runs)" if variance.observed is None else f"observed {100 * variance.observed:.1f}"
        return (
            f"run-to-run SD of {what}: {seen}, prior {100 * prior:.1f} with {start.rule.prior_degrees:g} degrees of "
            f"freedom, used {100 * variance.variance**0.5:.1f} points"
        )

    rule = start.rule
    found = [said("the method", start.estimates.runs, rule.prior_run_sd)]
    if over and over.estimates.against:
        found.append(said("the control", over.estimates.against, rule.prior_run_sd_control))
    found.append("problems are a sample of problems like these; models of a lineage are fixed, of equal weight")
    return tuple(found)
