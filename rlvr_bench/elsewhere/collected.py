"""What one method's judgement starts from, whatever files it came from, and the report made of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlvr_bench import __version__, catalog
from rlvr_bench.diagnostics import flags as flagging
from rlvr_bench.diagnostics.flags import Baseline, Circumstances
from rlvr_bench.errors import UsageError
from rlvr_bench.judgement.evidence import Evidence
from rlvr_bench.judgement.sensitivity import by_correlation, cross_check, earlier_steps
from rlvr_bench.judgement.sides import Question, words
from rlvr_bench.judgement.verdicts import Judged, by_task, gain_alone, judge
from rlvr_bench.schema.finding import ModelFinding, Report, Verdict, VerdictWord
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

    `mismatch` and `incomplete` are evidence for their flags; `given` are models whose lineage was given.
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
    not_tested = tuple(ln for ln in evidence.lineages() if ln not in kept.lineages())
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
        tasks=by_task(kept, question) if kept.models else (),
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


def _said(decision: Decision) -> str:
    named = f" ({', '.join(decision.named)})" if len(decision.named) == 1 else ""
    return decision.word.replace("_", " ") + named


def _start(evidence: Evidence, model: str, rule: Rule) -> float:
    one = evidence.keep([model]).models[0]
    values = evidence.pooled(one.start, rule)
    return sum(values) / len(values)


def _model(evidence: Evidence, name: str, question: Question, judged: Judged | None, saturated: bool) -> ModelFinding:
    rule = question.rule
    one = next(m for m in evidence.models if m.name == name)

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
        control=runs(question.controls[0] if question.controls else None),
        reference=runs(REFERENCE),
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
    if wrong:
        said = ", ".join(f"{m.name} is given as {m.lineage}, its card says {other[m.name]}" for m in wrong)
        mended = replace(kept, models=tuple(replace(m, lineage=other.get(m.name, m.lineage)) for m in kept.models))
        lineages = [f"{said}; with the cards' lineages the verdict is {_said(words(mended, question)[0])}"]
    lost = [m.name for m in kept.models if found.controls and not all(m.seeds(control_arm(c)) for c in found.controls)]
    incomplete = [*found.incomplete]
    if lost:
        incomplete.append(f"no control run for {', '.join(lost)}, which are not in the headline")
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


def common_benchmarks(method: str, of_model: dict[str, Sequence[str]], where: str) -> tuple[list[str], list[str]]:
    """Return the benchmarks that every model has, and what is therefore left out, in words.

    Raises UsageError where no benchmark is common to all models.
    """
    every = list(dict.fromkeys(b for names in of_model.values() for b in names))
    common = [b for b in every if all(b in names for names in of_model.values())]
    if not common:
        have = "; ".join(f"{model}: {', '.join(names)}" for model, names in list(of_model.items())[:4])
        raise UsageError(f"{method}: no benchmark was measured on all models ({have})", where=where)
    left = [
        f"{b} is left out: not measured on {', '.join(m for m, names in of_model.items() if b not in names)}"
        for b in every
        if b not in common
    ]
    return common, left
