"""What stands behind the verdict: every analysis of a run's records that decides nothing."""

from collections.abc import Sequence

from rlvr_bench.analysis.collected import ModelData, outcomes_of
from rlvr_bench.backends.sources import GENERATORS
from rlvr_bench.diagnostics import exposure, mechanism, strategies
from rlvr_bench.schema.explanation import Explanation, Precision, Strategy
from rlvr_bench.schema.finding import Report
from rlvr_bench.schema.plan import Plan
from rlvr_bench.schema.suite import Rule
from rlvr_bench.scoring.behaviour import BEHAVIOURS
from rlvr_bench.stats.gains import Estimates
from rlvr_bench.stats.power import detectable


def explain(plan: Plan, report: Report, measured: Sequence[ModelData], gains: Estimates | None) -> Explanation:
    """Return what a run's records say besides gains. `report` is what is found so far, without flags; `gains` are the
    estimates over the start, None where no model is left to judge."""
    arms = list(dict.fromkeys(a for a in (report.method, report.control, report.reference) if a))
    found = strategies_of(plan, measured, report.method, arms)
    alpha = plan.suite.rule.alpha
    fresh = {card.name: _fresh(plan, card.name) for card in plan.cards}
    exposed = {m.name: m.exposure for m in measured if m.exposure}
    likely = [
        mechanism.likelihood(m.name, arm, task, before, [run[task] for run in m.after[arm] if task in run], alpha)
        for m in measured
        for arm in arms
        if arm in m.after
        for task, before in m.before.items()
        if any(task in run for run in m.after[arm])
    ]
    clean = {
        ln.lineage: [t.name for t in plan.suite.tasks if all(t.name in fresh[model] for model in ln.models)]
        for ln in report.lineages
    }
    return Explanation(
        sentences=strategies.sentences(report.lineages, found, report.method),
        strategies=tuple(found),
        curves=tuple(
            mechanism.curve(m.name, arm, seed, training.steps)
            for m in measured
            for arm in arms
            for seed, training in zip(m.seeds.get(arm, ()), m.training.get(arm, ()), strict=True)
            if training.steps
        ),
        likelihoods=tuple(one for one in likely if one is not None),
        completions=tuple(row for name, tasks in exposed.items() for row in exposure.completions(name, tasks)),
        comparisons=exposure.comparisons(exposed, fresh),
        clean_arms=exposure.clean_arms(
            report.lineages, report.tasks, report.scores, clean, method=report.method, alpha=alpha
        ),
        precision=precision_of(gains, plan.suite.rule) if gains else (),
        paid=tuple(
            one
            for arm in arms
            if (one := mechanism.paid(arm, [t for m in measured for t in m.training.get(arm, ())])) is not None
        ),
    )


def precision_of(gains: Estimates, rule: Rule) -> tuple[Precision, ...]:
    """Return how finely each lineage's gain is known and what would help."""
    found = []
    for f, lineage in enumerate(gains.groups):
        gain, parts = gains.gain_of(f, rule.alpha), gains.parts
        runs = float(gains.run_share[f] * gains.runs.variance + parts.by_run[f])
        answers, problems = float(parts.before[f] + parts.decoding[f]), float(parts.between[f])
        total = runs + answers + problems
        found.append(
            Precision(
                lineage=lineage,
                half_width=(gain.upper - gain.lower) / 2,
                visible=detectable(gain.standard_error, gain.degrees, rule),
                problems=problems / total,
                answers=answers / total,
                runs=runs / total,
                guessed=parts.guessed,
            )
        )
    return tuple(found)


def _fresh(plan: Plan, model: str) -> dict[str, str]:
    """Return the tasks that a model cannot have seen, and whether they are `published` or `generated`."""
    card = next(card for card in plan.cards if card.name == model)
    found = {}
    for task in plan.suite.tasks:
        generated = task.problems.source in GENERATORS
        if exposure.unseen(card, task, generated):
            found[task.name] = "generated" if generated else "published"
    return found


def strategies_of(
    plan: Plan, measured: Sequence[ModelData], method: str, arms: Sequence[str], behaviours: Sequence[str] = ()
) -> list[Strategy]:
    """Return the strategies of every model under every arm on the deciding problems.

    One for each behaviour of which two classes occur (and always for code), or the one of `behaviours`, all together.
    """
    tasks = [task for task in plan.suite.tasks if task.deciding]
    found = []
    for m in measured:
        before = outcomes_of(m.before, tasks)
        if not all(o.patterns for o in before):
            continue
        start = strategies.answers(before)
        checkpoints = [
            strategies.answers(outcomes_of(run, tasks)) for runs in m.steps.values() for run in runs
        ]  # of the method
        for arm in arms:
            runs = [outcomes_of(run, tasks) for run in m.after.get(arm, ())]
            if not runs or not all(o.patterns for run in runs for o in run):
                continue
            ends = [strategies.answers(run) for run in runs]
            for names in [tuple(behaviours)] if behaviours else [(name,) for name in BEHAVIOURS]:
                one = strategies.strategy(m.name, arm, names, start, ends)
                if arm == method and len(names) == 1:
                    one = _correlated(one, names[0], [start, *checkpoints, *ends])
                if behaviours or names == ("code",) or len(one.classes) > 1:
                    found.append(one)
    return found


def _correlated(found: Strategy, behaviour: str, at: Sequence[strategies.Answers]) -> Strategy:
    """Return a strategy with the correlation of its first class's share with accuracy over all checkpoints."""
    r = strategies.correlation([one.share(behaviour) for one in at], [float(one.right.mean()) for one in at])
    return found.model_copy(update={"correlation": r, "checkpoints": len(at)})
