"""Did gains fall from one set of runs to another? Differences with their variance, Holm over groups.

Owns the statistics of `check` (docs/ci.md). Does not own what is compared, nor what counts as a failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.gains import Estimates, Grouping, ModelScores, estimate, run_variance

ALPHA = 0.005
"""One-sided, over all groups together: an unchanged method is accused in less than 1 of 100 checks, as real run-to-run
SDs are larger than assumed ones at times."""


@dataclass(frozen=True)
class Difference:
    """What one group's gain differs by, new less accepted: estimate, two-sided 99 % interval, one-sided p of a fall
    by Holm over all groups, and whether that is shown."""

    group: str
    estimate: float
    lower: float
    upper: float
    p_holm: float
    fallen: bool


def differences(
    models: Sequence[ModelScores], rule: Rule, *, group_by: Grouping = "lineage", blind: bool = False
) -> Estimates:
    """Return how gains differ between two sets of trained runs on the same problems.

    `blind` says that a reward of theirs does not look at the content, so that runs scatter more.

    `runs` of a model holds each new run's gain by problem, `against` each accepted run's. Both sides vary from run to
    run by the method's own prior SD, which the observed one overrules (docs/statistics.md, section 3).
    """
    found = estimate(models, rule, control_runs=blind, group_by=group_by)
    return replace(found, against=run_variance([m.against for m in models], rule, control=blind))


def fallen(found: Estimates, *, minimum_drop: float, alpha: float = ALPHA) -> tuple[Difference, ...]:
    """Return each group's difference, and whether it fell by more than `minimum_drop` and shown so (Holm 1979)."""
    contrasts = found.contrasts(np.eye(len(found.groups)))
    p = stdtr(contrasts.degrees, contrasts.estimate / contrasts.error)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    half = stdtrit(contrasts.degrees, 1 - alpha) * contrasts.error
    return tuple(
        Difference(
            group=group,
            estimate=float(contrasts.estimate[i]),
            lower=float(contrasts.estimate[i] - half[i]),
            upper=float(contrasts.estimate[i] + half[i]),
            p_holm=float(adjusted[i]),
            fallen=bool(adjusted[i] <= alpha and contrasts.estimate[i] < -minimum_drop),
        )
        for i, group in enumerate(found.groups)
    )
