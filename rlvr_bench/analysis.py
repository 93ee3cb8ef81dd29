"""From a run folder to a report. Pure reading: a new rule replays over old runs in seconds."""

import numpy as np

from rlvr_bench import __version__
from rlvr_bench.diagnostics import flags as flagging
from rlvr_bench.diagnostics.health import share, why_excluded
from rlvr_bench.errors import NothingMeasuredError
from rlvr_bench.judgement import Arms, Judged, ModelData, by_task, judge, scores
from rlvr_bench.runs import store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.finding import ModelFinding, Report, StageFailure, Verdict, VerdictWord
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import BASELINE, Plan
from rlvr_bench.schema.record import Evaluation, Outcome, Record
from rlvr_bench.schema.suite import TaskSpec
from rlvr_bench.stats.gains import estimate


def analyse(run: RunFolder) -> Report:
    """Return the report of a run from its records alone.

    Raises NothingMeasuredError where no model has both a baseline and a trained run.
    """
    plan = store.read_plan(run)
    records = {stage.id: store.read_record(run, stage) for stage in plan.stages}
    failures = _failures(plan, records)
    tasks = [task for task in plan.suite.tasks if task.deciding]
    arms = Arms(plan.method.name, _arm(plan, plan.control), _arm(plan, plan.reference))
    models = [_model_data(plan, records, card.name, card.lineage, tasks) for card in plan.cards]
    measured = [m for m in models if m.before and m.after.get(arms.method)]
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
        if (why := why_excluded(_outcomes(m.before, tasks), m.training[arms.method], plan.suite.rule))
    }
    kept = [m for m in measured if m.name not in excluded]
    lineages = tuple(dict.fromkeys(card.lineage for card in plan.cards))
    missing = tuple(ln for ln in lineages if ln not in {m.lineage for m in measured})
    not_tested = tuple(ln for ln in lineages if ln not in {m.lineage for m in kept})
    judged = judge(plan, kept, tasks, arms, not_tested) if kept else None
    report = Report(
        program=f"rlvr-bench {__version__}",
        suite=plan.suite.name,
        suite_version=plan.suite.version,
        rehearsal=plan.suite.rehearsal,
        method=plan.method.name,
        control=arms.control,
        reference=arms.reference,
        plan=plan.digest,
        partial=plan.partial,
        verdict=_open(judged.verdict if judged else None, missing, not_tested),
        over_start=_open(judged.over_start if judged else None, missing, not_tested),
        flags=(),
        lineages=judged.lineages if judged else (),
        models=tuple(_model_finding(plan, m, tasks, arms, judged, excluded.get(m.name)) for m in measured),
        tasks=by_task(plan, kept, arms),
        not_tested=not_tested,
        not_measured=tuple(m.name for m in models if m not in measured),
        assumptions=judged.assumptions if judged else (),
        failures=failures,
        seeds=len(plan.suite.seeds),
        problems=sum(task.problems.count for task in tasks),
        samples_before=min(task.sampling.samples_before for task in tasks),
        samples_after=min(task.sampling.samples_after for task in tasks),
    )
    return report.model_copy(update={"flags": flagging.find(report, plan)})


def _open(verdict: Verdict | None, missing: tuple[str, ...], not_tested: tuple[str, ...]) -> Verdict:
    """Return the verdict, or INCONCLUSIVE where a lineage has no result or no model is left."""
    if missing:
        words = f"No result for {', '.join(missing)}: the stages failed, so the question stays open."
        return Verdict(word=VerdictWord.INCONCLUSIVE, sentence=words, harmed=verdict.harmed if verdict else ())
    if verdict is None:
        words = "No model was left to judge: " + ", ".join(not_tested) + " not tested."
        return Verdict(word=VerdictWord.INCONCLUSIVE, sentence=words)
    return verdict


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


def _model_data(
    plan: Plan, records: dict[str, Record | None], name: str, lineage: str, tasks: list[TaskSpec]
) -> ModelData:
    """Collect a model's results; a seed counts only where training and every deciding task have one."""
    cells: dict[tuple[str, int | None], list[Record]] = {}
    for stage in plan.stages:
        record = records[stage.id]
        if stage.cell.model == name and record is not None and record.failure is None:
            cells.setdefault((stage.cell.arm, stage.cell.seed), []).append(record)
    data = ModelData(name, lineage, {})
    for (arm, _), found in cells.items():
        evaluations = {r.evaluation.task: r.evaluation for r in found if r.evaluation}
        if not all(task.name in evaluations for task in tasks):
            continue
        if arm == BASELINE:
            data.before.update(evaluations)
            continue
        trainings = [r.training for r in found if r.training]
        if trainings:
            data.after.setdefault(arm, []).append(evaluations)
            data.training.setdefault(arm, []).extend(trainings)
    return data


def _outcomes(evaluations: dict[str, Evaluation], tasks: list[TaskSpec], mode: str = "sampled") -> list[Outcome]:
    """Return the outcomes of all deciding problems, each weighing the same."""
    return [o for task in tasks for o in getattr(evaluations[task.name], mode)]


def _model_finding(
    plan: Plan, model: ModelData, tasks: list[TaskSpec], arms: Arms, judged: Judged | None, excluded: str | None
) -> ModelFinding:
    rule = plan.suite.rule
    after = model.after[arms.method]

    def pooled(evaluations: dict[str, Evaluation], what: str, mode: str = "sampled") -> float:
        return share(_outcomes(evaluations, tasks, mode), what)

    def accuracies(arm: str | None) -> tuple[float, ...]:
        return tuple(pooled(e, "correct") for e in (model.after.get(arm, []) if arm else []))

    def after_mean(what: str) -> float:
        return float(np.mean([pooled(e, what) for e in after]))

    own = judged.by_model if judged else None
    over = judged.by_model_control if judged else None
    if excluded is not None or own is None:  # not in the joint estimate: its own data alone
        own = estimate([scores(model, tasks, arms.method)], rule, control_runs=False, group_by="model")
        over = None
        if arms.control and model.after.get(arms.control):
            alone = [scores(model, tasks, arms.method, arms.control)]
            over = estimate(alone, rule, control_runs=False, group_by="model")
    return ModelFinding(
        model=model.name,
        lineage=model.lineage,
        before=pooled(model.before, "correct"),
        before_greedy=pooled(model.before, "correct", "greedy"),
        after=accuracies(arms.method),
        after_greedy=tuple(pooled(e, "correct", "greedy") for e in after),
        control=accuracies(arms.control),
        reference=accuracies(arms.reference),
        code_before=pooled(model.before, "code"),
        code_after=after_mean("code"),
        unparsed_before=pooled(model.before, "unparsed"),
        unparsed_after=after_mean("unparsed"),
        truncated_after=after_mean("truncated"),
        gain=own.gain_of(own.groups.index(model.name), rule.alpha),
        gain_over_control=over.gain_of(over.groups.index(model.name), rule.alpha)
        if over and model.name in over.groups
        else None,
        excluded=excluded,
    )
