"""The rule: from bounds to one word (docs/statistics.md, sections 4 and 4.1).

Owns the order of the rules and each lineage's state. Pure; deterministic.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.stats.bounds import Bounds


@dataclass(frozen=True)
class Decision:
    """The word, the lineages it names, and the state of every lineage.

    `elicited` gain over the start, but are shown to gain no more than the control. `missing` are the lineages
    shown not to gain (at level alpha_equivalence / F, as MIXED asks), `undecided` those that keep
    LEANS_ONE_FAMILY from being ONE_FAMILY, `masked` those where the control left no room to show anything.
    `on_control`: being small was shown over the control alone; `gains`: over the start; `room`: whether the control
    says anything; `strongest`: which control leaves the smallest gain.
    """

    word: VerdictWord
    named: tuple[str, ...]
    credited: tuple[bool, ...]
    shown_small: tuple[bool, ...]
    harmed: tuple[bool, ...]
    elicited: tuple[bool, ...]
    missing: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    on_control: tuple[bool, ...] = ()
    why_not_stronger: str = ""
    gains: tuple[bool, ...] = ()
    room: tuple[bool, ...] = ()
    strongest: tuple[int | None, ...] = ()
    untrainable: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()


@dataclass(frozen=True)
class _States:
    """What each of F lineages shows, and the bounds that show it."""

    start: Bounds
    controls: tuple[Bounds, ...]
    room: tuple[bool, ...]

    def __post_init__(self) -> None:
        groups = self.start.estimates.groups
        if any(c.estimates.groups != groups for c in self.controls):
            raise ValueError("the gains over the start and over a control are not of the same lineages in one order")

    @property
    def count(self) -> int:
        return len(self.start.estimates.groups)

    def gains(self, f: int) -> bool:
        return bool(self.start.lower[f] > self.start.rule.margin)

    def credited(self, f: int) -> bool:
        return self.gains(f) and all(c.lower[f] > c.rule.margin for c in self.controls)

    def strongest(self, f: int) -> Bounds:
        """Return the bounds over the control with the largest mean, where f gains least."""
        return self.controls[self.strongest_index(f)]

    def strongest_index(self, f: int) -> int:
        """Return its place among the controls; of equal means the one that shows most, whatever the order."""
        every = range(len(self.controls))
        return min(every, key=lambda i: (self.controls[i].estimates.gain[f], self.controls[i].upper_equivalence[f]))

    def near_control(self, f: int) -> bool:
        """E^c_f below the limit: f is shown to gain hardly more than the strongest control."""
        return bool(self.controls) and bool(self.strongest(f).upper_equivalence[f] < self.start.rule.no_gain)

    def elicited(self, f: int) -> bool:
        return self.gains(f) and not self.credited(f) and self.near_control(f)

    def has_room(self, f: int) -> bool:
        """Whether "no more than the control" says something about the method: the reference gains more than the
        control, or the method is shown to gain less (it did not stop at what can be had)."""
        return self.room[f] or bool(self.strongest(f).upper[f] < 0)

    def masked(self, f: int) -> bool:
        """Nothing can be shown on f: near the control, not small over the start, and no room above the control."""
        return self.near_control(f) and not self.has_room(f) and not self._small(self.start, f)

    def _small(self, bounds: Bounds, f: int) -> bool:
        return bool(bounds.upper_equivalence[f] < bounds.rule.no_gain)

    def small_over_start(self, f: int) -> bool:
        return self._small(self.start, f)

    def small(self, f: int) -> bool:
        """Shown not to gain: over the start, or over the control where that leaves room."""
        return self._small(self.start, f) or (self.near_control(f) and self.has_room(f))

    def small_among_all(self, f: int) -> bool:
        """The same at level alpha_equivalence / F."""
        limit = self.start.rule.no_gain
        if self.start.upper_equivalence_all[f] < limit:
            return True
        return bool(self.controls) and self.has_room(f) and bool(self.strongest(f).upper_equivalence_all[f] < limit)

    def harmed(self, f: int) -> bool:
        start = self.start
        return bool(start.upper_harm[f] < 0 and start.estimates.gain[f] <= -start.rule.margin)

    def less(self, f: int, g: int, *, shown: bool) -> bool:
        """f gains more than g and, if `shown`, g is small or below the share: on the start's scale, or on every
        control's where that leaves g room.

        With controls, a g that does gain over the start is not shown to lack the gain by gaining less there.
        """

        def holds(b: Bounds) -> bool:
            return b.larger(f, g) and (not shown or self._small(b, g) or b.share_excluded(f, g))

        over_start = holds(self.start) and not (shown and self.gains(g))
        return over_start or (bool(self.controls) and self.has_room(g) and all(holds(c) for c in self.controls))


def decide(
    start: Bounds,
    controls: Sequence[Bounds] = (),
    *,
    room: Collection[str] = (),
    untested: Collection[str] = (),
    untrainable: Collection[str] = (),
    doubtful: str = "",
) -> Decision:
    """Apply rules 1-9 to the gains over the start and, where given, over every control.

    `room` are the lineages on which the reference is shown to gain more than the control: only there is "no
    more than the control" evidence against the method (section 4.1). A lineage in `untested` (all its models
    left the rule) blocks GENERALISES, ONE_FAMILY and ABSENT; one in `untrainable` (the reference is not shown to gain
    there) supports neither ONE_FAMILY nor ABSENT nor, unless it is harmed, MIXED: the next weaker word is given
    instead. `doubtful` is a reason not to believe single runs (one of them looks collapsed): it blocks ONE_FAMILY
    and MIXED.
    """
    groups = start.estimates.groups
    s = _States(start, tuple(controls), tuple(g in room for g in groups))
    every = range(s.count)
    winners = [f for f in every if s.credited(f)]
    others = [f for f in every if f not in winners]
    harmed = [s.harmed(f) for f in every]
    # a lineage on which nothing can be trained is not evidence that this method's gain is missing there
    missing = [g for g in others if harmed[g] or (s.small_among_all(g) and groups[g] not in untrainable)]
    masked = [groups[g] for g in others if s.masked(g)]
    weak = [groups[g] for g in others if groups[g] in untrainable]
    reasons = [
        f"{why} {', '.join(names)}"
        for why, names in (
            ("not tested:", untested),
            ("the reference is not shown to gain on", weak),
            ("nothing is shown to give more than a random reward on", masked),
        )
        if names
    ]

    def made(
        word: VerdictWord, members: Collection[int] = (), why: str = "", undecided: Collection[int] = ()
    ) -> Decision:
        return Decision(
            word=word,
            named=tuple(groups[f] for f in members),
            credited=tuple(f in winners for f in every),
            shown_small=tuple(s.small(f) for f in every),
            harmed=tuple(harmed),
            elicited=tuple(s.elicited(f) for f in every),
            missing=tuple(groups[g] for g in missing),
            undecided=tuple(groups[g] for g in undecided),
            masked=tuple(masked),
            on_control=tuple(s.small(f) and not s.small_over_start(f) for f in every),
            why_not_stronger=why,
            gains=tuple(s.gains(f) for f in every),
            room=tuple(bool(s.controls) and s.has_room(f) for f in every),
            strongest=tuple(s.strongest_index(f) if s.controls else None for f in every),
            untrainable=tuple(weak),
            untested=tuple(untested),
        )

    why = "; ".join(reasons)
    if s.count < 2:
        return made(VerdictWord.NOT_TESTED, winners)
    if not others:
        if untested:
            return made(VerdictWord.SEVERAL_SO_FAR, winners, why)
        return made(VerdictWord.GENERALISES, winners)
    if len(winners) == 1:
        f = winners[0]
        if all(s.less(f, g, shown=False) for g in others):
            open_ = [g for g in others if not s.less(f, g, shown=True)]
            if not (open_ or untested or weak or doubtful):
                return made(VerdictWord.ONE_FAMILY, winners)
            return made(VerdictWord.LEANS_ONE_FAMILY, winners, "; ".join(filter(None, (doubtful, why))), open_)
        return made(VerdictWord.INCONCLUSIVE, (), why)
    if len(winners) >= 2:
        if missing and not doubtful:
            return made(VerdictWord.MIXED, winners)
        return made(VerdictWord.SEVERAL_SO_FAR, winners, doubtful if missing else why)
    gainers = [f for f in every if s.gains(f)]
    if gainers and all(s.elicited(f) for f in gainers):
        return made(VerdictWord.ELICITATION_ONLY, gainers)
    if not gainers and any(harmed):
        return made(VerdictWord.HARMFUL, [f for f in every if harmed[f]])
    if all(s.small(f) for f in every) and not untested and not weak:
        return made(VerdictWord.ABSENT)
    return made(VerdictWord.INCONCLUSIVE, (), why)


def suggested(start: Bounds, controls: Sequence[Bounds] = ()) -> tuple[VerdictWord, tuple[str, ...]]:
    """Return the word and the lineages that the point estimates alone would give: what more data would tend to."""
    groups, rule = start.estimates.groups, start.rule
    scales = np.stack([b.estimates.gain for b in (start, *controls)])
    up = [g for f, g in enumerate(groups) if bool((scales[:, f] > rule.margin).all())]
    over_start = [g for g, gain in zip(groups, start.estimates.gain, strict=True) if gain > rule.margin]
    if len(up) == len(groups):
        return VerdictWord.GENERALISES, tuple(up)
    if up:
        return (VerdictWord.ONE_FAMILY if len(up) == 1 else VerdictWord.MIXED), tuple(up)
    if over_start:
        return VerdictWord.ELICITATION_ONLY, tuple(over_start)
    fallen = [g for g, gain in zip(groups, start.estimates.gain, strict=True) if gain <= -rule.margin]
    return (VerdictWord.HARMFUL, tuple(fallen)) if fallen else (VerdictWord.ABSENT, ())
