"""From a run folder to a report. Pure reading: a new rule replays over old runs in seconds."""

from collections.abc import Sequence

import numpy as np

from rlvr_bench import __version__
from rlvr_bench.analysis.collected import ModelData, Records, outcomes_of, read, results_of
from rlvr_bench.analysis.explained import explain
from rlvr_bench.diagnostics import flags as flagging
from rlvr_bench.diagnostics.flags import Baseline, Circumstances
from rlvr_bench.diagnostics.health import share, why_excluded, why_unhealthy
from rlvr_bench.diagnostics.origins import adapted, origins
from rlvr_bench.diagnostics.scores import task_scores
from rlvr_bench.errors import NothingMeasuredError
from rlvr_bench.judgement.elicitation import Elicited, net_elicitation
from rlvr_bench.judgement.evidence import Evidence, ModelResults
from rlvr_bench.judgement.sensitivity import cross_check, earlier_steps
from rlvr_bench.judgement.sides import Question
from rlvr_bench.judgement.verdicts import Judged, by_task, gain_alone, judge
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.finding import ModelFinding, Report, StageFailure, TaskScore, Verdict, VerdictWord
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import BASELINE, Plan, TrainInputs
from rlvr_bench.schema.record import Evaluation
from rlvr_bench.schema.suite import TaskSpec
from rlvr_bench.stats.gains import Array

CONTENT_BLIND = frozenset({"random", "boxed", "no-repetition"})
"""Rewards whose runs scatter more: the wider prior run-to-run SD applies (docs/statistics.md, section 3)."""

ALONE = frozenset({"rewards", "labels", "seed", "kind", "replay"})
"""What may differ between the training inputs of the method and of its control; the seed is the cell's."""


def analyse(run: RunFolder, *, resamples: int = 0) -> Report:
    """Return the report of a run from its records alone, with a bootstrap cross-check of `resamples` draws.

    Raises NothingMeasuredError where no model has both a baseline and a trained run.
    """
    return judged(run, resamples=resamples)[2]


def judged(run: RunFolder, *, resamples: int = 0) -> tuple[Plan, Records, Report]:
    """Return a run's plan and records, and its report, as `analyse` does."""
    plan, records = read(run)
    try:
        return plan, records, report_of(plan, records, resamples=resamples)
    except NothingMeasuredError as error:
        hint = f"rlvr-bench status {run.path.name}"
        raise NothingMeasuredError(error.message, where=str(run.path), hint=hint) from error


def report_of(plan: Plan, records: Records, *, resamples: int = 0) -> Report:
    """Return the report of a plan and its stages' records: pure, wherever they were kept.

    Raises NothingMeasuredError where no model has both a baseline and a trained run.
    """
    failures = _failures(plan, records)
    tasks = [task for task in plan.suite.tasks if task.deciding]
    method, control, reference = plan.method.name, _arm(plan, plan.control), _arm(plan, plan.reference)
    models = results_of(plan, records)
    measured = [m for m in models if m.measured(method)]
    if not measured:
        first = f"; first: {failures[0].stage}: {failures[0].kind}: {failures[0].message}" if failures else ""
        raise NothingMeasuredError(f"no model has been measured before and after training{first}")
    rule = plan.suite.rule
    excluded = {
        m.name: why for m in measured if (why := why_excluded(outcomes_of(m.before, tasks), m.training[method], rule))
    }
    kept = [m for m in measured if m.name not in excluded]
    lineages = tuple(dict.fromkeys(card.lineage for card in plan.cards))
    missing = tuple(ln for ln in lineages if ln not in {m.lineage for m in measured})
    not_tested = tuple(ln for ln in lineages if ln not in {m.lineage for m in kept})
    whole = _evidence(plan, measured, tasks)
    question = Question(
        method=method,
        controls=(control,) if control else (),
        reference=reference,
        rule=rule,
        not_tested=not_tested,
        lost=missing,
        doubtful=_doubtful(kept, tasks, method),
    )
    evidence = whole.keep([m.name for m in kept])
    judged = judge(evidence, question) if kept else None
    probed = {m.name: {name: _by_task([e], tasks) for name, e in m.prompts.items()} for m in kept}
    net = net_elicitation(evidence, probed, question, plan.suite.prompt_samples)
    report = Report(
        program=f"rlvr-bench {__version__}",
        suite=plan.suite.name,
        suite_version=plan.suite.version,
        rehearsal=plan.suite.rehearsal,
        method=method,
        control=control,
        reference=reference,
        plan=plan.digest,
        partial=plan.partial,
        verdict=_open(judged.verdict if judged else None, missing, not_tested),
        over_start=_open(judged.over_start if judged else None, missing, not_tested),
        flags=(),
        lineages=tuple(
            ln.model_copy(
                update={"net_gain": net.lineages.get(ln.lineage), "prompt_gain": net.prompting.get(ln.lineage)}
            )
            for ln in (judged.lineages if judged else ())
        ),
        models=tuple(_model_finding(m, tasks, whole, question, judged, net, excluded.get(m.name)) for m in measured),
        tasks=by_task(
            _evidence(plan, kept, plan.suite.tasks), question, {task.name: task.deciding for task in plan.suite.tasks}
        ),
        scores=scores(measured, method),
        data=(
            *origins(plan, [t for m in measured for runs in m.training.values() for t in runs]),
            *adapted(plan, records),
        ),
        not_tested=not_tested,
        not_measured=tuple(m.name for m in models if m not in measured),
        assumptions=judged.assumptions if judged else (),
        failures=failures,
        steps=earlier_steps(evidence, question) if kept else (),
        cross_check=cross_check(evidence, question, resamples=resamples) if resamples and kept else None,
        seeds=len(plan.suite.seeds),
        problems=sum(task.problems.count for task in tasks),
        samples_before=min(task.sampling.samples_before for task in tasks),
        samples_after=min(task.sampling.samples_after for task in tasks),
    )
    start = evidence.estimate(method, None, rule) if kept else None
    report = report.model_copy(update={"explanation": explain(plan, report, measured, start)})
    return report.model_copy(update={"flags": flagging.find(report, _circumstances(plan, report, measured), rule)})


def scores(models: Sequence[ModelData], method: str) -> tuple[TaskScore, ...]:
    """Return avg@k, pass@k and maj@k of each model on each task, before training and after it."""
    found = []
    for m in models:
        for task, before in m.before.items():
            found.append(task_scores(m.name, task, BASELINE, [before]))
            after = [e[task] for e in m.after[method] if task in e]
            found += [task_scores(m.name, task, method, after)] if after else []
    return tuple(found)


def _evidence(plan: Plan, models: Sequence[ModelData], tasks: Sequence[TaskSpec]) -> Evidence:
    """Return the share right of every run and problem; a task that a model lacks is left out of its results."""
    arms = [plan.method, *(m for m in (plan.control, plan.reference) if m)]
    blind = {m.name for m in arms if is_blind(m)}
    found = [
        ModelResults(
            name=m.name,
            lineage=m.lineage,
            start=_by_task([m.before], tasks),
            arms={arm: _by_task(runs, tasks) for arm, runs in m.after.items()},
            steps={step: _by_task(runs, tasks) for step, runs in m.steps.items()},
            samples=min(t.sampling.samples_after for t in tasks),
            samples_before=min(t.sampling.samples_before for t in tasks),
        )
        for m in models
    ]
    sizes = {task.name: task.problems.count for task in tasks}
    return Evidence(models=tuple(found), sizes=sizes, paired=True, blind=frozenset(blind))


def is_blind(method: Method) -> bool:
    """Return whether no reward of a method looks at what an answer says."""
    return bool(method.leaves()) and all(leaf.code is None and leaf.name in CONTENT_BLIND for leaf in method.leaves())


def _by_task(evaluations: Sequence[dict[str, Evaluation]], tasks: Sequence[TaskSpec]) -> dict[str, Array]:
    """Return, for each task that all evaluations hold, the share right: (evaluations, problems)."""
    whole = [task.name for task in tasks if all(task.name in e for e in evaluations)]
    return {t: np.array([[o.correct / o.attempts for o in e[t].sampled] for e in evaluations]) for t in whole}


def _doubtful(kept: Sequence[ModelData], tasks: Sequence[TaskSpec], method: str) -> str:
    """Return why single runs are not to be believed, or an empty string."""
    for model in kept:
        runs = model.after[method]
        if len(runs) > 1:
            continue
        for task in tasks:
            why = why_unhealthy(model.training[method][0], model.before[task.name], runs[0][task.name])
            if why:
                return f"the single run of {model.name} looks collapsed ({why})"
    return ""


def _circumstances(plan: Plan, report: Report, measured: Sequence[ModelData]) -> Circumstances:
    """Return what flags need besides the report's numbers."""
    incomplete = ""
    if report.failures:
        lost = [f"no result at all for {', '.join(report.not_measured)}"] if report.not_measured else []
        uncompared = [m.model for m in report.models if report.control and not m.control]
        if uncompared:
            lost.append(f"no control run for {', '.join(uncompared)}, which are not in the headline")
        incomplete = "; ".join([f"{len(report.failures)} of {len(plan.stages)} stages have no result", *lost])
    bands = {(card.name, task): band for card in plan.cards for task, band in card.expected.items()}
    return Circumstances(
        transductive=", ".join(t.name for t in plan.suite.tasks if t.deciding)
        if plan.method.data == "test-prompts"
        else "",
        imported=_imported(plan, measured),
        no_control="no control is listed beside the checkpoints"
        if plan.method.imported
        else "the method's reward is the control's, in its own setup"
        if plan.suite.control
        else "the suite has no control",
        mismatch=_mismatch(plan, report.control),
        unreplayable=_unreplayable(plan, measured),
        final_step=plan.suite.training.steps if plan.suite.evaluate_at else None,
        incomplete=incomplete,
        baselines=tuple(
            Baseline(m.name, task, share(e.sampled, "correct"), bands[m.name, task].low, bands[m.name, task].high)
            for m in measured
            for task, e in m.before.items()
            if (m.name, task) in bands
        ),
    )


def _unreplayable(plan: Plan, measured: Sequence[ModelData]) -> tuple[str, ...]:
    """Return which rewards gave other values when tried twice, and which runs' saved rollouts do not replay."""
    found = [f"{label} gave other values for the same made-up rollouts" for label in plan.unreplayable]
    for m in measured:
        different = sum(t.replayed_differently or 0 for t in m.training[plan.method.name])
        count = sum(t.rollouts for t in m.training[plan.method.name])
        if different:
            found.append(f"{m.name}: {different:,} of {count:,} saved rollouts get another reward when scored again")
    return tuple(found)


def _imported(plan: Plan, measured: Sequence[ModelData]) -> str:
    """Say what was trained elsewhere, empty where all was trained here."""
    found = [t.imported for m in measured for t in m.training[plan.method.name] if t.imported]
    if not found:
        return ""
    layouts = ", ".join(dict.fromkeys(one.layout for one in found))
    return (
        f"{len(found)} checkpoints were trained elsewhere ({layouts}): their data, rewards and steps are as their "
        "authors say, and nothing of them was seen here"
    )


def _mismatch(plan: Plan, control: str | None) -> tuple[str, ...]:
    """Return the keys in which the training inputs of the control differ from the method's, with both values."""

    def of(arm: str) -> dict[tuple[str, int | None], dict[str, object]]:
        return {
            (stage.cell.model, stage.cell.seed): stage.inputs.model_dump(mode="json", exclude=set(ALONE))
            for stage in plan.stages
            if stage.cell.arm == arm and isinstance(stage.inputs, TrainInputs)
        }

    if control is None:
        return ()
    own, other = of(plan.method.name), of(control)
    found: dict[str, None] = {}
    for cell in sorted(set(own) & set(other), key=str):
        for key, value in own[cell].items():
            against = other[cell][key]
            if isinstance(value, dict) and isinstance(against, dict):
                found |= dict.fromkeys(f"{key}.{k}" for k in value if value[k] != against.get(k))
            elif value != against:
                found[key] = None
    return tuple(found)


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


def _failures(plan: Plan, records: Records) -> tuple[StageFailure, ...]:
    found = []
    for stage in plan.stages:
        record = records[stage.id]
        if record is None:
            found.append(StageFailure(stage=stage.id, kind="owed", message="no result yet"))
        elif record.failure is not None:
            found.append(StageFailure(stage=stage.id, kind=record.failure.kind, message=record.failure.message))
    return tuple(found)


def _model_finding(
    model: ModelData,
    tasks: list[TaskSpec],
    whole: Evidence,
    question: Question,
    judged: Judged | None,
    net: Elicited,
    excluded: str | None,
) -> ModelFinding:
    rule = question.rule
    after = model.after[question.method]

    def pooled(evaluations: dict[str, Evaluation], what: str, mode: str = "sampled") -> float:
        return share(outcomes_of(evaluations, tasks, mode), what)

    def accuracies(arm: str | None) -> tuple[float, ...]:
        return tuple(pooled(e, "correct") for e in (model.after.get(arm, []) if arm else []))

    def after_mean(what: str) -> float:
        return float(np.mean([pooled(e, what) for e in after]))

    gain = judged.by_model.gain_by_name(model.name, rule.alpha) if judged else None
    over = judged.by_model_control.gain_by_name(model.name, rule.alpha) if judged and judged.by_model_control else None
    if gain is None:  # it left the rule, so it is not in the joint estimate
        gain, over = gain_alone(whole, model.name, question)
    return ModelFinding(
        model=model.name,
        lineage=model.lineage,
        before=pooled(model.before, "correct"),
        before_greedy=pooled(model.before, "correct", "greedy"),
        after=accuracies(question.method),
        after_greedy=tuple(pooled(e, "correct", "greedy") for e in after),
        control=accuracies(question.controls[0] if question.controls else None),
        reference=accuracies(question.reference),
        code_before=pooled(model.before, "code"),
        code_after=after_mean("code"),
        unparsed_before=pooled(model.before, "unparsed"),
        unparsed_after=after_mean("unparsed"),
        truncated_before=pooled(model.before, "truncated"),
        truncated_after=after_mean("truncated"),
        timed_out_before=pooled(model.before, "timed_out"),
        timed_out_after=after_mean("timed_out"),
        timed_out_training=float(
            np.mean(
                [t.grading.timed_out / t.rollouts for t in model.training.get(question.method, ()) if t.rollouts] or [0]
            )
        ),
        answer_noise=whole.answer_noise(model.name, question.method, rule),
        gain=gain,
        gain_over_control=over,
        net_gain=net.models.get(model.name),
        curve={step: tuple(pooled(e, "correct") for e in runs) for step, runs in sorted(model.steps.items())},
        prompts={name: pooled(e, "correct") for name, e in model.prompts.items()},
        best_prompts=net.chosen.get(model.name, ()),
        labelling=tuple(model.labelling),
        excluded=excluded,
    )
