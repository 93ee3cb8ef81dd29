"""Gains with their variance (docs/statistics.md, sections 2 and 3).

Owns: paired differences, the problem part and the run part of the variance, t bounds of any contrast.
Does not own: the bounds that the rule asks for (bounds.py), nor the rule (verdict.py). All values are
proportions; arrays are float64.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from rlvr_bench.schema.finding import Gain
from rlvr_bench.schema.suite import Rule

Array = NDArray[np.float64]
Grouping = Literal["lineage", "model"]
Scale = Literal["accuracy", "logit"]

FEW_MOVED = 10
"""Below this many problems with a non-zero difference the floor of the variance acts (section 3)."""

LARGE_BENCHMARK = 200
"""From this many problems on, the smaller prior run-to-run SD applies (section 3)."""


@dataclass(frozen=True)
class ModelScores:
    """Share right of one model, per benchmark.

    `runs[b]` is (S, n_b): trained runs by problem, or (S,) where no problems are known (marginals.py).
    `against[b]` is (S', n_b) or (S',): what they are compared with, either the starting model (S' = 1,
    `against_trained` False) or control runs. `samples` and `against_samples` are the answers behind each share,
    for the parts of the variance only.
    """

    name: str
    lineage: str
    runs: tuple[Array, ...]
    against: tuple[Array, ...]
    against_trained: bool = False
    samples: int = 1
    against_samples: int = 1


@dataclass(frozen=True)
class RunVariance:
    """Moderated pooled run-to-run variance of a model's mean gain, with its degrees of freedom, the prior
    SD that it was moderated towards and the SD that was observed (None with single runs)."""

    variance: float
    degrees: float
    prior_sd: float
    observed: float | None


@dataclass(frozen=True)
class NoiseParts:
    """What a group's problem variance V_P is made of, (F,) each, squared proportions of the mean gain.

    `between` problems stays; `before` falls with the samples before; `decoding` and `by_run` (run x problem)
    fall with runs, `decoding` also with samples. `guessed` where single samples do not identify them.
    """

    between: Array
    before: Array
    decoding: Array
    by_run: Array
    guessed: bool


@dataclass(frozen=True)
class Contrasts:
    """Estimates, standard errors and degrees of freedom of K contrasts, (..., K) each."""

    estimate: Array
    error: Array
    degrees: Array

    def lower(self, alpha: float) -> Array:
        """Return one-sided lower bounds at level 1 - alpha."""
        return np.asarray(self.estimate - stdtrit(self.degrees, 1 - alpha) * self.error)

    def upper(self, alpha: float) -> Array:
        """Return one-sided upper bounds at level 1 - alpha."""
        return np.asarray(self.estimate + stdtrit(self.degrees, 1 - alpha) * self.error)

    def columns(self, start: int, stop: int) -> "Contrasts":
        """Return some of the contrasts."""
        cut = np.s_[..., start:stop]
        return Contrasts(self.estimate[cut], self.error[cut], self.degrees[cut])


@dataclass(frozen=True)
class Estimates:
    """Gains of F groups of models (lineages, or single models) and all that bounds need.

    `covariance[b]` is (F, F) over problems of benchmark b; `run_share` and `against_share` are (F,):
    the factor of the run-to-run variance in each group's gain. `models` counts all; `seeds` and `samples`
    are the smallest over models, `against_seeds` those of the control (or of the start), for advice about more.
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
    noise_parts: Callable[[], NoiseParts] = field(repr=False)
    models: int
    seeds: int
    against_seeds: int
    samples: int

    @cached_property
    def parts(self) -> NoiseParts:
        """What V_P is made of; computed when asked for, as only advice needs it."""
        return self.noise_parts()

    def contrasts(self, matrix: Array) -> Contrasts:
        """Return Σ_f c_f G_f for each row c of a (K, F) matrix (section 3; Satterthwaite 1946)."""
        problem = np.stack(
            [
                w**2 * np.einsum("kf,fg,kg->k", matrix, c, matrix) / n
                for w, c, n in zip(self.weights, self.covariance, self.sizes, strict=True)
            ]
        )
        squares = matrix**2
        run = [(self.runs, squares @ self.run_share * self.runs.variance)]
        if self.against is not None:
            run.append((self.against, squares @ self.against_share * self.against.variance))
        total = problem.sum(0) + sum(v for _, v in run)
        spread = (problem**2 / (np.asarray(self.sizes)[:, None] - 1)).sum(0) + sum(v**2 / p.degrees for p, v in run)
        return Contrasts(np.asarray(matrix @ self.gain), np.sqrt(total), np.asarray(total**2 / spread))

    def gain_of(self, index: int, alpha: float) -> Gain:
        """Return group `index`'s gain with its two-sided interval (level 1 - 2 alpha)."""
        c = self.contrasts(np.eye(len(self.groups))[index : index + 1])
        return Gain(
            estimate=float(c.estimate[0]),
            lower=float(c.lower(alpha)[0]),
            upper=float(c.upper(alpha)[0]),
            standard_error=float(c.error[0]),
            degrees=float(c.degrees[0]),
        )

    def gains(self, alpha: float) -> dict[str, Gain]:
        """Return every group's gain by its name."""
        return {group: self.gain_of(f, alpha) for f, group in enumerate(self.groups)}

    def gain_by_name(self, group: str, alpha: float) -> Gain | None:
        """Return a group's gain, or None where it is not among the groups."""
        return self.gain_of(self.groups.index(group), alpha) if group in self.groups else None


def benchmark_weights(sizes: Sequence[int], rule: Rule) -> Array:
    """Return w_b, summing to 1: by number of problems, or equal (section 2)."""
    raw = np.asarray(sizes, float) if rule.weights == "problems" else np.ones(len(sizes))
    return np.asarray(raw / raw.sum())


def prior_run_sd(sizes: Sequence[int], rule: Rule, *, control: bool) -> float:
    """Return the prior run-to-run SD: by the sizes of the benchmarks, or that of content-blind rewards."""
    if control:
        return rule.prior_run_sd_control
    priors = [rule.prior_run_sd if n >= LARGE_BENCHMARK else rule.prior_run_sd_small for n in sizes]
    return float(benchmark_weights(sizes, rule) @ np.asarray(priors))


def moderated(prior_sd: float, rule: Rule, *, sum_of_squares: float, degrees: int, noise: float) -> RunVariance:
    """Moderate an observed run-to-run variance towards the prior (section 3; Smyth 2004).

    `sum_of_squares` of run means about their model's mean, with its degrees of freedom; `noise` is what
    the problem part holds already. An observed SD is never shrunk downwards.
    """
    if degrees == 0:
        return RunVariance(prior_sd**2, rule.prior_degrees, prior_sd, None)
    unexplained = max(0.0, sum_of_squares / degrees - noise)
    both = (rule.prior_degrees * prior_sd**2 + degrees * unexplained) / (rule.prior_degrees + degrees)
    return RunVariance(
        variance=max(both, unexplained),
        degrees=rule.prior_degrees + degrees,
        prior_sd=prior_sd,
        observed=float(np.sqrt(unexplained)),
    )


def run_variance(runs: Sequence[tuple[Array, ...]], rule: Rule, *, control: bool) -> RunVariance:
    """Pool the run-to-run variance over models and moderate it (section 3).

    `runs[m][b]` is (S_m, n_b). The run x problem part is taken off, as the problem part of the
    variance holds it already.
    """
    sizes = [scores.shape[1] for scores in runs[0]]
    weights = benchmark_weights(sizes, rule)
    degrees = sum(model[0].shape[0] - 1 for model in runs)
    between, residual = 0.0, np.zeros(len(sizes))
    for model in runs:
        count = model[0].shape[0]
        if count == 1:
            continue
        means = np.zeros(count)
        for b, scores in enumerate(model):
            of_run, of_problem = scores.sum(1), scores.sum(0)
            means += weights[b] / sizes[b] * of_run
            # the residual of the two-way layout, from its sums of squares
            cells = float(np.vdot(scores, scores)) + float(of_run.sum()) ** 2 / scores.size
            rows = float(of_run @ of_run) / sizes[b] + float(of_problem @ of_problem) / count
            residual[b] += max(0.0, cells - rows)
        between += float(means @ means) - float(means.sum()) ** 2 / count
    noise = 0.0
    if degrees:
        mean_squares = residual / (degrees * (np.asarray(sizes) - 1))
        noise = float((weights**2 * mean_squares / np.asarray(sizes)).sum())
    prior = prior_run_sd(sizes, rule, control=control)
    return moderated(prior, rule, sum_of_squares=between, degrees=degrees, noise=noise)


def grouped(models: Sequence[ModelScores], by: Grouping) -> dict[str, list[ModelScores]]:
    """Return the models of every lineage, or every model alone, in the order of models."""
    members: dict[str, list[ModelScores]] = {}
    for m in models:
        members.setdefault(m.lineage if by == "lineage" else m.name, []).append(m)
    return members


def on_scale(after: Array, before: Array, scale: Scale, problems: int) -> tuple[Array, Array, Array]:
    """Return gains of mean accuracies on a scale, and its slopes after and before (1 for accuracies).

    On the logit scale means are kept half a problem away from 0 and 1.
    """
    if scale == "accuracy":
        return after - before, np.ones(len(after)), np.ones(len(after))
    least = 0.5 / problems
    after, before = np.clip(after, least, 1 - least), np.clip(before, least, 1 - least)
    gain = np.log(after / (1 - after)) - np.log(before / (1 - before))
    return gain, 1 / (after * (1 - after)), 1 / (before * (1 - before))


def variance_floor(n: int) -> float:
    """Return the least variance of a problem's difference: half a problem each way (section 3)."""
    return n / ((n + 1) * (n + 2))


def run_share(members: Mapping[str, Sequence[ModelScores]], what: Literal["runs", "against"]) -> Array:
    """Return each group's factor of the run-to-run variance: the sum of 1 / (M² S) over its models."""
    return np.array([sum(1 / (len(g) ** 2 * len(getattr(m, what)[0])) for m in g) for g in members.values()])


def estimate(
    models: Sequence[ModelScores],
    rule: Rule,
    *,
    control_runs: bool,
    group_by: Grouping = "lineage",
    scale: Scale = "accuracy",
) -> Estimates:
    """Estimate gains by lineage or by model, equal weight per model.

    `control_runs` says that the trained runs are those of a content-blind reward, whose run-to-run
    prior is wider. `scale="logit"` gives the difference of the logits of a group's mean accuracies, its
    variance by the delta method. Raises ValueError where models do not share the same problems.
    """
    sizes = tuple(scores.shape[1] for scores in models[0].runs)
    for model in models:
        if tuple(s.shape[1] for s in model.runs) != sizes or tuple(s.shape[1] for s in model.against) != sizes:
            raise ValueError(f"{model.name}: not the same problems as {models[0].name}")
    trained = [m for m in models if m.against_trained]
    if trained and len(trained) != len(models):
        raise ValueError("some models are compared with control runs and some with their start")
    members = grouped(models, group_by)
    groups = tuple(members)
    weights = benchmark_weights(sizes, rule)
    after = [np.stack([_mean([m.runs[b] for m in g]) for g in members.values()]) for b in range(len(sizes))]
    before = [np.stack([_mean([m.against[b] for m in g]) for g in members.values()]) for b in range(len(sizes))]
    mean_after = sum(w * a.mean(1) for w, a in zip(weights, after, strict=True))
    mean_before = sum(w * a.mean(1) for w, a in zip(weights, before, strict=True))
    gain, slope_after, slope_before = on_scale(np.asarray(mean_after), np.asarray(mean_before), scale, sum(sizes))
    covariance: list[Array] = []
    for b, n in enumerate(sizes):
        moved = np.count_nonzero(np.abs(after[b] - before[b]) > 1e-9, axis=1)
        c = np.atleast_2d(np.cov(slope_after[:, None] * after[b] - slope_before[:, None] * before[b], ddof=1))
        floor = variance_floor(n) * slope_after**2
        diagonal = np.diag(c)
        np.fill_diagonal(c, np.where(moved < FEW_MOVED, np.maximum(diagonal, floor), diagonal))
        covariance.append(c)

    return Estimates(
        groups=groups,
        gain=gain,
        covariance=tuple(covariance),
        sizes=sizes,
        weights=weights,
        run_share=run_share(members, "runs") * slope_after**2,
        against_share=run_share(members, "against") * slope_before**2,
        runs=run_variance([m.runs for m in models], rule, control=control_runs),
        against=run_variance([m.against for m in models], rule, control=True) if trained else None,
        noise_parts=lambda: _noise_parts(list(members.values()), weights, sizes, covariance),
        models=len(models),
        seeds=min(m.runs[0].shape[0] for m in models),
        against_seeds=min(m.against[0].shape[0] for m in models),
        samples=min(m.samples for m in models),
    )


def _mean(scores: Sequence[Array]) -> Array:
    """Return the (n,) mean over runs, then over models."""
    total = np.zeros(scores[0].shape[1])
    for one in scores:
        total += one.sum(0) / one.shape[0]
    return total / len(scores)


def split(whole: float, noise: Array) -> Array:
    """Return (between problems, *noise) that sum to the whole variance: at least a tenth lies between problems.

    Noise that was guessed larger than what is there is scaled down to it.
    """
    between = max(whole - float(noise.sum()), 0.1 * whole)
    share = (whole - between) / float(noise.sum()) if noise.sum() > 0 else 0.0
    return np.concatenate([[between], noise * min(share, 1.0)])


def _within(scores: Array, samples: int) -> float:
    """Return the decoding variance of one answer: p(1-p) within problems, or half of the pooled one at k = 1."""
    if samples > 1:
        return float((scores * (1 - scores)).mean()) * samples / (samples - 1)
    mean = float(scores.mean())
    return 0.5 * mean * (1 - mean)


def _noise_parts(
    members: Sequence[Sequence[ModelScores]], weights: Array, sizes: Sequence[int], covariance: Sequence[Array]
) -> NoiseParts:
    """Split V_P of every group into its parts (section 5.1), summed over benchmarks."""
    parts = np.zeros((4, len(members)))
    for f, group in enumerate(members):
        count = len(group)
        for b, n in enumerate(sizes):
            factor = weights[b] ** 2 / n
            before = decoding = by_run = 0.0
            for m in group:
                runs, seeds = m.runs[b], m.runs[b].shape[0]
                noise = _within(runs, m.samples) / m.samples
                decoding += noise / (seeds * count**2)
                start = _within(m.against[b], m.against_samples) / m.against_samples
                before += start / (m.against[b].shape[0] * count**2)
                if seeds > 1:
                    rest = runs - runs.mean(0) - runs.mean(1, keepdims=True) + runs.mean()
                    square = float((rest**2).sum()) / ((seeds - 1) * (n - 1))
                    by_run += max(0.0, square - noise) / (seeds * count**2)
            whole = float(covariance[b][f, f])
            parts[:, f] += factor * split(whole, np.array([before, decoding, by_run]))
    guessed = any(m.samples == 1 or m.against_samples == 1 for group in members for m in group)
    return NoiseParts(parts[0], parts[1], parts[2], parts[3], guessed=guessed)
