"""What would settle an undecided verdict: more seeds, samples or problems (docs/statistics.md, section 5.1). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.stats.bounds import Bounds
from rlvr_bench.stats.gains import Array, Estimates
from rlvr_bench.stats.power import POWER
from rlvr_bench.stats.verdict import suggested

HOPELESS = "More of the same data is not expected to settle it."
MOST_SEEDS, MOST_SAMPLES, MOST_PROBLEMS = 20, 32, 20.0
"""What is looked for: up to 20 seeds, 32 samples, 20 times the problems."""


@dataclass(frozen=True)
class Advice:
    """The smallest amounts, each alone at the others' present value, that would settle the verdict that the
    estimates point to with 80 % power; None: that alone will not do. `towards` is that verdict."""

    towards: VerdictWord
    lineages: tuple[str, ...]
    seeds: int | None = None
    samples: int | None = None
    problems: int | None = None
    seeds_and_samples: int | None = None
    words: str = ""


@dataclass(frozen=True)
class _Condition:
    """One inequality: the contrast on a scale must be this far from its threshold at level alpha."""

    bounds: Bounds
    contrast: Array
    slack: float
    alpha: float


def advise(start: Bounds, controls: Sequence[Bounds] = (), room: Sequence[bool] = ()) -> Advice:
    """Return what would settle the verdict that the point estimates suggest (section 5.1).

    `room` says for each lineage whether "no more than the control" is evidence there (section 4.1).
    """
    towards, lineages = suggested(start, controls)
    conditions = _conditions(towards, start, controls, room or [False] * len(start.estimates.groups))
    e = start.estimates
    found = Advice(towards, lineages)
    if not conditions or any(c.slack <= 0 for c in conditions):
        return replace(found, words=HOPELESS)

    def settled(seeds: int, samples: int, problems: float) -> bool:
        power = float(ndtri(POWER ** (1 / len(conditions))))
        return all(_reach(c, seeds, samples, problems, power) <= c.slack for c in conditions)

    if settled(e.seeds, e.samples, 1.0):  # what keeps it open is not the width of an interval
        return replace(found, words=HOPELESS)
    more_seeds = range(e.seeds + 1, MOST_SEEDS + 1)
    more_samples = [k for k in (2, 4, 8, 16, MOST_SAMPLES) if k > e.samples]
    factors = [1.1**i for i in range(1, 1 + int(np.log(MOST_PROBLEMS) / np.log(1.1)))]
    return _worded(
        Advice(
            towards=towards,
            lineages=lineages,
            seeds=next((s for s in more_seeds if settled(s, e.samples, 1.0)), None),
            samples=next((k for k in more_samples if settled(e.seeds, k, 1.0)), None),
            problems=next((round(sum(e.sizes) * x) for x in factors if settled(e.seeds, e.samples, x)), None),
            seeds_and_samples=next((s for s in more_seeds if more_samples and settled(s, MOST_SAMPLES, 1.0)), None),
        ),
        e,
    )


def _conditions(
    towards: VerdictWord, start: Bounds, controls: Sequence[Bounds], room: Sequence[bool]
) -> list[_Condition]:
    """Return the inequalities that a verdict needs; a slack of minus infinity where no scale can show it."""
    rule, count = start.rule, len(start.estimates.groups)
    scales = [start, *controls]
    unit = np.eye(count)
    gains = np.stack([b.estimates.gain for b in scales])
    up = [bool((gains[:, f] > rule.margin).all()) for f in range(count)]
    over_start = gains[0] > rule.margin
    found = [
        _Condition(b, unit[f], float(b.estimates.gain[f]) - rule.margin, rule.alpha)
        for f in range(count)
        if up[f]
        for b in scales
    ]

    def usable(g: int) -> list[Sequence[Bounds]]:
        """The scales on which g can be shown to lack the gain: the start, or all controls at once."""
        choices: list[Sequence[Bounds]] = []
        if not controls or not over_start[g]:
            choices.append([start])
        if controls and room[g]:
            choices.append(controls)
        return choices

    def best(choices: list[list[_Condition]]) -> list[_Condition]:
        impossible = [_Condition(start, unit[0], -np.inf, rule.alpha)]
        return max(choices, key=lambda made: min(c.slack for c in made), default=impossible)

    def small(g: int, alpha: float) -> list[_Condition]:
        return best(
            [
                [_Condition(b, unit[g], rule.no_gain - float(b.estimates.gain[g]), alpha) for b in scale]
                for scale in usable(g)
            ]
        )

    def less(f: int, g: int) -> list[_Condition]:
        choices = []
        for scale in usable(g):
            made = []
            for b in scale:
                own, other = float(b.estimates.gain[f]), float(b.estimates.gain[g])
                share = rule.share_of_largest
                made.append(_Condition(b, unit[f] - unit[g], own - other, rule.alpha))
                if share * own > rule.no_gain:
                    contrast, slack = share * unit[f] - unit[g], share * own - other
                else:
                    contrast, slack = unit[g], rule.no_gain - other
                made.append(_Condition(b, contrast, slack, rule.alpha_equivalence))
            choices.append(made)
        return best(choices)

    if towards is VerdictWord.ONE_FAMILY:
        f = up.index(True)
        for g in range(count):
            if g != f:
                found += less(f, g)
    elif towards is VerdictWord.MIXED:
        for g in range(count):
            if not up[g]:
                found += small(g, rule.alpha_equivalence / count)
    elif towards is VerdictWord.ELICITATION_ONLY:
        for g in range(count):
            if over_start[g]:
                b = min(controls, key=lambda c, g=g: float(c.estimates.gain[g]))  # type: ignore[misc]
                found.append(_Condition(start, unit[g], float(gains[0][g]) - rule.margin, rule.alpha))
                slack = rule.no_gain - float(b.estimates.gain[g])
                found.append(_Condition(b, unit[g], slack, rule.alpha_equivalence))
    elif towards is VerdictWord.HARMFUL:
        f = int(np.argmin(gains[0]))
        found.append(_Condition(start, unit[f], -float(gains[0][f]), rule.alpha / count))
    elif towards is VerdictWord.ABSENT:
        for g in range(count):
            found += small(g, rule.alpha_equivalence)
    return found


def _reach(c: _Condition, seeds: int, samples: int, problems: float, power: float) -> float:
    """Return (t + z) x the standard error of a condition's contrast at the planned amounts."""
    e = c.bounds.estimates
    runs, answers = e.seeds / seeds, e.samples / samples
    # the control gets as many seeds as the method; the starting model is not trained
    against = min(1.0, e.against_seeds / seeds) if e.against is not None else 1.0
    p = e.parts
    each = (p.between + p.before * answers * against + (p.decoding * answers + p.by_run) * runs) / problems
    squares = c.contrast**2
    problem = float(squares @ each)
    run = [float(squares @ e.run_share) * runs * e.runs.variance]
    if e.against is not None:
        run.append(float(squares @ e.against_share) * against * e.against.variance)
    total = problem + sum(run)
    run_degrees = c.bounds.rule.prior_degrees + e.models * (seeds - 1)
    spread = problem**2 / (sum(e.sizes) * problems - 1) + sum(v**2 / run_degrees for v in run)
    return float((stdtrit(total**2 / spread, 1 - c.alpha) + power) * np.sqrt(total))


def _worded(advice: Advice, e: Estimates) -> Advice:
    """Say it: the cheapest first, and which kind of data would not help."""
    options = []
    if advice.seeds is not None:
        extra = advice.seeds - e.seeds
        options.append(f"{extra} more {'seed' if extra == 1 else 'seeds'}")
    if advice.samples is not None:
        options.append(f"{advice.samples} samples a problem in place of {e.samples}")
    if advice.seeds is None and advice.samples is None and advice.seeds_and_samples is not None:
        extra = advice.seeds_and_samples - e.seeds
        options.append(f"{extra} more {'seed' if extra == 1 else 'seeds'} with {MOST_SAMPLES} samples a problem")
    if options:
        words = f"To settle it: {' or '.join(options)}"
    elif advice.problems is not None:
        words = f"To settle it: more problems, not more seeds: about {advice.problems} in place of {sum(e.sizes)}"
    else:
        words = "To settle it, more problems and more seeds together: neither alone will do"
    guess = "; per-problem results would say it more exactly" if e.parts.guessed else ""
    named = f" ({', '.join(advice.lineages)})" if len(advice.lineages) == 1 else ""
    sure = f" (80 % power, if the estimates are the truth: {advice.towards.replace('_', ' ')}{named}{guess})."
    return replace(advice, words=words + sure)
