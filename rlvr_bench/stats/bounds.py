"""All bounds that the rule asks for, from a closed form or from resamples (docs/statistics.md, section 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.gains import Array, Contrasts, Estimates


@dataclass(frozen=True)
class Bounds:
    """Bounds of F gains, (F,), and of their contrasts, (F, F).

    `lower`, `upper`: of the 95 % interval. `upper_equivalence` (E_f): of the 90 % interval;
    `upper_equivalence_all`: at level alpha_equivalence / F, for MIXED; `upper_harm`: at alpha / F (Bonferroni).
    `difference[f, g]`: lower bound of G_f - G_g (I); `retention[f, g]`: of share x G_f - G_g (Q).
    """

    estimates: Estimates
    rule: Rule
    lower: Array
    upper: Array
    upper_equivalence: Array
    upper_equivalence_all: Array
    upper_harm: Array
    difference: Array
    retention: Array

    def larger(self, f: int, g: int) -> bool:
        """I_{f,g} > 0: f gains significantly more than g."""
        return bool(self.difference[f, g] > 0)

    def share_excluded(self, f: int, g: int) -> bool:
        """Q_{f,g} > 0: g gains significantly less than the set share of f's gain."""
        return bool(self.retention[f, g] > 0)


def closed_form(estimates: Estimates, rule: Rule) -> Bounds:
    """Return the bounds that decide: t quantiles with Satterthwaite's degrees of freedom."""
    return next(closed_forms([estimates], rule))


def closed_forms(variants: Sequence[Estimates], rule: Rule) -> Iterator[Bounds]:
    """Yield the bounds of several variants of one set of gains (same groups) at once, which is much faster."""
    count = len(variants[0].groups)
    unit = np.eye(count)
    pairs = [(f, g) for f in range(count) for g in range(count) if f != g]
    differences = np.array([unit[f] - unit[g] for f, g in pairs]).reshape(-1, count)
    retentions = np.array([rule.share_of_largest * unit[f] - unit[g] for f, g in pairs]).reshape(-1, count)
    matrix = np.concatenate([unit, differences, retentions])
    found = [e.contrasts(matrix) for e in variants]
    every = Contrasts(
        np.stack([c.estimate for c in found]),
        np.stack([c.error for c in found]),
        np.stack([c.degrees for c in found]),
    )
    ends = (count, count + len(pairs))
    gains = every.columns(0, ends[0])
    lower, upper = gains.lower(rule.alpha), gains.upper(rule.alpha)
    equivalence = gains.upper(rule.alpha_equivalence)
    equivalence_all, harm = gains.upper(rule.alpha_equivalence / count), gains.upper(rule.alpha / count)
    difference = every.columns(*ends).lower(rule.alpha)
    retention = every.columns(ends[1], len(matrix)).lower(rule.alpha_equivalence)

    def square(values: Array) -> Array:
        whole = np.full((count, count), -np.inf)
        for (f, g), value in zip(pairs, values, strict=True):
            whole[f, g] = value
        return whole

    for v, e in enumerate(variants):
        yield Bounds(
            estimates=e,
            rule=rule,
            lower=lower[v],
            upper=upper[v],
            upper_equivalence=equivalence[v],
            upper_equivalence_all=equivalence_all[v],
            upper_harm=harm[v],
            difference=square(difference[v]),
            retention=square(retention[v]),
        )


def from_draws(draws: Array, estimates: Estimates, rule: Rule) -> Bounds:
    """Return percentile bounds from (F, B) resampled gains."""
    count = len(draws)
    difference, retention = np.full((count, count), -np.inf), np.full((count, count), -np.inf)
    for f in range(count):
        for g in range(count):
            if f != g:
                difference[f, g] = np.quantile(draws[f] - draws[g], rule.alpha)
                retention[f, g] = np.quantile(rule.share_of_largest * draws[f] - draws[g], rule.alpha_equivalence)
    levels = [
        rule.alpha,
        1 - rule.alpha,
        1 - rule.alpha_equivalence,
        1 - rule.alpha_equivalence / count,
        1 - rule.alpha / count,
    ]
    lower, upper, equivalence, equivalence_all, harm = np.quantile(draws, levels, axis=1)
    return Bounds(
        estimates=estimates,
        rule=rule,
        lower=lower,
        upper=upper,
        upper_equivalence=equivalence,
        upper_equivalence_all=equivalence_all,
        upper_harm=harm,
        difference=difference,
        retention=retention,
    )


def p_values(estimates: Estimates, rule: Rule) -> Array:
    """Return each group's one-sided p-value of a gain at or below the margin."""
    gains = estimates.contrasts(np.eye(len(estimates.groups)))
    return np.asarray(stdtr(gains.degrees, (rule.margin - gains.estimate) / gains.error))


def holm(values: Sequence[float] | Array) -> Array:
    """Return p-values adjusted for their number by Holm's step-down method (Holm 1979)."""
    raw = np.asarray(values, float)
    order = np.argsort(raw, kind="stable")
    adjusted = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    found = np.empty(len(raw))
    found[order] = np.minimum(adjusted, 1.0)
    return found
