"""A verdict in words, with sizes in points."""

from collections.abc import Mapping

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.stats.gains import Bounds
from rlvr_bench.stats.power import detectable
from rlvr_bench.stats.verdict import Decision

MORE_DATA = "More seeds or more problems would be needed."


def points(value: float) -> str:
    """Return a signed number of points with one decimal."""
    return f"{100 * value:+.1f}"


def sentence(
    decision: Decision, start: Bounds, control: Bounds | None, *, models: Mapping[str, int] | None = None
) -> str:
    """Return the one sentence that says what the word means for these data.

    `models` is the number of models of each lineage, to say where one stands for all.
    """
    rule = start.rule
    groups = start.estimates.groups
    scales = [start] if control is None else [start, control]
    gain = {g: float(v) for g, v in zip(groups, start.estimates.gain, strict=True)}
    # a lineage is shown to be small on either scale, so its largest possible gain is the smaller bound
    largest = {g: min(float(s.upper_equivalence[f]) for s in scales) for f, g in enumerate(groups)}
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
        one = f" (in the one {named} model tested)" if (models or {}).get(decision.named[0]) == 1 else ""
        return (
            f"Only {named} gains over {over} ({points(shown.estimate)}, 95% interval {points(shown.lower)} to "
            f"{points(shown.upper)}){one}; every other lineage gains significantly less, and less than {small} "
            "points or half as much. Do not report this method as a general improvement."
        )
    if word is VerdictWord.LEANS_ONE_FAMILY:
        reasons = [decision.why_not_stronger] if decision.why_not_stronger else []
        if decision.undecided:
            bound = max(largest[g] for g in decision.undecided)
            where = ", ".join(decision.undecided)
            reasons.insert(0, f"a gain of up to {points(bound)} points in {where} is not ruled out")
        return (
            f"A gain over {over} is shown in {named} only and it is larger than elsewhere, but "
            f"{'; '.join(reasons)}. {MORE_DATA}"
        )
    if word is VerdictWord.SEVERAL_SO_FAR:
        open_ = decision.why_not_stronger or f"{', '.join(rest)} not decided"
        return f"Gain over {over} shown in {named}; {open_}. {MORE_DATA}"
    if word is VerdictWord.MIXED:
        undecided = [g for g in rest if g not in decision.missing]
        tail = f"; {', '.join(undecided)} not decided" if undecided else ""
        return f"Gain shown in {named}; shown to be missing (or a loss) in {', '.join(decision.missing)}{tail}."
    if word is VerdictWord.ABSENT:
        bound = max(largest.values())
        return f"No lineage gains {small} points or more; largest possible gain {points(bound)} points."
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
        for g in (scales[-1].estimates.gain_of(f, rule.alpha) for f in range(len(groups)))
    )
    why = f" ({decision.why_not_stronger})" if decision.why_not_stronger else ""
    return f"These data cannot tell{why}; smallest detectable gain {100 * worst:.1f} points. {MORE_DATA}"
