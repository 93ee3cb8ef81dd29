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
    return f"{100 * value:+.1f}"


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
    words = _sentence(decision, start, controls, models or {}, " and ".join(against))
    if decision.word not in UNDECIDED:
        return words
    if decision.untested:
        able = ", ".join(decision.untested)
        return f"{words} More seeds will not settle it: it takes models of {able} that can show a gain."
    if decision.reference_must:
        shown = " and to ".join(decision.reference_must)
        return f"{words} More seeds settle it only if they show the reference to {shown}."
    advice = advise(start, controls)
    change = ""
    if decision.word is VerdictWord.LEANS_ONE_FAMILY and advice.towards is not VerdictWord.ONE_FAMILY:
        change = "More data is expected to change the verdict. "
    return f"{words} {change}{advice.words}"


def _sentence(
    decision: Decision, start: Bounds, controls: Sequence[Bounds], models: Mapping[str, int], control: str
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
    named = ", ".join(decision.named)
    rest = [g for g in groups if g not in decision.named]
    margin, small = f"{100 * rule.margin:g}", f"{100 * rule.no_gain:g}"
    over = f"its start and over the {control} reward" if controls else "its start"
    word = decision.word
    # who gains over the start, but no more than the control, is not "missing": say both
    matched = [g for g, yes in zip(groups, decision.elicited, strict=True) if yes]
    beside = "".join(
        f" {g} gains {points(gain[g])} over its start, no more than the {control} reward does." for g in matched
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
        return (
            f"Only {named} gains over {over} ({points(shown.estimate)}, 95% interval {points(shown.lower)} to "
            f"{points(shown.upper)}){one}; every other lineage gains significantly less, and less than {small} "
            f"points or half as much{' over the control' if matched else ''}.{beside} Do not report this method as a "
            "general improvement."
        )
    if word is VerdictWord.LEANS_ONE_FAMILY:
        reasons = [decision.why_not_stronger] if decision.why_not_stronger else []
        if decision.undecided:
            bound = max(largest[g] for g in decision.undecided)
            where = ", ".join(decision.undecided)
            reasons.insert(0, f"a gain of up to {points(bound)} points in {where} is not ruled out")
        return f"A gain over {over} is shown in {named} only and it is larger than elsewhere, but {'; '.join(reasons)}."
    if word is VerdictWord.SEVERAL_SO_FAR:
        open_ = decision.why_not_stronger or f"{', '.join(rest)} not decided"
        return f"Gain over {over} shown in {named}; {open_}.{beside}"
    if word is VerdictWord.MIXED:
        undecided = [g for g in rest if g not in decision.missing]
        tail = f"; {', '.join(undecided)} not decided" if undecided else ""
        lost = ", ".join(decision.missing)
        return f"Gain shown in {named}; shown to be missing (or a loss) in {lost}{tail}.{beside}"
    if word is VerdictWord.ABSENT:
        bound = max(largest.values())
        partly = [g for g, yes in zip(groups, decision.on_control, strict=True) if yes]
        where = f" (over the {control} reward in {', '.join(partly)})" if partly else ""
        return f"No lineage gains {small} points or more{where}; largest possible gain {points(bound)} points."
    if word is VerdictWord.HARMFUL:
        falls = ", ".join(f"{g} {points(gain[g])}" for g in decision.named)
        return f"Accuracy falls in {falls}; no lineage gains."
    if word is VerdictWord.ELICITATION_ONLY:
        return (
            f"The gain over the starting model ({named}) is no larger than what the {control} reward gives on "
            "the same models: nothing here is credited to the method."
        )
    if word is VerdictWord.NOT_TESTED:
        return "One lineage only: nothing can be said about other lineages."
    worst = max(
        detectable(g.standard_error, g.degrees, rule)
        for g in (scales[-1].estimates.gain_of(f, rule.alpha) for f in range(len(groups)))
    )
    shown_in = [g for g, yes in zip(groups, decision.credited, strict=True) if yes]
    reasons = [f"a gain over {over} is shown in {', '.join(shown_in)}"] if shown_in else []
    if decision.why_not_stronger:
        reasons.append(decision.why_not_stronger)
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"These data cannot tell{why}; smallest detectable gain {100 * worst:.1f} points.{beside}"
