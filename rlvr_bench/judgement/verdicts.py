"""Both verdicts from the evidence: over the start alone, and over the start and the control.

Owns what is found for every lineage. Does not own the rule (stats) nor reading results (analysis, elsewhere).
"""

from dataclasses import dataclass

import numpy as np

from rlvr_bench.judgement.evidence import Evidence
from rlvr_bench.judgement.sensitivity import ONE_NAMED, tipping
from rlvr_bench.judgement.sides import Question, Reference, Side, bounder, reference_of, side_of
from rlvr_bench.schema.finding import Gain, LineageFinding, TaskFinding, Verdict, VerdictWord
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.bounds import Bounds, holm, p_values
from rlvr_bench.stats.gains import Estimates, RunVariance
from rlvr_bench.stats.sentences import sentence


@dataclass(frozen=True)
class Judged:
    """Both verdicts with what they rest on."""

    verdict: Verdict
    over_start: Verdict
    lineages: tuple[LineageFinding, ...]
    by_model: Estimates
    by_model_control: Estimates | None
    assumptions: tuple[str, ...]


def judge(evidence: Evidence, question: Question) -> Judged:
    """Decide over the start with all models, and over the controls with those that have runs of all of them.

    A lineage with a start but no control runs leaves the headline open, not the second line.
    """
    rule = question.rule
    bounds = bounder(rule)
    reference = reference_of(evidence, question, bounds)
    plain = side_of(evidence, question, reference, bounds, over=False)
    compared = evidence.having(*question.controls)
    headline = (
        side_of(compared, question, reference, bounds, over=True) if question.controls and compared.models else None
    )
    over_start = _verdict(evidence, question, plain, reference)
    uncompared = [ln for ln in evidence.lineages() if ln not in compared.lineages()]
    if not question.controls:
        verdict = over_start
    elif headline is None or uncompared:
        words = f"No whole control run for {', '.join(uncompared)}: whether a random reward gives as much stays open."
        verdict = Verdict(word=VerdictWord.INCONCLUSIVE, sentence=words, harmed=over_start.harmed)
    else:
        verdict = _verdict(compared, question, headline, reference)
    by_model_control = None
    if headline:
        by_model_control = _strongest(
            [compared.estimate(question.method, c, rule, group_by="model") for c in question.controls]
        )
    return Judged(
        verdict=verdict,
        over_start=over_start,
        lineages=_lineages(evidence, question, plain, headline, reference, verdict),
        by_model=evidence.estimate(question.method, None, rule, group_by="model"),
        by_model_control=by_model_control,
        assumptions=_assumptions(plain.start, headline.controls if headline else ()),
    )


def by_task(evidence: Evidence, question: Question, deciding: dict[str, bool] | None = None) -> tuple[TaskFinding, ...]:
    """Return each benchmark's gains over the start by lineage; models without it are left out."""
    found = []
    for name, size in evidence.sizes.items():
        whole = [m.name for m in evidence.models if name in m.start and name in m.arms.get(question.method, {})]
        if not whole:
            continue
        e = evidence.keep(whole).estimate(question.method, None, question.rule, benchmarks=[name])
        decides = True if deciding is None else deciding[name]
        found.append(TaskFinding(task=name, deciding=decides, problems=size, gains=e.gains(question.rule.alpha)))
    return tuple(found)


def _verdict(evidence: Evidence, question: Question, side: Side, reference: Reference) -> Verdict:
    groups = side.start.estimates.groups
    count = {g: sum(m.lineage == g for m in evidence.models) for g in groups}
    single = all(m.seeds(question.method) == 1 for m in evidence.models)
    sd, word = tipping(side, question, reference) if single else (None, None)
    return Verdict(
        word=side.decision.word,
        lineages=side.decision.named,
        sentence=sentence(
            side.decision, side.start, side.controls, models=count, against=question.names or question.controls
        ),
        harmed=tuple(g for g, harm in zip(groups, side.decision.harmed, strict=True) if harm),
        tipping_sd=sd,
        tips_to=word,
    )


def _strongest(found: list[Estimates]) -> Estimates:
    """Return the estimates over the control that leaves the smallest mean gain."""
    return min(found, key=lambda e: float(e.gain.mean()))


def _lineages(
    evidence: Evidence,
    question: Question,
    plain: Side,
    headline: Side | None,
    reference: Reference,
    verdict: Verdict,
) -> tuple[LineageFinding, ...]:
    rule = question.rule
    groups = plain.start.estimates.groups
    raw = p_values(plain.start.estimates, rule)
    adjusted = holm(raw)
    logit = evidence.estimate(question.method, None, rule, scale="logit")
    named = verdict.lineages[0] if verdict.word in ONE_NAMED else None
    controls = [evidence.having(c).estimate(c, None, rule) for c in question.controls if evidence.having(c).models]
    found = []
    for f, group in enumerate(groups):
        state, index, over = plain.decision, f, None
        if headline and group in headline.start.estimates.groups:
            state, index = headline.decision, headline.start.estimates.groups.index(group)
            over = min(
                (b.estimates.gain_of(index, rule.alpha) for b in headline.controls), key=lambda gain: gain.estimate
            )
        spurious = [gain for e in controls if (gain := e.gain_by_name(group, rule.alpha))]
        found.append(
            LineageFinding(
                lineage=group,
                models=tuple(m.name for m in evidence.models if m.lineage == group),
                gain=plain.start.estimates.gain_of(f, rule.alpha),
                p_value=float(raw[f]),
                p_holm=float(adjusted[f]),
                gain_over_control=over,
                control_gain=max(spurious, key=lambda gain: gain.estimate, default=None),
                credited=(state.credited[index] and over is not None) if question.controls else None,
                elicited=state.elicited[index],
                shown_small=state.shown_small[index],
                harmed=plain.decision.harmed[f],
                reference_gain=reference.bounds.estimates.gain_by_name(group, rule.alpha) if reference.bounds else None,
                trainable=reference.trainable.get(group),
                gain_logit=logit.gain_of(f, rule.alpha),
                smaller_on_logit=_smaller(logit, groups.index(named), f, rule) if named and named != group else None,
            )
        )
    return tuple(found)


def _smaller(logit: Estimates, named: int, other: int, rule: Rule) -> bool:
    """Return whether the named lineage's gain is larger on the logit scale too.

    It is not where the difference is not significant there and the other has more than the set share of the gain.
    """
    unit = np.eye(len(logit.groups))
    larger = bool(logit.contrasts((unit[named] - unit[other])[None]).lower(rule.alpha)[0] > 0)
    return larger or bool(logit.gain[other] <= rule.share_of_largest * logit.gain[named])


def _assumptions(start: Bounds, controls: tuple[Bounds, ...]) -> tuple[str, ...]:
    """Say which run-to-run SDs the intervals rest on."""

    def said(what: str, variance: RunVariance) -> str:
        seen = "not observed (single runs)" if variance.observed is None else f"observed {100 * variance.observed:.1f}"
        return (
            f"run-to-run SD of {what}: {seen}, prior {100 * variance.prior_sd:.1f} with "
            f"{start.rule.prior_degrees:g} degrees of freedom, used {100 * variance.variance**0.5:.1f} points"
        )

    found = [said("the method", start.estimates.runs)]
    for over in controls[:1]:
        if over.estimates.against:
            found.append(said("the control", over.estimates.against))
    found.append("problems are a sample of problems like these; models of a lineage are fixed, of equal weight")
    return tuple(found)


def gain_alone(evidence: Evidence, name: str, question: Question) -> tuple[Gain, Gain | None]:
    """Return the gains of one model from its own data alone, over the start and over the strongest control."""
    rule = question.rule
    own = evidence.keep([name])
    over = None
    if question.controls and own.having(*question.controls).models:
        over = _strongest([own.estimate(question.method, c, rule) for c in question.controls]).gain_of(0, rule.alpha)
    return own.estimate(question.method, None, rule).gain_of(0, rule.alpha), over
