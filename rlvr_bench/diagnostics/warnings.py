"""Flags from what stands behind a verdict: exposure, clean arms, what the reward pays for, counts that disagree."""

from collections.abc import Iterator

from scipy.special import ndtri

from rlvr_bench.schema.explanation import CleanArm
from rlvr_bench.schema.finding import Flag, Report
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.sentences import p_value


def of_explanation(report: Report, rule: Rule) -> Iterator[Flag]:
    """Yield every flag that a report's explanation raises, in a fixed order."""
    found = report.explanation
    odd = sorted({s.model for s in found.strategies if s.gap})
    if odd:
        worst = max(found.strategies, key=lambda s: s.gap)
        yield Flag(
            name="counts-disagree",
            about=tuple(odd),
            evidence="share x accuracy over classes of answers differs from the accuracy by "
            f"{100 * worst.gap:.2f} points",
        )
    exposed = [c for c in found.comparisons if c.published and c.p_value < rule.alpha and c.exact > c.fresh]
    if exposed:
        text = [
            f"{c.model} completes {100 * c.exact:.1f} % of {c.task} word for word from the first "
            f"{100 * c.shown:.0f} %, and {100 * c.fresh:.1f} % of {', '.join(c.against)}, which it cannot have seen "
            f"(p {p_value(c.p_value)})"
            for c in exposed
        ]
        about = tuple(dict.fromkeys(name for c in exposed for name in (c.model, c.task)))
        yield Flag(name="exposed-benchmark", about=about, evidence="; ".join(text))
    shown = {ln.lineage for ln in report.lineages if ln.gain.lower > 0}
    counting = [c for c in found.clean_arms if c.counts]
    less = [c for c in counting if c.lineage in shown and _lower(c, rule.alpha / len(counting)) > 0]
    if less:
        text = [
            f"{c.lineage} gains {100 * c.difference:.1f} points [{100 * c.lower:+.1f}, {100 * c.upper:+.1f}] more on "
            f"the deciding problems than on {c.task}, which it cannot have seen and starts at {100 * c.start:.0f} %"
            for c in less
        ]
        about = tuple(dict.fromkeys(c.lineage for c in less))
        yield Flag(name="less-on-clean", about=about, evidence="; ".join(text))
    for one in found.paid:
        if one.arm == report.method and one.too_much:
            text = [f"{kind} {one.by_kind[kind]:.3g}" for kind in one.too_much]
            yield Flag(
                name="reward-pays",
                evidence=f"the reward of {one.arm} pays for answers that deserve nothing: {', '.join(text)} "
                f"(the untouched models' own answers get {one.first:.3g})",
            )


def _lower(arm: CleanArm, alpha: float) -> float:
    """Return the lower bound of a difference at another level than its interval's 2.5 %; a normal quantile."""
    half = (arm.upper - arm.lower) / 2
    return float(arm.difference - half * ndtri(1 - alpha) / ndtri(0.975))
