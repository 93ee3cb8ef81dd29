"""What a verdict would be otherwise: at another run-to-run SD, another correlation, an earlier step, resampled."""

from dataclasses import replace

import numpy as np

from rlvr_bench.judgement.evidence import Evidence
from rlvr_bench.judgement.sides import Question, Reference, Side, bounder, decided, reference_of, words
from rlvr_bench.schema.finding import CrossCheck, StepFinding, VerdictWord
from rlvr_bench.stats.bootstrap import resample
from rlvr_bench.stats.bounds import Bounds, closed_form, closed_forms
from rlvr_bench.stats.gains import Estimates, RunVariance
from rlvr_bench.stats.verdict import Decision

TIPPING_STEP, TIPPING_MAX = 0.0025, 0.20
"""The run-to-run SD at which a single-run verdict changes is looked for in these steps, up to this."""

ONE_NAMED = frozenset({VerdictWord.ONE_FAMILY, VerdictWord.LEANS_ONE_FAMILY})
"""Verdicts that name one lineage."""

CORRELATIONS = (0.0, 0.3, 0.5)
"""Without problems the verdict is computed at each of these before/after correlations; the middle one decides."""


def cross_check(evidence: Evidence, question: Question, *, resamples: int, seed: int = 0) -> CrossCheck:
    """Return both words from resampled problems (docs/statistics.md, section 6). Needs problems."""
    rule = question.rule
    rng = np.random.default_rng(seed)
    made: dict[tuple[str, ...], Bounds] = {}

    def bounds(some: Evidence, arm: str, against: str | None) -> Bounds:
        key = (arm, against or "", *(m.name for m in some.models))
        if key not in made:
            scores = some.scores(arm, against, list(some.sizes))
            made[key] = resample(scores, some.estimate(arm, against, rule), rule, resamples=resamples, rng=rng)
        return made[key]

    headline, plain = words(evidence, question, bounds)
    start = bounds(evidence, question.method, None)
    groups = start.estimates.groups
    return CrossCheck(
        resamples=resamples,
        seed=seed,
        word=headline.word,
        lineages=headline.named,
        over_start=plain.word,
        intervals={g: (float(start.lower[f]), float(start.upper[f])) for f, g in enumerate(groups)},
    )


def by_correlation(evidence: Evidence, question: Question) -> dict[str, Decision]:
    """Return the headline's decision at each assumed before/after correlation; empty where problems are known."""
    if evidence.paired:
        return {}
    return {f"{r:g}": words(replace(evidence, correlation=r), question)[0] for r in CORRELATIONS}


def earlier_steps(evidence: Evidence, question: Question) -> tuple[StepFinding, ...]:
    """Return what each earlier step would have given over the start, and how far it stood above the end."""
    rule, method = question.rule, question.method
    steps = sorted({step for m in evidence.models for step in m.steps})
    if not steps:
        return ()
    reference = reference_of(evidence, question, bounder(rule))
    found = []
    for step in steps:
        then = evidence.at_step(method, step)
        if then.lineages() != evidence.lineages():
            continue
        bounds = closed_form(then.estimate(method, None, rule), rule)
        above = evidence.from_end(method, step).estimate(method, None, rule)
        decision = decided(bounds, (), question, reference)
        found.append(
            StepFinding(
                step=step,
                word=decision.word,
                lineages=decision.named,
                gains=bounds.estimates.gains(rule.alpha),
                above_end=above.gains(rule.alpha),
            )
        )
    return tuple(found)


def tipping(side: Side, question: Question, reference: Reference) -> tuple[float | None, VerdictWord | None]:
    """Return the run-to-run SD at which a verdict from single runs changes, and to what (section 3).

    A verdict changes with its word, and with its lineage where it names one.
    """
    decision, rule = side.decision, question.rule
    if decision.word is VerdictWord.NOT_TESTED:
        return None, None
    steps = round((TIPPING_MAX - rule.prior_run_sd) / TIPPING_STEP)
    raised = [round(rule.prior_run_sd + TIPPING_STEP * (i + 1), 6) for i in range(steps)]

    def grid(bounds: Bounds) -> list[Bounds]:
        return list(closed_forms([_with_prior(bounds.estimates, sd) for sd in raised], rule))

    start = grid(side.start)
    controls = [grid(c) for c in side.controls]
    for number, sd in enumerate(raised):
        found = decided(start[number], [c[number] for c in controls], question, reference)
        if found.word is not decision.word or (found.word in ONE_NAMED and found.named != decision.named):
            return sd, found.word
    return None, None


def _with_prior(e: Estimates, sd: float) -> Estimates:
    """Return estimates under a larger prior run-to-run SD; observed variances stand."""

    def larger(v: RunVariance | None) -> RunVariance | None:
        if v is None or v.observed is not None or v.prior_sd >= sd:
            return v
        return replace(v, variance=sd**2, prior_sd=sd)

    runs = larger(e.runs)
    assert runs is not None
    return replace(e, runs=runs, against=larger(e.against))
