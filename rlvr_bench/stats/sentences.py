"""A verdict in words (docs/statistics.md, "Names and sentences for users"). Points, for people."""

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.stats.gains import Bounds
from rlvr_bench.stats.power import detectable
from rlvr_bench.stats.verdict import Decision

MORE_DATA = "More seeds or more problems would be needed."


def points(value: float) -> str:
    """Return a signed number of points with one decimal."""
    return f"{100 * value:+.1f}"


def sentence(decision: Decision, start: Bounds, control: Bounds | None) -> str:
    """Return the one sentence that says what the word means for these data."""
    rule = start.rule
    groups = start.estimates.groups
    scale = control or start
    gain = {g: float(v) for g, v in zip(groups, start.estimates.gain, strict=True)}
    named = ", ".join(decision.named)
    rest = [g for g in groups if g not in decision.named]
    margin, small = f"{100 * rule.margin:g}", f"{100 * rule.no_gain:g}"
    over = "its start and over the random reward" if control else "its start"
    word = decision.word
    if word is VerdictWord.GENERALISES:
        least, most = min(groups, key=gain.__getitem__), max(groups, key=gain.__getitem__)
        both = " over the start and over the random reward" if control else ""
        return (
            f"The gain is above {margin} points{both} in every lineage tested: "
            f"smallest {points(gain[least])} ({least}), largest {points(gain[most])} ({most})."
        )
    if word is VerdictWord.ONE_FAMILY:
        shown = start.estimates.gain_of(groups.index(decision.named[0]), rule.alpha)
        return (
            f"Only {named} gains over {over} ({points(shown.estimate)}, 95% interval {points(shown.lower)} to "
            f"{points(shown.upper)}); every other lineage gains significantly less, and less than {small} points "
            "or half as much. Do not report this method as a general improvement."
        )
    if word is VerdictWord.LEANS_ONE_FAMILY:
        why = decision.why_not_stronger or (
            f"a gain of up to {points(max(float(scale.upper_equivalence[groups.index(g)]) for g in rest))} points "
            "elsewhere is not ruled out"
        )
        return f"A gain over {over} is shown in {named} only and it is larger than elsewhere, but {why}. {MORE_DATA}"
    if word is VerdictWord.SEVERAL_SO_FAR:
        open_ = decision.why_not_stronger or f"{', '.join(rest)} not decided"
        return f"Gain over {over} shown in {named}; {open_}. {MORE_DATA}"
    if word is VerdictWord.MIXED:
        missing = [
            g
            for g, s, h in zip(groups, decision.shown_small, decision.harmed, strict=True)
            if g not in decision.named and (s or h)
        ]
        undecided = [g for g in rest if g not in missing]
        tail = f"; {', '.join(undecided)} not decided" if undecided else ""
        return f"Gain shown in {named}; shown to be missing (or a loss) in {', '.join(missing)}{tail}."
    if word is VerdictWord.ABSENT:
        return (
            f"No lineage gains {small} points or more; largest possible gain "
            f"{points(float(scale.upper_equivalence.max()))} points."
        )
    if word is VerdictWord.HARMFUL:
        falls = ", ".join(f"{g} {points(gain[g])}" for g in decision.named)
        return f"Accuracy falls in {falls}; no lineage gains."
    if word is VerdictWord.ELICITATION_ONLY:
        return (
            f"The gain over the starting model ({named}) is no larger than what a random reward gives on the "
            "same models: nothing here is credited to the method."
        )
    if word is VerdictWord.NOT_TESTED:
        return "One lineage only: nothing can be said about other lineages."
    worst = max(
        detectable(g.standard_error, g.degrees, rule)
        for g in (scale.estimates.gain_of(f, rule.alpha) for f in range(len(groups)))
    )
    why = f" ({decision.why_not_stronger})" if decision.why_not_stronger else ""
    return f"These data cannot tell{why}; smallest detectable gain {100 * worst:.1f} points. {MORE_DATA}"
