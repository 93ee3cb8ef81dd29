"""The cross-check by resampling (docs/statistics.md, section 6). The closed form decides; this is printed beside it."""

from collections.abc import Sequence

import numpy as np

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.bounds import Bounds, from_draws
from rlvr_bench.stats.gains import Array, Estimates, ModelScores, RunVariance

CHUNK = 2_000
"""Resamples at once: 2,000 x 500 problems of float64 counts are 8 MB."""


def resample(
    models: Sequence[ModelScores], estimates: Estimates, rule: Rule, *, resamples: int, rng: np.random.Generator
) -> Bounds:
    """Return percentile bounds: problems resampled within benchmarks, the same for every model; runs drawn from t.

    Two or three runs cannot be resampled (their variance would come out (S-1)/S too small), so the run part is
    a t draw with the moderated variance. `estimates` are the closed form's, by lineage, of the same models.
    Where the variance floor acts, its missing part is added as a normal draw: resampling problems none of which
    moved would give no width at all. Time is linear in `resamples` x problems; memory is bounded.
    """
    groups = estimates.groups
    draws = np.tile(estimates.gain[:, None], (1, resamples))
    members = [[m for m in models if m.lineage == group] for group in groups]
    for b, n in enumerate(estimates.sizes):
        moved = np.stack([np.mean([m.runs[b].mean(0) - m.against[b].mean(0) for m in g], axis=0) for g in members])
        centred = (moved - moved.mean(1, keepdims=True)) * (estimates.weights[b] / n)
        for start in range(0, resamples, CHUNK):
            size = min(CHUNK, resamples - start)
            chosen = rng.integers(0, n, (size, n), dtype=np.int32) + np.arange(size, dtype=np.int32)[:, None] * n
            counts = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)
            draws[:, start : start + size] += centred @ counts.T.astype(np.float64)
        short = np.maximum(np.diag(estimates.covariance[b]) - moved.var(1, ddof=1), 0.0)
        floor = estimates.weights[b] * np.sqrt(short / n)
        draws += floor[:, None] * rng.standard_normal((len(groups), resamples))
    draws += _run_draws(estimates.runs, estimates.run_share, resamples, rng)
    if estimates.against is not None:
        draws += _run_draws(estimates.against, estimates.against_share, resamples, rng)
    return from_draws(draws, estimates, rule)


def _run_draws(variance: RunVariance, share: Array, resamples: int, rng: np.random.Generator) -> Array:
    spread = np.sqrt(variance.variance * share)
    return np.asarray(spread[:, None] * rng.standard_t(variance.degrees, (len(share), resamples)))
