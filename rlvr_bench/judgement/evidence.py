"""What a verdict rests on: every model's accuracies, with problems or without, and the estimates from them.

Owns the one door to stats' two estimators. Does not own the rule, nor where the numbers came from.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.gains import Array, Estimates, Grouping, ModelScores, Scale, benchmark_weights, estimate
from rlvr_bench.stats.marginals import BEFORE_AFTER_CORRELATION, estimate_marginals


@dataclass(frozen=True)
class ModelResults:
    """One model's results by benchmark. With problems each array is (runs, n); without, (runs,).

    `start` holds its evaluations before training (as many as were made), `arms` the final runs of each arm,
    `steps` the method's runs at earlier steps. Several runs stand in the order of seeds.
    """

    name: str
    lineage: str
    start: dict[str, Array]
    arms: dict[str, dict[str, Array]]
    steps: dict[int, dict[str, Array]] = field(default_factory=dict)
    samples: int = 1
    samples_before: int = 1

    def seeds(self, arm: str) -> int:
        """Return how many runs of an arm there are."""
        return len(next(iter(self.arms[arm].values()))) if arm in self.arms else 0


@dataclass(frozen=True)
class Evidence:
    """All models' results on the same benchmarks, whose numbers of problems are `sizes`.

    `blind` are the arms whose reward does not look at the content, so that their runs scatter more.
    `paired` says whether problems are known; `correlation` is assumed where they are not.
    """

    models: tuple[ModelResults, ...]
    sizes: Mapping[str, int]
    paired: bool
    blind: Collection[str] = frozenset()
    correlation: float = BEFORE_AFTER_CORRELATION

    def model(self, name: str) -> ModelResults:
        """Return one model's results."""
        return next(m for m in self.models if m.name == name)

    def keep(self, names: Collection[str]) -> "Evidence":
        """Return the evidence of some models."""
        return replace(self, models=tuple(m for m in self.models if m.name in names))

    def with_lineages(self, lineages: Mapping[str, str]) -> "Evidence":
        """Return the evidence with some models put into other lineages."""
        return replace(self, models=tuple(replace(m, lineage=lineages.get(m.name, m.lineage)) for m in self.models))

    def having(self, *arms: str) -> "Evidence":
        """Return the evidence of the models that have runs of all these arms."""
        return replace(self, models=tuple(m for m in self.models if all(m.seeds(arm) for arm in arms)))

    def lineages(self) -> tuple[str, ...]:
        """Return the lineages, in the order of models."""
        return tuple(dict.fromkeys(m.lineage for m in self.models))

    def pooled(self, values: Mapping[str, Array], rule: Rule) -> tuple[float, ...]:
        """Return each run's accuracy over all benchmarks, weighted as the rule weighs them."""
        weights = benchmark_weights(list(self.sizes.values()), rule)
        means = [
            w * (values[b].mean(1) if self.paired else values[b]) for w, b in zip(weights, self.sizes, strict=True)
        ]
        return tuple(float(v) for v in np.sum(means, axis=0))

    def answer_noise(self, model: str, arm: str, rule: Rule) -> float:
        """Return the SD of one run's pooled accuracy that comes from drawing answers, problems held fixed.

        Without problems, or with single answers, the whole binomial variance is taken: an upper bound.
        """
        one = self.model(model)
        weights = benchmark_weights(list(self.sizes.values()), rule)
        total = 0.0
        for w, (b, n) in zip(weights, self.sizes.items(), strict=True):
            p = one.arms[arm][b]
            within = float((p * (1 - p)).mean()) / (one.samples - 1) if self.paired and one.samples > 1 else None
            if within is None:
                mean = float(p.mean())
                within = mean * (1 - mean) / one.samples
            total += w**2 * within / n
        return float(total**0.5)

    def scores(self, arm: str, against: str | None, benchmarks: Sequence[str]) -> list[ModelScores]:
        """Return the scores of every model's runs against its start or another arm."""
        return [
            ModelScores(
                name=m.name,
                lineage=m.lineage,
                runs=tuple(m.arms[arm][b] for b in benchmarks),
                against=tuple((m.start if against is None else m.arms[against])[b] for b in benchmarks),
                against_trained=against is not None,
                samples=m.samples,
                against_samples=m.samples_before if against is None else m.samples,
            )
            for m in self.models
        ]

    def estimate(
        self,
        arm: str,
        against: str | None,
        rule: Rule,
        *,
        benchmarks: Sequence[str] | None = None,
        group_by: Grouping = "lineage",
        scale: Scale = "accuracy",
    ) -> Estimates:
        """Estimate gains of an arm over the start (`against` None) or over another arm; all benchmarks, or some."""
        chosen = list(benchmarks or self.sizes)
        blind = arm in self.blind
        scores = self.scores(arm, against, chosen)
        if self.paired:
            return estimate(scores, rule, control_runs=blind, group_by=group_by, scale=scale)
        return estimate_marginals(
            scores,
            [self.sizes[b] for b in chosen],
            rule,
            control_runs=blind,
            group_by=group_by,
            scale=scale,
            correlation=self.correlation,
        )

    def at_step(self, arm: str, step: int) -> "Evidence":
        """Return the evidence as if training had ended at an earlier step: models without it are left out."""
        kept = [m for m in self.models if step in m.steps]
        return replace(self, models=tuple(replace(m, arms={**m.arms, arm: m.steps[step]}) for m in kept))

    def from_end(self, arm: str, step: int) -> "Evidence":
        """Return the evidence of an earlier step against the end of the same runs."""

        def moved(m: ModelResults) -> ModelResults:
            earlier, end = m.steps[step], m.arms[arm]
            if not self.paired or any(earlier[b].shape != end[b].shape for b in self.sizes):
                return replace(m, start=end, arms={arm: earlier})
            # the same runs: what a run does differently at both steps cancels
            nothing = {b: np.zeros((1, n)) for b, n in self.sizes.items()}
            return replace(m, start=nothing, arms={arm: {b: earlier[b] - end[b] for b in self.sizes}})

        return replace(self, models=tuple(moved(m) for m in self.models if step in m.steps))
