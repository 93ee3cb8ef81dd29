"""Net elicitation: the gain over the best untrained prompt, chosen on one half of the problems, estimated on the other.

A prompt chosen and measured on the same problems would look too good. Each half chooses for the other, so that every
problem counts once; the model's own prompt is among the choices. Choosing by noise can only miss the best prompt, so
what prompting gives is estimated from below, and the net gain from above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from rlvr_bench.judgement.evidence import Evidence, ModelResults
from rlvr_bench.judgement.sides import Question
from rlvr_bench.schema.finding import Gain
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.gains import Array, benchmark_weights

OWN = ""
"""The name of the prompt that training and evaluation use."""


@dataclass(frozen=True)
class Elicited:
    """Net gains by lineage and by model, what prompting alone gives each lineage, and each half's choice by model."""

    lineages: dict[str, Gain]
    models: dict[str, Gain]
    prompting: dict[str, Gain]
    chosen: dict[str, tuple[str, str]]


def net_elicitation(
    evidence: Evidence, prompts: Mapping[str, Mapping[str, Mapping[str, Array]]], question: Question, samples: int
) -> Elicited:
    """Return the gains over the best untrained prompt.

    `prompts` holds, by model and prompt, an array (1, problems) for each benchmark; `samples` a problem lie behind it.
    A lineage counts only where all its models were evaluated under some prompt.
    """
    rule = question.rule
    bare = {m.lineage for m in evidence.models if not prompts.get(m.name)}
    kept = [m for m in evidence.models if m.lineage not in bare]
    if not kept or not evidence.paired:
        return Elicited({}, {}, {}, {})
    found: list[ModelResults] = []
    chosen: dict[str, tuple[str, str]] = {}
    for model in kept:
        choices = {OWN: model.start, **prompts[model.name]}
        start, names = _best(choices, evidence.sizes, rule)
        chosen[model.name] = names
        fewest = min(model.samples_before, samples) if any(names) else model.samples_before
        found.append(replace(model, start=start, samples_before=fewest))
    best = replace(evidence, models=tuple(found))
    by_model = best.estimate(question.method, None, rule, group_by="model")
    return Elicited(
        lineages=best.estimate(question.method, None, rule).gains(rule.alpha),
        models=by_model.gains(rule.alpha),
        prompting=_prompting(kept, found, evidence.sizes, rule),
        chosen=chosen,
    )


def _prompting(
    own: Sequence[ModelResults], best: Sequence[ModelResults], sizes: Mapping[str, int], rule: Rule
) -> dict[str, Gain]:
    """Return what the chosen prompts give over the own one, by lineage: paired over problems; no runs, so no run SD.

    A prompt that is lucky on both halves is chosen by both, so their errors go together: the standard error is the
    mean of the halves' own, as if they were one. t quantile with the smallest half's problems less one.
    """
    weights = benchmark_weights(list(sizes.values()), rule)
    degrees = float(max(min(sizes.values()) // 2 - 1, 1))
    t = float(stdtrit(degrees, 1 - rule.alpha))
    gains = {}
    for lineage in dict.fromkeys(m.lineage for m in own):
        pairs = [(b, o) for b, o in zip(best, own, strict=True) if o.lineage == lineage]
        estimate, variances = 0.0, [0.0, 0.0]
        for weight, name in zip(weights, sizes, strict=True):
            each = np.mean([b.start[name].mean(0) - o.start[name].mean(0) for b, o in pairs], axis=0)
            estimate += float(weight * each.mean())
            for half in (0, 1):
                mine = each[half::2]
                variances[half] += float(weight**2 * mine.var(ddof=min(1, len(mine) - 1)) / len(mine))
        error = (variances[0] ** 0.5 + variances[1] ** 0.5) / 2
        lower, upper = estimate - t * error, estimate + t * error
        gains[lineage] = Gain(estimate=estimate, lower=lower, upper=upper, standard_error=error, degrees=degrees)
    return gains


def _best(
    choices: Mapping[str, Mapping[str, Array]], sizes: Mapping[str, int], rule: Rule
) -> tuple[dict[str, Array], tuple[str, str]]:
    """Return each problem's accuracy under the prompt that the other half finds best, and both halves' choices.

    The halves are problems at even and at odd places; ties go to the model's own prompt, then to the suite's order.
    """
    weights = benchmark_weights(list(sizes.values()), rule)
    means = {name: {b: values[b].mean(0) for b in sizes} for name, values in choices.items()}

    def pooled(name: str, half: int) -> float:
        return float(sum(w * means[name][b][half::2].mean() for w, b in zip(weights, sizes, strict=True)))

    first, second = (max(means, key=lambda name, half=half: pooled(name, half)) for half in (0, 1))  # type: ignore[misc]
    start = {}
    for b, n in sizes.items():
        values = np.empty((1, n))
        values[0, 0::2] = means[second][b][0::2]
        values[0, 1::2] = means[first][b][1::2]
        start[b] = values
    return start, (first, second)
