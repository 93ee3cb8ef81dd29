"""The smallest gain that can be seen (docs/statistics.md, section 5). Pure."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.gains import LARGE_BENCHMARK

POWER = 0.8


@dataclass(frozen=True)
class Components:
    """Variance components of one problem, squared proportions: of the gain between problems, of
    decoding before and after, of run x problem."""

    between_problems: float = 0.021
    before: float = 0.13
    after: float = 0.12
    run_by_problem: float = 0.010


ASSUMED = Components()
"""Measured on MATH-500-like simulations (docs/statistics.md, section 5); used before there are data."""


def visible_gain(
    *,
    problems: int,
    models: int,
    lineages: int,
    seeds: int,
    samples_before: int,
    samples_after: int,
    rule: Rule,
    over_control: bool = False,
    components: Components = ASSUMED,
) -> float:
    """Return the smallest true gain of one lineage declared above the margin with 80 % power.

    `models` is the number of models of the lineage, `seeds` the runs of each. Over a control, its
    runs stand in place of the starting model. Run-to-run SDs are the rule's priors.
    """
    c = components
    after = c.between_problems + (c.run_by_problem + c.after / samples_after) / (seeds * models)
    prior = rule.prior_run_sd if problems >= LARGE_BENCHMARK else rule.prior_run_sd_small
    observed = lineages * models * (seeds - 1)
    parts = [(prior**2 / (seeds * models), rule.prior_degrees + observed)]
    if over_control:
        after += (c.run_by_problem + c.after / samples_after) / (seeds * models)
        parts.append((rule.prior_run_sd_control**2 / (seeds * models), rule.prior_degrees + observed))
    else:
        after += c.before / (samples_before * models)
    parts.append((after / problems, problems - 1))
    total = sum(v for v, _ in parts)
    degrees = total**2 / sum(v**2 / d for v, d in parts)
    return float(rule.margin + (stdtrit(degrees, 1 - rule.alpha) + ndtri(POWER)) * np.sqrt(total))


def detectable(standard_error: float, degrees: float, rule: Rule) -> float:
    """Return the same for a gain whose standard error is known from the data."""
    return float(rule.margin + (stdtrit(degrees, 1 - rule.alpha) + ndtri(POWER)) * standard_error)
