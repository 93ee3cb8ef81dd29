"""Flags: warnings beside the verdict, each with its evidence. Thresholds stand here, or in the suite's rule."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from rlvr_bench.diagnostics.warnings import of_explanation
from rlvr_bench.schema.finding import Flag, Gain, ModelFinding, Report, VerdictWord
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.sentences import UNDECIDED, points

SHARPENED_SHARE = 0.5
"""`sharpened`: greedy decoding of the untrained model closes more than this share of the gain."""

FORMAT_SHARE = 0.5
"""`mostly-format`: the share of unparsed answers fell by more than this share of the gain."""

TRUNCATED_SHARE = 0.10
"""`truncation`: at least this share of answers is cut off, before or after training."""

TRUNCATION_OF_GAIN = 0.5
"""`truncation`: or the share of answers cut off fell by more than this share of the gain."""

CONTROL_SHARE = 0.5
"""`control-explains`: a control alone gives at least this share of a shown gain."""

PROMPT_SHARE = 0.5
"""`prompt-explains`: the best untrained prompt, chosen on other problems, is shown to gain, at least this share."""

UNSTABLE_SD = 0.05
"""`unstable`: the SD of a model's accuracy between seeds, less what drawing answers gives, is at least this. From
about 5 points on, single runs flag one family falsely in up to 8 % of experiments (docs/simulation.md)."""

TRANSIENT_DROP = 0.02
"""`transient`: the best earlier step stood at least this far above the end, and significantly so."""

LATE = 0.5
"""`step-dependent`: only steps from this share of the training on are compared with the end."""

START_TOLERANCE = 0.005
"""`control-mismatch`: a control's start may differ by this much, as papers round."""

DECIDED = frozenset(VerdictWord) - UNDECIDED - {VerdictWord.NOT_TESTED}


@dataclass(frozen=True)
class Baseline:
    """A measured accuracy before training beside the band that the model's card expects; proportions."""

    model: str
    task: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Circumstances:
    """What a report's numbers do not show. Texts are evidence, empty where there is nothing to say.

    `mismatch`: what differs between the control's setup and the method's; `lineages`: models whose lineage differs
    from their card's; `unreplayable`: what shows that rewards cannot be computed again; `final_step`: the step at
    which training ended, where earlier ones were evaluated.
    """

    transductive: str = ""
    imported: str = ""
    no_control: str = ""
    mismatch: tuple[str, ...] = ()
    lineages: tuple[str, ...] = ()
    unreplayable: tuple[str, ...] = ()
    incomplete: str = ""
    baselines: tuple[Baseline, ...] = ()
    final_step: int | None = None


def find(report: Report, about: Circumstances, rule: Rule) -> tuple[Flag, ...]:
    """Return every flag that a report raises, in a fixed order."""
    return (
        *_of_setup(report, about),
        *_of_exclusions(report, rule),
        *_of_models(report, about),
        *_of_lineages(report, rule),
        *_of_steps(report, about, rule),
        *of_explanation(report, rule),
    )


def _of_setup(report: Report, about: Circumstances) -> Iterator[Flag]:
    if about.transductive:
        yield Flag(
            name="transductive",
            evidence=f"trains on the evaluation prompts of {about.transductive}, without their answers; not comparable "
            "with methods that do not",
        )
    if about.imported:
        yield Flag(name="imported", evidence=about.imported)
    if report.control is None:
        yield Flag(name="no-control", evidence=f"{about.no_control}: elicitation is not ruled out")
    if about.mismatch:
        yield Flag(
            name="control-mismatch", evidence="the control's setup is not the method's: " + "; ".join(about.mismatch)
        )
    if about.lineages:
        yield Flag(name="lineage-mismatch", evidence="; ".join(about.lineages))
    if about.unreplayable:
        yield Flag(name="not-replayable", evidence="; ".join(about.unreplayable))
    if report.reference is None:
        yield Flag(name="no-reference", evidence="no ground-truth arm shows that these models can be trained here")
    elif without := tuple(ln.lineage for ln in report.lineages if ln.reference_gain is None):
        yield Flag(name="no-reference", about=without, evidence=f"{report.reference} has no result here")
    yield from _of_seeds(report)
    if about.incomplete:
        yield Flag(name="incomplete", evidence=about.incomplete)


def _of_seeds(report: Report) -> Iterator[Flag]:
    kept = [m for m in report.models if m.excluded is None]
    single = [m for m in kept if len(m.after) == 1]
    if kept and len(single) == len(kept):
        tip, to = report.verdict.tipping_sd, report.verdict.tips_to
        until = (
            f"the verdict would change at {100 * tip:.2f} points (to {to.replace('_', ' ')})"
            if tip and to
            else "no SD up to 20 points changes the verdict"
        )
        yield Flag(name="single-run", evidence=f"one run of each cell: the run-to-run SD is assumed; {until}")
    elif single:
        yield Flag(
            name="single-run",
            about=tuple(m.model for m in single),
            evidence="one run only: the run-to-run SD is that of the other models",
        )
    loose = [(m, max(0.0, float(np.var(m.after, ddof=1)) - m.answer_noise**2) ** 0.5) for m in kept if len(m.after) > 1]
    hit = [(m, sd) for m, sd in loose if sd >= UNSTABLE_SD]
    if hit:
        said = [
            f"{m.model}: the SD between {len(m.after)} seeds is {100 * sd:.1f} points beside the noise of answers"
            for m, sd in hit
        ]
        yield Flag(name="unstable", about=tuple(m.model for m, _ in hit), evidence="; ".join(said))


def _of_exclusions(report: Report, rule: Rule) -> Iterator[Flag]:
    def start(m: ModelFinding) -> str:
        return f"{m.model} starts at {100 * m.before:.1f} %"

    def said(name: str, m: ModelFinding) -> str:
        if name == "dead-reward":
            return f"the reward never varied inside a group of {m.model}"
        if name == "saturated":
            return f"{start(m)} and cannot show a gain"
        return f"{start(m)} with {100 * (m.unparsed_before or 0):.0f} % of its answers unparsed"

    for name in ("dead-reward", "saturated", "floor"):
        hit = [m for m in report.models if m.excluded == name]
        if hit:
            yield Flag(name=name, about=tuple(m.model for m in hit), evidence="; ".join(said(name, m) for m in hit))
    low = [m for m in report.models if m.excluded is None and m.unparsed_before is None and m.before < rule.floor]
    if low:
        text = "; ".join(f"{start(m)}: whether its answers could be parsed is unknown, so it stays" for m in low)
        yield Flag(name="floor", about=tuple(m.model for m in low), evidence=text)


def _of_models(report: Report, about: Circumstances) -> Iterator[Flag]:
    kept = [m for m in report.models if m.excluded is None]
    for lineage in dict.fromkeys(m.lineage for m in kept):
        mine = [m for m in kept if m.lineage == lineage]
        up, down = [m for m in mine if m.gain.lower > 0], [m for m in mine if m.gain.upper < 0]
        if up and down:
            signs = "; ".join(f"{m.model} {100 * m.gain.estimate:+.1f}" for m in (*up, *down))
            yield Flag(name="split-lineage", about=(lineage,), evidence=f"its models disagree in sign: {signs} points")
    odd = [b for b in about.baselines if not b.low <= b.accuracy <= b.high]
    if odd:
        text = [
            f"{b.model} starts at {100 * b.accuracy:.1f} % on {b.task}, its card expects {100 * b.low:.0f} to "
            f"{100 * b.high:.0f} %"
            for b in odd
        ]
        names = tuple(dict.fromkeys(b.model for b in odd))
        yield Flag(name="baseline-suspect", about=names, evidence="; ".join(text))
    yield from _explained(
        "sharpened",
        SHARPENED_SHARE,
        "greedy decoding alone gives",
        [(m, m.before_greedy - m.before) for m in kept if m.before_greedy is not None],
    )
    yield from _explained(
        "mostly-format",
        FORMAT_SHARE,
        "fewer unparsed answers give up to",
        [
            (m, m.unparsed_before - m.unparsed_after)
            for m in kept
            if m.unparsed_before is not None and m.unparsed_after is not None
        ],
    )
    yield from _truncation(kept)
    hung = [(m, [m.timed_out_before or 0, m.timed_out_training or 0, m.timed_out_after or 0]) for m in report.models]
    hit = [
        (
            m.model,
            "{}: {:.2f} % of its answers before, {:.2f} % in and {:.2f} % after training".format(
                m.model, *(100 * x for x in shares)
            ),
        )
        for m, shares in hung
        if any(shares)
    ]
    if hit:
        yield Flag(
            name="grader-timeouts",
            about=tuple(name for name, _ in hit),
            evidence="; ".join(text for _, text in hit) + " took too long to grade and count as wrong",
        )


def _explained(name: str, share: float, what: str, changes: list[tuple[ModelFinding, float]]) -> Iterator[Flag]:
    """Yield a flag naming the models whose gain is shown and explained, more than `share` of it, by a change."""
    hit = [(m, c) for m, c in changes if m.gain.lower > 0 and c > share * m.gain.estimate]
    if hit:
        said = [f"{m.model}: {what} {100 * c:+.1f} of {100 * m.gain.estimate:+.1f} points" for m, c in hit]
        yield Flag(name=name, about=tuple(m.model for m, _ in hit), evidence="; ".join(said))


def _truncation(kept: list[ModelFinding]) -> Iterator[Flag]:
    hit = []
    for m in kept:
        if m.truncated_before is None or m.truncated_after is None:
            continue
        many = max(m.truncated_before, m.truncated_after) >= TRUNCATED_SHARE
        fell = m.truncated_before - m.truncated_after
        if many or (m.gain.lower > 0 and fell > TRUNCATION_OF_GAIN * m.gain.estimate):
            shares = (
                f"{100 * m.truncated_before:.1f} % of its answers were cut off before, {100 * m.truncated_after:.1f} %"
            )
            hit.append((m, f"{m.model}: {shares} after training (gain {100 * m.gain.estimate:+.1f} points)"))
    if hit:
        yield Flag(name="truncation", about=tuple(m.model for m, _ in hit), evidence="; ".join(t for _, t in hit))


def _of_lineages(report: Report, rule: Rule) -> Iterator[Flag]:
    weak = [(ln, ln.reference_gain) for ln in report.lineages if ln.trainable is False and ln.reference_gain]
    shown = [(ln, gain) for ln, gain in weak if _upper(gain, rule.alpha_equivalence) < rule.no_gain]
    if shown:
        text = [
            f"{ln.lineage}: even {report.reference} gains only {points(gain.estimate)} points" for ln, gain in shown
        ]
        yield Flag(name="not-trainable-here", about=tuple(ln.lineage for ln, _ in shown), evidence="; ".join(text))
    open_ = [(ln, gain) for ln, gain in weak if (ln, gain) not in shown]
    if open_:
        text = [
            f"{ln.lineage}: {report.reference} is not shown to gain ({points(gain.estimate)} points, interval from "
            f"{100 * gain.lower:+.1f}), so it vouches for nothing"
            for ln, gain in open_
        ]
        yield Flag(name="no-reference", about=tuple(ln.lineage for ln, _ in open_), evidence="; ".join(text))
    explained = [
        (ln, ln.control_gain)
        for ln in report.lineages
        if ln.gain.lower > rule.margin
        and ln.control_gain is not None
        and ln.control_gain.lower > 0
        and ln.control_gain.estimate >= CONTROL_SHARE * ln.gain.estimate
    ]
    if explained:
        text = [
            f"{ln.lineage}: the control alone gives {100 * c.estimate:+.1f} of {100 * ln.gain.estimate:+.1f} points"
            for ln, c in explained
        ]
        yield Flag(name="control-explains", about=tuple(ln.lineage for ln, _ in explained), evidence="; ".join(text))
    yield from _of_prompts(report, rule)
    other = [ln for ln in report.lineages if ln.smaller_on_logit is False]
    if other:
        named = report.verdict.lineages[0]
        text = [f"{ln.lineage} {ln.gain_logit.estimate:+.2f}" for ln in other]
        top = next(ln.gain_logit.estimate for ln in report.lineages if ln.lineage == named)
        yield Flag(
            name="scale-dependent",
            about=tuple(ln.lineage for ln in other),
            evidence=f"on the logit scale {named} ({top:+.2f}) does not gain more than "
            f"{', '.join(text)}: equal steps in points are not equally hard from different starts",
        )


def _of_prompts(report: Report, rule: Rule) -> Iterator[Flag]:
    hit = []
    for ln in report.lineages:
        prompt, net = ln.prompt_gain, ln.net_gain
        if prompt is None or net is None or ln.gain.lower <= rule.margin:
            continue
        if prompt.lower > 0 and prompt.estimate >= PROMPT_SHARE * ln.gain.estimate:
            models = [m for m in report.models if m.model in ln.models]
            chosen = [name or "its own" for m in models for name in m.best_prompts]
            text = (
                f"{ln.lineage}: the best untrained prompt ({', '.join(dict.fromkeys(chosen))}) alone gives "
                f"{100 * prompt.estimate:+.1f} points where the method gives {100 * ln.gain.estimate:+.1f}; net of it "
                f"{points(net.estimate)} [{points(net.lower)}, {points(net.upper)}]"
            )
            hit.append((ln.lineage, text))
    if hit:
        yield Flag(name="prompt-explains", about=tuple(n for n, _ in hit), evidence="; ".join(t for _, t in hit))


def _of_steps(report: Report, about: Circumstances, rule: Rule) -> Iterator[Flag]:
    """Compare earlier steps with the end, which alone decides."""
    end, final = about.final_step, report.over_start
    if end is None or not report.steps:
        return
    other = [
        s
        for s in report.steps
        if s.step >= LATE * end
        and s.word in DECIDED
        and final.word in DECIDED
        and (s.word, s.lineages) != (final.word, final.lineages)
    ]
    if other:
        text = [f"at step {s.step} {_word(s.word, s.lineages)}" for s in other]
        yield Flag(
            name="step-dependent",
            evidence=f"over the start {', '.join(text)}, at the end (step {end}) {_word(final.word, final.lineages)}",
        )
    # the best of K steps is chosen after the fact: each is tested at alpha / K (Bonferroni)
    level = rule.alpha / len(report.steps)
    hit = []
    for lineage in (ln.lineage for ln in report.lineages):
        best = max(report.steps, key=lambda s, ln=lineage: s.above_end[ln].estimate)  # type: ignore[misc]
        drop = best.above_end[lineage]
        low = drop.estimate - float(stdtrit(drop.degrees, 1 - level)) * drop.standard_error
        if drop.estimate >= TRANSIENT_DROP and low > 0:
            hit.append((lineage, f"{lineage}: {100 * drop.estimate:.1f} points above its end at step {best.step}"))
    if hit:
        text = [t for _, t in hit]
        yield Flag(name="transient", about=tuple(ln for ln, _ in hit), evidence="; ".join(text))


def _upper(gain: Gain, alpha: float) -> float:
    return gain.estimate + float(stdtrit(gain.degrees, 1 - alpha)) * gain.standard_error


def _word(word: VerdictWord, lineages: tuple[str, ...]) -> str:
    return word.replace("_", " ") + (f" ({', '.join(lineages)})" if lineages else "")
