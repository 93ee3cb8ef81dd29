"""Gains from accuracies alone, where no per-problem results exist (docs/statistics.md, section 7).

Everything that accuracies do not tell is assumed, and every assumption widens an interval or is printed.
"""

from collections.abc import Sequence

import numpy as np

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.gains import (
    Array,
    Estimates,
    Grouping,
    ModelScores,
    NoiseParts,
    RunVariance,
    Scale,
    benchmark_weights,
    grouped,
    moderated,
    on_scale,
    prior_run_sd,
    run_share,
    variance_floor,
)

BEFORE_AFTER_CORRELATION = 0.3
"""Assumed correlation over problems of one model's answers before and after training."""

WITHIN_LINEAGE_CORRELATION = 0.5
"""Assumed correlation over problems of the gains of two models of one lineage."""


def estimate_marginals(
    models: Sequence[ModelScores],
    sizes: Sequence[int],
    rule: Rule,
    *,
    control_runs: bool,
    group_by: Grouping = "lineage",
    scale: Scale = "accuracy",
    correlation: float = BEFORE_AFTER_CORRELATION,
) -> Estimates:
    """Estimate gains by lineage or model from accuracies, (S,) a benchmark, on `sizes[b]` problems.

    A problem's difference has the variance p0(1-p0) + p1(1-p1) - 2 r sqrt(p0(1-p0) p1(1-p1)): one sample a
    problem, whatever was drawn; runs do not narrow it. Lineages are independent, models of one lineage
    correlated. The floor of section 3 always holds, as nobody knows how many problems moved. More samples cannot
    narrow this; more seeds narrow the run part, more problems the rest.
    """
    members = grouped(models, group_by)
    groups = tuple(members)
    weights = benchmark_weights(sizes, rule)
    count = len(groups)

    def pooled(what: str) -> Array:
        return np.array(
            [
                np.mean([sum(w * np.mean(a) for w, a in zip(weights, getattr(m, what), strict=True)) for m in group])
                for group in members.values()
            ]
        )

    gain, slope_after, slope_before = on_scale(pooled("runs"), pooled("against"), scale, sum(sizes))
    covariance, between = [], np.zeros(count)
    for b, n in enumerate(sizes):
        diagonal = np.zeros(count)
        for f, group in enumerate(members.values()):
            spread = []
            for m in group:
                a, s = float(np.mean(m.runs[b])), float(np.mean(m.against[b]))
                va, vs = slope_after[f] ** 2 * a * (1 - a), slope_before[f] ** 2 * s * (1 - s)
                spread.append(va + vs - 2 * correlation * (va * vs) ** 0.5)
            alone, roots = sum(spread), sum(v**0.5 for v in spread)
            joint = (alone + WITHIN_LINEAGE_CORRELATION * (roots**2 - alone)) / len(group) ** 2
            diagonal[f] = max(joint, variance_floor(n) * slope_after[f] ** 2)
            between[f] += weights[b] ** 2 / n * diagonal[f]
        covariance.append(np.diag(diagonal))
    trained = all(m.against_trained for m in models)

    nothing = np.zeros(count)
    return Estimates(
        groups=groups,
        gain=gain,
        covariance=tuple(covariance),
        sizes=tuple(sizes),
        weights=weights,
        run_share=run_share(members, "runs") * slope_after**2,
        against_share=run_share(members, "against") * slope_before**2,
        runs=_run_variance([m.runs for m in models], sizes, rule, control=control_runs),
        against=_run_variance([m.against for m in models], sizes, rule, control=True) if trained else None,
        noise_parts=lambda: NoiseParts(between, nothing, nothing, nothing, guessed=True),
        models=len(models),
        seeds=min(len(m.runs[0]) for m in models),
        against_seeds=min(len(m.against[0]) for m in models),
        samples=1,
    )


def _run_variance(runs: Sequence[tuple[Array, ...]], sizes: Sequence[int], rule: Rule, *, control: bool) -> RunVariance:
    """Pool the variance of run means; no decoding noise is taken off, as nobody knows how large it was."""
    weights = benchmark_weights(sizes, rule)
    squares, degrees = 0.0, 0
    for model in runs:
        means = np.asarray(sum(w * np.asarray(a) for w, a in zip(weights, model, strict=True)))
        squares += float(((means - means.mean()) ** 2).sum())
        degrees += len(means) - 1
    prior = prior_run_sd(sizes, rule, control=control)
    return moderated(prior, rule, sum_of_squares=squares, degrees=degrees, noise=0.0)
