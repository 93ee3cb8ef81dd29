"""From the data of all models to verdicts: estimates over the start and over the control, decided and described.

Owns which models enter which estimate. Does not own the rule (stats) nor reading a run (analysis).
"""

from dataclasses import dataclass, field

import numpy as np

from rlvr_bench.diagnostics.health import why_unhealthy
from rlvr_bench.schema.finding import LineageFinding, TaskFinding, Verdict, VerdictWord
from rlvr_bench.schema.plan import Plan
from rlvr_bench.schema.record import Evaluation, Training
from rlvr_bench.schema.suite import Rule, TaskSpec
from rlvr_bench.stats.gains import Array, Bounds, Estimates, ModelScores, RunVariance, estimate
from rlvr_bench.stats.sentences import sentence
from rlvr_bench.stats.verdict import Decision, decide

CONTENT_BLIND = frozenset({"random", "boxed"})
"""Rewards whose runs scatter more: the wider prior run-to-run SD applies (docs/statistics.md, section 3)."""

TIPPING_STEP, TIPPING_MAX = 0.0025, 0.20
"""The run-to-run SD at which a single-run verdict changes is looked for in these steps, up to this."""


@dataclass(frozen=True)
class ModelData:
    """All records of one model, by task name, each arm's runs in the order of seeds."""

    name: str
    lineage: str
    before: dict[str, Evaluation]
    after: dict[str, list[dict[str, Evaluation]]] = field(default_factory=dict)
    training: dict[str, list[Training]] = field(default_factory=dict)


@dataclass(frozen=True)
class Arms:
    """The names of the arms that play a role in a plan; None where there is none."""

    method: str
    control: str | None
    reference: str | None


@dataclass(frozen=True)
class Judged:
    """Both verdicts with what they rest on."""

    verdict: Verdict
    over_start: Verdict
    lineages: tuple[LineageFinding, ...]
    by_model: Estimates
    by_model_control: Estimates | None
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class _Side:
    """One verdict's estimates: over the start alone, or over start and control."""

    start: Bounds
    control: Bounds | None
    decision: Decision


def scores(model: ModelData, tasks: list[TaskSpec], arm: str, control: str | None = None) -> ModelScores:
    """Return a model's runs under an arm against its start, or against the control's runs."""

    def matrix(evaluations: list[dict[str, Evaluation]], task: str) -> Array:
        return np.array([[o.correct / o.attempts for o in e[task].sampled] for e in evaluations])

    against = [model.before] if control is None else model.after[control]
    return ModelScores(
        name=model.name,
        lineage=model.lineage,
        runs=tuple(matrix(model.after[arm], task.name) for task in tasks),
        against=tuple(matrix(against, task.name) for task in tasks),
        against_trained=control is not None,
    )


def noisy(plan: Plan) -> bool:
    """Return whether the method's own runs scatter as a control's do."""
    return {spec.name for spec in plan.method.rewards} <= CONTENT_BLIND


def judge(plan: Plan, kept: list[ModelData], tasks: list[TaskSpec], arms: Arms, not_tested: tuple[str, ...]) -> Judged:
    """Decide over the start with all kept models, and over the control with those that have control runs.

    A lineage with a start but no control runs leaves the headline open, not the second line.
    """
    rule = plan.suite.rule
    compared = [m for m in kept if arms.control and m.after.get(arms.control)]
    positive = [m for m in kept if arms.reference and m.after.get(arms.reference)]
    reference = _bounds(positive, tasks, arms.reference or "", None, rule, blind=False) if positive else None
    trainable = {}
    if reference:
        trainable = {
            g: bool(low > rule.margin) for g, low in zip(reference.estimates.groups, reference.lower, strict=True)
        }
    untrainable = [g for g, yes in trainable.items() if not yes]
    doubtful = _doubtful(plan, kept, tasks)

    def side(models: list[ModelData], with_control: bool, rule: Rule) -> _Side:
        start = _bounds(models, tasks, arms.method, None, rule, blind=noisy(plan))
        over = _bounds(models, tasks, arms.method, arms.control, rule, blind=noisy(plan)) if with_control else None
        decision = decide(start, over, untested=not_tested, untrainable=untrainable, doubtful=doubtful)
        return _Side(start, over, decision)

    plain = side(kept, False, rule)
    headline = side(compared, True, rule) if compared else None
    lineages_kept = dict.fromkeys(m.lineage for m in kept)
    uncompared = tuple(ln for ln in lineages_kept if ln not in {m.lineage for m in compared}) if arms.control else ()

    def tipping(models: list[ModelData], with_control: bool, word: VerdictWord) -> float | None:
        """The run-to-run SD at which a single-run verdict changes (docs/statistics.md, section 3)."""
        if any(len(m.after[arms.method]) > 1 for m in models):
            return None
        sd = rule.prior_run_sd
        while (sd := round(sd + TIPPING_STEP, 6)) <= TIPPING_MAX:
            raised = rule.model_copy(
                update={
                    "prior_run_sd": max(sd, rule.prior_run_sd),
                    "prior_run_sd_small": max(sd, rule.prior_run_sd_small),
                    "prior_run_sd_control": max(sd, rule.prior_run_sd_control),
                }
            )
            if side(models, with_control, raised).decision.word is not word:
                return sd
        return None

    over_start = _verdict(plain, kept).model_copy(update={"tipping_sd": tipping(kept, False, plain.decision.word)})
    if arms.control is None:
        verdict = over_start
    elif headline is None or uncompared:
        words = f"No control run for {', '.join(uncompared)}: whether a random reward gives as much stays open."
        verdict = Verdict(word=VerdictWord.INCONCLUSIVE, sentence=words, harmed=over_start.harmed)
    else:
        verdict = _verdict(headline, compared).model_copy(
            update={"tipping_sd": tipping(compared, True, headline.decision.word)}
        )
    by_model_control = None
    if compared:
        pairs = [scores(m, tasks, arms.method, arms.control) for m in compared]
        by_model_control = estimate(pairs, rule, control_runs=noisy(plan), group_by="model")
    return Judged(
        verdict=verdict,
        over_start=over_start,
        lineages=_lineages(kept, plain, headline, reference, trainable),
        by_model=estimate(
            [scores(m, tasks, arms.method) for m in kept], rule, control_runs=noisy(plan), group_by="model"
        ),
        by_model_control=by_model_control,
        assumptions=_assumptions(plain.start, headline.control if headline else None),
    )


def _bounds(
    models: list[ModelData], tasks: list[TaskSpec], arm: str, control: str | None, rule: Rule, *, blind: bool
) -> Bounds:
    return Bounds(estimate([scores(m, tasks, arm, control) for m in models], rule, control_runs=blind), rule)


def _lineages(
    kept: list[ModelData],
    plain: _Side,
    headline: _Side | None,
    reference: Bounds | None,
    trainable: dict[str, bool],
) -> tuple[LineageFinding, ...]:
    rule = plain.start.rule
    found = []
    for f, group in enumerate(plain.start.estimates.groups):
        state, index, over = plain.decision, f, None
        if headline and headline.control:
            compared = headline.control.estimates
            if group in compared.groups:
                state, index = headline.decision, compared.groups.index(group)
                over = compared.gain_of(index, rule.alpha)
        known = reference.estimates if reference and group in reference.estimates.groups else None
        found.append(
            LineageFinding(
                lineage=group,
                models=tuple(m.name for m in kept if m.lineage == group),
                gain=plain.start.estimates.gain_of(f, rule.alpha),
                gain_over_control=over,
                credited=state.credited[index] and (headline is None or over is not None),
                shown_small=state.shown_small[index],
                harmed=plain.decision.harmed[f],
                reference_gain=known.gain_of(known.groups.index(group), rule.alpha) if known else None,
                trainable=trainable.get(group),
            )
        )
    return tuple(found)


def by_task(plan: Plan, kept: list[ModelData], arms: Arms) -> tuple[TaskFinding, ...]:
    """Return each task's gains over the start by lineage, deciding or not; a lineage without it is left out."""
    found = []
    for task in plan.suite.tasks:
        whole = [m for m in kept if task.name in m.before and all(task.name in run for run in m.after[arms.method])]
        if not whole:
            continue
        e = estimate([scores(m, [task], arms.method) for m in whole], plan.suite.rule, control_runs=noisy(plan))
        gains = {g: e.gain_of(f, plan.suite.rule.alpha) for f, g in enumerate(e.groups)}
        found.append(TaskFinding(task=task.name, deciding=task.deciding, problems=task.problems.count, gains=gains))
    return tuple(found)


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


def _verdict(side: _Side, models: list[ModelData]) -> Verdict:
    groups = side.start.estimates.groups
    count = {g: sum(m.lineage == g for m in models) for g in groups}
    return Verdict(
        word=side.decision.word,
        lineages=side.decision.named,
        sentence=sentence(side.decision, side.start, side.control, models=count),
        harmed=tuple(g for g, harm in zip(groups, side.decision.harmed, strict=True) if harm),
    )


def _assumptions(start: Bounds, over: Bounds | None) -> tuple[str, ...]:
    """Say which run-to-run SDs the intervals rest on."""

    def said(what: str, variance: RunVariance) -> str:
        seen = "not observed (single runs)" if variance.observed is None else f"observed {100 * variance.observed:.1f}"
        return (
            f"run-to-run SD of {what}: {seen}, prior {100 * variance.prior_sd:.1f} with "
            f"{start.rule.prior_degrees:g} degrees of freedom, used {100 * variance.variance**0.5:.1f} points"
        )

    found = [said("the method", start.estimates.runs)]
    if over and over.estimates.against:
        found.append(said("the control", over.estimates.against))
    found.append("problems are a sample of problems like these; models of a lineage are fixed, of equal weight")
    return tuple(found)
