"""Gains per lineage with their variance (docs/statistics.md, sections 2 and 3).

Owns: paired differences, the problem part and the run part of the variance, t bounds of any contrast.
Does not own: the rule (verdict.py). All values are proportions; arrays are float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from rlvr_bench.schema.finding import Gain
from rlvr_bench.schema.suite import Rule

Array = NDArray[np.float64]

FEW_MOVED = 10
"""Below this many problems with a non-zero difference the floor of the variance acts (section 3)."""

LARGE_BENCHMARK = 200
"""From this many problems on, the smaller prior run-to-run SD applies (section 3)."""


@dataclass(frozen=True)
class ModelScores:
    """Share right of one model, per benchmark.

    `runs[b]` is (S, n_b): trained runs by problem. `against[b]` is (S', n_b): what they are compared
    with, either the starting model (S' = 1, `against_trained` False) or control runs.
    """

    name: str
    lineage: str
    runs: tuple[Array, ...]
    against: tuple[Array, ...]
    against_trained: bool = False


@dataclass(frozen=True)
class RunVariance:
    """Moderated pooled run-to-run variance of a model's mean gain, with its degrees of freedom, the prior
    SD that it was moderated towards and the SD that was observed (None with single runs)."""

    variance: float
    degrees: float
    prior_sd: float
    observed: float | None


@dataclass(frozen=True)
class Bound:
    """A contrast's estimate and its one-sided bounds at one level."""

    estimate: float
    lower: float
    upper: float
    standard_error: float
    degrees: float


def benchmark_weights(sizes: Sequence[int], rule: Rule) -> Array:
    """Return w_b, summing to 1: by number of problems, or equal (section 2)."""
    raw = np.asarray(sizes, float) if rule.weights == "problems" else np.ones(len(sizes))
    return np.asarray(raw / raw.sum())


def run_variance(runs: Sequence[tuple[Array, ...]], rule: Rule, *, control: bool) -> RunVariance:
    """Pool the run-to-run variance over models and moderate it towards the prior (section 3; Smyth 2004).

    `runs[m][b]` is (S_m, n_b). The run x problem part is taken off, as the problem part of the
    variance holds it already; an observed SD is never shrunk downwards.
    """
    sizes = [scores.shape[1] for scores in runs[0]]
    weights = benchmark_weights(sizes, rule)
    prior_sd = (
        rule.prior_run_sd_control
        if control
        else float(
            sum(
                w * (rule.prior_run_sd if n >= LARGE_BENCHMARK else rule.prior_run_sd_small)
                for w, n in zip(weights, sizes, strict=True)
            )
        )
    )
    observed_degrees = sum(model[0].shape[0] - 1 for model in runs)
    if observed_degrees == 0:
        return RunVariance(prior_sd**2, rule.prior_degrees, prior_sd, None)
    between = 0.0
    residual = np.zeros(len(sizes))
    for model in runs:
        means = sum(w * scores.mean(1) for w, scores in zip(weights, model, strict=True))
        between += float(((means - np.mean(means)) ** 2).sum())
        for b, scores in enumerate(model):
            rest = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
            residual[b] += float((rest**2).sum())
    mean_squares = residual / (observed_degrees * (np.asarray(sizes) - 1))
    noise = float((weights**2 * mean_squares / np.asarray(sizes)).sum())
    unexplained = max(0.0, between / observed_degrees - noise)
    moderated = (rule.prior_degrees * prior_sd**2 + observed_degrees * unexplained) / (
        rule.prior_degrees + observed_degrees
    )
    return RunVariance(
        variance=max(moderated, unexplained),
        degrees=rule.prior_degrees + observed_degrees,
        prior_sd=prior_sd,
        observed=float(np.sqrt(unexplained)),
    )


@dataclass(frozen=True)
class Estimates:
    """Gains of F groups of models (lineages, or single models) and all that bounds need.

    `covariance[b]` is (F, F) over problems of benchmark b; `run_share` and `against_share` are (F,):
    the factor of the run-to-run variance in each group's gain.
    """

    groups: tuple[str, ...]
    gain: Array
    covariance: tuple[Array, ...]
    sizes: tuple[int, ...]
    weights: Array
    run_share: Array
    against_share: Array
    runs: RunVariance
    against: RunVariance | None

    def bound(self, contrast: Array, alpha: float) -> Bound:
        """Return one-sided t bounds (level 1 - alpha each) of Σ_f c_f G_f (section 3; Satterthwaite 1946)."""
        estimate = float(self.gain @ contrast)
        problem = np.array(
            [
                w**2 * float(contrast @ c @ contrast) / n
                for w, c, n in zip(self.weights, self.covariance, self.sizes, strict=True)
            ]
        )
        run_parts = [(self.runs, float(contrast**2 @ self.run_share))]
        if self.against is not None:
            run_parts.append((self.against, float(contrast**2 @ self.against_share)))
        run = [part.variance * share for part, share in run_parts]
        total = float(problem.sum()) + sum(run)
        spread = float((problem**2 / (np.asarray(self.sizes) - 1)).sum()) + sum(
            v**2 / part.degrees for v, (part, _) in zip(run, run_parts, strict=True)
        )
        degrees = total**2 / spread
        error = float(np.sqrt(total))
        reach = float(stdtrit(degrees, 1 - alpha)) * error
        return Bound(estimate, estimate - reach, estimate + reach, error, degrees)

    def gain_of(self, index: int, alpha: float) -> Gain:
        """Return group `index`'s gain with its two-sided interval (level 1 - 2 alpha)."""
        b = self.bound(np.eye(len(self.groups))[index], alpha)
        return Gain(
            estimate=b.estimate,
            lower=b.lower,
            upper=b.upper,
            standard_error=b.standard_error,
            degrees=b.degrees,
        )


def estimate(models: Sequence[ModelScores], rule: Rule, *, control_runs: bool, group_by: str = "lineage") -> Estimates:
    """Estimate gains by lineage (`group_by="lineage"`) or model (`"model"`), equal weight per model.

    `control_runs` says that the trained runs are those of a random-reward arm, whose run-to-run
    prior is wider. Raises ValueError where models do not share the same problems.
    """
    sizes = tuple(scores.shape[1] for scores in models[0].runs)
    for model in models:
        if tuple(s.shape[1] for s in model.runs) != sizes or tuple(s.shape[1] for s in model.against) != sizes:
            raise ValueError(f"{model.name}: not the same problems as {models[0].name}")
    names = [m.lineage if group_by == "lineage" else m.name for m in models]
    groups = tuple(dict.fromkeys(names))
    members = [[m for m, name in zip(models, names, strict=True) if name == group] for group in groups]
    weights = benchmark_weights(sizes, rule)
    covariance: list[Array] = []
    gain = np.zeros(len(groups))
    for b, n in enumerate(sizes):
        per_problem = np.stack(
            [np.mean([m.runs[b].mean(0) - m.against[b].mean(0) for m in group], axis=0) for group in members]
        )
        gain += weights[b] * per_problem.mean(1)
        c = np.atleast_2d(np.cov(per_problem, ddof=1))
        floor = n / ((n + 1) * (n + 2))
        for f in range(len(groups)):
            if np.count_nonzero(np.abs(per_problem[f]) > 1e-9) < FEW_MOVED:
                c[f, f] = max(c[f, f], floor)
        covariance.append(c)
    trained = [m for m in models if m.against_trained]
    if trained and len(trained) != len(models):
        raise ValueError("some models are compared with control runs and some with their start")

    def share(runs_of: str) -> Array:
        return np.array(
            [sum(1 / (len(group) ** 2 * getattr(m, runs_of)[0].shape[0]) for m in group) for group in members]
        )

    return Estimates(
        groups=groups,
        gain=gain,
        covariance=tuple(covariance),
        sizes=sizes,
        weights=weights,
        run_share=share("runs"),
        against_share=share("against"),
        runs=run_variance([m.runs for m in models], rule, control=control_runs),
        against=run_variance([m.against for m in models], rule, control=True) if trained else None,
    )


@dataclass(frozen=True)
class Bounds:
    """All bounds that the rule asks for, (F,) or (F, F), from one set of estimates."""

    estimates: Estimates
    rule: Rule

    @cached_property
    def _unit(self) -> Array:
        return np.eye(len(self.estimates.groups))

    def _one(self, alpha: float, side: str) -> Array:
        return np.array([getattr(self.estimates.bound(c, alpha), side) for c in self._unit])

    @cached_property
    def lower(self) -> Array:
        """L_f: lower 95 % bound of each gain."""
        return self._one(self.rule.alpha, "lower")

    @cached_property
    def upper_equivalence(self) -> Array:
        """E_f: upper bound of the 90 % interval."""
        return self._one(self.rule.alpha_equivalence, "upper")

    @cached_property
    def upper_equivalence_all(self) -> Array:
        """E_f at level alpha_equivalence / F, for MIXED."""
        return self._one(self.rule.alpha_equivalence / len(self._unit), "upper")

    @cached_property
    def upper_harm(self) -> Array:
        """Upper bound at level alpha / F (Bonferroni), for harm."""
        return self._one(self.rule.alpha / len(self._unit), "upper")

    def larger(self, f: int, g: int) -> bool:
        """I_{f,g} > 0: f gains significantly more than g."""
        return self.estimates.bound(self._unit[f] - self._unit[g], self.rule.alpha).lower > 0

    def share_excluded(self, f: int, g: int) -> bool:
        """Q_{f,g} > 0: g gains significantly less than the set share of f's gain."""
        contrast = self.rule.share_of_largest * self._unit[f] - self._unit[g]
        return self.estimates.bound(contrast, self.rule.alpha_equivalence).lower > 0
