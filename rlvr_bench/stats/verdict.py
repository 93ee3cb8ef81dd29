"""The rule: from bounds to one word (docs/statistics.md, sections 4 and 4.1).

Owns the order of the rules and each lineage's state. Pure; deterministic; closed form.
"""

from collections.abc import Collection
from dataclasses import dataclass

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.stats.gains import Bounds


@dataclass(frozen=True)
class Decision:
    """The word, the lineages it names, and the state of every lineage.

    `missing` are the lineages shown not to gain (at level alpha_equivalence / F, as MIXED asks),
    `undecided` those that keep LEANS_ONE_FAMILY from being ONE_FAMILY.
    """

    word: VerdictWord
    named: tuple[str, ...]
    credited: tuple[bool, ...]
    shown_small: tuple[bool, ...]
    harmed: tuple[bool, ...]
    missing: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    why_not_stronger: str = ""


def decide(
    start: Bounds,
    control: Bounds | None = None,
    *,
    untested: Collection[str] = (),
    untrainable: Collection[str] = (),
    doubtful: str = "",
) -> Decision:
    """Apply rules 1-9 to the gains over the start and, where given, over the control.

    A lineage in `untested` (all its models left the rule) blocks GENERALISES, ONE_FAMILY and ABSENT;
    one in `untrainable` (the reference does not gain there) supports neither ONE_FAMILY nor ABSENT:
    the next weaker word is given instead. `doubtful` is a reason not to believe single runs (one of them
    looks collapsed): it blocks ONE_FAMILY and MIXED.
    """
    rule = start.rule
    groups = start.estimates.groups
    count = len(groups)
    scales = [start] if control is None else [start, control]
    gains = [bool(low > rule.margin) for low in start.lower]
    if control is None:
        credited = list(gains)
        small = [bool(up < rule.no_gain) for up in start.upper_equivalence]
        small_all = [bool(up < rule.no_gain) for up in start.upper_equivalence_all]
        elicited = [False] * count
    else:
        credited = [g and bool(low > rule.margin) for g, low in zip(gains, control.lower, strict=True)]
        small = [any(bool(s.upper_equivalence[f] < rule.no_gain) for s in scales) for f in range(count)]
        small_all = [any(bool(s.upper_equivalence_all[f] < rule.no_gain) for s in scales) for f in range(count)]
        elicited = [
            g and not c and bool(up < rule.no_gain)
            for g, c, up in zip(gains, credited, control.upper_equivalence, strict=True)
        ]
    harmed = [
        bool(up < 0 and gain <= -rule.margin) for up, gain in zip(start.upper_harm, start.estimates.gain, strict=True)
    ]
    winners = [f for f in range(count) if credited[f]]
    others = [f for f in range(count) if not credited[f]]

    missing = [g for g in others if harmed[g] or small_all[g]]

    def made(
        word: VerdictWord, members: Collection[int] = (), why: str = "", undecided: Collection[int] = ()
    ) -> Decision:
        return Decision(
            word=word,
            named=tuple(groups[f] for f in members),
            credited=tuple(credited),
            shown_small=tuple(small),
            harmed=tuple(harmed),
            missing=tuple(groups[g] for g in missing),
            undecided=tuple(groups[g] for g in undecided),
            why_not_stronger=why,
        )

    def less_than(f: int, g: int, *, shown: bool) -> bool:
        """On one and the same scale: f gains more than g and, if `shown`, g is small or below the share."""
        return any(
            s.larger(f, g) and (not shown or bool(s.upper_equivalence[g] < rule.no_gain) or s.share_excluded(f, g))
            for s in scales
        )

    if count < 2:
        return made(VerdictWord.NOT_TESTED, winners)
    if not others:
        if untested:
            return made(VerdictWord.SEVERAL_SO_FAR, winners, "not tested: " + ", ".join(untested))
        return made(VerdictWord.GENERALISES, winners)
    if len(winners) == 1:
        f = winners[0]
        if all(less_than(f, g, shown=False) for g in others):
            weak = [groups[g] for g in others if groups[g] in untrainable]
            open_ = [g for g in others if not less_than(f, g, shown=True)]
            if not (open_ or untested or weak or doubtful):
                return made(VerdictWord.ONE_FAMILY, winners)
            why = doubtful
            if untested:
                why = "not tested: " + ", ".join(untested)
            elif weak:
                why = "even the reference does not gain on " + ", ".join(weak)
            return made(VerdictWord.LEANS_ONE_FAMILY, winners, why, open_)
    if len(winners) >= 2:
        if missing:
            if doubtful:
                return made(VerdictWord.SEVERAL_SO_FAR, winners, doubtful)
            return made(VerdictWord.MIXED, winners)
        return made(VerdictWord.SEVERAL_SO_FAR, winners)
    if not winners:
        gainers = [f for f in range(count) if gains[f]]
        if gainers and all(elicited[f] for f in gainers):
            return made(VerdictWord.ELICITATION_ONLY, gainers)
        if not gainers and any(harmed):
            return made(VerdictWord.HARMFUL, [f for f in range(count) if harmed[f]])
        if all(small):
            weak = [g for g in groups if g in untrainable]
            if not untested and not weak:
                return made(VerdictWord.ABSENT)
            return made(VerdictWord.INCONCLUSIVE, (), "not tested or not trainable: " + ", ".join([*untested, *weak]))
    return made(VerdictWord.INCONCLUSIVE)
