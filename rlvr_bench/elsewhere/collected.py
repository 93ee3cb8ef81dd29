"""What one method's judgement starts from, whatever files it came from, and the report made of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rlvr_bench import __version__, catalog
from rlvr_bench.diagnostics import flags as flagging
from rlvr_bench.diagnostics.flags import Baseline, Circumstances
from rlvr_bench.errors import UsageError
from rlvr_bench.judgement.evidence import Evidence
from rlvr_bench.judgement.sensitivity import by_correlation, cross_check, earlier_steps
from rlvr_bench.judgement.sides import Question, words
from rlvr_bench.judgement.verdicts import Judged, by_task, gain_alone, judge
from rlvr_bench.schema.finding import ModelFinding, Report, TaskFinding, Verdict, VerdictWord
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.marginals import BEFORE_AFTER_CORRELATION, WITHIN_LINEAGE_CORRELATION
from rlvr_bench.stats.verdict import Decision

METHOD, REFERENCE = "method", "reference"

FEW_PROBLEMS = 300
"""Fewer deciding problems than this are said to be few (docs/statistics.md, section 7)."""

UNKNOWN_HEALTH = (
    "the training runs look healthy: from results alone a collapsed run cannot be told from a lineage that does "
    "not respond"
)


@dataclass(frozen=True)
class Collected:
    """One method's evidence. Arms are named `method`, `reference` and `control NAME`.

    `mismatch` and `incomplete` are evidence for their flags. `every` holds all benchmarks where some do not decide;
    `left_out` are models without the deciding ones, with their lineage.
    """

    method: str
    source: str
    evidence: Evidence
    controls: tuple[str, ...]
    reference: str | None
    no_control: str
    mismatch: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    final_step: int | None = None
    every: Evidence | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def control_arm(name: str) -> str:
    """Return the arm of a control by its name."""
    return f"control {name}"


def lineage_of(model: str, given: str | None, where: str) -> str:
    """Return a model's lineage: as given, or from its card. Raises UsageError where neither tells."""
    if given:
        return given
    card = catalog.card_of(model)
    if card is None:
        raise UsageError(
            f"no lineage for model {model!r}, and no model card knows it",
            where=where,
            hint="fill in the lineage, the root that it was pretrained from, such as qwen, llama or olmo",
        )
    return card.lineage


def report(found: Collected, rule: Rule, *, resamples: int = 0) -> Report:
    """Judge one method's collected results."""
    evidence = found.evidence
    saturated = {m.name for m in evidence.models if _start(evidence, m.name, rule) > rule.ceiling}
    kept = evidence.keep([m.name for m in evidence.models if m.name not in saturated])
    whole = dict.fromkeys([*evidence.lineages(), *found.left_out.values()])
    not_tested = tuple(ln for ln in whole if ln not in kept.lineages())
    found = _fullest_controls(found, kept)
    controls = tuple(control_arm(c) for c in found.controls)
    question = Question(
        method=METHOD,
        controls=controls,
        reference=REFERENCE if found.reference else None,
        rule=rule,
        not_tested=not_tested,
        names=found.controls,
    )
    judged = judge(kept, question) if kept.models else None
    nothing = Verdict(
        word=VerdictWord.INCONCLUSIVE,
        sentence=f"No model was left to judge: {', '.join(not_tested)} not tested.",
    )
    shown = " and ".join(found.controls)
    samples = [(m.samples_before, m.samples) for m in evidence.models] if evidence.paired else [(0, 0)]
    made = Report(
        program=f"rlvr-bench {__version__}",
        source=found.source,
        method=found.method,
        control=shown or None,
        reference=found.reference,
        verdict=judged.verdict if judged else nothing,
        over_start=judged.over_start if judged else nothing,
        flags=(),
        lineages=judged.lineages if judged else (),
        models=tuple(_model(evidence, m.name, question, judged, m.name in saturated) for m in evidence.models),
        tasks=_tasks(found, kept, question) if kept.models else (),
        not_tested=not_tested,
        not_measured=(),
        assumptions=(*(judged.assumptions if judged else ()), *_assumed(found)),
        steps=earlier_steps(kept, question) if kept.models else (),
        correlations={r: _said(d) for r, d in by_correlation(kept, question).items()} if kept.models else {},
        cross_check=cross_check(kept, question, resamples=resamples) if resamples and kept.models else None,
        seeds=min(m.seeds(METHOD) for m in evidence.models),
        problems=sum(evidence.sizes.values()),
        samples_before=min(before for before, _ in samples),
        samples_after=min(after for _, after in samples),
    )
    return made.model_copy(update={"flags": flagging.find(made, _circumstances(found, kept, question), rule)})


def _fullest_controls(found: Collected, kept: Evidence) -> Collected:
    """Keep the controls that every model has; where none is, the one that most models have.

    A control that some models lack would otherwise take those models out of the headline.
    """
    share = {c: sum(bool(m.seeds(control_arm(c))) for m in kept.models) for c in found.controls}
    if not share or min(share.values()) == len(kept.models):
        return found
    most = max(share.values())
    chosen = [c for c, n in share.items() if n == most]
    if most < len(kept.models):
        chosen = [min(chosen)]
    left = [
        f"the control {c} is left out: {share[c]} of {len(kept.models)} models have it"
        for c in share
        if c not in chosen
    ]
    return replace(found, controls=tuple(chosen), incomplete=(*found.incomplete, *left))


def _said(decision: Decision) -> str:
    named = f" ({', '.join(decision.named)})" if len(decision.named) == 1 else ""
    return decision.word.replace("_", " ") + named


def _tasks(found: Collected, kept: Evidence, question: Question) -> tuple[TaskFinding, ...]:
    """Return every benchmark alone, those that decide nothing too."""
    if found.every is None:
        return by_task(kept, question)
    names = {m.name for m in kept.models} | set(found.left_out)
    return by_task(found.every.keep(names), question, {b: b in kept.sizes for b in found.every.sizes})


def _start(evidence: Evidence, model: str, rule: Rule) -> float:
    values = evidence.pooled(evidence.model(model).start, rule)
    return sum(values) / len(values)


def _model(evidence: Evidence, name: str, question: Question, judged: Judged | None, saturated: bool) -> ModelFinding:
    rule = question.rule
    one = evidence.model(name)

    def runs(arm: str | None) -> tuple[float, ...]:
        return evidence.pooled(one.arms[arm], rule) if arm in one.arms else ()

    gain = judged.by_model.gain_by_name(name, rule.alpha) if judged else None
    over = judged.by_model_control.gain_by_name(name, rule.alpha) if judged and judged.by_model_control else None
    if gain is None:
        gain, over = gain_alone(evidence, name, question)
    return ModelFinding(
        model=name,
        lineage=one.lineage,
        before=_start(evidence, name, rule),
        after=runs(METHOD),
        control=max((runs(c) for c in question.controls), key=lambda r: sum(r) / len(r) if r else -1.0, default=()),
        reference=runs(REFERENCE),
        answer_noise=evidence.answer_noise(name, METHOD, rule),
        gain=gain,
        gain_over_control=over,
        excluded="saturated" if saturated else None,
    )


def _assumed(found: Collected) -> tuple[str, ...]:
    said = []
    if not found.evidence.paired:
        said.append(
            f"no results of single problems: answers before and after correlate {BEFORE_AFTER_CORRELATION:g} over "
            f"problems, gains of models of one lineage {WITHIN_LINEAGE_CORRELATION:g}, lineages not at all; samples "
            "count as 1, runs do not narrow the problem part"
        )
    said += found.assumed
    said.append(UNKNOWN_HEALTH)
    problems = sum(found.evidence.sizes.values())
    if problems < FEW_PROBLEMS:
        said.append(f"{problems} problems are enough to decide on: at least {FEW_PROBLEMS} are advised")
    return tuple(said)


def _circumstances(found: Collected, kept: Evidence, question: Question) -> Circumstances:
    cards = {m.name: card for m in found.evidence.models if (card := catalog.card_of(m.name))}
    other = {m.name: cards[m.name].lineage for m in kept.models if m.name in cards}
    wrong = [m for m in kept.models if m.name in other and other[m.name] != m.lineage]
    lineages: list[str] = []
    near = related(kept)
    if near:
        said = ", ".join(f"{m.name} ({m.lineage})" for m in kept.models if m.name in near)
        verdict = _said(words(kept.with_lineages(near), question)[0])
        lineages.append(
            f"{said} share a name; if they share their pretraining they are one lineage, and the verdict is {verdict}"
        )
    if wrong:
        said = ", ".join(f"{m.name} is given as {m.lineage}, its card says {other[m.name]}" for m in wrong)
        verdict = _said(words(kept.with_lineages(other), question)[0])
        lineages.append(f"{said}; with the cards' lineages the verdict is {verdict}")
    incomplete = [*found.incomplete]
    for name in found.controls:
        lost = [m.name for m in kept.models if not m.seeds(control_arm(name))]
        if lost:
            incomplete.append(f"no whole run of the control {name} for {', '.join(lost)}, which leave the headline")
    return Circumstances(
        no_control=found.no_control,
        mismatch=found.mismatch,
        lineages=tuple(lineages),
        incomplete="; ".join(incomplete),
        baselines=tuple(
            Baseline(m.name, task, float(m.start[task].mean()), band.low, band.high)
            for m in kept.models
            if m.name in cards
            for task, band in cards[m.name].expected.items()
            if task in m.start
        ),
        final_step=found.final_step,
    )


def common_benchmarks(
    method: str,
    of_model: Mapping[str, Sequence[str]],
    sizes: Mapping[str, int],
    lineages: Mapping[str, str],
    where: str,
) -> tuple[list[str], list[str], list[str]]:
    """Return the benchmarks that decide, the models that have them all, and what is therefore left out, in words.

    All models keep their place where the benchmarks common to all hold at least 300 problems; otherwise the set of
    benchmarks with most problems that models of two lineages have, and models without it are left out. Raises
    UsageError where no benchmark was measured on all models and none on two lineages.
    """
    every = list(dict.fromkeys(b for names in of_model.values() for b in names))
    common = [b for b in every if all(b in names for names in of_model.values())]
    models = list(of_model)
    if sum(sizes[b] for b in common) < FEW_PROBLEMS:

        def weight(chosen: Sequence[str]) -> tuple[int, int, int]:
            have = [m for m, names in of_model.items() if set(chosen) <= set(names)]
            wide = len({lineages[m] for m in have})
            return min(wide, 2), sum(sizes[b] for b in chosen), len(have)

        candidates = [list(names) for names in of_model.values()] + ([common] if common else [])
        best = max(candidates, key=weight)
        if len({lineages[m] for m in of_model}) > 1 and weight(best)[0] < 2:
            have = "; ".join(f"{model}: {', '.join(names)}" for model, names in list(of_model.items())[:4])
            raise UsageError(f"{method}: no benchmark was measured on models of two lineages ({have})", where=where)
        common = [b for b in every if b in best]
        models = [m for m, names in of_model.items() if set(common) <= set(names)]
    left = [
        f"{b} does not decide: not measured on {', '.join(m for m in models if b not in of_model[m])}"
        for b in every
        if b not in common
    ]
    left += [
        f"{m} is left out: not measured on {', '.join(b for b in common if b not in names)}"
        for m, names in of_model.items()
        if m not in models
    ]
    return common, models, left


def same_lineages(given: Mapping[str, str]) -> dict[str, str]:
    """Return each model's lineage in one spelling: `Qwen` and `qwen` are one, as first written."""
    first: dict[str, str] = {}
    return {model: first.setdefault(name.casefold(), name) for model, name in given.items()}


def _root(name: str) -> str:
    """Return the leading letters of a name: qwen of Qwen2.5-Math-7B, or of qwen-math."""
    letters = re.match(r"[^\W\d_]+", catalog.plain(name))
    return letters.group() if letters else ""


def related(evidence: Evidence) -> dict[str, str]:
    """Return models whose name and lineage share their root with another lineage's, with one lineage for all.

    Models that a card knows are left to their card. Where all lineages share a root, it says nothing.
    """
    unknown = [m for m in evidence.models if catalog.card_of(m.name) is None]
    roots = {_root(ln) for ln in evidence.lineages()}
    groups: dict[str, list[tuple[str, str]]] = {}
    for m in unknown:
        if _root(m.lineage) and _root(m.lineage) == _root(m.name) and len(roots) > 1:
            groups.setdefault(_root(m.name), []).append((m.name, m.lineage))
    return {name: found[0][1] for found in groups.values() if len({ln for _, ln in found}) > 1 for name, _ in found}
