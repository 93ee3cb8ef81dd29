"""A verdict in words, with sizes in points."""

from collections.abc import Mapping, Sequence

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.stats.bounds import Bounds
from rlvr_bench.stats.power import detectable
from rlvr_bench.stats.settle import advise
from rlvr_bench.stats.verdict import Decision

UNDECIDED = frozenset({VerdictWord.LEANS_ONE_FAMILY, VerdictWord.SEVERAL_SO_FAR, VerdictWord.INCONCLUSIVE})


def points(value: float) -> str:
    """Return a signed number of points with one decimal."""
    return f"{round(100 * value, 1) + 0.0:+.1f}"  # never -0.0


def p_value(value: float) -> str:
    """Return a p-value with two digits, small ones as a bound."""
    return "<0.001" if value < 0.001 else f"{value:.2g}"


def sentence(
    decision: Decision,
    start: Bounds,
    controls: Sequence[Bounds] = (),
    *,
    models: Mapping[str, int] | None = None,
    against: Sequence[str] = ("random",),
) -> str:
    """Return the one sentence that says what the word means for these data, with what would settle it.

    `models` is the number of models of each lineage, to say where one stands for all; `against` names the controls.
    """
    words = _sentence(decision, start, controls, models or {}, against)
    if decision.word not in UNDECIDED:
        return words
    if decision.untested:
        able = ", ".join(decision.untested)
        return f"{words} More seeds will not settle it: it takes models of {able} that can show a gain."
    advice = advise(start, controls, decision.room)
    needed = [
        f"{what} {', '.join(names)}"
        for what, names in (
            ("gain on", [g for g in decision.untrainable if g not in advice.lineages]),
            ("gain more than a random reward on", decision.masked),
        )
        if names
    ]
    if needed:
        return f"{words} To settle it, a reference (ground-truth) arm must be shown to {' and to '.join(needed)}."
    change = ""
    if decision.word is VerdictWord.LEANS_ONE_FAMILY and advice.towards is not VerdictWord.ONE_FAMILY:
        change = "More data is expected to change the verdict. "
    return f"{words} {change}{advice.words}"


def _sentence(
    decision: Decision, start: Bounds, controls: Sequence[Bounds], models: Mapping[str, int], against: Sequence[str]
) -> str:
    rule = start.rule
    groups = start.estimates.groups
    scales = [start, *controls]
    gain = {g: float(v) for g, v in zip(groups, start.estimates.gain, strict=True)}
    # the bound of a lineage is that over its start, unless being small was shown over the control alone
    largest = {
        g: min(float(s.upper_equivalence[f]) for s in (scales if decision.on_control[f] else [start]))
        for f, g in enumerate(groups)
    }
    control = " and ".join(against)
    named = ", ".join(decision.named)
    rest = [g for g in groups if g not in decision.named]
    margin, small = f"{100 * rule.margin:g}", f"{100 * rule.no_gain:g}"
    over = f"its start and over the {control} reward" if controls else "its start"
    word = decision.word
    credited = decision.credited
    beside = ""  # who gains over the start and is not credited: both numbers, and no word
    for f, g in enumerate(groups):
        strongest = decision.strongest[f]
        if decision.gains[f] and not credited[f] and strongest is not None and g not in decision.named:
            over_it = float(controls[strongest].estimates.gain[f])
            beside += (
                f" {g} gains {points(gain[g])} over its start, {points(over_it)} over the {against[strongest]} reward."
            )
    if word is VerdictWord.GENERALISES:
        least, most = min(groups, key=gain.__getitem__), max(groups, key=gain.__getitem__)
        both = f" over the start and over the {control} reward" if controls else ""
        two = " Two lineages only were tested." if len(groups) == 2 else ""
        return (
            f"The gain is above {margin} points{both} in every lineage tested: "
            f"smallest {points(gain[least])} ({least}), largest {points(gain[most])} ({most}).{two}"
        )
    if word is VerdictWord.ONE_FAMILY:
        shown = start.estimates.gain_of(groups.index(decision.named[0]), rule.alpha)
        one = f" (in the one {named} model tested)" if models.get(decision.named[0]) == 1 else ""
        scale = ", over its start or over the control," if controls else ""
        return (
            f"Only {named} gains over {over} ({points(shown.estimate)}, 95% interval {points(shown.lower)} to "
            f"{points(shown.upper)}){one}; every other lineage{scale} gains significantly less, and less than {small} "
            f"points or half as much.{beside} Do not report this method as a general improvement."
        )
    if word is VerdictWord.LEANS_ONE_FAMILY:
        reasons = [decision.why_not_stronger] if decision.why_not_stronger else []
        wide = [g for g in decision.undecided if largest[g] >= rule.no_gain]
        close = [g for g in decision.undecided if g not in wide]
        if close:
            reasons.insert(0, f"how much less {', '.join(close)} gains is not shown")
        if wide:
            bound = max(largest[g] for g in wide)
            reasons.insert(0, f"a gain of up to {points(bound)} points in {', '.join(wide)} is not ruled out")
        scale = " over the start or over the control" if controls else ""
        return (
            f"A gain over {over} is shown in {named} only and it is larger than elsewhere{scale}, but "
            f"{'; '.join(reasons)}.{beside}"
        )
    if word is VerdictWord.SEVERAL_SO_FAR:
        told = {*decision.untrainable, *decision.masked, *decision.missing}
        open_ = [g for g in rest if g not in told]
        reasons = [f"{', '.join(open_)} not decided"] if open_ else []
        reasons += [decision.why_not_stronger] if decision.why_not_stronger else []
        return f"Gain over {over} shown in {named}; {'; '.join(reasons)}.{beside}"
    if word is VerdictWord.MIXED:
        tails = []
        alike = [g for g, yes in zip(groups, decision.on_control, strict=True) if yes and g in decision.missing]
        lost = [g for g in decision.missing if g not in alike]
        if lost:
            tails.append(f"shown to be missing (or a loss) in {', '.join(lost)}")
        if alike:
            tails.append(f"shown to be hardly more than the control's in {', '.join(alike)}")
        undecided = [g for g in rest if g not in decision.missing]
        if undecided:
            tails.append(f"{', '.join(undecided)} not decided")
        return f"Gain shown in {named}; {'; '.join(tails)}.{beside}"
    if word is VerdictWord.ABSENT:
        bound = max(largest.values())
        partly = [g for g, yes in zip(groups, decision.on_control, strict=True) if yes]
        where = f" (over the {control} reward in {', '.join(partly)})" if partly else ""
        return f"No lineage gains {small} points or more{where}; largest possible gain {points(bound)} points."
    if word is VerdictWord.HARMFUL:
        falls = ", ".join(f"{g} {points(gain[g])}" for g in decision.named)
        return f"Accuracy falls in {falls}; no lineage gains."
    if word is VerdictWord.ELICITATION_ONLY:
        places = [decision.strongest[groups.index(g)] for g in decision.named]
        rivals = " or ".join(dict.fromkeys(against[i] for i in places if i is not None))
        return (
            f"The gain over the starting model ({named}) is hardly larger than what the {rivals} reward gives on the "
            "same models: nothing here is credited to the method."
        )
    if word is VerdictWord.NOT_TESTED:
        return "One lineage only: nothing can be said about other lineages."
    worst = max(
        detectable(g.standard_error, g.degrees, rule)
        for g in (s.estimates.gain_of(f, rule.alpha) for s in scales for f in range(len(groups)))
    )
    shown_in = [g for g, yes in zip(groups, decision.credited, strict=True) if yes]
    reasons = [f"a gain over {over} is shown in {', '.join(shown_in)}"] if shown_in else []
    if decision.why_not_stronger:
        reasons.append(decision.why_not_stronger)
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"These data cannot tell{why}; smallest detectable gain {100 * worst:.1f} points.{beside}"
